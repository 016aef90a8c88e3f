"""The daemon is killed with -9 at every act of a change (see kill-point.c): the change is made or it is not, and what the
next daemon says, what is on disk and what QEMU has agree about it.
"""
import json
import os
import uuid
import xml.etree.ElementTree as ElementTree

from mortal import processes, sweep
from waiting import wait_for

DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>
<target dev='vdb' bus='virtio'/><alias name='ua-disk'/></disk>"""
NIC = """<interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/><alias name='ua-nic'/></interface>"""


def xml_of(subject, *options):
    return ElementTree.fromstring(subject.virsh("dumpxml", "k", *options, check=True))


def has_alias(subject, alias, *options):
    return any(e.get("name") == alias for e in xml_of(subject, *options).iter("alias"))


def test_a_new_name(subject):
    """One file, one mark, the same guest, whenever the daemon died; LIFE-16."""
    directory = subject.daemon.base / "etc" / "qemu"
    names = lambda: sorted(subject.virsh("list", "--all", "--name", check=True).split())

    def be_k():
        if names() == ["l"]:
            subject.virsh("domrename", "l", "k", check=True)
        subject.virsh("autostart", "k", check=True)

    def check(where):
        found = names()
        assert found in (["k"], ["l"]), found
        assert found == ["l"] or where != "it was not killed"
        assert subject.virsh("domuuid", found[0]).strip() == subject.identity
        assert [path.name for path in directory.glob("*.xml")] == [f"{found[0]}.xml"]
        assert [path.name for path in (directory / "autostart").glob("*.xml")] == [f"{found[0]}.xml"]
        assert not [*(directory / ".rename").glob("*.xml")]
    points = sweep(subject, be_k, lambda: subject.virsh("domrename", "k", "l"), check)
    assert points > 5
    be_k()


def test_a_secret_that_is_kept_from_now_on_and_one_that_is_not_any_more(subject):
    """A value is on the disk beside its definition only: without one nobody would ever remove it."""
    directory, identity = subject.daemon.base / "etc/secrets", str(uuid.uuid4())
    file = subject.directory / "secret.xml"

    def define(ephemeral):
        file.write_text(f"<secret ephemeral='{ephemeral}'><uuid>{identity}</uuid></secret>")
        return subject.virsh("secret-define", file)

    def be(ephemeral):
        subject.virsh("secret-undefine", identity)
        assert "created" in define(ephemeral)
        subject.virsh("secret-set-value", identity, "--base64", "c2VjcmV0", check=True)

    def check(where):
        found = {path.suffix for path in directory.glob(f"{identity}*")} - {".new"}  # of a definition; the next one overwrites it
        assert found in (set(), {".xml"}, {".xml", ".base64"}), found
        assert found == wanted or where != "it was not killed"

    for ephemeral, wanted in (("no", {".xml", ".base64"}), ("yes", set())):
        assert sweep(subject, lambda: be("yes" if ephemeral == "no" else "no"), lambda: define(ephemeral), check) > 1
    subject.virsh("secret-undefine", identity, check=True)


def live_change(subject, device, alias, in_qemu):
    """Plug and unplug it; QEMU and the live definition must agree, and the device must come out afterwards."""
    file = subject.directory / "device.xml"
    file.write_text(device)

    def without():
        subject.be("running")
        if has_alias(subject, alias):
            subject.virsh("detach-device", "k", file, "--live")
            if has_alias(subject, alias):  # the payloadless guest never answers the request
                subject.be("shut off")
                subject.be("running")

    def agrees(where):
        assert subject.settled() == "running"
        wait_for("QEMU and the definition to agree", lambda: has_alias(subject, alias) == in_qemu())
        assert has_alias(subject, alias) or where != "it was not killed"
    sweep(subject, without, lambda: subject.virsh("attach-device", "k", file, "--live"), agrees)
    # a guest without an operating system never lets go: the request is all there is, and the device stays
    def kept(_):
        assert subject.settled() == "running"
        assert has_alias(subject, alias) == in_qemu()
    sweep(subject, lambda: None, lambda: subject.virsh("detach-device-alias", "k", alias, "--live"), kept)


def test_a_disk_plugged_into_a_running_guest(subject):
    disk = subject.daemon.base / "disk"  # where QEMU's user may go
    disk.write_bytes(bytes(1 << 20))
    node = lambda: [b for b in json.loads(subject.qmp("query-block"))["return"] if "ua-disk" in b.get("qdev", "")]
    live_change(subject, DISK.format(disk), "ua-disk", lambda: bool(node()))
    # nothing holds the image any more
    subject.be("shut off")
    wait_for("its owner to get it back", lambda: os.stat(disk).st_uid == os.geteuid())


def test_an_interface_plugged_into_a_running_guest(subject):
    there = lambda: "52:54:00:12:34:56" in subject.virsh("qemu-monitor-command", "k", "--hmp", "info network")
    live_change(subject, NIC, "ua-nic", there)


def test_a_device_in_the_configuration(subject):
    file = subject.directory / "device.xml"
    file.write_text(NIC)
    there = lambda: bool(xml_of(subject, "--inactive").findall("devices/interface"))

    def without():
        subject.virsh("detach-device", "k", file, "--config")
        assert not there()

    def check(where):
        assert there() or where != "it was not killed"
        subject.virsh("dumpxml", "k", "--inactive", check=True)
    sweep(subject, without, lambda: subject.virsh("attach-device", "k", file, "--config"), check)


def test_memory_and_processors_in_the_configuration(subject):
    def value(path):
        return int(xml_of(subject, "--inactive").findtext(path))

    for command, path, before, after in (("setmem", "currentMemory", 16384, 8192), ("setmaxmem", "memory", 16384, 32768)):
        def check(where):
            assert value(path) in ((after,) if where == "it was not killed" else (before, after))
        sweep(subject, lambda: subject.virsh(command, "k", str(before), "--config", check=True),
              lambda: subject.virsh(command, "k", str(after), "--config"), check)

    def check_vcpus(where):
        assert value("vcpu") in ((3,) if where == "it was not killed" else (1, 3))
    sweep(subject, lambda: subject.virsh("setvcpus", "k", "1", "--maximum", "--config", check=True),
          lambda: subject.virsh("setvcpus", "k", "3", "--maximum", "--config"), check_vcpus)


def test_a_core_dump(subject):
    core = subject.daemon.base / "core"

    def check(where):
        assert subject.settled() == "running"
        assert core.exists() or where != "it was not killed"

    def prepare():
        subject.be("running")
        core.unlink(missing_ok=True)
    sweep(subject, prepare, lambda: subject.virsh("dump", "k", core, "--memory-only"), check)
    prepare()
    subject.virsh("dump", "k", core, "--memory-only", check=True)  # whatever the last ones left
    assert core.read_bytes()[:4] == b"\x7fELF"


def test_a_larger_disk(subject):
    disk = subject.daemon.base / "disk"  # where QEMU's user may go
    disk.write_bytes(bytes(1 << 20))
    file = subject.directory / "device.xml"
    file.write_text(DISK.format(disk))
    subject.virsh("attach-device", "k", file, "--config", check=True)
    size = lambda: int(subject.virsh("domblkinfo", "k", "vdb", check=True).split()[1])

    def prepare():
        subject.be("shut off")
        os.truncate(disk, 1 << 20)
        subject.be("running")

    def check(where):
        assert subject.settled() == "running"
        assert size() in ((2 << 20,) if where == "it was not killed" else (1 << 20, 2 << 20))
        assert size() == disk.stat().st_size
    sweep(subject, prepare, lambda: subject.virsh("blockresize", "k", "vdb", "2048K"), check)
    subject.be("shut off")
    assert not processes(subject.identity)
