"""Memory of guests on a kernel with NUMA nodes, huge pages and merging, which this machine's may lack: the lab machine's."""
import os
import re
import xml.etree.ElementTree as ElementTree

import pytest

from inside import Inside

from lab.machine import Machine

pytestmark = pytest.mark.limit(300)  # a machine that is emulated, beside others that work
NODES = "/sys/devices/system/node"
GUEST_MIB = 16


@pytest.fixture(scope="module")
def inside():
    if os.geteuid() != 0:
        pytest.skip("the lab machine needs root")
    with Machine(numa_nodes=2) as made:
        yield Inside(made)


@pytest.fixture()
def start(inside):
    """Start a guest at its first instruction, and give the process id of its QEMU; it is gone afterwards."""
    names = []

    def started(name, head):
        text = (f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>{GUEST_MIB}</memory>{head}<os>"
                "<type arch='x86_64' machine='pc'>hvm</type></os><devices><controller type='usb' model='none'/>"
                "<memballoon model='none'/></devices></domain>")
        names.append(name)
        # commands in the machine are slow: one for all of it
        return int(inside.shell(f"cat > /root/{name}.xml && virsh -q create /root/{name}.xml --paused && "
                                "for pid in $(pidof qemu-system-x86_64); do tr '\\0' ' ' < /proc/$pid/cmdline | "
                                f"grep -q 'guest={name},' && echo $pid; done; true", stdin=text))
    yield started
    for name in names:
        inside.virsh(f"destroy {name}", check=False)


def guest_memory(inside, pid):
    """Pages of the largest mapping with pages, by node."""
    found = []
    for line in inside.shell(f"cat /proc/{pid}/numa_maps").splitlines():
        pages = {int(node): int(n) for node, n in re.findall(r" N(\d+)=(\d+)", line)}
        size = int((re.findall(r"kernelpagesize_kB=(\d+)", line) or ["4"])[0])
        found.append((sum(pages.values()) * size, pages))
    return max(found, key=lambda pair: pair[0])


def test_pinned_memory_is_all_on_its_node(inside, start):
    """CPU-14: with cpuset and numatune, more than 95 % of the guest's memory is on that node."""
    pid = start("pinned", "<memoryBacking><allocation mode='immediate'/></memoryBacking><vcpu cpuset='1'>1</vcpu>"
                          "<numatune><memory mode='strict' nodeset='1'/></numatune>")
    kib, pages = guest_memory(inside, pid)
    assert kib >= GUEST_MIB << 10
    assert pages.get(1, 0) > 0.95 * sum(pages.values()), pages


def test_a_guest_that_leaves_its_node_open_gets_the_one_that_fits(inside, start):
    """CPU-08."""
    start("open", "<vcpu placement='auto'>1</vcpu><numatune><memory mode='strict' placement='auto'/></numatune>")
    xml = ElementTree.fromstring(inside.virsh("dumpxml open"))
    node = xml.find("numatune/memory").get("nodeset")
    assert node in ("0", "1")
    assert xml.find("vcpu").get("cpuset") == inside.shell(f"cat {NODES}/node{node}/cpulist").strip()


def test_huge_pages_back_a_guest(inside, start):
    """MEM-08: they are made with allocpages, and the guest takes as many as its memory needs, from its node."""
    need = GUEST_MIB // 2
    inside.virsh(f"allocpages 2048 {need + 4} --cellno 1")

    def free():
        return int(inside.shell(f"cat {NODES}/node1/hugepages/hugepages-2048kB/free_hugepages"))
    before = free()
    assert before == need + 4
    start("huge", "<memoryBacking><hugepages/><allocation mode='immediate'/></memoryBacking><vcpu>1</vcpu>"
                  "<numatune><memory mode='strict' nodeset='1'/></numatune>")
    assert before - free() == need
    assert f"2048KiB: {before - need}" in inside.virsh("freepages 1 2048")
    inside.virsh("destroy huge")
    assert free() == before
    inside.virsh("allocpages 2048 0 --cellno 1")
    assert free() == 0


def test_equal_pages_are_merged_as_the_host_is_told(inside, start):
    """MEM-07: node-memory-tune sets what the kernel does and shows what is merged; <nosharepages/> keeps a guest out of it."""
    inside.virsh("node-memory-tune --shm-pages-to-scan 2000 --shm-sleep-millisecs 10")
    assert inside.shell("cat /sys/kernel/mm/ksm/pages_to_scan /sys/kernel/mm/ksm/sleep_millisecs").split() == ["2000", "10"]
    shown = inside.virsh("node-memory-tune")
    assert re.search(r"shm_pages_to_scan +2000$", shown, re.M) and "shm_pages_shared" in shown

    def is_mergeable(pid):
        return int(inside.shell(f"grep -c '^VmFlags.* mg' /proc/{pid}/smaps || true")) > 0
    assert is_mergeable(start("merged", "<vcpu>1</vcpu>"))
    assert not is_mergeable(start("alone", "<memoryBacking><nosharepages/></memoryBacking><vcpu>1</vcpu>"))
