"""Processors and memory of a running guest, changed while it runs, through stock clients."""
import os
import re

import libvirt
import procfs
import pytest

from live import linux, shell, start
from waiting import wait_for


@pytest.fixture(scope="module")
def daemon(live_daemon, tmp_path_factory):
    daemon = live_daemon
    start(daemon, tmp_path_factory.mktemp("xml"),
          linux("g", "<serial type='pty'/>", shell="ttyS1", vcpus=4).replace("<vcpu>", "<vcpu current='2'>"))
    conn = libvirt.open(daemon.uri())
    shell(conn.lookupByName("g"), b"echo up-$((1+1))", b"up-2")
    conn.close()
    return daemon


def threads(daemon):
    """Names of QEMU's threads that are processors of the guest."""
    return {vcpu[0] for vcpu in libvirt.open(daemon.uri()).lookupByName("g").vcpus()[0]}


def bring_up(dom, n):
    """The guest takes what was plugged, and has so many then."""
    shell(dom, b"for c in /sys/devices/system/cpu/cpu[1-9]*/online; do echo 1 > $c; done; "
               b"echo has-$(grep -c ^processor /proc/cpuinfo)", b"has-%d" % n)


def test_a_processor_is_plugged_and_the_guest_uses_it(daemon, dom):
    """LIFE-34."""
    daemon.virsh("setvcpus", "g", "3", "--live")
    assert daemon.virsh("vcpucount", "g", "--live", "--active").strip() == "3"
    assert threads(daemon) == {0, 1, 2}
    assert dom.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE) == 3
    bring_up(dom, 3)
    with pytest.raises(libvirt.libvirtError, match="greater than max"):
        dom.setVcpusFlags(5, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def cpu_of_first(daemon):
    """Where its first processor was seen last."""
    said = daemon.virsh("vcpuinfo", "g")
    return int(re.search(r"VCPU: +0\nCPU: +(\d+)\n", said)[1])


def test_single_ones_are_plugged_and_pinned_and_stay(daemon, dom):
    """CPU-10: what is pinned moves."""
    daemon.virsh("setvcpus", "g", "3", "--live")  # where it is alone: with a gap before it Linux hangs under TCG
    bring_up(dom, 3)
    for cpu in sorted(os.sched_getaffinity(0))[1::-1]:
        daemon.virsh("vcpupin", "g", "0", str(cpu))
        wait_for("it runs there", lambda cpu=cpu: cpu_of_first(daemon) == cpu)
    daemon.virsh("vcpupin", "g", "0", "0")
    daemon.virsh("setvcpu", "g", "3", "--enable", "--live")
    daemon.virsh("vcpupin", "g", "3", "0")
    assert "<vcpu id='3' enabled='yes' hotpluggable='yes'/>" in dom.XMLDesc()
    pid = int((daemon.base / "run/qemu/g.status").read_text().split("pid ")[1].split()[0])
    masks = [line.split()[1] for task, name in procfs.threads(pid).items() if "CPU 3" in name
             for line in (task / "status").read_text().splitlines() if line.startswith("Cpus_allowed_list")]
    assert masks == ["0"]
    bring_up(dom, 4)
    # QEMU 7.2 without KVM crashes of this
    said = daemon.virsh("setvcpu", "g", "3", "--disable", "--live", check=False)
    assert "QEMU without KVM crashes" in said
    assert "QEMU without KVM crashes" in daemon.virsh("setvcpus", "g", "1", "--live", check=False)
    assert threads(daemon) == {0, 1, 2, 3} and dom.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE) == 4
    with pytest.raises(libvirt.libvirtError, match="cannot be unplugged"):
        dom.setVcpu("0", 0, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def test_they_are_known_after_a_restart_of_the_daemon(daemon, dom):
    before = threads(daemon)
    daemon.process.terminate()
    daemon.process.wait()
    daemon.output.truncate(0)
    daemon.start()
    assert threads(daemon) == before
    assert daemon.virsh("vcpucount", "g", "--live", "--active").strip() == str(len(before))


def test_the_balloon_takes_memory_and_reports(daemon, dom):
    """MEM-11, LIFE-35: what the guest has, and what it tells of its own."""
    daemon.virsh("dommemstat", "g", "--period", "1")
    assert "<stats period='1'/>" in dom.XMLDesc()
    wait_for("its report", lambda: "last_update" in daemon.virsh("dommemstat", "g"))
    figures = dict(line.split() for line in daemon.virsh("dommemstat", "g").splitlines() if line)
    assert 0 < int(figures["unused"]) < int(figures["available"]) < 128 * 1024
    daemon.virsh("setmem", "g", "100M", "--live")
    wait_for("the balloon", lambda: dom.memoryStats()["actual"] == 100 * 1024)
    assert "balloon.available" in daemon.virsh("domstats", "g", "--balloon")
    daemon.virsh("setmem", "g", "128M", "--live")
    wait_for("the balloon", lambda: dom.memoryStats()["actual"] == 128 * 1024)
