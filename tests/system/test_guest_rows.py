"""What a guest's definition promises about its whole life: its end, its clock, its images (LIFE, CLK and DOM rows)."""
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import libvirt
import procfs
import pytest

from cli import drover
from live import LiveDaemon, linux, shell, state, wait_state
from mortal import definition, processes
from nbd_server import Serving
from procfs import descriptors
from waiting import wait_for

DISK = "<disk type='file'><source file='{}'/><target dev='hda' bus='ide'/></disk>"
SHELL_PORTS = "<serial type='pty'/>"
# A boot sector that tells the panic device (out 0x505, 1) and stands still.
PANICS = (b"\xba\x05\x05\xb0\x01\xee\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa"

# One that notes in its own sector (0x7df0) that it ran, by the BIOS, then panics; the next time it writes a 2 to COM1.
PANICS_ONCE = bytes.fromhex("31c0 8ed8 8ec0 803ef07d01 741b c606f07d01 b80103 b90100 b600 bb007c cd13 ba0505 b001 ee f4ebfd"
                            "baf803 b032 ee f4ebfd").ljust(510, b"\0") + b"\x55\xaa"


# One that turns the machine off: SLP_EN in the power management of the PIIX4, where the firmware has put it.
TURNS_OFF = bytes.fromhex("ba0406 b80020 ef f4ebfd").ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def guests(daemon, place):
    """Define guests that are gone afterwards."""
    names = []

    def define(name, xml):
        file = place / f"{name}.xml"
        file.write_text(xml)
        daemon.virsh("define", file)
        names.append(name)
        return file
    yield define
    for name in names:
        daemon.virsh("destroy", name, check=False)
        daemon.virsh("undefine", name, check=False)


def bare(name, devices="", head="", memory_mib=16):
    return (f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory_mib}</memory><vcpu>1</vcpu>{head}<os>"
            "<type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>"
            f"<controller type='usb' model='none'/><memballoon model='none'/>{devices}</devices></domain>")


