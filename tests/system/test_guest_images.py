"""Disk images under running guests: looked at before they are used, refused when another guest writes to them, owned by QEMU's
user meanwhile (DOM rows on disks; section 3 of the main job)."""
import json
import os
import re
import struct
import subprocess
import uuid
import xml.etree.ElementTree as ElementTree

import pytest

from live import LiveDaemon
from waiting import wait_for


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


def disk(path, target="vda", kind="raw", extra=""):
    return (f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'/><source file='{path}'/>"
            f"<target dev='{target}' bus='virtio'/>{extra}</disk>")


class Guests:
    def __init__(self, daemon, place):
        self.daemon, self.place, self.names = daemon, place, []

    def start(self, name, *disks):
        file = self.place / f"{name}.xml"
        file.write_text(
            f"<domain type='qemu'><name>{name}</name><uuid>{uuid.uuid4()}</uuid><memory unit='MiB'>16</memory>"
            "<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>"
            f"<controller type='usb' model='none'/><memballoon model='none'/>{''.join(disks)}</devices></domain>")
        self.names.append(name)
        return self.daemon.virsh("create", file, "--paused", check=False)

    def plug(self, name, xml):
        file = self.place / "disk.xml"
        file.write_text(xml)
        return self.daemon.virsh("attach-device", name, file, "--live", check=False)

    def end(self, name):
        self.daemon.virsh("destroy", name)
        self.names.remove(name)

    def restart_daemon(self):
        self.daemon.process.kill()
        self.daemon.process.wait()
        self.daemon.start()


@pytest.fixture()
def guests(daemon, place):
    guests = Guests(daemon, place)
    yield guests
    for name in guests.names:
        daemon.virsh("destroy", name, check=False)


@pytest.fixture()
def raw(place):
    return make(place / "image.raw")


def make(path, mib=1, mode=0o600):
    path.write_bytes(bytes(mib << 20))
    path.chmod(mode)
    return path


def qcow2(path, backing=None, kind="raw", size="1M"):
    below = ["-b", str(backing), "-F", kind] if backing else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, str(path), size], check=True)
    return path


def test_an_image_is_known_by_what_it_is_not_by_its_path(guests, raw, place):
    link, hard, around = place / "link", place / "hard", place / "." / "sub" / ".." / "image.raw"
    (place / "sub").mkdir()
    link.symlink_to(raw)
    os.link(raw, hard)
    assert "created" in guests.start("a", disk(raw))
    for path in (raw, link, hard, around):
        refused = guests.start("b", disk(path))
        assert "is in use by guest 'a'" in refused and "disk 'vda'" in refused
    guests.restart_daemon()
    assert "is in use by guest 'a'" in guests.start("b", disk(hard))
    guests.end("a")
    assert "created" in guests.start("b", disk(hard))


def test_readers_and_those_that_say_so_share(guests, raw):
    assert "created" in guests.start("a", disk(raw, extra="<readonly/>"))
    assert "created" in guests.start("b", disk(raw, extra="<readonly/>"))
    assert "is in use by guest" in guests.start("c", disk(raw))
    guests.end("a")
    guests.end("b")
    assert "created" in guests.start("a", disk(raw, extra="<shareable/>"))
    assert "created" in guests.start("b", disk(raw, extra="<shareable/>"))


def test_an_image_that_another_program_writes_to_is_refused_in_words(guests, raw, place):
    """MIG-31: QEMU's locks keep a second writer out, here and where they work over NFS; what to do is said."""
    server = subprocess.Popen(["qemu-nbd", "-t", "-f", "raw", "-k", str(place / "socket"), str(raw)])
    wait_for("it is open", (place / "socket").exists, 60)
    assert "It is in use on this host or on one that shares it: end what uses it first" in guests.start("a", disk(raw))
    server.terminate()
    server.wait(120)
    assert "created" in guests.start("a", disk(raw))


def test_nobody_writes_below_another_guest(guests, raw, place):
    overlay = qcow2(place / "overlay.qcow2", raw)
    assert "created" in guests.start("a", disk(overlay, kind="qcow2"))
    assert "is in use by guest 'a'" in guests.start("b", disk(raw))
    other = qcow2(place / "other.qcow2", raw)
    assert "created" in guests.start("b", disk(other, kind="qcow2"))  # both read it
    guests.end("a")
    guests.end("b")
    assert "created" in guests.start("b", disk(raw))
    assert "is in use by guest 'b'" in guests.start("a", disk(overlay, kind="qcow2"))


