"""The lab machine, and what of droverd only shows on its kernel: control groups of version 2."""
import os
import pathlib

import pytest

from lab import guest
from lab.machine import Machine
from lab.paths import PROGRAMS, LabError

LVM = ("lvm2", "libdevmapper1.02.1", "libdevmapper-event1.02.1", "libaio1")
LACKING = "dm_mod iscsi_tcp target_core_mod nfsd nbd loop 8021q sch_netem nf_conntrack_bridge nft_reject_bridge".split()
GROUP = "/sys/fs/cgroup"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("the lab machine needs root")
    disk = tmp_path_factory.mktemp("machine") / "disk"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
    with Machine(packages=LVM, disks=(disk,), numa_nodes=2) as made:
        yield made


def test_its_kernel_has_what_others_lack(machine):
    machine.run(["modprobe", "-a", *LACKING])
    machine.run(["pvcreate", "/dev/vda"])
    machine.run(["vgcreate", "vg", "/dev/vda"])
    machine.run(["lvcreate", "-L", "8M", "-n", "lv", "vg"])
    assert machine.run(["blockdev", "--getsize64", "/dev/vg/lv"]).stdout == f"{8 << 20}\n"
    assert machine.run(["cat", "/sys/devices/system/node/online"]).stdout == "0-1\n"


def test_commands_tell_how_they_ended(machine):
    assert machine.run(["sh", "-c", "cat; echo bad >&2; exit 3"], check=False, stdin="in").__dict__ == {
        "args": ["sh", "-c", "cat; echo bad >&2; exit 3"], "returncode": 3, "stdout": "in", "stderr": "bad\n"}
    with pytest.raises(LabError, match="failed .3.: bad"):
        machine.run(["sh", "-c", "echo bad >&2; exit 3"])
    assert machine.run(["no-such-program"], check=False).returncode == 127


XML = """<domain type='qemu'>
  <name>g</name><memory unit='MiB'>128</memory><vcpu>2</vcpu>
  <memtune><hard_limit unit='MiB'>700</hard_limit></memtune>
  <cputune><shares>512</shares><period>100000</period><quota>50000</quota><vcpupin vcpu='1' cpuset='1'/></cputune>
  <blkiotune><weight>300</weight></blkiotune>
  <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>"""


@pytest.fixture(scope="module")
def virsh(machine):
    """Stock virsh on a droverd in the machine."""
    config = "libvirt_sockets = 1\ndefault_network = 0\n"
    machine.run(["sh", "-c", "mkdir -p /etc/drover && cat > /etc/drover/droverd.conf"], stdin=config)
    machine.run(["sh", "-c", f"setsid {PROGRAMS}/droverd > /run/droverd.log 2>&1 < /dev/null &"])
    machine.run(["sh", "-c", "until [ -S /run/drover/libvirt-sock ]; do sleep 0.2; done"])
    yield lambda *words, **options: machine.run(["virsh", *words], **options)
    machine.run(["sh", "-c", "for pid in $(pidof droverd qemu-system-x86_64); do kill $pid; done"], check=False)


def test_limits_and_pins_hold_on_version_2(machine, virsh):
    image = guest.build()
    machine.run(["sh", "-c", "cat > /run/g.xml"], stdin=XML.format(kernel=image.kernel, initrd=image.initrd))
    virsh("create", "/run/g.xml", timeout=300)
    pid = machine.run(["pidof", "qemu-system-x86_64"]).stdout.strip()
    where = machine.run(["cat", f"/proc/{pid}/cgroup"]).stdout
    assert where.startswith("0::/") and "drover" in where, where
    group = pathlib.PurePath(GROUP + where.removeprefix("0::").strip())

    def limit(name):
        for directory in (group, *group.parents):
            done = machine.run(["cat", directory / name], check=False)
            if done.returncode == 0 and "drover" in str(directory) and done.stdout.split()[0] not in ("max", "default"):
                return done.stdout.split()
        return None

    assert limit("memory.max") == [str(700 << 20)]
    assert limit("cpu.max") == ["100000", "100000"]  # the quota of both virtual CPUs
    assert "512" in virsh("schedinfo", "g").stdout
    virsh("memtune", "g", "--hard-limit", str(800 << 10))
    assert limit("memory.max") == [str(800 << 20)]
    assert virsh("vcpupin", "g", "1").stdout.split()[-1] == "1"
    assert virsh("domstats", "g", "--cpu-total").stdout.count("cpu.time=")
    virsh("destroy", "g")
    assert machine.run(["test", "-d", str(group)], check=False).returncode == 1
