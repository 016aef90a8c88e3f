"""drover with a real guest, on droverd and on a stock libvirtd: reading as virsh reads, changing, moving (LIFE, MIG)."""
import contextlib
import json
import os
import pty
import re
import select
import signal

import pytest
from cli import TRIES
from waiting import wait_for

from lab import domains
from lab.hosts import Lab
from lab.paths import PROGRAMS
from lab.pulse import Pulse

DROVER = PROGRAMS / "drover"
URI = "qemu:///system"
VIRSH = ["virsh", "-q", "-c", URI]

# Asked of a running guest with a disk, a network card and a screen.
SAME = """
list | list --all --title | list --uuid | domstate g --reason | domid g | domuuid g | domname 1 | domcontrol g
domblklist g | domblklist g --details | domiflist g | domblkinfo g vda | domblkinfo g vda --human | domblkinfo g --all
domblkinfo g --all --human | domif-getlink g 52:54:00:11:22:33 | domblkerror g | dumpxml g | dumpxml g --inactive
dumpxml g --xpath //devices/disk | dumpxml g --xpath //disk --wrap | dumpxml g --migratable | dumpxml g --security-info
vcpucount g | vcpucount g --maximum --live | vcpupin g | vcpupin g 0 | emulatorpin g | iothreadinfo g | schedinfo g
memtune g | numatune g | blkdeviotune g vda | domiftune g 52:54:00:11:22:33 | domjobinfo g | domjobinfo g --completed
domdisplay g | vncdisplay g | ttyconsole g | desc g | desc g --title | metadata g http://nobody | domfsinfo g | domhostname g
guestinfo g | domtime g | domifaddr g --source arp | domifaddr g --source agent | migrate-getspeed g
migrate-getmaxdowntime g | migrate-compcache g | hostname | uri | nodeinfo | nodecpumap | freepages 0 4 --foo | maxvcpus
capabilities | domcapabilities | cpu-models x86_64 | sysinfo | domxml g | managedsave-remove g | managedsave-dumpxml g
qemu-monitor-command g --hmp info status | qemu-agent-command g {"execute":"guest-ping"}
detach-disk g vda --print-xml | change-media g sda --eject --print-xml | change-media g sda /mnt/shared/d.img --print-xml
domif-setlink g 52:54:00:11:22:33 down --print-xml | detach-interface g user --print-xml | guestvcpus g
node-memory-tune | blkiotune g | domstats g --state | domstats g --vcpu --balloon --foo | cpu-baseline /root/cpu.xml
cpu-compare /root/cpu.xml | hypervisor-cpu-compare /root/cpu.xml | start g | undefine nosuch | domblkstat g nosuch
domifstat g nosuch | setvcpus g 99 | attach-disk g /mnt/shared/d.img vda | send-key g KEY_NOSUCH
migrate g | migrate nosuch qemu:///system --live
migrate g qemu+tcp://b/system --timeout 1 | migrate g qemu+tcp://b/system --live --offline
"""
COUNTERS = """
dominfo g | domblkstat g vda | domblkstat g | domblkstat g vda --human | dommemstat g | domstats g | domstats
vcpuinfo g | vcpuinfo g --pretty | nodecpustats | nodememstats | freecell | freecell --all | freepages --all | cpu-stats g
cpu-stats g --total | list --all | qemu-monitor-command g {"execute":"query-status"}
qemu-monitor-command g --pretty {"execute":"query-name"} | qemu-monitor-command g {"execute":"query-status","id":"x"}
"""
DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/mnt/shared/d.img'/>
<target dev='vda' bus='virtio'/></disk><disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>
<graphics type='vnc' port='5901' listen='127.0.0.1'/><video><model type='vga'/></video><input type='keyboard' bus='usb'/>
<controller type='usb' model='qemu-xhci'/>"""
SECOND = """<disk type='file' device='disk'><source file='/mnt/shared/e.img'/><target dev='vdb' bus='virtio'/></disk>"""


def commands(text):
    return [command.strip() for line in text.strip().splitlines() for command in line.split(" | ")]


def shape(text):
    return re.sub(r"[ -]+", " ", re.sub(r"[0-9]+(\.[0-9]+)?", "0", text))


def drover(host, *words, options=(), check=True, **more):
    return host.run([DROVER, "-c", URI, *options, *words], check=check, **more)


def images(lab):
    for name in ("d.img", "e.img", "f.img"):
        with open(lab.shared / name, "wb") as image:
            image.truncate(16 << 20)


def guest(host, name="g", uri=URI, devices="", **settings):
    xml = domains.linux(name, devices=devices, **settings)
    if "model='qemu-xhci'" in devices:
        xml = xml.replace("<controller type='usb' model='none'/>", "")
    host.write_file(f"/root/{name}.xml", xml)
    return f"/root/{name}.xml"


def start_daemon(host, kind):
    if kind == "libvirtd":
        host.libvirtd()
    else:
        host.droverd({"listen_tcp": 1, "auth_tcp": "none"})


@pytest.fixture(scope="module", params=["libvirtd", "droverd"])
def world(request):
    """Two hosts that run the same daemon, for all tests of it."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        images(lab)
        for name in ("a", "b"):
            start_daemon(lab.host(name, stock=request.param == "libvirtd"), request.param)
        yield lab