def test_one_guest_with_one_image_twice(guests, raw, place):
    os.link(raw, place / "again")
    assert "disks 'vda' and 'vdb' of the guest are in one image" in guests.start("a", disk(raw),
                                                                                disk(place / "again", "vdb"))


def test_a_plugged_disk_is_looked_at_too(guests, raw, place):
    mine = make(place / "mine.raw")
    assert "created" in guests.start("a", disk(raw))
    assert "created" in guests.start("b", disk(mine))
    assert "is in use by guest 'a'" in guests.plug("b", disk(raw, "vdb"))
    assert "does not exist" in guests.plug("b", disk(place / "none", "vdb"))
    guests.end("a")
    assert "attached successfully" in guests.plug("b", disk(raw, "vdb"))
    assert "is in use by guest 'b'" in guests.start("a", disk(raw))


def test_what_is_wrong_with_an_image_is_said(guests, raw, place):
    base = make(place / "base.raw")
    gone = qcow2(place / "gone.qcow2", base)
    unnamed = qcow2(place / "unnamed.qcow2", base)
    with open(unnamed, "r+b") as file:  # the header extension that records the format of what is below
        data = file.read(512)
        file.seek(data.index(b"\xe2\x79\x2a\xca"))
        file.write(b"\x12\x34\x56\x78")
    assert "does not record the format of its backing file" in guests.start("a", disk(unnamed, kind="qcow2"))
    base.unlink()
    said = guests.start("a", disk(gone, kind="qcow2"))
    assert f"disk 'vda': the backing file of '{gone}': '{base}' does not exist" in said
    assert f"'{place}/no/dir/x' does not exist: there is no directory '{place}/no'" in guests.start(
        "a", disk(place / "no/dir/x"))
    assert "is a directory, not a disk image" in guests.start("a", disk(place))
    assert "disk 'vda'" in guests.start("a", disk(raw, kind="qcow2"))  # no qcow2
    one, two = place / "one.qcow2", place / "two.qcow2"
    qcow2(two)
    qcow2(one, two, "qcow2")
    subprocess.run(["qemu-img", "rebase", "-u", "-b", str(one), "-F", "qcow2", str(two)], check=True)
    assert "has a loop at" in guests.start("a", disk(one, kind="qcow2"))


def chain_of(daemon, name, target):
    """What the running guest's definition says is below its disk: (index, format, path) each, and that it ends."""
    tree = ElementTree.fromstring(daemon.virsh("dumpxml", name))
    at = next(d for d in tree.iter("disk") if d.find("target").get("dev") == target).find("backingStore")
    found = []
    while at is not None and at.get("type"):
        found.append((at.get("index"), at.find("format").get("type"), at.find("source").get("file")))
        at = at.find("backingStore")
    assert at is not None, "the chain has no end"
    return found


def nodes_of(daemon, name):
    said = daemon.virsh("qemu-monitor-command", name, '{"execute":"query-named-block-nodes"}')
    return {node["node-name"]: node for node in json.loads(said)["return"]}


@pytest.mark.parametrize("plugged", [False, True])
def test_what_is_below_an_image_is_told_to_qemu_and_never_followed(guests, raw, place, plugged):
    """Every node of the chain is one of ours (no '#block...' that QEMU made because a header named it), DOM-18."""
    middle, top = place / "middle.qcow2", place / "top.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", middle], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", middle, "-F", "qcow2", top], check=True)
    xml = disk(top, kind="qcow2")
    if plugged:
        guests.start("a")
        assert "attached" in guests.plug("a", xml)
    else:
        assert "created" in guests.start("a", xml)
    for _ in range(2):
        chain = chain_of(guests.daemon, "a", "vda")
        assert [layer[1:] for layer in chain] == [("qcow2", str(middle)), ("raw", str(raw))]
        nodes = nodes_of(guests.daemon, "a")
        assert not [name for name in nodes if name.startswith("#")]
        assert {f"node{index}" for index, _, _ in chain} < set(nodes)
        guests.restart_daemon()
    # what the header says by now is of no interest to the guest that runs, nor to the definition of one that does not
    assert "backingStore" not in guests.daemon.virsh("dumpxml", "a", "--inactive")


