"""Moves during which something dies: the guest ends up running on exactly one host (MIG-07; architecture, concurrency 6).

Each of the processes that take part is killed while memory is on its way; the guest must go on at the source, or have
arrived, never both and never neither.
"""
import contextlib
import re
import signal

import pytest
from test_migrate_refusals import TO_B, guests_of, running, state_of, states
from waiting import wait_for

from lab.paths import LabError


@contextlib.contextmanager
def moving(pair, *options):
    """A guest whose memory is on its way, slowly."""
    with running(pair) as pulse:
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "1", *options, "g", TO_B])
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        yield pulse, move


def found_again(pair):
    """A daemon of a's that came back has reached its QEMU; before, a guest of which it knows no job may be busy all the same."""
    wait_for("its QEMU answers", lambda: re.search(r"guest 'g' \(pid \d+\) goes on", pair.daemon_a.log.read_text()))


def lives_at_home(pair, pulse):
    """It runs on a, its memory is right, and it can move after all."""
    wait_for("the guest runs on a", lambda: state_of(pair.a, "g") == "running")
    wait_for("the move is over", lambda: "None" in pair.a.virsh("domjobinfo", "g"))
    wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [])
    right, line = pulse.verify()
    assert right, line
    pair.a.virsh("migrate", "--live", "g", TO_B, timeout=120)
    assert guests_of(pair.a) == [] and guests_of(pair.b) == ["g"]
    right, line = pulse.verify()
    assert right, line


@pytest.mark.limit(240)
@pytest.mark.parametrize("options", [[], ["--p2p"]], ids=["managed", "p2p"])
def test_the_client_is_killed(pair, options):
    with moving(pair, *options) as (pulse, move):
        move.kill()
        move.wait(120)
        if options:  # MIG-34: the source goes on by itself
            pair.a.virsh("migrate-setspeed", "g", "0")
            wait_for("the guest arrives", lambda: guests_of(pair.b) == ["g"] and guests_of(pair.a) == [], 60)
            right, line = pulse.verify()
            assert right, line
        else:
            lives_at_home(pair, pulse)


@pytest.mark.limit(240)
@pytest.mark.parametrize("options", [[], ["--p2p"]], ids=["managed", "p2p"])
def test_the_destinations_qemu_is_killed(pair, options):
    with moving(pair, *options) as (pulse, move):
        pair.b.kill("qemu-system-x86_64")
        assert move.wait(120) != 0
        lives_at_home(pair, pulse)


@pytest.mark.limit(240)
@pytest.mark.parametrize("options", [[], ["--p2p"]], ids=["managed", "p2p"])
def test_the_sources_qemu_is_killed(pair, options):
    """Nothing can save the guest then; but nothing of it stays behind either."""
    with moving(pair, *options) as (_, move):
        pair.a.kill("qemu-system-x86_64")
        assert move.wait(120) != 0
        wait_for("both are rid of it", lambda: guests_of(pair.a, "--all") == guests_of(pair.b, "--all") == [])


@pytest.mark.limit(240)
@pytest.mark.parametrize("options", [[], ["--p2p"]], ids=["managed", "p2p"])
def test_the_sources_daemon_is_killed(pair, options):
    with moving(pair, *options) as (pulse, move):
        pair.a.kill("droverd", signal.SIGKILL)
        assert move.wait(120) != 0
        pair.daemon_a.start()
        found_again(pair)
        lives_at_home(pair, pulse)


@pytest.mark.limit(240)
def test_the_destinations_daemon_is_killed(pair):
    """The memory may arrive without it; the source asks, and believes only a clear answer."""
    with moving(pair) as (pulse, move):
        pair.b.kill("droverd", signal.SIGKILL)
        with contextlib.suppress(LabError):
            pair.a.virsh("migrate-setspeed", "g", "0")
        move.wait(120)
        pair.daemon_b.start()
        wait_for("it runs on one of them", lambda: "running" in states(pair), 60)
        right, line = pulse.verify()
        assert right, line