def is_new(dom):
    """The guest has forgotten what its last life left behind. Its console may be that of the last life yet: then another."""
    stream, seen, said, opened = None, b"", 0, 0

    def asked():
        nonlocal stream, seen, said, opened
        now = time.monotonic()
        try:
            if stream is None or now - opened > 10:
                stream, seen, said, opened = dom.connect().newStream(libvirt.VIR_STREAM_NONBLOCK), b"", 0, now
                dom.openConsole("serial1", stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            if now - said > 1:
                stream.send(b"test -e /tmp/life || echo new-$((1+1))\n")
                said = now
            data = stream.recv(4096)
            seen += data if data != -2 else b""
            if data == b"":
                stream = None
        except (TypeError, libvirt.libvirtError):
            stream = None
        return b"new-2" in seen
    wait_for("its next life", asked)
    if stream:
        stream.abort()


def test_a_guest_starts_anew_or_ends_as_its_definition_says(guests, conn, daemon):
    """LIFE-24, LIFE-25, DOM-14: a shutdown that is a restart, a reboot that goes on under the same Id, and one that is the end.
    DOM-19: its disk on the virtio bus is vda to it, whatever its definition calls it."""
    image = daemon.base / "virtio.raw"
    image.write_bytes(bytes(1 << 20))
    guests("e", linux("e", SHELL_PORTS + DISK.replace("ide", "virtio").format(image), extra="<on_poweroff>restart</on_poweroff>",
                      shell="ttyS1"))
    dom = conn.lookupByName("e")
    dom.create()
    number = dom.ID()
    shell(dom, b"touch /tmp/life; test -e /tmp/life && test -b /dev/vda && echo lives-$((1+1))", b"lives-2")
    dom.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    is_new(dom)
    assert state(daemon, "e").startswith("running")
    daemon.virsh("set-lifecycle-action", "e", "poweroff", "destroy", "--live")
    shell(dom, b"touch /tmp/life; test -e /tmp/life && echo lives-$((1+2))", b"lives-3")
    daemon.virsh("reboot", "e")
    is_new(dom)
    assert state(daemon, "e").startswith("running") and dom.ID() == number
    daemon.virsh("set-lifecycle-action", "e", "poweroff", "restart", "--live")
    daemon.virsh("set-lifecycle-action", "e", "reboot", "destroy", "--live")
    daemon.virsh("reboot", "e")
    wait_for("its end", lambda: state(daemon, "e").startswith("shut off"))


@pytest.mark.parametrize("word,after", [("preserve", "crashed (panicked)"), ("destroy", "shut off (crashed)")])
def test_a_crash_is_kept_or_ends_the_guest(guests, daemon, word, after):
    """LIFE-12, DOM-14."""
    image = daemon.base / "panics.raw"
    image.write_bytes(PANICS.ljust(1 << 20, b"\0"))
    guests("c", bare("c", DISK.format(image) + "<panic model='isa'/>", f"<on_crash>{word}</on_crash>"))
    daemon.virsh("start", "c")
    wait_state(daemon, "c", after)
    if word == "preserve":
        daemon.virsh("destroy", "c")
        wait_state(daemon, "c", "shut off (destroyed)")


def test_a_guest_that_turned_itself_off_stays_in_shutdown_where_its_definition_says_so(guests, conn, daemon):
    """LIFE-11: the state that others pass through too quickly to be seen in; LIFE-13, DOM-14."""
    image = daemon.base / "turns-off.raw"
    image.write_bytes(TURNS_OFF.ljust(1 << 20, b"\0"))
    guests("o", bare("o", DISK.format(image), "<on_poweroff>preserve</on_poweroff>"))
    daemon.virsh("start", "o")
    wait_state(daemon, "o", "in shutdown (user)")
    assert [row.split()[1:] for row in daemon.virsh("list").splitlines() if " o " in row] == [["o", "in", "shutdown"]]
    assert drover(daemon.uri(), "domstate o").out.strip() == "in shutdown"
    assert conn.lookupByName("o").info()[0] == libvirt.VIR_DOMAIN_SHUTDOWN
    daemon.virsh("destroy", "o")
    assert state(daemon, "o") == "shut off (destroyed)"


def test_a_crash_starts_the_guest_anew_where_its_definition_says_so(guests, conn, daemon, place):
    """LIFE-12, DOM-14: after a real panic it is a new running instance, that finds what the one before left on its disk."""
    image, serial = daemon.base / "panics-once.raw", place / "once.log"
    image.write_bytes(PANICS_ONCE.ljust(1 << 20, b"\0"))
    guests("o", bare("o", DISK.format(image) + f"<panic model='isa'/><serial type='file'><source path='{serial}'/></serial>",
                     "<on_crash>restart</on_crash>"))
    conn.lookupByName("o").create()
    wait_for("its next life", lambda: serial.exists() and b"2" in serial.read_bytes(), 60)
    assert image.read_bytes()[0x1f0] == 1
    assert state(daemon, "o").startswith("running")
    daemon.virsh("destroy", "o")
    wait_state(daemon, "o", "shut off (destroyed)")


def test_a_qemu_that_is_killed_has_crashed(guests, daemon):
    """LIFE-11: somebody ended QEMU with a signal: it crashed, unless QEMU could say so itself (SIGTERM)."""
    guests("k", bare("k"))
    daemon.virsh("start", "k")
    identity = daemon.virsh("domuuid", "k").strip()
    for pid in processes(identity):
        os.kill(pid, signal.SIGKILL)
    wait_state(daemon, "k", "shut off (crashed)")
    daemon.virsh("start", "k")
    for pid in processes(identity):
        os.kill(pid, signal.SIGTERM)
    wait_state(daemon, "k", "shut off (shutdown)")


def test_a_clock_that_the_guest_sets_is_kept_where_its_definition_says_so(guests, conn, daemon):
    """CLK-02: utc forgets it at the next boot. CLK-06: variable keeps it, in a daemon that was killed meanwhile, too.
    CLK-13: a guest without an HPET finds none among its ACPI tables."""
    wanted = datetime.datetime(2033, 5, 6, tzinfo=datetime.timezone.utc)
    begun = time.time()
    hpet = "<timer name='hpet' present='{}'/>"
    for name, clock, tables in (("u", f"<clock offset='utc'>{hpet.format('no')}</clock>", b"0"),
                                ("v", f"<clock offset='variable' adjustment='3600'>{hpet.format('yes')}</clock>", b"1")):
        guests(name, linux(name, SHELL_PORTS, extra=clock, shell="ttyS1"))
        dom = conn.lookupByName(name)
        dom.create()
        shell(dom, b"date -u -s '2033-05-06 00:00:00'; hwclock -u -w; echo set-$((1+1))", b"set-2")
        shell(dom, b"echo tables-$(ls /sys/firmware/acpi/tables | grep -c HPET)", b"tables-" + tables)

    def adjustment(*options):
        tree = ElementTree.fromstring(daemon.virsh("dumpxml", "v", *options))
        return int(tree.find("clock").get("adjustment"))

    def is_set(seconds, *options):
        """The guest's clock was set to this many seconds somewhere between the beginning and now."""
        return seconds - time.time() - 2 <= adjustment(*options) <= seconds - begun + 2
    for options in ((), ("--inactive",)):
        wait_for("the adjustment", lambda options=options: is_set(wanted.timestamp(), *options))
    daemon.process.kill()
    daemon.process.wait()
    daemon.start()
    again = libvirt.open(daemon.uri())
    shell(again.lookupByName("v"), b"date -u -s '2033-05-06 12:00:00'; hwclock -u -w; echo set-$((2+1))", b"set-3")
    wait_for("the adjustment of a guest that was found again", lambda: is_set(wanted.timestamp() + 43200))
    this_year = str(datetime.datetime.now(datetime.timezone.utc).year)
    for name, year in (("u", this_year), ("v", "2033")):
        daemon.virsh("destroy", name)
        daemon.virsh("start", name)
        shell(again.lookupByName(name), b"date -u +year-%Y", f"year-{year}".encode())
    again.close()


def test_a_new_maximum_of_memory(guests, daemon):
    """LIFE-36: of a guest that does not run; a lower one takes the current size along."""
    guests("m", bare("m", memory_mib=64))

    def sizes():
        return [int(line.split()[2]) for line in daemon.virsh("dominfo", "m").splitlines() if "memory" in line]
    assert sizes() == [65536, 65536]
    daemon.virsh("setmaxmem", "m", "131072", "--config")
    assert sizes() == [131072, 65536]
    daemon.virsh("setmaxmem", "m", "32768", "--config")
    assert sizes() == [32768, 32768]


def test_a_guest_made_from_an_edited_definition_of_its_own_name(guests, daemon):
    """LIFE-50: stopped, then created from other XML: that is what runs, and the persistent definition stays."""
    file = guests("p", definition("p", "0b1d7b9e-5c0f-4d53-9a53-2a4f0e4d6a01"))
    daemon.virsh("start", "p")
    daemon.virsh("destroy", "p")
    file.write_text(file.read_text().replace("<vcpu>", "<title>edited</title><vcpu>"))
    daemon.virsh("create", file)
    assert "<title>edited</title>" in daemon.virsh("dumpxml", "p")
    assert "edited" not in daemon.virsh("dumpxml", "p", "--inactive")
    daemon.virsh("destroy", "p")
    assert "shut off" in state(daemon, "p") and "edited" not in daemon.virsh("dumpxml", "p")


def test_a_reload_disturbs_no_guest(guests, daemon):
    """LIFE-49: SIGHUP."""
    identity = "0b1d7b9e-5c0f-4d53-9a53-2a4f0e4d6a02"
    guests("h", definition("h", identity))
    daemon.virsh("start", "h")
    before, reloads = processes(identity), daemon.said().count("guests are as they were")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: daemon.said().count("guests are as they were") == reloads + 1)
    assert state(daemon, "h").startswith("running") and processes(identity) == before


