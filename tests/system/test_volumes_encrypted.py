"""Encrypted volumes: made, copied, resized and used by secrets that stock virsh defined (STO-23 to STO-25)."""
import json
import subprocess
import uuid
import xml.etree.ElementTree as ElementTree

import pytest

MIB = 1 << 20
PASSPHRASE, OTHER = "correct-horse-battery", "quite-another-one"
#: format of the volume -> how stock qemu-io opens it
OPENED = {"raw": "driver=luks,key-secret=k,file.filename={}", "qcow2": "driver=qcow2,encrypt.key-secret=k,file.filename={}"}


class Images:
    """A pool called p, and secrets by their use."""

    def __init__(self, daemon, place):
        self.daemon, self.place, self.dir = daemon, place, place / "images"
        self.virsh("pool-create-as", "p", "dir", "--target", self.dir, "--build")

    def virsh(self, *args, **more):
        return self.daemon.virsh(*args, **more)

    def write(self, text):
        (self.place / "definition").write_text(text)
        return self.place / "definition"

    def define(self, use, value):
        """A secret's UUID."""
        identity = str(uuid.uuid4())
        self.virsh("secret-define", self.write(f"<secret private='yes'><uuid>{identity}</uuid><usage type='volume'>"
                                               f"<volume>{use}</volume></usage></secret>"))
        self.virsh("secret-set-value", identity, "--file", self.write(value), "--plain")
        return identity

    def volume(self, name, kind, secret="", more="", encryption="luks", mib=4):
        secret = secret and f"<secret type='passphrase' {secret}/>"
        return self.write(f"<volume><name>{name}</name><capacity unit='MiB'>{mib}</capacity><target><format type='{kind}'/>"
                          f"<encryption format='{encryption}'>{secret}{more}</encryption></target></volume>")

    def make(self, *args, **how):
        return self.virsh("vol-create", "p", self.volume(*args, **how), check=False)

    def shown(self, name):
        """Its format, and its encryption's format and secret's UUID."""
        target = ElementTree.fromstring(self.virsh("vol-dumpxml", name, "p")).find("target")
        secret = target.find("encryption/secret")
        return target.find("format").get("type"), target.find("encryption").get("format"), \
            None if secret is None else secret.get("uuid")

    def io(self, name, kind, *commands, value=PASSPHRASE):
        """What stock qemu-io says, with this passphrase."""
        words = [word for command in commands for word in ("-c", command)]
        return subprocess.run(["qemu-io", "--object", f"secret,id=k,data={value}", "--image-opts",
                               OPENED[kind].format(self.dir / name), *words], check=True, capture_output=True,
                              text=True).stdout


@pytest.fixture(name="images")
def fixture_images(live_daemon, place):
    images = Images(live_daemon, place)
    yield images
    images.virsh("pool-destroy", "p")
    for identity in images.virsh("secret-list").splitlines()[2:]:
        if identity.strip():
            images.virsh("secret-undefine", identity.split()[0])


@pytest.mark.parametrize("kind, secret", [("raw", "uuid='{}'"), ("qcow2", "usage='key of v'")])
def test_a_volume_is_made_by_uuid_and_by_usage(images, kind, secret):
    """Stock QEMU opens it with the passphrase; trying one takes seconds, as it is meant to."""
    identity = images.define("key of v", PASSPHRASE)
    assert "created" in images.make("v", kind, secret.format(identity))
    images.io("v", kind, "write -P 0x5a 0 4M", "read -P 0x5a 0 4M")
    assert b"\x5a" * 512 not in (images.dir / "v").read_bytes()
    shown = images.shown("v")
    assert shown == (kind, "luks", identity if kind == "raw" else None)
    images.virsh("pool-refresh", "p")
    assert images.shown("v") == shown
    images.virsh("vol-wipe", "v", "p")
    assert not (images.dir / "v").read_bytes().strip(b"\0")
    assert "<encryption" not in images.virsh("vol-dumpxml", "v", "p")


def test_cipher_and_initial_vectors_are_what_was_asked_for(images):
    identity = images.define("k", PASSPHRASE)
    more = "<cipher name='serpent' size='256' mode='cbc' hash='sha512'/><ivgen name='essiv' hash='sha256'/>"
    assert "created" in images.make("v", "raw", f"uuid='{identity}'", more)
    said = json.loads(subprocess.run(["qemu-img", "info", "--output=json", "-f", "luks", images.dir / "v"], check=True,
                                     capture_output=True, text=True).stdout)["format-specific"]["data"]
    assert [said[key] for key in ("cipher-alg", "cipher-mode", "hash-alg", "ivgen-alg", "ivgen-hash-alg")] == \
        ["serpent-256", "cbc", "sha512", "essiv", "sha256"]
    assert "rot13" in images.make("w", "raw", f"uuid='{identity}'", more.replace("serpent", "rot13"))
    assert not (images.dir / "w").exists()