def test_a_disk_without_anything_below_has_an_end(guests, place):
    image = place / "alone.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    guests.start("a", disk(image, kind="qcow2"))
    assert chain_of(guests.daemon, "a", "vda") == []
    # a header that is changed behind QEMU's back names nothing that QEMU opens
    nodes = nodes_of(guests.daemon, "a")
    assert not [name for name in nodes if name.startswith("#")]


def test_a_raw_image_is_what_its_definition_says_whatever_a_guest_wrote(guests, place):
    secret = make(place / "secret")
    written = qcow2(place / "written.raw", secret)
    assert "created" in guests.start("a", disk(written))
    nodes = guests.daemon.virsh("qemu-monitor-command", "a", '{"execute":"query-named-block-nodes"}')
    assert str(written) in nodes and str(secret) not in nodes
    assert secret.stat().st_uid == 0  # nothing was followed


def test_images_are_qemus_while_it_runs_and_their_owners_afterwards(guests, raw, place):
    overlay = qcow2(place / "overlay.qcow2", raw)
    overlay.chmod(0o600)
    plugged, left = make(place / "plugged.raw"), make(place / "left.raw")
    others = {path: path.stat().st_uid for path in (raw, overlay, plugged, left)}

    def owners(*paths):
        return [path.stat().st_uid != others[path] for path in paths]
    assert "created" in guests.start("a", disk(overlay, kind="qcow2"))
    assert "created" in guests.start("b", disk(qcow2(place / "second.qcow2", raw), kind="qcow2"))
    assert owners(raw, overlay, left) == [True, True, False]
    assert "attached" in guests.plug("a", disk(left, "vdb"))
    assert owners(left) == [True]
    guests.restart_daemon()
    guests.end("a")
    wait_for("what only it had is given back", lambda: owners(overlay, left) == [False, False])
    assert owners(raw) == [True]  # the other guest still reads it
    guests.end("b")
    wait_for("the last one is given back", lambda: owners(raw) == [False])


def test_owners_can_be_left_to_the_administrator(place):
    daemon = LiveDaemon("dynamic_ownership = 0\n")
    try:
        guests = Guests(daemon, place)
        closed, opened = make(place / "closed.raw"), make(place / "opened.raw", mode=0o666)
        assert "may not write" in guests.start("a", disk(closed))
        assert "created" in guests.start("a", disk(opened))
        assert closed.stat().st_uid == opened.stat().st_uid == os.getuid()
    finally:
        daemon.stop()


def set_acl(path, *entries):
    """Entries of a POSIX ACL as (tag, permissions, id): what setfacl(1) gives the kernel."""
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries))


def test_the_entry_of_an_acl_that_keeps_qemus_user_out_is_named(guests, place):
    """Everybody may pass but QEMU's user, by name; then it may, and the mask takes that away."""
    no_id = 0xffffffff
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    image = make(closed / "image.raw")
    user = int(re.search(r"QEMU's user \(uid (\d+),", guests.start("a", disk(image)))[1])
    wait_for("the image is given back", lambda: image.stat().st_uid == os.getuid())
    for allows, mask, told in ((0, 5, f"its ACL says user:{user}:---"), (5, 4, f"its ACL says user:{user}:r-x, but mask::r--")):
        set_acl(closed, (1, 7, no_id), (2, allows, user), (4, 5, no_id), (0x10, mask, no_id), (0x20, 5, no_id))
        said = guests.start("a", disk(image))
        assert f"may not pass the directory '{closed}'" in said and told in said and f"setfacl -m u:{user}:x '{closed}'" in said
        wait_for("the image is given back", lambda: image.stat().st_uid == os.getuid())
    set_acl(closed, (1, 7, no_id), (2, 1, user), (4, 0, no_id), (0x10, 1, no_id), (0x20, 0, no_id))
    assert "created" in guests.start("a", disk(image))  # as the advice says
    guests.end("a")


def test_a_directory_that_keeps_qemus_user_out_is_named(guests, place):
    closed = place / "closed"
    closed.mkdir()
    closed.chmod(0o700)
    image = make(closed / "image.raw")
    said = guests.start("a", disk(image))
    assert f"may not pass the directory '{closed}'" in said and "mode 0700" in said and "setfacl" in said
    wait_for("the image is given back", lambda: image.stat().st_uid == os.getuid())
