"""Every command of the guides' tables on guests that QEMU runs, by stock virsh and by drover (LIFE rows)."""
import functools
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree as ET

import libvirt
import pytest

import schemas
from cli import drover, virsh
from mortal import processes
from procfs import threads
from waiting import wait_for

TABLES = """help list dumpxml create start destroy define domid domuuid dominfo domname domstate quit reboot restore resume save
shutdown suspend undefine migrate setmem setmaxmem setvcpus vcpuinfo vcpupin domblkstat domifstat attach-device attach-disk
attach-interface detach-device detach-disk detach-interface version nodeinfo connect edit autostart capabilities freecell
update-device domjobinfo"""
DISK = "<disk type='file' device='disk'><source file='{}'/><target dev='{}' bus='scsi'/></disk>"
# The guest is a boot sector that stands still (hlt, jmp): it hears no power button and no request to let go of a card.
STILL = b"\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa"
# One that reads its own sector from the disk it booted from, by the BIOS, again and again.
READS = bytes.fromhex("31c0 8ec0 bb007e b80102 b90100 b600 cd13 ebf4").ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture(params=[virsh, drover], ids=["virsh", "drover"])
def say(request, daemon):
    """Run a command with one of the two clients; what it printed. check=False: its complaint, which it must have."""
    def said(command, *options, check=True, uri=daemon.uri()):
        done = request.param(uri, command, *options)
        assert (done.status == 0) == check, done
        assert check or "error: " in done.err, done
        return done.out if check else done.err
    return said


@pytest.fixture()
def files(place):
    for name, data in (("boot", STILL), ("other", bytes(1 << 20)), ("third", bytes(1 << 20))):
        (place / name).write_bytes(data.ljust(1 << 20, b"\0"))
    return place


def definition(files, name="c", extra=""):
    return (f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu><os>"
            "<type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>"
            "<controller type='scsi' index='0' model='virtio-scsi'/><controller type='usb' model='none'/>"
            f"{DISK.format(files / 'boot', 'sda')}"
            "<disk type='file' device='cdrom'><target dev='sdb' bus='scsi'/><readonly/></disk>"
            "<interface type='ethernet'><mac address='52:54:00:00:0c:01'/><model type='virtio'/></interface>"
            f"{extra}</devices></domain>")


@pytest.fixture()
def guest(daemon, files):
    """The definition of a guest that is registered and off; gone afterwards."""
    file = files / "c.xml"
    file.write_text(definition(files))
    daemon.virsh("define", file)
    yield file
    daemon.virsh("destroy", "c", check=False)
    daemon.virsh("undefine", "c", "--managed-save", check=False)


def names(say, *options):
    return set(say(["list", "--name", *options]).split())


def fields(text):
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines()) if value}


def dumped(say, *options):
    return ET.fromstring(say(["dumpxml", "c", *options]))


def vcpu_threads(pid):
    return {task for task, name in threads(pid).items() if "CPU" in name}


def resident_kib(pid):
    """Of the guest's memory, which is the one mapping of its size."""
    guest = re.search(r"\nSize: +65536 kB\n(?:\w+: .*\n)*?Rss: +(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps").read_text())
    return int(guest[1])


def cpu_ticks(tasks):
    return [(task / "stat").read_text().rpartition(")")[2].split()[11:13] for task in tasks]


def test_every_command_is_known_and_explained(say):
    """LIFE-02, LIFE-03, LIFE-04: the tables' names, each with its help."""
    known = {line.split()[0] for line in say("help").splitlines() if line.startswith("    ")}
    assert set(TABLES.split()) <= known
    for name in TABLES.split():
        text = say(f"help {name}")
        assert re.search(rf"NAME\n +{name} - \S", text) and "SYNOPSIS" in text, text
        assert "OPTIONS" in text or name in ("quit", "nodeinfo", "capabilities"), text