def test_what_cannot_be_is_said_before_anything_is_made(images):
    missing, empty = str(uuid.uuid4()), str(uuid.uuid4())
    images.virsh("secret-define", images.write(f"<secret ephemeral='yes'><uuid>{empty}</uuid></secret>"))
    assert "no secret provided for luks encryption" in images.make("v", "raw")
    assert f"no secret with matching uuid '{missing}'" in images.make("v", "raw", f"uuid='{missing}'")
    assert "does not have a value" in images.make("v", "raw", f"uuid='{empty}'")
    assert "volume encryption unsupported with format vmdk" in images.make("v", "vmdk", f"uuid='{empty}'")
    assert "unsupported volume encryption format 'qcow'" in images.make("v", "qcow2", encryption="qcow")
    assert "unsupported volume encryption format 'default'" in images.make("v", "raw", encryption="default")
    assert not list(images.dir.iterdir())


def test_copies_keep_the_content_and_have_keys_of_their_own(images):
    """STO-24: from one key to another, to none, and as it is when nobody knows the key."""
    first, second = images.define("first", PASSPHRASE), images.define("second", OTHER)
    plain = images.write("<volume><name>plain</name><capacity>1</capacity><target><format type='raw'/></target></volume>")
    plain = plain.rename(images.place / "plain.xml")
    look = ("read -P 0x5a 1M 64k", "read -P 0 0 1M")
    images.make("v", "raw", f"uuid='{first}'")
    images.io("v", "raw", "write -P 0 0 4M", "write -P 0x5a 1M 64k")

    images.virsh("vol-clone", "v", "same", "--pool", "p")
    assert images.shown("same") == ("raw", "luks", first)
    images.io("same", "raw", *look)
    images.virsh("vol-create-from", "p", images.volume("other", "qcow2", f"uuid='{second}'"), "v", "--inputpool", "p")
    images.io("other", "qcow2", *look, value=OTHER)

    images.virsh("pool-destroy", "p")
    images.virsh("pool-create-as", "p", "dir", "--target", images.dir)
    assert images.shown("v") == ("raw", "luks", None)
    assert "no secret is known for it" in images.virsh("vol-create-from", "p", plain, "v", "--inputpool", "p", check=False)
    images.virsh("vol-clone", "v", "blind", "--pool", "p")
    assert (images.dir / "blind").read_bytes() == (images.dir / "v").read_bytes()
    assert images.define(f"{images.dir}/v", PASSPHRASE) == images.shown("v")[2]
    images.virsh("vol-create-from", "p", plain, "v", "--inputpool", "p")
    data = (images.dir / "plain").read_bytes()
    assert len(data) == 4 * MIB and data[MIB:][:65536] == b"\x5a" * 65536 and data.count(b"\x5a") == 65536


def test_a_guest_writes_to_one_that_was_made_larger(images):
    """STO-14: nobody needs the key for another size, and the guest sees it."""
    identity = images.define("k", PASSPHRASE)
    images.make("v", "raw", f"uuid='{identity}'")
    images.virsh("vol-resize", "v", "4M", "--pool", "p", "--delta")
    images.virsh("create", images.write(
        f"<domain type='qemu'><name>e</name><uuid>{uuid.uuid4()}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu><os>"
        "<type arch='x86_64' machine='pc'>hvm</type></os><devices><controller type='usb' model='none'/>"
        "<memballoon model='none'/><disk type='volume' device='disk'><driver name='qemu' type='raw'/>"
        "<source pool='p' volume='v'><encryption format='luks'>"
        f"<secret type='passphrase' uuid='{identity}'/></encryption></source><target dev='vda' bus='virtio'/></disk>"
        "</devices></domain>"), "--paused")
    try:
        assert f" {8 * MIB}\n" in images.virsh("domblkinfo", "e", "vda")
        blocks = json.loads(images.virsh("qemu-monitor-command", "e", '{"execute":"query-block"}'))["return"]
        device = next(block["qdev"] for block in blocks if "inserted" in block)
        said = images.virsh("qemu-monitor-command", "e", "--hmp", f'qemu-io -d {device} "write -P 0x33 7M 64k"')
        assert not said.strip(), said
        assert "is disk 'vda'" in images.virsh("vol-delete", "v", "p", check=False)
    finally:
        images.virsh("destroy", "e")
    images.io("v", "raw", "read -P 0x33 7M 64k")
    assert b"\x33" * 512 not in (images.dir / "v").read_bytes()
