"""Moves between two droverd that are refused, aborted or carry disks, through stock virsh (MIG rows)."""
import contextlib
import json

import pytest
from waiting import wait_for

from lab import domains
from lab.paths import LabError
from lab.pulse import Pulse

TO_B = "qemu+tcp://b/system"


def guests_of(host, *options):
    return host.virsh("list", "--name", *options).split()


def state_of(host, name, *options):
    return host.virsh("domstate", name, *options).strip()


def states(pair):
    """Of g on a and on b; None: it is not there, or no more. b is asked first: g goes there, and may arrive in between."""
    on_b, on_a = (host.virsh("domstate", "g", check=False).strip() or None for host in (pair.b, pair.a))
    assert on_a != "running" or on_b != "running", "the guest runs twice"
    return [on_a, on_b]


def payload_kind(host):
    """What the host's daemon runs the payload as."""
    return "kvm" if "<domain type='kvm'" in host.virsh("capabilities") else "qemu"


@contextlib.contextmanager
def running(pair, name="g", verb="create", paused=False, **settings):
    """A guest on host a that beats; the Pulse that hears it.

    The bare payload, not Linux: under TCG QEMU 7.2 forgets stores of a guest that runs while its memory is sent, which
    a kernel does not survive when that takes long (raw QEMU does it too). This one writes only to counters, to a stack
    that holds the same in each tick, and waits with nothing on it: stores that are forgotten make no difference.
    """
    inside, outside = pair.lab.socket(f"{name}.port")
    settings = {"touch_mib": 24, "dirty_mib_s": 0, "beat_ms": 10, "random": True, **settings}
    xml = domains.bare(name, port=inside, kind=payload_kind(pair.a), **settings)
    pair.a.write_file(f"/root/{name}.xml", xml)
    with Pulse(outside) as pulse:
        if verb == "define":
            pair.a.virsh("define", f"/root/{name}.xml")
            pair.a.virsh("start", name)
        else:
            pair.a.virsh("create", f"/root/{name}.xml")
        pulse.wait("^beat ", 90)
        if paused:
            pair.a.virsh("suspend", name)
        yield pulse


def check_moved(pair, pulse, name="g"):
    """It runs on b alone, and no page was lost."""
    assert name not in guests_of(pair.a) and name in guests_of(pair.b)
    right, line = pulse.verify()
    assert right, line


@pytest.mark.limit(180)
def test_a_paused_guest_stays_paused(pair):
    with running(pair, paused=True) as pulse:
        pair.a.virsh("migrate", "--live", "g", TO_B)
        assert state_of(pair.b, "g") == "paused" and guests_of(pair.a) == []
        pair.b.virsh("resume", "g")
        right, line = pulse.verify()
        assert right, line


def add_disk(path, cache="none"):
    return (f"<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='{cache}'/><source file='{path}'/>"
            "<target dev='vdb' bus='virtio'/></disk>")


@pytest.mark.limit(240)
def test_a_local_disk_is_refused_or_copied(pair):
    """MIG-15, MIG-41, MIG-45, STO-05, CON-40: named in the refusal; the copy is identical afterwards."""
    for host in (pair.a, pair.b):
        host.run(["qemu-img", "create", "-q", "-f", "qcow2", "/var/lib/disk.qcow2", "64M"])
    pair.a.run(["qemu-io", "-c", "write -P 7 1M 2M", "/var/lib/disk.qcow2"])
    with running(pair, devices=add_disk("/var/lib/disk.qcow2")) as pulse:
        with pytest.raises(LabError, match=r"disk 'vdb' \(/var/lib/disk.qcow2\) is not on shared storage"):
            pair.a.virsh("migrate", "--live", "g", TO_B)
        assert state_of(pair.a, "g") == "running"
        pair.a.virsh("migrate", "--live", "--copy-storage-all", "g", TO_B)
        check_moved(pair, pulse)
        pair.b.virsh("destroy", "g")
        pair.b.run(["qemu-io", "-r", "-c", "read -P 7 1M 2M", "/var/lib/disk.qcow2"])
        pair.b.run(["qemu-img", "check", "-q", "/var/lib/disk.qcow2"])


def test_nonsense_is_refused_before_anything_is_touched(pair):
    """MIG-27, MIG-33, MIG-36, MIG-56, CON-03, CFG-20 with CON-69 (not to the same host): each with its own sentence; the guest goes on."""
    with running(pair):
        for words, complaint in [
            (["--live", "g", "qemu+tcp://nowhere/system"], "nowhere"),
            (["--live", "--offline", "--persistent", "g", TO_B], "exclusive"),
            (["--live", "--migrate-disks", "vdz", "g", TO_B], "copy-storage"),
            (["--live", "--copy-storage-all", "--migrate-disks", "vdz", "g", TO_B], "no disk 'vdz'"),
            (["--live", "--tunnelled", "g", TO_B], "p2p|peer"),
            (["--live", "--direct", "g", TO_B], "support|irect"),
            (["--live", "g", "qemu+tcp://a/system"], "same host|runs on"),
        ]:
            with pytest.raises(LabError, match=complaint):
                pair.a.virsh("migrate", *words)
            assert state_of(pair.a, "g") == "running"
        assert guests_of(pair.b, "--all") == []