def test_what_is_listed_where(say, guest, files):
    """LIFE-09, LIFE-10, LIFE-15, LIFE-16, LIFE-17, CON-27: registered, running, and gone with its end when it is transient."""
    assert names(say) == set() and names(say, "--inactive") == names(say, "--all") == {"c"}
    row, = [line.split() for line in say("list --all").splitlines()[2:] if line]
    assert say("list").split()[:3] == ["Id", "Name", "State"] and row == ["-", "c", "shut", "off"]
    (files / "once.xml").write_text(definition(files, "once").replace(DISK.format(files / "boot", "sda"), ""))
    say(["create", str(files / "once.xml")])
    assert names(say) == {"once"} and names(say, "--inactive") == {"c"} and names(say, "--all") == {"c", "once"}
    say("destroy once")
    assert names(say, "--all") == {"c"}
    assert "Domain 'c' started" in say("start c") and names(say) == {"c"} and names(say, "--inactive") == set()
    assert "already active" in say("start c", check=False)
    assert say("domstate c").strip() == "running"


def test_its_own_definition_makes_it_again(say, guest, files):
    """LIFE-14, LIFE-27, CON-26: dumpxml, undefine, define; what it has on disks stays where it is."""
    first, again = say("dumpxml c"), files / "again.xml"
    again.write_text(first)
    say("undefine c")
    assert names(say, "--all") == set() and (files / "boot").read_bytes()[:3] == STILL[:3]
    assert "defined from" in say(["define", str(again)])
    assert say("dumpxml c") == first
    say(["pool-create-as", "images", "dir", "--target", str(files)])
    try:
        assert "removed" in say("undefine c --remove-all-storage")
        assert not (files / "boot").exists()
    finally:
        say("pool-destroy images")


def test_a_reader_reads_and_stops_nothing(say, daemon, guest):
    """LIFE-04, LIFE-07, LIFE-08, REM-21: the read-only socket, which anybody may use, and --readonly."""
    daemon.virsh("start", "c")
    assert os.stat(daemon.socket(readonly=True)).st_mode & 0o777 == 0o777
    uri = f"qemu+unix:///system?socket={daemon.socket(readonly=True)}"
    assert say("list --name", "-r", uri=uri).split() == ["c"] and fields(say("dominfo c", "-r", uri=uri))["State"] == "running"
    for command in ("destroy c", "suspend c", "undefine c", "setmem c 32768"):
        assert "read only" in say(command, "-r", uri=uri, check=False)
    assert "read only" in say([f"connect '{daemon.uri()}' --readonly; suspend c"], check=False)
    assert "running" in say("domstate c")


def test_a_suspended_guest_stands_still(say, guest, dom_of, files):
    """LIFE-19, LIFE-20: memory stays, processors and counters stand, and afterwards its definition is what it was."""
    (files / "boot").write_bytes(READS.ljust(1 << 20, b"\0"))
    say("start c")
    dom = dom_of("c")
    pid, = processes(dom.UUIDString())
    before, threads = say("dumpxml c"), vcpu_threads(pid)

    def reads_on():
        seen = dom.blockStats("sda")[0]
        wait_for("it to read its disk", lambda: dom.blockStats("sda")[0] > seen + 50)
    reads_on()
    say("suspend c")
    assert "paused" in say("domstate c")

    def seen():
        return cpu_ticks(threads), resident_kib(pid), dom.blockStats("sda")[:4], dom.interfaceStats("52:54:00:00:0c:01")[4:]
    still = wait_for("its threads to have come to rest", lambda: (now := seen()) == seen() and now)
    for _ in range(100):  # each asks QEMU, which would go on meanwhile
        assert seen() == still
    say("resume c")
    assert "running" in say("domstate c") and say("dumpxml c") == before
    reads_on()


@pytest.fixture()
def dom_of(daemon):
    conn = libvirt.open(daemon.uri())
    yield conn.lookupByName
    conn.close()


def test_save_and_restore_keep_all_but_the_number(say, guest, files):
    """LIFE-21, LIFE-22: the file is there and QEMU is not; then the same guest has another Id."""
    say("start c")
    uuid, number, image = say("domuuid c").strip(), int(say("domid c")), files / "saved"
    qemu, = processes(uuid)
    assert "saved to" in say(["save", "c", str(image)])
    assert image.stat().st_size > 0 and say("domstate c").strip() == "shut off"
    assert not os.path.exists(f"/proc/{qemu}") and processes(uuid) == []
    say(["restore", str(image)])
    assert say("domuuid c").strip() == uuid and int(say("domid c")) != number and processes(uuid)


