"""drover-img in the place of qemu-img under stock libvirtd and stock virt-install: they notice nothing (IMG-36, IMG-39).

Two hosts run the same stock libvirtd and are told the same; `qemu-img` on the first is drover-img, on the second the stock
one. Each writes down what it was asked, so the tests see that it was this program that did the work.
"""
import hashlib
import os
import shutil
import xml.etree.ElementTree as ET

import pytest
import virtinst
from img_tools import fill

from lab import payload
from lab.hosts import Lab
from lab.paths import PROGRAMS

SIZE = 4 << 20
REAL = "/usr/bin/qemu-img.real"
WRAPPER = """#!/bin/sh
printf '%s\\n' "$*" >> /root/asked
exec {} "$@"
"""
SECRET = "0c7b8d0e-6a0e-4b55-8f0e-3b8f6b0e1111"
LOCKED = f"<encryption format='luks'><secret type='passphrase' uuid='{SECRET}'/></encryption>"
GUEST = """<domain type='qemu'><name>off</name><memory>65536</memory><os><type>hvm</type></os><devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/p/snap.qcow2'/><target dev='vda'/></disk>
</devices></domain>"""


class Peer:
    """A host with stock libvirtd, a pool of a directory, and one program or the other as qemu-img."""

    def __init__(self, lab, name, program, fill_from):
        self.host = lab.host(name, stock=True)
        tool = self.host.path("/usr/bin/qemu-img")
        shutil.copy(tool, self.host.path(REAL))
        tool.unlink()
        self.host.write_file("/usr/bin/qemu-img", WRAPPER.format(program), 0o755)
        self.host.write_file("/root/asked", "")
        self.daemon = self.host.libvirtd()
        self.host.path("/srv/p").mkdir()
        shutil.copy(fill_from, self.host.path("/srv/p/full.raw"))
        self.host.virsh("pool-create-as", "p", "dir", "--target", "/srv/p")

    def virsh(self, *words):
        """Status, output and error, the program's own name left out of it."""
        done = self.host.run(["virsh", "-q", "-c", "qemu:///system", *words], check=False, timeout=120)
        return done.returncode, done.stdout.strip(), done.stderr.strip().replace("drover-img:", "qemu-img.real:")

    def volume(self, name):
        """What libvirt says of it that does not depend on when and where its blocks were written."""
        status, text, error = self.virsh("vol-dumpxml", name, "p")
        assert status == 0, error
        xml = ET.fromstring(text)
        backing = xml.find("backingStore")
        return {
            "capacity": xml.findtext("capacity"), "format": xml.find("target/format").get("type"),
            "compat": xml.findtext("target/compat"), "cluster": xml.findtext("target/clusterSize"),
            "features": [each.tag for each in xml.iterfind("target/features/*")],
            "encryption": xml.find("target/encryption") is not None,
            "backing": backing is not None and (backing.findtext("path"), backing.find("format").get("type")),
        }

    def stock(self, *words):
        return self.host.run([REAL, *words]).stdout

    def content(self, name, *source):
        """The hash of what stock qemu-img reads in a volume."""
        self.stock("convert", *source, *([] if source else [f"/srv/p/{name}"]), "-O", "raw", "/srv/read")
        return hashlib.sha256(self.host.path("/srv/read").read_bytes()).hexdigest()

    def asked(self):
        return self.host.read_file("/root/asked").splitlines()


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    full = fill(tmp_path_factory.mktemp("full") / "full.raw", SIZE)
    with Lab() as lab:
        made = [Peer(lab, "ours", PROGRAMS / "drover-img", full), Peer(lab, "stock", REAL, full)]
        yield made
        for peer in made:
            peer.daemon.stop()
            assert "Sanitizer" not in peer.daemon.log.read_text(errors="replace")


@pytest.fixture(scope="module")
def ours(peers):
    return peers[0]


def alike(peers, *words, status=0):
    """Both hosts are told the same and answer the same."""
    answers = [peer.virsh(*words) for peer in peers]
    assert all(answer == answers[0] for answer in answers), answers
    assert answers[0][0] == status, answers[0]


def alike_volume(peers, name):
    mine, stock = [peer.volume(name) for peer in peers]
    assert mine == stock
    hashes = {peer.content(name) for peer in peers}
    assert len(hashes) == 1
    return hashes.pop()


def create(peers, xml, *words):
    for peer in peers:
        peer.host.write_file("/root/volume.xml", xml)
    alike(peers, "vol-create-from" if words else "vol-create", "p", "/root/volume.xml", *words)


def volume_xml(name, format, more="", size=SIZE):
    return (f"<volume><name>{name}</name><capacity>{size}</capacity><target><format type='{format}'/>{more}</target></volume>")


