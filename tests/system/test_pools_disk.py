"""Pools that are partitioned disks: loop devices of this machine, whose kernel takes partitions from parted (STO-03, STO-06).

In the second half the daemon is killed with -9 at each act of making and removing one: it is there and listed, or neither.
"""
import os
import pathlib
import shutil
import subprocess
import uuid
import xml.etree.ElementTree as ElementTree

import pytest
from loops import loop_device
from mortal import MortalDaemon, sweep
from waiting import wait_for

from lab import payload

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("parted"), reason="disk pools need root and parted")
MIB = 1 << 20


class Disk:
    """A device with a table of partitions, as a pool called d of a daemon."""

    def __init__(self, daemon, device, table="gpt"):
        self.daemon, self.device = daemon, device
        daemon.virsh("pool-define-as", "d", "disk", "--source-dev", device, "--source-format", table, "--target", "/dev")

    def stop(self):
        self.daemon.virsh("pool-destroy", "d", check=False)
        self.daemon.virsh("pool-undefine", "d")

    def virsh(self, *args, **more):
        return self.daemon.virsh(*args, **more)

    def name(self, number=1):
        return f"{pathlib.Path(self.device).name}p{number}"

    def node(self, number=1):
        return pathlib.Path("/dev") / self.name(number)

    def in_table(self):
        said = subprocess.run(["parted", "-ms", self.device, "print"], capture_output=True, text=True, check=True).stdout
        return {self.name(line.split(":")[0]) for line in said.splitlines()[2:]}

    def listed(self):
        return {line.split()[0] for line in self.virsh("vol-list", "d").splitlines()[2:] if line.strip()}

    def nodes(self):
        return {node.name for node in pathlib.Path("/dev").glob(self.name("*"))}

    def make(self, number=1, *more, check=True):
        return self.virsh("vol-create-as", "d", self.name(number), *more, check=check)

    def remove(self, number=1, check=True):
        return self.virsh("vol-delete", self.name(number), "d", check=check)


@pytest.fixture(name="disk")
def fixture_disk(live_daemon, tmp_path, request):
    with loop_device(tmp_path / "image", 128, "-P") as device:
        disk = Disk(live_daemon, device, getattr(request, "param", "gpt"))
        yield disk
        disk.stop()


def test_a_disk_is_a_pool_and_its_partitions_are_volumes(disk, tmp_path):
    """STO-06: build writes a label, vol-create makes a partition, and one that is copied is whole when it is there."""
    data = tmp_path / "data"
    data.write_bytes(os.urandom(8 * MIB))
    assert "unrecognised disk label" in disk.virsh("pool-start", "d", check=False)
    disk.virsh("pool-build", "d")
    disk.virsh("pool-start", "d")
    assert "already active" in disk.virsh("pool-build", "d", check=False)
    assert f"invalid partition name 'foo', expected '{disk.name()}'" in disk.virsh("vol-create-as", "d", "foo", "8M", check=False)
    disk.make(1, "8M")
    disk.virsh("vol-upload", disk.name(), data, "--pool", "d")
    disk.virsh("vol-clone", disk.name(), disk.name(2), "--pool", "d")
    assert disk.node(1).read_bytes() == data.read_bytes() == disk.node(2).read_bytes()
    extent = ElementTree.fromstring(disk.virsh("vol-dumpxml", disk.name(2), "d")).find("source/device/extent")
    assert int(extent.get("end")) - int(extent.get("start")) == 8 * MIB
    disk.remove()
    assert disk.listed() == {disk.name(2)} == disk.nodes()
    figures = dict(line.split(":") for line in disk.virsh("pool-info", "d", "--bytes").splitlines() if ":" in line)
    assert int(figures["Capacity"]) == 128 * MIB and int(figures["Available"]) > 110 * MIB
    disk.virsh("pool-destroy", "d")
    assert "already holds gpt" in disk.virsh("pool-build", "d", check=False)


@pytest.mark.parametrize("disk", ["dos"], indirect=True)
def test_a_dos_table_takes_logical_partitions_into_its_extended_one(disk):
    disk.virsh("pool-build", "d")
    disk.virsh("pool-start", "d")
    disk.make(1, "8M", "--format", "linux-swap")
    disk.make(2, "100M", "--format", "extended")
    disk.make(5, "8M")
    disk.make(6, "8M")
    assert disk.listed() == {disk.name(number) for number in (1, 2, 5, 6)} == disk.in_table()
    assert "no free part is large enough" in disk.make(7, "90M", check=False)