def test_a_guest_that_knows_no_acpi_goes_on(say, guest):
    """LIFE-23: the request is made, that is all; LIFE-13. It can be ended so that QEMU writes what it still has."""
    say("start c")
    assert "is being shutdown" in say("shutdown c")
    assert "running" in say("domstate c")
    assert "destroyed" in say("destroy c --graceful") and say("domstate c --reason").strip() == "shut off (destroyed)"


def test_id_name_and_uuid_lead_to_each_other(say, guest):
    """LIFE-28, LIFE-01."""
    uuid = say("domuuid c").strip()
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
    assert say("domid c").strip() == "-"
    say("start c")
    number = say("domid c").strip()
    for spelling in ("c", number, uuid, uuid.replace("-", "")):
        assert fields(say(f"dominfo {spelling}"))["UUID"] == uuid
    for command, spellings, answer in (("domid", ("c", uuid), number), ("domname", (number, uuid), "c"), ("domuuid", ("c", number), uuid)):
        assert [say(f"{command} {spelling}").strip() for spelling in spellings] == [answer] * 2


def test_dominfo_has_all_nine(say, guest):
    """LIFE-29."""
    say("start c")
    info = fields(say("dominfo c"))
    assert info["Name"] == "c" and info["UUID"] == say("domuuid c").strip() and info["Id"] == say("domid c").strip()
    assert info["OS Type"] == "hvm" and info["State"] == "running" and info["CPU(s)"] == "1"
    assert re.fullmatch(r"\d+\.\ds", info["CPU time"])
    assert info["Max memory"] == "65536 KiB" and info["Used memory"] == "65536 KiB"


def test_versions_are_told(say):
    """LIFE-48."""
    said = say("version --daemon")
    for line in (r"Using library: (libvirt|drover) \d+\.\d+\.\d+", r"Using API: QEMU \d+\.\d+\.\d+", r"Running hypervisor: QEMU \d+\.\d+\.\d+",
                 r"Running against daemon: \d+\.\d+\.\d+"):
        assert re.search(line, said), said


def test_capabilities_of_the_host(say):
    """LIFE-31, CPU-06: what a client looks for, and the cells' processors as the kernel numbers them."""
    host = ET.fromstring(say("capabilities")).find("host")
    assert host.findtext("cpu/arch") == os.uname().machine
    assert host.find("migration_features/live") is not None
    assert "tcp" in [e.text for e in host.findall("migration_features/uri_transports/uri_transport")]
    assert host.findtext("secmodel/model") and host.find("secmodel/doi") is not None
    online = subprocess.run(["lscpu", "-p=CPU,NODE"], capture_output=True, text=True, check=True).stdout
    kernel = sorted(tuple(int(n or 0) for n in line.split(",")) for line in online.splitlines() if line[0] != "#")
    cells = host.findall("topology/cells/cell")
    assert host.find("topology/cells").get("num") == str(len(cells))
    assert sorted((int(cpu.get("id")), int(cell.get("id"))) for cell in cells for cpu in cell.findall("cpus/cpu")) == kernel
    assert all(cell.find("cpus").get("num") == str(len(cell.findall("cpus/cpu"))) for cell in cells)


def test_virtual_processors_go_anywhere_until_they_are_pinned(say, guest, daemon):
    """LIFE-37, CPU-04, CPU-09, CPU-11: all y; then lists, ranges and exclusions; without a list it is shown."""
    say("start c")
    conn = libvirt.open(daemon.uri())
    host = conn.getCPUMap()[1]
    conn.close()
    assert fields(say("vcpuinfo c"))["CPU Affinity"] == "".join("y" if online else "-" for online in host)
    last = len(host) - 1
    for given, meant in ((f"0-{last}", range(last + 1)), ("0", [0]), (f"0-{last},^{last}", range(last)), (f"0,{last}", {0, last})):
        if given.endswith(f"^{last}") and last == 0:
            continue
        say(f"vcpupin c 0 {given}")
        pinned, = [line.split()[1] for line in say("vcpupin c 0").splitlines() if line.split()[:1] == ["0"]]
        shown = {n for part in pinned.split(",") for n in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)}
        assert shown == set(meant)
        assert fields(say("vcpuinfo c"))["CPU Affinity"] == "".join("y" if n in shown else "-" for n in range(last + 1))
    assert "error" in say("vcpupin c 0 9999", check=False)