@pytest.mark.parametrize("cache,direct", [("none", True), ("directsync", True), ("writeback", False), ("writethrough", False),
                                          ("unsafe", False)])
def test_a_cache_mode_decides_how_the_image_is_opened(guests, daemon, place, cache, direct):
    """DOM-24."""
    image = daemon.base / f"{cache}.raw"
    image.write_bytes(bytes(1 << 20))
    try:
        os.close(os.open(image, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system has no O_DIRECT")
    guests("d", bare("d", f"<disk type='file'><driver name='qemu' type='raw' cache='{cache}'/><source file='{image}'/>"
                          "<target dev='vda' bus='virtio'/></disk>"))
    daemon.virsh("start", "d")
    qemu, = processes(daemon.virsh("domuuid", "d").strip())
    opened = [fd for fd, file in descriptors(qemu).items() if file == str(image)]
    flags = [int(re.search(r"flags:\s*(\d+)", (fd.parent.parent / "fdinfo" / fd.name).read_text())[1], 8) for fd in opened]
    assert flags and all(bool(flag & os.O_DIRECT) == direct for flag in flags)


def test_functions_of_one_slot(guests, daemon):
    """DOM-38: eight functions in one slot, as the guest's firmware finds them."""
    nics = "".join(f"<interface type='user'><model type='virtio'/><address type='pci' domain='0' bus='0' slot='9' "
                   f"function='{i}'{' multifunction=%son%s' % (chr(39), chr(39)) if i == 0 else ''}/></interface>" for i in range(8))
    guests("f", bare("f", nics))
    daemon.virsh("start", "f")
    found = daemon.virsh("qemu-monitor-command", "f", "--hmp", "info pci")
    assert len(re.findall(r"Bus +0, device +9, function [0-7]:", found)) == 8


def test_a_slot_too_many(guests, daemon, place):
    """DOM-40: the disk for which there is no slot is refused by name, at define."""
    def disks(n):
        return "".join(f"<disk type='file'><source file='/tmp/{i}'/><target dev='vd{chr(97 + i // 26) if i > 25 else ''}"
                       f"{chr(97 + i % 26)}' bus='virtio'/></disk>" for i in range(n))
    file = place / "slots.xml"
    file.write_text(bare("s", disks(40)))
    assert "no more PCI slots" in daemon.virsh("define", file, check=False)
    assert "s" not in daemon.virsh("list", "--all", "--name").split()
    guests("s", bare("s", disks(24)))


def test_a_hard_disk_is_no_type_of_a_drive(guests, daemon):
    """LIFE-41: drover says what was meant."""
    guests("t", bare("t"))
    said = drover(daemon.uri(), "attach-disk t /tmp/x.iso sda --type hdd --config")
    assert said.status != 0 and "cdrom" in said.err
    for kind, target in (("cdrom", "sda"), ("floppy", "fda")):
        assert drover(daemon.uri(), f"attach-disk t /tmp/x.iso {target} --type {kind} --config").status == 0
    tree = ElementTree.fromstring(daemon.virsh("dumpxml", "t"))
    assert sorted(disk.get("device") for disk in tree.iter("disk")) == ["cdrom", "floppy"]


def test_an_iso_for_a_running_guest(guests, daemon, place):
    """LIFE-38, LIFE-42: attach-disk on a drive that is there changes its medium, in the guides' words, which leave nothing of Xen's behind."""
    images = []
    for name in ("one", "two"):
        image = daemon.base / f"{name}.iso"
        image.write_bytes(bytes(1 << 20))
        images.append(image)
    guests("i", bare("i", f"<disk type='file' device='cdrom'><source file='{images[0]}'/><target dev='hdc' bus='ide'/></disk>"))
    daemon.virsh("start", "i")
    said = drover(daemon.uri(), f"attach-disk i {images[1]} hdc --driver file --type cdrom --mode readonly")
    assert said.status == 0, said
    assert str(images[1]) in daemon.virsh("domblklist", "i")
    assert str(images[1]) in daemon.virsh("qemu-monitor-command", "i", "--hmp", "info block")
    disk = ElementTree.fromstring(daemon.virsh("dumpxml", "i")).find("devices/disk")
    assert disk.find("driver").attrib == {"name": "qemu", "type": "raw"} and disk.find("readonly") is not None
    words = ["attach-disk", "i", images[0], "hdc", "--type", "cdrom", "--mode", "readonly"]
    assert "Xen's" in daemon.virsh(*words, "--driver", "file", check=False)
    assert str(images[1]) in daemon.virsh("domblklist", "i")
    daemon.virsh(*words, "--live")
    assert str(images[0]) in daemon.virsh("domblklist", "i") and str(images[1]) not in daemon.virsh("dumpxml", "i")
    assert "already exists" in daemon.virsh("attach-disk", "i", images[1], "hdc", "--type", "disk", check=False)
    device = place / "device.xml"
    device.write_text(f"<disk type='file' device='cdrom'><source file='{images[1]}'/><target dev='hdc'/><readonly/></disk>")
    assert "Device attached successfully" in daemon.virsh("attach-device", "i", device)
    assert str(images[1]) in daemon.virsh("qemu-monitor-command", "i", "--hmp", "info block")


def test_a_missing_image_is_done_without_where_its_disk_says_so(guests, conn, daemon):
    """startupPolicy: an empty drive, no disk, or no start; clients are told, and the definition keeps what is missing."""
    gone = daemon.base / "gone.iso"
    drive = f"<disk type='file' device='cdrom'><source file='{gone}' startupPolicy='{{}}'/><target dev='hdc' bus='ide'/></disk>"
    hard = f"<disk type='file'><source file='{gone}' startupPolicy='optional'/><target dev='hdb' bus='ide'/></disk>"
    guests("p", bare("p", drive.format("optional") + hard))
    told = []
    handle = conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
                                         lambda _conn, dom, old, new, alias, reason, _: told.append((dom.name(), old, new, alias, reason)), None)
    daemon.virsh("start", "p")
    rows = [line.split() for line in daemon.virsh("domblklist", "p").splitlines()[2:] if line]
    assert rows == [["hdc", "-"]]
    wait_for("the events", lambda: len(told) == 2)
    assert sorted(told, key=lambda t: t[4]) == [
        ("p", str(gone), None, "ide0-1-0", libvirt.VIR_DOMAIN_EVENT_DISK_CHANGE_MISSING_ON_START),
        ("p", str(gone), None, "ide0-0-1", libvirt.VIR_DOMAIN_EVENT_DISK_DROP_MISSING_ON_START)]
    conn.domainEventDeregisterAny(handle)
    assert daemon.virsh("domblklist", "p", "--inactive").count(str(gone)) == 2
    daemon.virsh("destroy", "p")
    for policy in ("mandatory", "requisite"):
        guests("q", bare("q", drive.format(policy)))
        assert f"'{gone}' does not exist" in daemon.virsh("start", "q", check=False)
        daemon.virsh("undefine", "q")
    gone.write_bytes(bytes(4096))
    daemon.virsh("start", "p", check=False)
    assert str(gone) in daemon.virsh("domblklist", "p")


def test_sizes_of_the_disks_of_a_guest_that_is_shut_off(guests, daemon, place):
    """domblkinfo looks at the image itself; a drive without a medium has no size, which is an error as in libvirt 9.0."""
    image = daemon.base / "sizes.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"], check=True)
    guests("s", bare("s", f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{image}'/><target dev='hda' bus='ide'/></disk>"
                          "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>"))

    def sizes(*options):
        return [int(line.split()[1]) for line in daemon.virsh("domblkinfo", "s", *options).splitlines() if line]
    medium = daemon.base / "medium.iso"
    medium.write_bytes(bytes(1 << 20))

    def live_disk(target):
        return ElementTree.fromstring(daemon.virsh("dumpxml", "s")).find(f"devices/disk/target[@dev='{target}']/..")
    stat = image.stat()
    assert sizes("hda") == [64 << 20, stat.st_blocks * 512, stat.st_size]

    def check_all():
        for said in (daemon.virsh("domblkinfo", "s", "--all"), drover(daemon.uri(), "domblkinfo s --all").out):
            lines = [line.split() for line in said.splitlines()]
            assert ["hdc", "-", "-", "-"] in lines and any(line[:2] == ["hda", str(64 << 20)] for line in lines)
    assert "disk 'hdc' does not currently have a source assigned" in daemon.virsh("domblkinfo", "s", "hdc", check=False)
    check_all()
    daemon.virsh("start", "s")
    assert "disk 'hdc' does not currently have a source assigned" in daemon.virsh("domblkinfo", "s", "hdc", check=False)
    check_all()
    assert "<source" not in ElementTree.tostring(live_disk("hdc")).decode()
    assert daemon.virsh("domblkstat", "s", "hdc").startswith("hdc rd_req ")
    assert "disk 'hdc' of domain 's' is empty" in daemon.virsh("blockresize", "s", "hdc", "1M", check=False)
    daemon.virsh("change-media", "s", "hdc", str(medium), "--insert", "--live")
    assert sizes("hdc")[0] == 1 << 20 and live_disk("hdc").find("source").get("index") not in (None, live_disk("hda").find("source").get("index"))
    daemon.virsh("change-media", "s", "hdc", "--eject", "--live")
    assert "disk 'hdc' does not currently have a source assigned" in daemon.virsh("domblkinfo", "s", "hdc", check=False)
    check_all()

    # a medium on a server is in the drive as one in a file is, and comes out again
    def drive():
        said = json.loads(daemon.virsh("qemu-monitor-command", "s", '{"execute": "query-block"}'))["return"]
        return next(one for one in said if one.get("qdev") == "ide0-1-0")
    assert "inserted" not in drive()
    with Serving(place, medium, "-r", umask=0) as server:
        os.chmod(os.path.dirname(server.path), 0o755)
        change = place / "change.xml"
        change.write_text("<disk type='network' device='cdrom'><driver name='qemu' type='raw'/><source protocol='nbd'>"
                          f"<host transport='unix' socket='{server.path}'/></source><target dev='hdc' bus='ide'/><readonly/></disk>")
        daemon.virsh("update-device", "s", change, "--live")
        there = drive()
        assert there["inserted"]["image"]["virtual-size"] == 1 << 20 and server.path in json.dumps(there) and not there["tray_open"]
        assert sizes("hdc")[0] == 1 << 20 and live_disk("hdc").find("source").get("protocol") == "nbd"
        daemon.virsh("change-media", "s", "hdc", "--eject", "--live")
        assert "inserted" not in drive() and live_disk("hdc").find("source") is None
        daemon.virsh("update-device", "s", change, "--live")
        assert "inserted" in drive()
        for kind in ("network", "volume"):  # clients that take the source away and leave the type
            (place / "empty.xml").write_text(f"<disk type='{kind}' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>")
            daemon.virsh("update-device", "s", place / "empty.xml", "--live")
            assert "inserted" not in drive() and live_disk("hdc").find("source") is None
            check_all()
    daemon.virsh("change-media", "s", "hdc", str(medium), "--insert", "--live")
    assert str(medium) in json.dumps(drive()["inserted"])
    daemon.virsh("change-media", "s", "hdc", "--eject", "--live")
    assert "inserted" not in drive()
    check_all()
    daemon.virsh("destroy", "s")
    image.unlink()
    assert "does not exist" in daemon.virsh("domblkinfo", "s", "hda", check=False)
    assert "no such disk" in daemon.virsh("domblkinfo", "s", "hdx", check=False)


