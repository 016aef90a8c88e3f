"""Either daemon is stopped by a signal, as an upgrade does it, while a guest moves: nothing is undone in haste, nobody waits
for an answer that does not come, and the next daemon finds what became of it (MIG-07)."""
import contextlib

import pytest
from test_migrate_faults import found_again, lives_at_home, moving
from test_migrate_refusals import states
from waiting import wait_for

from lab.paths import LabError

WAYS = pytest.mark.parametrize("options", [[], ["--p2p"], ["--p2p", "--tunnelled"]], ids=["managed", "p2p", "tunnelled"])


def stop_cleanly(daemon):
    """With status 0, and under ASan without a leak."""
    assert daemon.stop() == 0, daemon.tail()
    assert "Sanitizer" not in daemon.log.read_text(errors="replace"), daemon.tail()


@pytest.mark.limit(120)
@WAYS
def test_the_sources_daemon_is_stopped(pair, options):
    with moving(pair, *options) as (pulse, move):
        stop_cleanly(pair.daemon_a)
        assert move.wait(120) != 0
        pair.daemon_a.start()
        found_again(pair)
        lives_at_home(pair, pulse)


@pytest.mark.limit(120)
@WAYS
def test_the_destinations_daemon_is_stopped(pair, options):
    """The memory may arrive without it."""
    with moving(pair, *options) as (pulse, move):
        stop_cleanly(pair.daemon_b)
        with contextlib.suppress(LabError):
            pair.a.virsh("migrate-setspeed", "g", "0")
        pair.daemon_b.start()
        move.wait(120)

        def settled():
            found = states(pair)
            return found.count("running") == 1 and found.count(None) == 1

        wait_for("it is on one of them alone", settled, 60)
        right, line = pulse.verify()
        assert right, line