@pytest.mark.parametrize("format", ["raw", "qcow2", "qcow", "vmdk", "vdi", "vpc"])
def test_volumes_of_each_format_are_made_and_filled(peers, format):
    alike(peers, "vol-create-as", "p", f"empty.{format}", "8M", "--format", format)
    alike_volume(peers, f"empty.{format}")
    name = f"from.{format}"
    create(peers, volume_xml(name, format), "full.raw", "--inputpool", "p")
    alike_volume(peers, name)
    alike(peers, "vol-clone", name, f"clone.{format}", "--pool", "p")
    assert alike_volume(peers, f"clone.{format}") == alike_volume(peers, name)
    for back in ("raw", "qcow2"):
        create(peers, volume_xml(f"back.{format}.{back}", back), name, "--inputpool", "p")
        assert alike_volume(peers, f"back.{format}.{back}") == alike_volume(peers, name)
    answers = [peer.virsh("vol-resize", name, "10M", "--pool", "p") for peer in peers]
    assert answers[0] == answers[1] and (answers[0][0] == 0) == (format in ("raw", "qcow2"))
    alike_volume(peers, name)
    asked = [peer.asked() for peer in peers]
    assert asked[0] == asked[1] and (format == "raw" or any(line.startswith("convert ") and name in line for line in asked[0]))


@pytest.mark.parametrize("format", ["cow", "bochs", "cloop", "dmg", "vhdx"])
def test_what_neither_makes_is_refused_alike(peers, format):
    words = [peer.virsh("vol-create-as", "p", f"no.{format}", "8M", "--format", format) for peer in peers]
    assert all(status != 0 for status, _, _ in words)
    if format != "cow":  # no format of stock qemu-img's any more
        assert words[0] == words[1]


def test_features_of_qcow2_are_taken(peers):
    create(peers, volume_xml("new.qcow2", "qcow2", "<compat>1.1</compat><features><lazy_refcounts/></features>"))
    create(peers, volume_xml("fine.qcow2", "qcow2", "<compat>1.1</compat><clusterSize unit='KiB'>32</clusterSize>"
                             "<features><extended_l2/></features>"))
    alike(peers, "vol-create-as", "p", "pre.qcow2", "8M", "--format", "qcow2", "--prealloc-metadata")
    for name in ("new.qcow2", "fine.qcow2", "pre.qcow2"):
        alike_volume(peers, name)


def test_room_is_taken_as_asked(peers):
    """What libvirt is told to allocate: of raw volumes only."""
    for format in ("raw", "qcow2"):
        alike(peers, "vol-create-as", "p", f"room.{format}", "8M", "--allocation", "8M", "--format", format)
        alike_volume(peers, f"room.{format}")
        answers = [peer.virsh("vol-resize", f"room.{format}", "12M", "--allocate", "--pool", "p") for peer in peers]
        assert answers[0] == answers[1]
        alike_volume(peers, f"room.{format}")
        taken = [peer.host.path(f"/srv/p/room.{format}").stat().st_blocks * 512 for peer in peers]
        assert (min(taken) >= 8 << 20) == (max(taken) >= 8 << 20) == (format == "raw")


def test_overlays_show_what_is_below(peers):
    alike(peers, "vol-create-as", "p", "over.qcow2", str(SIZE), "--format", "qcow2", "--backing-vol", "full.raw",
          "--backing-vol-format", "raw")
    below = hashlib.sha256(peers[0].host.path("/srv/p/full.raw").read_bytes()).hexdigest()
    assert alike_volume(peers, "over.qcow2") == below
    assert peers[0].volume("over.qcow2")["backing"] == ("/srv/p/full.raw", "raw")
    alike(peers, "vol-clone", "over.qcow2", "flat.qcow2", "--pool", "p")
    assert alike_volume(peers, "flat.qcow2") == below


def test_sizes_change(peers):
    create(peers, volume_xml("size.qcow2", "qcow2"))
    alike(peers, "vol-resize", "size.qcow2", "6M", "--pool", "p")
    alike(peers, "vol-resize", "size.qcow2", "1M", "--delta", "--pool", "p")
    assert peers[0].volume("size.qcow2")["capacity"] == str(7 << 20)
    alike_volume(peers, "size.qcow2")
    alike(peers, "vol-resize", "size.qcow2", "2M", "--pool", "p", status=1)
    alike(peers, "vol-resize", "size.qcow2", "2M", "--shrink", "--pool", "p")
    alike_volume(peers, "size.qcow2")
    for peer in peers:
        peer.stock("check", "/srv/p/size.qcow2")