def test_a_device_of_the_host_that_cannot_be_given_away(guests, daemon):
    """DOM-41: QEMU says what is wrong with the IOMMU, and its words reach the user."""
    first = sorted(pathlib.Path("/sys/bus/pci/devices").iterdir())[:1]
    if not first or os.path.exists(first[0] / "driver") or os.path.exists(first[0] / "iommu_group"):
        pytest.skip("the first PCI device of this host may be in use, or can be given away")
    domain, bus, slot = first[0].name.split(":")
    slot, function = slot.split(".")
    guests("h", bare("h", "<hostdev mode='subsystem' type='pci' managed='no'><source>"
                          f"<address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/></source></hostdev>"))
    said = daemon.virsh("start", "h", check=False)
    assert "iommu" in said and first[0].name in said
    assert state(daemon, "h").startswith("shut off")


def test_no_label_is_shown_where_no_security_driver_labels(guests, daemon):
    """DOM-43."""
    model = ElementTree.fromstring(daemon.virsh("capabilities")).find("host/secmodel/model")
    assert model.text == "none"
    guests("l", bare("l"))
    daemon.virsh("start", "l", "--paused")
    assert ElementTree.fromstring(daemon.virsh("dumpxml", "l")).find("seclabel") is None


def test_a_guest_that_keeps_local_time(guests, daemon, place):
    """CLK-15: virt-install gives Windows a clock of local time, and QEMU is started with it."""
    if not shutil.which("virt-install"):
        pytest.skip("virtinst is not installed")
    done = subprocess.run(["virt-install", "--connect", daemon.uri(), "--name", "w", "--virt-type", "qemu", "--osinfo", "win10",
                           "--memory", "64", "--disk", "none", "--import", "--graphics", "none", "--network", "none", "--print-xml"],
                          capture_output=True, text=True, timeout=120, check=True)
    clock = ElementTree.fromstring(done.stdout).find("clock")
    assert clock.get("offset") == "localtime"
    guests("w", bare("w", head="<clock offset='localtime'/>"))
    daemon.virsh("start", "w", "--paused")
    pid, = processes(daemon.virsh("domuuid", "w").strip())
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert b"base=localtime" in words[words.index(b"-rtc") + 1]


