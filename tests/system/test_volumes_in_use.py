"""Volumes that running guests use are not overwritten from outside of them, and guests do not start on one that is written (STO-25)."""
import os
import uuid

import libvirt
import pytest

from live import LiveDaemon
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")
MIB = 1 << 20
GUEST = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/>{disks}</devices></domain>"""
DISK = """<disk type='{type}' device='disk'><driver name='qemu' type='{format}'/><source {source}/><target dev='{dev}' bus='virtio'/>{more}</disk>"""


class Volumes:
    """A directory pool called p and one connection."""

    def __init__(self):
        self.daemon = LiveDaemon()
        self.dir = self.daemon.base / "images"
        self.dir.mkdir(mode=0o711)
        self.virsh("pool-create-as", "p", "dir", "--target", self.dir)
        self.conn = libvirt.open(self.daemon.uri())

    def stop(self):
        self.conn.close()
        self.daemon.stop()

    def virsh(self, *args, **more):
        return self.daemon.virsh(*args, **more)

    def make(self, name, *more):
        """One that holds its name over and over."""
        self.virsh("vol-create-as", "p", name, "1M", *more)
        if "qcow2" not in more:
            self.upload(name, name)

    def upload(self, name, word, check=True):
        data = self.daemon.base / "data"
        data.write_bytes((word.encode() * MIB)[:MIB])
        return self.virsh("vol-upload", name, data, "--pool", "p", check=check)

    def holds(self, name):
        return (self.dir / name).read_bytes()[:len("shared")]

    def disk(self, name, dev, form="raw", by_path=False, more=""):
        source = f"file='{self.dir / name}'" if by_path else f"pool='p' volume='{name}'"
        return DISK.format(type="file" if by_path else "volume", format=form, source=source, dev=dev, more=more)

    def guest(self, name, *disks, check=True):
        file = self.daemon.base / "guest.xml"
        file.write_text(GUEST.format(name=name, uuid=uuid.uuid4(), disks="".join(disks)))
        return self.virsh("create", file, check=check)


@pytest.fixture(name="volumes")
def fixture_volumes():
    volumes = Volumes()
    yield volumes
    volumes.stop()


def test_what_a_running_guest_uses_is_not_overwritten(volumes):
    """By the name that the guest was given, or by another one, which QEMU's lock tells of; what it shares is."""
    for name in ("byname", "bypath", "shared"):
        volumes.make(name)
    volumes.make("base", "--format", "qcow2")
    volumes.make("top", "--format", "qcow2", "--backing-vol", "base", "--backing-vol-format", "qcow2")
    (volumes.dir / "link").symlink_to("byname")
    volumes.virsh("pool-refresh", "p")
    volumes.guest("g", volumes.disk("byname", "vda"), volumes.disk("bypath", "vdb", by_path=True),
                  volumes.disk("top", "vdc", "qcow2"), volumes.disk("shared", "vdd", more="<shareable/>"))
    before = {name: (volumes.dir / name).read_bytes() for name in ("byname", "bypath", "base", "top")}
    for name, dev in (("byname", "vda"), ("bypath", "vdb"), ("top", "vdc")):
        said = volumes.upload(name, "x", check=False)
        assert f"volume '{name}' is disk '{dev}' of the running guest 'g' and cannot be overwritten" in said
    assert "is what disk 'vdc' of the running guest 'g' stands on" in volumes.upload("base", "x", check=False)
    assert "another process uses it" in volumes.upload("link", "x", check=False)
    assert "another process uses it" in volumes.virsh("vol-wipe", "link", "p", check=False)
    assert before == {name: (volumes.dir / name).read_bytes() for name in before}
    assert os.listdir(volumes.dir).count("byname") == 1 and not [name for name in os.listdir(volumes.dir) if name.startswith(".")]
    volumes.upload("shared", "new")
    assert volumes.holds("shared") == b"newnew"
    volumes.virsh("vol-download", "byname", volumes.daemon.base / "back", "--pool", "p")
    assert (volumes.daemon.base / "back").read_bytes() == before["byname"]
    volumes.virsh("destroy", "g")
    for name in ("byname", "base", "link"):
        volumes.upload(name, "new")
    assert volumes.holds("byname") == volumes.holds("base") == b"newnew"


def test_a_guest_does_not_start_on_a_volume_that_is_written(volumes):
    """The daemon knows of one that is named so, QEMU's lock tells of a file; a guest that shares it expects that."""
    volumes.make("v")
    stream = volumes.conn.newStream()
    volumes.conn.storageVolLookupByPath(f"{volumes.dir}/v").upload(stream, 0, 0)
    for _ in range(4):
        assert stream.send(b"n" * MIB) == MIB
    wait_for("the first of it is written", lambda: volumes.holds("v") == b"nnnnnn")
    assert "volume 'v' is still in use" in volumes.guest("g", volumes.disk("v", "vda"), check=False)
    assert "lock" in volumes.guest("g", volumes.disk("v", "vda", by_path=True), check=False)
    stream.finish()
    assert (volumes.dir / "v").read_bytes() == b"n" * 4 * MIB
    volumes.guest("g", volumes.disk("v", "vda"))
    assert "running" in volumes.virsh("domstate", "g")