@pytest.fixture()
def lab(world, logs_of):
    """The same without guests."""
    yield world
    logs_of(world)
    for host in world.hosts.values():
        for name in host.virsh("list", "--name").split():
            host.run([*VIRSH, "destroy", name], check=False)
        for name in host.virsh("list", "--all", "--name").split():
            host.run([*VIRSH, "undefine", name, "--managed-save"], check=False)


@pytest.fixture()
def host(lab):
    return lab.hosts["a"]


@pytest.fixture()
def pair_of(lab):
    return [lab.hosts[name] for name in ("a", "b")]


def both(host, command):
    words = command.split()
    ours = host.run([DROVER, "-c", URI, *words], check=False)
    theirs = host.run(["virsh", "-c", URI, *words], check=False)
    return ours, theirs


@pytest.mark.limit(240)
def test_what_drover_reads_is_what_virsh_reads(host):
    host.virsh("define", guest(host, devices=DISK))
    host.write_file("/root/cpu.xml", "<cpu><arch>x86_64</arch><model>Nehalem</model></cpu>")
    drover(host, "start", "g")
    different = []
    for text, of in ((SAME, str), (COUNTERS, shape)):
        for command in commands(text):
            for _ in range(TRIES):
                ours, theirs = both(host, command)
                same = [of(getattr(ours, part)) == of(getattr(theirs, part)) for part in ("stdout", "stderr")]
                if all(same) and ours.returncode == theirs.returncode:
                    break
            else:
                different.append(f"== {command}\n-- drover {ours.returncode}\n{ours.stdout}{ours.stderr}"
                                 f"-- virsh {theirs.returncode}\n{theirs.stdout}{theirs.stderr}")
    assert not different, "\n".join(different)


@pytest.mark.limit(240)
def test_a_guest_is_changed_through_its_whole_life(request, lab, host):
    inside, outside = lab.socket("port")
    with Pulse(outside) as pulse:
        define_it(host, guest(host, devices=DISK, port=inside, touch=1))
        start_it(host, pulse)
        tune_it(host)
        change_its_devices(host)
        type_and_look(host)
        save_it(host)
        if "libvirtd" in request.node.name:
            drover(host, "dump", "g", "/mnt/shared/core", "--memory-only", "--live", timeout=120)
    drover(host, "destroy", "g")
    drover(host, "undefine", "g")
    assert "g" not in drover(host, "list", "--all", "--name").stdout.split()


def state(host):
    return drover(host, "domstate", "g").stdout.strip()


def define_it(host, path):
    assert f"Domain 'g' defined from {path}" in drover(host, "define", path).stdout
    assert state(host) == "shut off"
    drover(host, "setmaxmem", "g", "256M", "--config")
    drover(host, "setvcpus", "g", "2", "--config", "--maximum")
    drover(host, "desc", "g", "--config", "--title", "a", "title")
    drover(host, "metadata", "g", "http://x", "--key", "k", "--set", "<a/>", "--config")
    assert drover(host, "desc", "g", "--title").stdout == "a title\n\n"
    drover(host, "autostart", "g")
    drover(host, "autostart", "g", "--disable")
    drover(host, "domrename", "g", "h")
    drover(host, "domrename", "h", "g")


def start_it(host, pulse):
    drover(host, "start", "g", "--paused")
    assert state(host) == "paused"
    drover(host, "resume", "g")
    pulse.wait("^touched", 60)
    drover(host, "suspend", "g")
    drover(host, "resume", "g")
    assert state(host) == "running"


