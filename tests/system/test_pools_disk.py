"""Pools that are partitioned disks, in the lab machine (STO-03, STO-06)."""
import pytest

from inside import MIB, Inside, disks
from lab.machine import Machine


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    with Machine(packages=("parted", "libparted2", "libreadline8", "libdevmapper1.02.1"),
                 disks=disks(tmp_path_factory, [128, 128])) as machine:
        machine.run(["sh", "-c", "head -c 8388608 /dev/urandom > /run/data"])
        yield Inside(machine)


def test_a_disk_is_a_pool_and_its_partitions_are_volumes(host):
    """STO-06: build writes a label, vol-create makes a partition, and one that is copied is whole when it is there."""
    host.virsh("pool-define-as d disk --source-dev /dev/vda --source-format gpt --target /dev")
    assert "unrecognised disk label" in host.virsh("pool-start d", check=False)
    host.virsh("pool-build d", "pool-start d")
    assert "already active" in host.virsh("pool-build d", check=False)
    assert "invalid partition name 'foo', expected 'vda1'" in host.virsh("vol-create-as d foo 8M", check=False)
    host.virsh("vol-create-as d vda1 8M", "vol-upload vda1 /run/data --pool d", "vol-clone vda1 vda2 --pool d")
    host.shell("cmp /run/data /dev/vda1 && cmp /run/data /dev/vda2")
    extent = host.volume("d", "vda2").find("source/device/extent")
    assert int(extent.get("end")) - int(extent.get("start")) == 8 * MIB
    host.virsh("vol-delete vda1 d")
    assert host.names("d") == {"vda2"} and "vda1" not in host.shell("ls /dev")
    figures = host.figures("d")
    assert figures["Capacity"] == 128 * MIB and figures["Available"] > 110 * MIB
    host.virsh("pool-destroy d")
    assert "already holds gpt" in host.virsh("pool-build d", check=False)


def test_a_dos_table_takes_logical_partitions_into_its_extended_one(host):
    host.virsh("pool-define-as e disk --source-dev /dev/vdb --source-format dos --target /dev", "pool-build e",
               "pool-start e", "vol-create-as e vdb1 8M --format linux-swap", "vol-create-as e vdb2 100M --format extended",
               "vol-create-as e vdb5 8M", "vol-create-as e vdb6 8M")
    table = host.shell("parted -ms /dev/vdb unit MiB print")
    assert [line.split(":")[0] for line in table.splitlines()[2:]] == ["1", "2", "5", "6"]
    assert host.names("e") == {"vdb1", "vdb2", "vdb5", "vdb6"}
    assert "no free part is large enough" in host.virsh("vol-create-as e vdb7 90M", check=False)