def test_autostart_goes_on_after_a_daemon_that_was_killed(tmp_path):
    """LIFE-46: what was still to be started is, what was started and stopped since is not. LIFE-47: nor what is marked no more.
    DOM-26: MACs that nobody gave stay what they were."""
    daemon = LiveDaemon()

    def macs():
        return [re.findall(r"mac address='(.*?)'", daemon.virsh("dumpxml", name)) for name in ("first", "second")]
    try:
        for name in ("first", "second", "unmarked"):
            (tmp_path / name).write_text(bare(name, "<interface type='user'/>"))
            daemon.virsh("define", tmp_path / name)
            daemon.virsh("autostart", name)
        made = macs()
        assert made[0] != made[1] and all(len(found) == 1 and int(found[0][:2], 16) & 3 == 2 for found in made)
        daemon.virsh("autostart", "--disable", "unmarked")
        assert daemon.virsh("list", "--name").split() == []
        marker = daemon.base / "run" / "qemu" / "autostarted"
        marker.unlink()  # the host boots again
        hook = daemon.base / "etc" / "hooks" / "qemu"
        hook.parent.mkdir()
        hook.write_text("#!/bin/sh\n[ $1.$2 = second.prepare ] || exit 0\n"  # it ends with its directory at the latest
                        f"until [ -e {daemon.base}/go ] || [ ! -d {daemon.base} ]; do sleep 0.1; done\n")
        hook.chmod(0o755)
        kill_and_start(daemon)
        wait_state(daemon, "first", "running (booted)")
        first, second = (daemon.virsh("domuuid", name).strip() for name in ("first", "second"))
        wait_for("the note of what is left", lambda: sorted(procfs.read(marker).decode().splitlines()) == sorted([first, second, f"over {first}"]))
        daemon.virsh("destroy", "first")
        (daemon.base / "go").touch()
        kill_and_start(daemon)
        wait_for("the other guest", lambda: state(daemon, "second").startswith("running"))
        wait_for("nothing to be left to start", lambda: procfs.read(marker).decode().splitlines() == [second, f"over {second}"])
        assert state(daemon, "first").startswith("shut off") and macs() == made and state(daemon, "unmarked").startswith("shut off")
        daemon.virsh("destroy", "second")
        kill_and_start(daemon)
        assert daemon.virsh("list", "--name").split() == []
    finally:
        daemon.stop()


def kill_and_start(daemon):
    daemon.process.kill()
    daemon.process.wait()
    daemon.start()