def tune_it(host):
    drover(host, "blkdeviotune", "g", "vda", "--total-bytes-sec", "1M")
    assert "total_bytes_sec: 1048576" in drover(host, "blkdeviotune", "g", "vda").stdout
    drover(host, "setmem", "g", "100M")
    drover(host, "vcpupin", "g", "0", "0")
    drover(host, "iothreadadd", "g", "3")
    assert " 3 " in drover(host, "iothreadinfo", "g").stdout


def change_its_devices(host):
    host.write_file("/root/e.xml", SECOND)
    for attached, command in ((True, ["attach-device", "g", "/root/e.xml"]), (False, ["detach-device", "g", "/root/e.xml"]),
                              (True, ["attach-disk", "g", "/mnt/shared/e.img", "vdb", "--cache", "none"])):
        drover(host, *command)
        wait_for("the disk", lambda attached=attached: ("vdb" in drover(host, "domblklist", "g").stdout) == attached)
    drover(host, "change-media", "g", "sda", "/mnt/shared/f.img")
    drover(host, "change-media", "g", "sda", "--eject")
    drover(host, "domif-setlink", "g", "52:54:00:11:22:33", "down")
    assert "down" in drover(host, "domif-getlink", "g", "52:54:00:11:22:33").stdout


def type_and_look(host):
    drover(host, "send-key", "g", "KEY_LEFTCTRL", "KEY_C")
    drover(host, "inject-nmi", "g")

    def picture():
        assert "type of image/" in drover(host, "screenshot", "g", "/root/shot").stdout
        return host.path("/root/shot").read_bytes()[:2] in (b"P6", b"\x89P")

    wait_for("a picture", picture)  # the stock daemon's first one can be empty
    drover(host, "reset", "g")


def save_it(host):
    drover(host, "save", "g", "/mnt/shared/saved", timeout=120)
    assert state(host) == "shut off"
    assert "<name>g</name>" in drover(host, "save-image-dumpxml", "/mnt/shared/saved").stdout
    drover(host, "restore", "/mnt/shared/saved", timeout=120)
    drover(host, "managedsave", "g", timeout=120)
    assert "saved" in drover(host, "list", "--all", "--managed-save").stdout
    drover(host, "managedsave-remove", "g")
    drover(host, "start", "g")


@pytest.mark.limit(180)
def test_a_console_carries_both_ways_until_the_escape_key(host):
    drover(host, "create", guest(host, beat=200))
    said = drover(host, "console", "g", input="\x1d", check=False, options=["-e", "^]"])
    assert said.returncode == 0 and said.stdout.startswith("Connected to domain 'g'\n") and "^]" in said.stdout
    process = host.popen([DROVER, "-c", URI, "console", "g"], stdin=-1, stdout=-1, text=True)
    for line in process.stdout:
        if "beat" in line:
            break
    process.stdin.write("\x1d")
    process.stdin.flush()
    assert process.wait(120) == 0


@pytest.mark.limit(180)
def test_events_are_seen_as_they_come(host):
    watch = [DROVER, "-c", URI]
    process = host.popen([*watch, "event", "--all", "--loop", "--timeout", "900"], stdout=-1, text=True)
    monitor = host.popen([*watch, "qemu-monitor-event", "--event", "STOP", "--timeout", "900"], stdout=-1, text=True)

    def begun():
        host.virsh("define", guest(host))
        host.virsh("undefine", "g")
        return select.select([process.stdout], [], [], 0)[0]

    wait_for("an event to be seen", begun)
    host.virsh("create", guest(host))

    def cause():
        host.virsh("suspend", "g")
        host.virsh("resume", "g")
        return monitor.poll() is not None

    wait_for("the monitor's event", cause)
    assert re.match(r"event STOP for domain 'g': ", monitor.stdout.read())
    host.virsh("destroy", "g")
    for expected in ("Started Booted", "Suspended Paused", "Resumed Unpaused", "Stopped Destroyed"):
        assert any(expected in line for line in iter(process.stdout.readline, ""))
    host.kill("drover", signal.SIGINT)
    assert process.wait(120) == 0 and "event loop interrupted" in process.stdout.read()


def names(host, *options):
    return host.virsh("list", "--name", *options).split()


@pytest.mark.limit(240)
@pytest.mark.parametrize("how", [[], ["--live", "--p2p", "--tunneled"], ["--live", "--max-pause", "200"],
                                 ["--live", "--persistent", "--undefinesource", "--verbose", "--dname", "other"],
                                 ["--suspend", "--live", "--parallel", "--parallel-connections", "2"]])
