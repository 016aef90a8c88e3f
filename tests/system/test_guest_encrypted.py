"""Guests with encrypted disks: QEMU gets the key from a secret, and neither its arguments nor any file shows it."""
import json
import subprocess
import uuid

import procfs
import pytest
from img_tools import OURS

SECRET = "0b6c9d0e-3f0e-4b3b-9f14-2a6a7f5f5c01"
PASSPHRASE = "correct-horse-battery"
OBJECT = ["--object", f"secret,id=k,data={PASSPHRASE}"]
#: format in the definition -> how it is made (trying a key is not to take long), and how stock qemu-io opens it
KINDS = {"raw": (["-f", "luks", "-o", "key-secret=k,iter-time=10"], "driver=luks,key-secret=k,file.filename={}"),
         "qcow2": (["-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10"],
                   "driver=qcow2,encrypt.key-secret=k,file.filename={}")}


@pytest.fixture(scope="module")
def daemon(live_daemon, tmp_path_factory):
    file = tmp_path_factory.mktemp("secret") / "s.xml"
    file.write_text(f"<secret private='yes'><uuid>{SECRET}</uuid><usage type='volume'><volume>disk</volume></usage></secret>")
    live_daemon.virsh("secret-define", file)
    (file.parent / "value").write_text(PASSPHRASE)
    live_daemon.virsh("secret-set-value", SECRET, "--file", file.parent / "value", "--plain")
    return live_daemon


def make_image(path, kind):
    """With a pattern at its beginning."""
    made, opened = KINDS[kind]
    subprocess.run([OURS, "create", "-q", *OBJECT, *made, path, "1M"], check=True)
    subprocess.run(["qemu-io", *OBJECT, "--image-opts", opened.format(path), "-c", "write -P 0x5a 0 64k"], check=True,
                   stdout=subprocess.DEVNULL)
    return path


def disk(path, kind, secret=f"uuid='{SECRET}'", target="vda"):
    return (f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'/><source file='{path}'>"
            f"<encryption format='luks'><secret type='passphrase' {secret}/></encryption></source>"
            f"<target dev='{target}' bus='virtio'/></disk>")


def definition(name, devices=""):
    return (f"<domain type='qemu'><name>{name}</name><uuid>{uuid.uuid4()}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
            "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>"
            f"<controller type='usb' model='none'/><memballoon model='none'/>{devices}</devices></domain>")


def start(daemon, place, name, devices="", check=True):
    file = place / f"{name}.xml"
    file.write_text(definition(name, devices))
    return daemon.virsh("create", file, "--paused", check=check)


def device_of(daemon, name):
    blocks = json.loads(daemon.virsh("qemu-monitor-command", name, '{"execute":"query-block"}'))["return"]
    return next(block["qdev"] for block in blocks if "inserted" in block)


def write_through(daemon, name):
    """Another pattern behind the first, by QEMU's own layers."""
    for command in ("write -P 0x33 64k 64k", "flush"):
        said = daemon.virsh("qemu-monitor-command", name, "--hmp", f'qemu-io -d {device_of(daemon, name)} "{command}"')
        assert not said.strip(), said


def assert_both_patterns(path, kind):
    said = subprocess.run(["qemu-io", *OBJECT, "--image-opts", KINDS[kind][1].format(path), "-c", "read -P 0x5a 0 64k",
                           "-c", "read -P 0x33 64k 64k"], check=True, capture_output=True, text=True).stdout
    assert said.count("65536/65536") == 2 and "ailed" not in said, said
    assert b"\x33" * 512 not in path.read_bytes()


def assert_key_is_nowhere(daemon, name):
    identity = daemon.virsh("domuuid", name).strip().encode()
    found = [words for words in procfs.commands().values() if any(identity in word for word in words)]
    assert found and not any(PASSPHRASE.encode() in word for words in found for word in words)
    assert PASSPHRASE.encode() not in daemon.virsh("dumpxml", name, "--security-info").encode()
    assert not any(PASSPHRASE.encode() in procfs.read(path) for path in procfs.files(daemon.base))
    objects = daemon.virsh("qemu-monitor-command", name, '{"execute":"qom-list","arguments":{"path":"/objects"}}')
    assert "-key" not in objects


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_starts_from_it(daemon, place, kind):
    image = make_image(place / "disk", kind)
    for secret in (f"uuid='{SECRET}'", "usage='disk'"):
        start(daemon, place, "e", disk(image, kind, secret))
        try:
            write_through(daemon, "e")
            assert_key_is_nowhere(daemon, "e")
        finally:
            daemon.virsh("destroy", "e")
        assert_both_patterns(image, kind)


def test_a_disk_is_plugged_in(daemon, place):
    image = make_image(place / "disk", "qcow2")
    file = place / "disk.xml"
    file.write_text(disk(image, "qcow2"))
    start(daemon, place, "e")
    try:
        assert "successfully" in daemon.virsh("attach-device", "e", file, "--live")
        write_through(daemon, "e")
        assert_key_is_nowhere(daemon, "e")
    finally:
        daemon.virsh("destroy", "e")
    assert_both_patterns(image, "qcow2")


def test_what_is_missing_or_wrong_is_named_before_anything_runs(daemon, place):
    image = make_image(place / "disk", "raw")
    other = str(uuid.uuid4())
    said = start(daemon, place, "e", disk(image, "raw", secret=f"uuid='{other}'"), check=False)
    assert "encrypted disk 'vda'" in said and f"no secret with matching uuid '{other}'" in said
    file = place / "s.xml"
    file.write_text(f"<secret ephemeral='yes'><uuid>{other}</uuid></secret>")
    daemon.virsh("secret-define", file)
    assert f"secret '{other}' does not have a value" in start(daemon, place, "e", disk(image, "raw", f"uuid='{other}'"), check=False)
    daemon.virsh("secret-set-value", other, "--base64", "d3Jvbmc=")
    assert "Invalid password" in start(daemon, place, "e", disk(image, "raw", f"uuid='{other}'"), check=False)
    daemon.virsh("secret-undefine", other)
    assert "only a disk can, with format 'luks'" in start(
        daemon, place, "e", disk(image, "raw").replace("format='luks'", "format='qcow'"), check=False)
    subprocess.run([OURS, "create", "-q", "-f", "vdi", place / "vdi", "1M"], check=True)
    assert "knows no encryption" in start(daemon, place, "e", disk(place / "vdi", "vdi"), check=False)
    assert daemon.virsh("list", "--all", "--name").split() == []