def test_a_guest_that_would_get_a_partitioned_disk_is_defined_with_a_warning(disk, tmp_path):
    """STO-38: the host may use one of its partitions; of one partition nothing is said."""
    disk.virsh("pool-build", "d")
    disk.virsh("pool-start", "d")
    disk.make(1, "8M")
    guest = ("<domain type='qemu'><name>{}</name><memory>16384</memory><os><type arch='x86_64'>hvm</type></os><devices>"
             "<disk type='block'><source dev='{}'/><target dev='vda'/></disk></devices></domain>")
    for name, device in (("part", disk.node()), ("whole", disk.device)):
        (tmp_path / "guest.xml").write_text(guest.format(name, device))
        disk.virsh("define", tmp_path / "guest.xml")
        disk.virsh("undefine", name)
    said = disk.daemon.said()
    assert f"disk 'vda' is all of '{disk.device}', which has partitions" in said and f"all of '{disk.node()}'" not in said


GUEST = """<domain type='qemu'><name>part</name><uuid>{uuid}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/><serial type='file'><source path='{beats}'/></serial>
    <disk type='volume'><driver name='qemu' type='raw'/><source pool='d' volume='{volume}'/><target dev='vda' bus='virtio'/></disk>
  </devices></domain>"""


def test_a_guest_runs_on_a_partition(disk, tmp_path):
    """STO-14, STO-27: the same definition as for a file; the device is QEMU's meanwhile, and is given back."""
    disk.virsh("pool-build", "d")
    disk.virsh("pool-start", "d")
    disk.make(1, "8M")
    disk.virsh("vol-upload", disk.name(), payload.build(4, 1, 10), "--pool", "d")
    before, beats = disk.node().stat().st_uid, disk.daemon.base / "beats"
    (tmp_path / "guest.xml").write_text(GUEST.format(uuid=uuid.uuid4(), beats=beats, volume=disk.name()))
    disk.virsh("create", tmp_path / "guest.xml")
    wait_for("the guest has read its disk", lambda: beats.exists() and "beat" in beats.read_text(errors="replace"))
    assert disk.node().stat().st_uid != before
    assert "is disk 'vda' of the running guest 'part'" in disk.remove(check=False)
    disk.virsh("destroy", "part")
    wait_for("the device is given back", lambda: disk.node().stat().st_uid == before)


# --- killed at each of its acts ---


@pytest.fixture(scope="module", name="mortal")
def fixture_mortal(tmp_path_factory):
    with loop_device(tmp_path_factory.mktemp("disk") / "image", 32, "-P") as device:
        disk = Disk(MortalDaemon(), device)
        disk.virsh("pool-build", "d")
        disk.virsh("pool-start", "d")
        yield disk
        disk.daemon.arm(0)
        disk.stop()
        disk.daemon.stop()


def check(disk, where):
    """A tool that had begun went on without the daemon, and the next one waited for it."""
    assert disk.listed() == disk.in_table() == disk.nodes(), where


def be(disk, numbers):
    """These partitions are there, and no others."""
    for number in (1, 2):
        if (disk.name(number) in disk.listed()) != (number in numbers):
            disk.make(number, "8M") if number in numbers else disk.remove(number)
    assert disk.listed() == disk.in_table() == {disk.name(number) for number in numbers}


def test_a_partition_is_made_or_not(mortal):
    """In the table, in the list and a node, or nowhere; the next try makes it."""
    assert sweep(mortal, lambda: be(mortal, []), lambda: mortal.make(1, "8M", check=False), lambda where: check(mortal, where)) > 1
    assert mortal.listed() == {mortal.name()}


def test_a_copy_is_whole_or_not_there(mortal):
    """The table learns of it last: content that was not written whole is in no partition."""
    be(mortal, [1])
    data = os.urandom(8 * MIB)
    mortal.node().write_bytes(data)

    def check_copy(where):
        check(mortal, where)
        assert mortal.name(2) not in mortal.listed() or mortal.node(2).read_bytes() == data, where

    assert sweep(mortal, lambda: be(mortal, [1]),
                 lambda: mortal.virsh("vol-clone", mortal.name(), mortal.name(2), "--pool", "d", check=False), check_copy) > 1
    assert mortal.node(2).read_bytes() == data


def test_a_partition_is_removed_or_not(mortal):
    assert sweep(mortal, lambda: be(mortal, [1]), lambda: mortal.remove(check=False), lambda where: check(mortal, where)) > 1
    assert mortal.listed() == set()
