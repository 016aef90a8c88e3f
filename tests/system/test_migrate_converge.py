"""Guests that write faster than the link carries (MIG-04, MIG-05, MIG-06, CON-04): the bare payload dirties all of its
memory again and again while it moves, and finds every page that was lost."""
import json
import re
import types

import libvirt
import pytest
from test_migrate_refusals import TO_B, check_moved, running, state_of
from waiting import wait_for

from lab.paths import PROGRAMS
from lab.services import SOCKET

WRITES = {"touch_mib": 64, "dirty_mib_s": 100, "beat_ms": 1, "random": False}


ANNOUNCED = re.compile(r"it stops now for at most about (\d+) ms")


def qemu_has(pair, move, parameter):
    """What QEMU was told for this move, which it keeps when the move is given up."""
    pair.a.virsh("domjobabort", "g")
    assert move.wait(120) != 0
    wait_for("the move is over", lambda: "None" in pair.a.virsh("domjobinfo", "g"))
    said = pair.a.virsh("qemu-monitor-command", "g", '{"execute":"query-migrate-parameters"}')
    return json.loads(said)["return"][parameter]


def hosts(lab, policy):
    pair = [lab.host(name, kvm=True) for name in ("a", "b")]
    daemons = [host.droverd({"listen_tcp": 1, "auth_tcp": "none", "migration_converge": policy}) for host in pair]
    return types.SimpleNamespace(lab=lab, a=pair[0], b=pair[1], daemon_a=daemons[0])


@pytest.mark.limit(180)
def test_a_guest_that_cannot_converge_is_stopped_for_the_pause_that_was_announced(lab):
    """MIG-05, CON-42, CON-72: where it was asked for."""
    pair = hosts(lab, "auto")
    with running(pair, **WRITES) as pulse:
        pair.a.virsh("migrate", "--live", "--bandwidth", "16", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
        log = pair.daemon_a.log.read_text()
        announced = int(re.search(r"it stops now for at most about (\d+) ms", log)[1])
        measured = int(re.search(r"it paused for (\d+) ms", log)[1])
        assert 0 < measured <= announced, "QEMU sends the rest without the limit of 16 MiB/s"
        assert f"it paused for {measured} ms, at most {announced} ms were announced" in log
        pulse.wait("^sweep .* lost 00000000", 60, pulse.mark())


@pytest.mark.limit(180)
def test_the_announced_pause_is_the_one_that_is_shown_and_told(lab):
    """MIG-05: what expects clients while the guest stands still is what the log announced; a longer pause has its reason there."""
    pair = hosts(lab, "auto")
    with running(pair, **{**WRITES, "touch_mib": 96}) as pulse:
        pair.a.set_rate(100)  # the rest takes eight seconds, too
        conn = libvirt.open(f"qemu+unix:///system?socket={pair.a.path(SOCKET)}")
        dom = conn.lookupByName("g")
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "g", TO_B])
        announced = int(wait_for("it is announced", lambda: ANNOUNCED.search(pair.daemon_a.log.read_text()), 60)[1])
        shown = wait_for("it is shown", lambda: dom.jobStats().get("downtime") == announced or move.poll() is not None)
        assert shown and move.poll() is None
        assert move.wait(120) == 0
        conn.close()
        check_moved(pair, pulse)
        paused, told = re.search(r"it paused for (\d+) ms, (.*)", pair.daemon_a.log.read_text()).groups()
        if int(paused) <= announced:
            assert told == f"at most {announced} ms were announced"
        else:
            assert re.match(rf"\d+ ms longer than the {announced} ms that were announced: (\d+ MiB had|the other host|what was)", told)


@pytest.mark.limit(180)
def test_a_guest_that_has_to_be_slowed_much_is_warned_of(lab):
    """From two looks at its writes, in the first pass: so much that QEMU begins with that, and that other ways are named."""
    pair = hosts(lab, "report")
    with running(pair, **{**WRITES, "touch_mib": 48}) as pulse:
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--auto-converge", "--bandwidth", "2", "g", TO_B])
        slowed = re.compile(r"has to be slowed by (\d+) percent to be sent: allow post-copy .* or a (longer )?pause")
        percent = int(wait_for("it is told", lambda: slowed.search(pair.daemon_a.log.read_text()), 120)[1])
        assert percent > 60
        assert qemu_has(pair, move, "cpu-throttle-initial") == percent
        right, line = pulse.verify()
        assert right, line


@pytest.mark.limit(120)
def test_what_the_line_has_for_the_rest_widens_the_bound_of_a_copy_that_is_limited(lab):
    """QEMU 7.2 compares what is left with the limited rate; the rest goes without the limit."""
    pair = hosts(lab, "report")
    with running(pair, touch_mib=48) as pulse:
        move = pair.a.popen([PROGRAMS / "drover", "-c", "qemu:///system", "migrate", "--live", "--bandwidth", "1",
                             "--available-switchover-bandwidth", "10", "g", TO_B])
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        assert pair.a.virsh("migrate-getmaxdowntime", "g").strip() == "10"
        assert qemu_has(pair, move, "downtime-limit") == 100
        pair.a.virsh("migrate", "--live", "g", TO_B, timeout=120)
        check_moved(pair, pulse)


@pytest.mark.limit(180)
def test_a_guest_that_cannot_converge_is_reported(lab):
    """MIG-06, CON-42: with what is left and what to do; what is said there helps (MIG-57)."""
    pair = hosts(lab, "report")
    with running(pair, **{**WRITES, "touch_mib": 32}) as pulse:  # far faster than the link, also on a busy machine
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "8", "g", TO_B])
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.a.virsh("migrate-setmaxdowntime", "g", "1")
        wait_for("it is reported", lambda: "migrate-setmaxdowntime" in pair.daemon_a.log.read_text(), 120)
        assert re.search(r"pass \d+ leaves \d+ MiB, which take \d+ ms", pair.daemon_a.log.read_text())
        assert state_of(pair.a, "g") == "running"
        pair.a.virsh("migrate-setmaxdowntime", "g", "100000")
        assert move.wait(120) == 0
        check_moved(pair, pulse)


@pytest.mark.limit(180)
def test_drover_keeps_to_the_longest_pause(lab):
    """MIG-57: where post-copy is refused (userfaultfd) the guest is slowed until what is left fits."""
    pair = types.SimpleNamespace(lab=lab, a=lab.host("a", kvm=True, rate_mbit=500), b=lab.host("b", kvm=True))
    for host in (pair.a, pair.b):
        host.droverd({"listen_tcp": 1, "auth_tcp": "none"})
    with running(pair, **{**WRITES, "touch_mib": 24}) as pulse:
        drover = [PROGRAMS / "drover", "-c", "qemu:///system", "migrate", "--live", "--max-pause", "250", "g", TO_B]
        pair.a.run(drover, timeout=120)
        check_moved(pair, pulse)
