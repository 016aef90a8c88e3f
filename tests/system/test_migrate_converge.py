"""Guests that write faster than the link carries (MIG-04, MIG-05, MIG-06, CON-04): the bare payload dirties all of its
memory again and again while it moves, and finds every page that was lost."""
import re
import types

import pytest
from test_migrate_refusals import TO_B, check_moved, running, state_of
from waiting import wait_for

from lab.paths import PROGRAMS

WRITES = {"touch_mib": 64, "dirty_mib_s": 100, "beat_ms": 1, "random": False}


def hosts(lab, policy):
    pair = [lab.host(name, kvm=True) for name in ("a", "b")]
    daemons = [host.droverd({"listen_tcp": 1, "auth_tcp": "none", "migration_converge": policy}) for host in pair]
    return types.SimpleNamespace(lab=lab, a=pair[0], b=pair[1], daemon_a=daemons[0])


@pytest.mark.limit(180)
def test_a_guest_that_cannot_converge_is_stopped_for_the_pause_that_was_announced(lab):
    """MIG-05"""
    pair = hosts(lab, "auto")
    with running(pair, **WRITES) as pulse:
        pair.a.virsh("migrate", "--live", "--bandwidth", "16", "g", TO_B, timeout=60)
        check_moved(pair, pulse)
        announced = int(re.search(r"it stops now for at most about (\d+) ms", pair.daemon_a.log.read_text())[1])
        measured = int(re.search(r"it paused for (\d+) ms", pair.daemon_a.log.read_text())[1])
        assert 0 < measured <= announced, "QEMU sends the rest without the limit of 16 MiB/s"
        pulse.wait("^sweep .* lost 00000000", 60, pulse.mark())


@pytest.mark.limit(180)
def test_a_guest_that_cannot_converge_is_reported(lab):
    """MIG-06: with what is left and what to do; what is said there helps (MIG-57)."""
    pair = hosts(lab, "report")
    with running(pair, **{**WRITES, "touch_mib": 32}) as pulse:  # far faster than the link, also on a busy machine
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "8", "g", TO_B])
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.a.virsh("migrate-setmaxdowntime", "g", "1")
        wait_for("it is reported", lambda: "migrate-setmaxdowntime" in pair.daemon_a.log.read_text(), 120)
        assert state_of(pair.a, "g") == "running"
        pair.a.virsh("migrate-setmaxdowntime", "g", "100000")
        assert move.wait(60) == 0
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
