"""A destination that cannot take a guest after all: whoever hears so finds nothing left of it there (MIG-07, MIG-19)."""
import re
import signal

import frames
import pytest
from test_migrate_handover import PREPARE, Mover, optional, runs_on_a_alone
from test_migrate_refusals import TO_B, check_moved, guests_of, running, state_of
from waiting import wait_for

QEMU = "qemu-system-x86_64"


def refused(pair, answer, why):
    """What was there when the answer came: nothing is waited for."""
    left, listed = pair.b.processes(QEMU), guests_of(pair.b, "--all")
    assert answer.status == frames.ERROR and re.search(why, answer.error()[2]), answer.payload
    assert left == [] and listed == []


def moves_after_all(pair, pulse):
    wait_for("the move is over", lambda: "None" in pair.a.virsh("domjobinfo", "g"))
    assert state_of(pair.a, "g") == "running"
    pair.a.virsh("migrate", "--live", "g", TO_B, timeout=120)
    check_moved(pair, pulse)


@pytest.mark.limit(120)
def test_a_prepare_that_fails_leaves_nothing_there(pair):
    """Before its QEMU is started, and after: its daemon listens at that port already."""
    with running(pair) as pulse:
        for uri, why in ("tcp://b:70000", "port number"), ("tcp://b:16509", "in use"):
            mover = Mover(pair)
            answer = mover.target.call(PREPARE, mover.begin().preparing(optional(uri)))
            refused(pair, answer, why)
            mover.leave()
            wait_for("the move is over", lambda: "None" in pair.a.virsh("domjobinfo", "g"))
        moves_after_all(pair, pulse)


@pytest.mark.limit(120)
def test_a_client_that_leaves_while_the_destination_prepares_leaves_nothing_there(pair):
    with running(pair) as pulse:
        mover = Mover(pair).begin()
        mover.target.send(frames.frame(PREPARE, mover.preparing(), serial=99))
        wait_for("QEMU is there", lambda: pair.b.processes(QEMU))
        pair.b.kill(QEMU, signal.SIGSTOP)
        mover.leave()
        assert guests_of(pair.b) is not None  # asked behind the client's end, so that is known there
        pair.b.kill(QEMU, signal.SIGCONT)
        wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [] and pair.b.processes(QEMU) == [], 60)
        assert "left; it is given up" in pair.daemon_b.log.read_text()
        moves_after_all(pair, pulse)


@pytest.mark.limit(120)
def test_a_finish_that_fails_leaves_nothing_there(pair):
    """All of it has arrived, but that it is about to run cannot be written down there: it goes on at home."""
    with running(pair) as pulse:
        mover = Mover(pair, 0).perform()
        status = pair.b.path("/run/drover/qemu/g.status")
        status.rename(status.with_suffix(".other"))
        status.mkdir()
        refused(pair, mover.finish(0), "g.status")
        status.rmdir()
        status.with_suffix(".other").unlink()
        mover.confirm(1)
        assert mover.source.answer().status == frames.OK
        mover.leave()
        runs_on_a_alone(pair, pulse)
        moves_after_all(pair, pulse)