def test_snapshots_of_a_guest_that_is_off(peers):
    create(peers, volume_xml("snap.qcow2", "qcow2"), "full.raw", "--inputpool", "p")
    first = alike_volume(peers, "snap.qcow2")
    for peer in peers:
        peer.host.write_file("/root/off.xml", GUEST)
    alike(peers, "define", "/root/off.xml")
    alike(peers, "snapshot-create-as", "off", "one")
    for peer in peers:
        peer.host.run(["qemu-io", "-c", "write -P 7 64k 1M", "/srv/p/snap.qcow2"])
    changed = alike_volume(peers, "snap.qcow2")
    alike(peers, "snapshot-create-as", "off", "two")
    alike(peers, "snapshot-revert", "off", "one")
    assert alike_volume(peers, "snap.qcow2") == first
    alike(peers, "snapshot-revert", "off", "two")
    assert alike_volume(peers, "snap.qcow2") == changed != first
    alike(peers, "snapshot-delete", "off", "one")
    alike(peers, "snapshot-create-as", "off", "out", "--disk-only")
    for peer in peers:
        assert peer.virsh("domblklist", "off")[1].split() == ["vda", "/srv/p/snap.out"]
        peer.stock("check", "/srv/p/snap.qcow2")
        peer.virsh("pool-refresh", "p")
    assert alike_volume(peers, "snap.out") == changed


@pytest.mark.limit(240)
def test_encrypted_volumes(ours):
    """Only ours: stock qemu-img gives up making LUKS on a busy machine ("Unable to get accurate CPU usage")."""
    host = ours.host
    host.write_file("/root/secret.xml", f"<secret ephemeral='no' private='no'><uuid>{SECRET}</uuid></secret>")
    host.write_file("/root/key", "word")
    host.virsh("secret-define", "/root/secret.xml")
    host.virsh("secret-set-value", SECRET, "--file", "/root/key", "--plain")
    exact = LOCKED.replace("</enc", "<cipher name='aes' size='256' mode='cbc' hash='sha256'/><ivgen name='plain64' hash='sha256'/></enc")
    create([ours], volume_xml("locked.raw", "raw", exact), "full.raw", "--inputpool", "p")
    create([ours], volume_xml("locked.qcow2", "qcow2", "<compat>1.1</compat>" + LOCKED))
    wanted = {
        "locked.raw": ("driver=luks,key-secret=k", host.path("/srv/p/full.raw").read_bytes()),
        "locked.qcow2": ("driver=qcow2,encrypt.key-secret=k", bytes(SIZE)),
    }
    for name, (options, data) in wanted.items():
        assert ours.volume(name)["encryption"]
        status, _, error = ours.virsh("vol-resize", name, "6M", "--pool", "p")
        assert status == 0, error
        ours.content(name, "--object", "secret,id=k,file=/root/key", "--image-opts", f"{options},file.filename=/srv/p/{name}")
        found = host.path("/srv/read").read_bytes()
        assert len(found) == 6 << 20 and found.startswith(data)
    assert any("driver=luks" in line and line.startswith("convert") for line in ours.asked())
    create([ours], volume_xml("open.raw", "raw", size=6 << 20), "locked.raw", "--inputpool", "p")
    assert host.path("/srv/p/open.raw").read_bytes().startswith(wanted["locked.raw"][1])


@pytest.mark.limit(240)
@pytest.mark.skipif(not shutil.which("virt-install"), reason="virtinst is not installed")
def test_virt_install_imports_clones_and_guests_boot(ours):
    """IMG-36: an image that was made by a conversion, an overlay that virt-install asks for, and a clone by virt-clone."""
    host, consoles = ours.host, []
    shutil.copy(payload.build(4, 1, 10), host.path("/srv/p/boot.raw"))
    host.virsh("pool-refresh", "p")
    create([ours], volume_xml("boot.qcow2", "qcow2", size=1 << 20), "boot.raw", "--inputpool", "p")
    for name, disk in (("whole", "path=/srv/p/boot.qcow2,format=qcow2"),
                       ("thin", "path=/srv/p/thin.qcow2,size=1,backing_store=/srv/p/boot.raw,backing_format=raw")):
        console, done = virtinst.install(host.lab, host, name, "--import", "--disk", disk, "--network", "none")
        consoles.append(console)
        assert done.returncode == 0, done.stderr
        console.wait("^beat", 100)
        host.virsh("destroy", name)
    assert ours.volume("thin.qcow2")["backing"] == ("/srv/p/boot.raw", "raw")
    done = host.run(["virt-clone", "--connect", "qemu:///system", "--original", "whole", "--name", "second", "--auto-clone"],
                    check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    names = host.virsh("domblklist", "second").split()
    assert ours.content(os.path.basename(names[1])) == ours.content("boot.qcow2")
    for words in ("create -f qcow2", "convert -f"):
        assert any(line.startswith(words) for line in ours.asked())
    for console in consoles:
        console.close()