def test_drover_moves_a_guest_between_two_daemons(lab, pair_of, how):
    a, b = pair_of
    inside, outside = lab.socket("port")
    name = "other" if "--dname" in how else "g"
    with Pulse(outside) as pulse:
        # not Linux, which a slow move under TCG may panic (test_migrate_refusals.running says why)
        xml = domains.bare("g", touch_mib=24, dirty_mib_s=0, beat_ms=10, port=inside, kind="qemu", random=True)
        a.write_file("/root/g.xml", xml)
        a.virsh("define", "/root/g.xml")
        a.virsh("start", "g")
        pulse.wait("^beat 00000100", 60)
        said = drover(a, "migrate", "g", "qemu+tcp://b/system", *how, timeout=120)
        assert names(a) == [] and names(b) == [name] and said.stdout == "\n"
        assert "Migration: [100 %]" in said.stderr if "--verbose" in how else said.stderr == ""
        assert (names(b, "--all", "--persistent") == [name]) == ("--persistent" in how)
        assert (names(a, "--all") == []) == ("--undefinesource" in how)
        if "--suspend" in how:
            assert b.virsh("domstate", name).strip() == "paused"
            b.virsh("resume", name)
            pulse.wait("^beat", 60)
        else:
            right, line = pulse.verify()
            assert right, line


@pytest.mark.limit(180)
def test_a_definition_moves_offline_and_a_refusal_leaves_all_as_it_was(pair_of):
    a, b = pair_of
    a.virsh("define", guest(a))
    refused = drover(a, "migrate", "g", "qemu+tcp://b/system", "--live", check=False)
    assert refused.returncode == 1 and "is not running" in refused.stderr
    drover(a, "migrate", "g", "qemu+tcp://b/system", "--offline", "--persistent")
    assert names(a, "--all") == ["g"] and names(b, "--all") == ["g"]
    b.virsh("undefine", "g")
    a.virsh("start", "g")
    b.write_file("/root/g.xml", a.read_file("/root/g.xml"))
    b.virsh("create", "/root/g.xml")
    clash = drover(a, "migrate", "g", "qemu+tcp://b/system", "--live", check=False)
    assert clash.returncode == 1 and "already" in clash.stderr
    direct = drover(a, "migrate", "g", "qemu+tcp://b/system", "--live", "--direct", check=False)  # MIG-33
    assert (direct.returncode, direct.stderr) == (1, "error: direct migration is not supported by the source\n")
    assert a.virsh("domstate", "g").strip() == "running" == b.virsh("domstate", "g").strip()


def read_terminal(fd):
    """All that was written to a terminal which nobody has open any more."""
    said = b""
    with contextlib.suppress(OSError):  # that is how its end is told
        while piece := os.read(fd, 4096):
            said += piece
    os.close(fd)
    return said.decode()


BAR = re.compile(r"\r(\[[=> ]+\])? *\d+ %  \S+ \S+/s  left \S+ \S+  dirty \S+ \S+/s  pause \d+ ms  ETA [-0-9]+:[-0-9]+\x1b\[K")


@pytest.mark.limit(180)
def test_an_interrupted_migration_leaves_the_guest_where_it_is(lab, pair_of):
    """On a terminal, where its figures are shown: they are gone when it says why it ended."""
    a, b = pair_of
    a.virsh("create", guest(a))
    terminal, inside = pty.openpty()
    process = a.popen([DROVER, "-c", URI, "migrate", "g", "qemu+tcp://b/system", "--live", "--bandwidth", "1"], stderr=inside)
    os.close(inside)

    def job():
        return json.loads(drover(a, "domjobinfo", "g", options=["-o", "json"]).stdout)

    wait_for("the migration", lambda: job().get("memory_processed", 0) > 0)
    assert job()["job_type"] == "Unbounded" and "Memory total:" in drover(a, "domjobinfo", "g").stdout
    shown = b""
    while not re.search(rb"ETA \S+\x1b", shown):
        shown += os.read(terminal, 4096)
    a.kill("drover", signal.SIGINT)
    assert process.wait(120) == 1
    said = shown.decode() + read_terminal(terminal)
    assert BAR.search(said), said
    assert re.search(r"\r\x1b\[Kerror: .*cancel[^\r\n]*\r\n\Z", said), said
    assert a.virsh("domstate", "g").strip() == "running" and names(b) == []