def test_memory_of_a_running_guest_is_that_of_its_start(say, guest, daemon):
    """DOM-04: an edited definition is for the next boot."""
    say("start c")
    guest.write_text(say("dumpxml c --inactive").replace("65536", "32768"))
    say(["define", str(guest)])
    assert dumped(say).findtext("memory") == "65536" and dumped(say, "--inactive").findtext("memory") == "32768"
    say("destroy c")
    say("start c")
    assert dumped(say).findtext("memory") == "32768"
    assert f"{32 << 20:#x}" in hex(int(re.search(r'"size":(\d+)', daemon.virsh(
        "qemu-monitor-command", "c", '{"execute":"query-memdev"}').replace(" ", ""))[1]))


def test_disks_come_and_go(say, guest, files):
    """LIFE-03, LIFE-38, LIFE-39, LIFE-40, LIFE-44, LIFE-45: by words and by XML; read-only; a target is used once; a medium is swapped."""
    say("start c")
    targets = functools.partial(lambda: {line.split()[0] for line in say("domblklist c").splitlines()[2:] if line})
    assert "attached successfully" in say(["attach-disk", "c", str(files / "other"), "sdc", "--driver", "qemu", "--targetbus", "scsi",
                                           "--mode", "readonly"])
    disk, = [d for d in dumped(say).iter("disk") if d.find("target").get("dev") == "sdc"]
    assert disk.find("readonly") is not None and disk.find("driver").get("name") == "qemu"
    assert "sdc" in say(["attach-disk", "c", str(files / "third"), "sdc", "--targetbus", "scsi"], check=False)
    assert int(fields_of_stat(say("domblkstat c sdc"))["rd_req"]) >= 0
    assert "detached successfully" in say("detach-disk c sdc")
    wait_for("the disk to be gone", lambda: targets() == {"sda", "sdb"})

    device = files / "device.xml"
    device.write_text(DISK.format(files / "other", "sdd"))
    before = say("dumpxml c")
    assert "Device attached successfully" in say(["attach-device", "c", str(device)])
    assert "sdd" in say("dumpxml c")
    assert "Device detached successfully" in say(["detach-device", "c", str(device)])
    wait_for("the definition to be what it was", lambda: say("dumpxml c") == before)
    device.write_text(f"<disk type='file' device='cdrom'><source file='{files / 'third'}'/><target dev='sdb' bus='scsi'/><readonly/></disk>")
    assert "Device updated successfully" in say(["update-device", "c", str(device)])
    assert str(files / "third") in say("domblklist c")


def fields_of_stat(text):
    return dict(line.split()[1:3] for line in text.splitlines() if len(line.split()) == 3)


def test_sizes_change(say, guest):
    """LIFE-03: setmem, setmaxmem and setvcpus; LIFE-34, LIFE-35. LIFE-33: by either name. LIFE-36: what runs keeps its maximum."""
    say("start c")
    say("setvcpus c 2")
    assert fields(say("dominfo c"))["CPU(s)"] == "2"
    say("setmem c 49152 --config")
    say("setmaxmem c 131072 --config")
    after = dumped(say, "--inactive")
    assert after.findtext("memory") == "131072" and after.findtext("currentMemory") == "49152"
    assert dumped(say).findtext("memory") == "65536"
    tap = dumped(say).find("devices/interface/target").get("dev")
    for card in (tap, "52:54:00:00:0c:01"):
        assert set(fields_of_stat(say(f"domifstat c {card}"))) == {f"{way}_{what}" for way in ("rx", "tx") for what in
                                                                   ("bytes", "packets", "errs", "drop")}
    say("setmem c 65536 --live")
    assert say("setmem c 999999 --live", check=False) and say("setvcpus c 3", check=False)


def test_little_memory_is_warned_of(daemon, guest):
    """LIFE-35: by drover, which does as it is told all the same."""
    for size, warned in (("65535", True), ("65536", False)):
        done = drover(daemon.uri(), f"setmem c {size} --config")
        assert done.status == 0 and ("less than 65536 KiB" in done.err) == warned
        assert f"<currentMemory unit='KiB'>{size}<" in daemon.virsh("dumpxml", "c")