@pytest.mark.limit(180)
def test_what_is_missing_there_is_said_at_once(pair):
    """MIG-19, MIG-21, MIG-23, CON-05: a part of the CPU, bridges and a disk in one sentence, before anything is touched."""
    forget_feature(pair.b, pair.daemon_b, "sse2")
    pair.a.ip("link add only-here type bridge", "link set only-here up")
    pair.a.path("/var/lib/only-here.img").write_bytes(bytes(1 << 20))
    devices = "".join("<interface type='bridge'><source bridge='only-here'/><model type='virtio'/></interface>" for _ in range(2))
    devices += "<disk type='file'><source file='/var/lib/only-here.img'/><target dev='vdb' bus='virtio'/></disk>"
    with running(pair, devices=f"{devices}</devices><cpu mode='maximum'/><devices>"):
        for how in (), ("--p2p",):
            with pytest.raises(LabError, match="cannot give it here: sse2; there is no bridge 'only-here' here; there is no bridge "
                                               "'only-here' here; disk 'vdb': '/var/lib/only-here.img' does not exist"):
                pair.a.virsh("migrate", "--live", "--unsafe", *how, "g", TO_B)
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []


def forget_feature(host, daemon, name):
    """From now on the host is one whose QEMU cannot give a guest this part of a CPU."""
    host.virsh("domcapabilities")  # so QEMU was asked
    assert daemon.stop() == 0
    cache = host.path("/var/lib/drover/caps-usr-bin-qemu-system-x86_64.json")
    known = json.loads(cache.read_text())
    known["features"].remove(name)
    cache.write_text(json.dumps(known))
    daemon.start()


UNIT = """touch /dev/unit && mount --bind /mnt/shared/unit.img /dev/unit && mount -t tmpfs tmpfs /sys/class/block &&
mkdir -p /sys/class/block/session1/unit && ln -s ./session1/unit /sys/class/block/unit && echo {} > /sys/class/block/unit/serial"""


@pytest.mark.limit(180)
def test_one_path_that_leads_to_two_disks_is_refused(pair):
    """STO-37: units of a network that call themselves differently; the same one is moved to."""
    (pair.lab.shared / "unit.img").write_bytes(bytes(1 << 20))
    for host, serial in ((pair.a, "one"), (pair.b, "two")):
        host.run(["sh", "-c", UNIT.format(serial)])
    disk = ("<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/dev/unit'/>"
            "<target dev='vdb' bus='virtio'/></disk>")
    with running(pair, devices=disk) as pulse:
        with pytest.raises(LabError, match=r"disk 'vdb' \(/dev/unit\) is 'serial:two' here and 'serial:one' on the host"):
            pair.a.virsh("migrate", "--live", "g", TO_B)
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        pair.b.run(["sh", "-c", "echo one > /sys/class/block/unit/serial"])
        pair.a.virsh("migrate", "--live", "g", TO_B)
        check_moved(pair, pulse)


@pytest.mark.limit(180)
def test_an_abort_leaves_the_guest_where_it_was(pair):
    """MIG-07: and the guest there is gone."""
    with running(pair) as pulse:
        pair.a.virsh("migrate-setspeed", "g", "1")
        assert pair.a.virsh("migrate-getspeed", "g").strip() == "1"  # MIG-60, MIG-61
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "1", "g", TO_B])
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.a.virsh("domjobabort", "g")
        assert move.wait(120) != 0
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        right, line = pulse.verify()
        assert right, line
        pair.a.virsh("migrate-setspeed", "g", "0")
        pair.a.virsh("migrate", "--live", "g", TO_B)  # MIG-25: a retry is possible
        check_moved(pair, pulse)


@pytest.mark.limit(180)
def test_a_change_is_refused_while_a_guest_moves(pair):
    """MIG-44."""
    with running(pair):
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "1", "g", TO_B])
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        with pytest.raises(LabError, match="busy with a migration"):
            pair.a.virsh("reset", "g")
        pair.a.virsh("migrate-setmaxdowntime", "g", "777")  # MIG-57
        assert "777" in pair.a.virsh("migrate-getmaxdowntime", "g")
        pair.a.virsh("migrate-setspeed", "g", "0")
        assert move.wait(120) == 0
        assert guests_of(pair.b) == ["g"]


@pytest.mark.limit(180)
def test_a_move_that_takes_too_long_goes_on_with_the_guest_stopped(pair):
    """MIG-53: --timeout suspends it here; it runs there all the same."""
    with running(pair) as pulse:
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "1", "--timeout", "1", "g", TO_B])
        wait_for("it is stopped", lambda: state_of(pair.a, "g") == "paused")
        pair.a.virsh("migrate-setspeed", "g", "0")
        assert move.wait(120) == 0
        assert state_of(pair.b, "g") == "running"
        check_moved(pair, pulse)