@pytest.mark.parametrize("program", [virsh, drover])
def test_what_is_edited_is_kept(program, guest, daemon):
    """LIFE-04, LIFE-18: edit applies what the editor left, to the next start of one that runs; after a broken change the guest is
    what it was."""
    assert "edited" in program(daemon.uri(), "edit c", env={"EDITOR": "sed -i s/65536/98304/"}).out
    edited = daemon.virsh("dumpxml", "c")
    assert ">98304</memory>" in edited
    refused = program(daemon.uri(), "edit c", env={"EDITOR": "sed -i s/hvm/nonsense/"})
    assert "error: " in refused.err and daemon.virsh("dumpxml", "c") == edited
    daemon.virsh("start", "c")
    assert "edited" in program(daemon.uri(), "edit c", env={"EDITOR": "sed -i s/98304/81920/"}).out
    assert ">81920</memory>" in daemon.virsh("dumpxml", "c", "--inactive") and ">98304</memory>" in daemon.virsh("dumpxml", "c")


def test_marks_of_autostart(say, guest, daemon, files):
    """LIFE-46, LIFE-47: set and taken away; a transient guest has none."""
    link = daemon.base / "etc" / "qemu" / "autostart" / "c.xml"
    assert "Domain 'c' marked as autostarted" in say("autostart c") and link.is_symlink()
    assert fields(say("dominfo c"))["Autostart"] == "enable"
    assert "Domain 'c' unmarked as autostarted" in say("autostart --disable c") and not link.exists()
    assert fields(say("dominfo c"))["Autostart"] == "disable"
    daemon.virsh("start", "c")
    daemon.virsh("undefine", "c")
    assert "transient" in say("autostart c", check=False)


def test_a_reboot_is_for_guests_that_run(say, guest):
    """LIFE-02, CON-52: start is what boots a guest that is off."""
    assert "not running" in say("reboot c", check=False)
    say("start c")
    assert "is being rebooted" in say("reboot c")


def test_a_job_that_is_not_there(say, guest):
    """LIFE-04: domjobinfo of a guest that does nothing of the kind."""
    assert "None" in say("domjobinfo c")


def test_what_is_printed_is_valid_by_the_schemas_of_stock_tools(say, daemon, guest, files):
    """virt-xml-validate: of a guest that runs and of its configuration, of the host, and of every other kind of object."""
    guest.write_text(definition(files, extra="<serial type='pty'/><graphics type='vnc' port='-1'/><video><model type='vga'/></video>"
                                             "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
                                             "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
                                             "<input type='keyboard' bus='ps2'/><watchdog model='i6300esb' action='reset'/>"))
    say("undefine c")
    say(["define", str(guest)])
    say("start c")
    (files / "net.xml").write_text("<network><name>n</name><forward mode='nat'/><ip address='10.9.8.1' prefix='24'>"
                                   "<dhcp><range start='10.9.8.2' end='10.9.8.9'/></dhcp></ip></network>")
    (files / "secret.xml").write_text("<secret ephemeral='yes'><usage type='volume'><volume>/v</volume></usage></secret>")
    say(["net-define", str(files / "net.xml")])
    say(["pool-create-as", "p", "dir", "--target", str(files)])
    secret = re.search(r"[0-9a-f-]{36}", say(["secret-define", str(files / "secret.xml")]))[0]
    try:
        for schema, command in (("domain", "dumpxml c"), ("domain", "dumpxml c --inactive"), ("domain", "dumpxml c --migratable"),
                                ("domain", "dumpxml c --security-info"), ("capability", "capabilities"),
                                ("domaincaps", "domcapabilities"), ("network", "net-dumpxml n"), ("storagepool", "pool-dumpxml p"),
                                ("storagepoolcaps", "pool-capabilities"), ("storagevol", "vol-dumpxml other p"),
                                ("secret", f"secret-dumpxml {secret}"), ("interface", "iface-dumpxml lo")):
            said = say(command)
            (files / "said.xml").write_text(schemas.without_dots(said) if schema == "capability" else said)
            done = subprocess.run(["virt-xml-validate", files / "said.xml", schema], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    finally:
        for command in ("net-undefine n", "pool-destroy p", f"secret-undefine {secret}"):
            say(command)
