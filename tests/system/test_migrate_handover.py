"""The hand-over of a moving guest, step by step (models/handover.pml): the five calls of protocol version 3 are made by
hand, so that the client, a QEMU or the network can leave between any two of them (MIG-07; architecture, concurrency 6).
"""
import contextlib
import signal
import struct
import uuid

import frames
import pytest
from slow_monitor import SlowMonitor
from test_migrate_refusals import guests_of, running, state_of
from waiting import wait_for

from lab.paths import LabError
from lab.services import SOCKET

LIVE, PAUSED = 1, 32
BEGIN, PREPARE, PERFORM, FINISH, CONFIRM = 213, 214, 216, 217, 218
NONE = struct.pack(">I", 0)


def hyper(number):
    return struct.pack(">Q", number)


def optional(text):
    return struct.pack(">I", 1) + frames.string(text)


class Reader:
    def __init__(self, data):
        self._data = data

    def take(self, size):
        part, self._data = self._data[:size], self._data[size:]
        return part

    def number(self):
        return struct.unpack(">I", self.take(4))[0]

    def opaque(self):
        size = self.number()
        return self.take(size + -size % 4)[:size]

    def optional(self):
        return self.opaque().decode() if self.number() else None


class Mover:
    """A client with a connection to each host."""

    def __init__(self, pair, flags=LIVE, name="g", mib_s=0):
        self.source, self.target = (frames.Wire(host.path(SOCKET), "qemu:///system") for host in (pair.a, pair.b))
        self.name, self.flags, self.limit = name, hyper(flags), hyper(mib_s)
        identity = uuid.UUID(pair.a.virsh("domuuid", name).strip())
        self.domain = frames.string(name) + identity.bytes + struct.pack(">i", -1)

    def ask(self, link, number, payload):
        answer = link.call(number, payload)
        assert answer.status == frames.OK, answer.error()
        return Reader(answer.payload)

    def begin(self):
        ret = self.ask(self.source, BEGIN, self.domain + NONE + self.flags + NONE + self.limit)
        self.begun = ret.opaque(), ret.opaque()
        return self

    def preparing(self, uri=NONE):
        """What prepare is called with."""
        cookie, xml = self.begun
        return frames.string(cookie) + uri + self.flags + NONE + self.limit + frames.string(xml)

    def prepare(self):
        ret = self.ask(self.target, PREPARE, self.begin().preparing())
        self.cookie, self.uri = ret.opaque(), ret.optional()
        return self

    def start(self):
        """Perform, whose answer is waited for by performed()."""
        payload = (self.domain + NONE + frames.string(self.cookie) + NONE + optional(self.uri) + self.flags + NONE + self.limit)
        self.source.send(frames.frame(PERFORM, payload, serial=99))
        return self

    def performed(self):
        """The answer of perform."""
        return self.source.answer()

    def perform(self):
        self.prepare().start()
        assert self.performed().status == frames.OK
        return self

    def finish(self, cancelled):
        return self.target.call(FINISH, frames.string(self.name) + frames.string(b"") + NONE + NONE + self.flags
                                + struct.pack(">i", cancelled))

    def confirm(self, cancelled, cookie=b""):
        self.source.send(frames.frame(CONFIRM, self.domain + frames.string(cookie) + self.flags
                                      + struct.pack(">i", cancelled)))

    def leave(self):
        for link in (self.source, self.target):
            link.socket.close()


def verify(pulse):
    right, line = pulse.verify()
    assert right, line


def runs_on_b_alone(pair, pulse):
    wait_for("a is rid of it", lambda: guests_of(pair.a, "--all") == [])
    assert state_of(pair.b, "g") == "running"
    verify(pulse)


def is_connected(host, port):
    """Somebody is, to this port of the host's: connections that it makes may have the same number at their own end."""
    return bool(host.run(["ss", "-Htn", "state", "established", "state", "close-wait", "sport", "=", f":{port}"]).stdout)


def has_arrived(pair):
    """b's QEMU has read all of it, and closed the connection; the source had sent it some milliseconds before."""
    return not is_connected(pair.b, 49152)


def runs_on_a_alone(pair, pulse):
    wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [])
    wait_for("it runs on a", lambda: state_of(pair.a, "g") == "running")
    verify(pulse)


@contextlib.contextmanager
def deaf(host):
    """Its daemon answers nobody meanwhile; what is sent to it waits."""
    host.kill("droverd", signal.SIGSTOP)
    try:
        yield
    finally:
        host.kill("droverd", signal.SIGCONT)


def test_the_client_leaves_after_the_hand_over(pair):
    """The source asks by itself: it runs there."""
    with running(pair) as pulse:
        mover = Mover(pair).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        mover.leave()
        runs_on_b_alone(pair, pulse)


def test_the_client_leaves_while_the_last_of_the_memory_is_read(pair):
    """The source has sent all, the destination has not read all: one of them has the guest, and soon."""
    with running(pair) as pulse:
        Mover(pair).perform().leave()
        wait_for("one has it", lambda: len(guests_of(pair.a, "--all") + guests_of(pair.b, "--all")) == 1)
        verify(pulse)


def test_the_client_leaves_before_a_paused_guest_is_taken(pair):
    """The source asks by itself: the guest never ran there and is given up there, before it goes on here."""
    with running(pair) as pulse:
        Mover(pair, LIVE | PAUSED).perform().leave()
        runs_on_a_alone(pair, pulse)


def test_a_client_cannot_end_the_guest_that_arrived(pair):
    """Rule 5: only the source gives up what the destination holds."""
    with running(pair) as pulse:
        mover = Mover(pair, LIVE | PAUSED).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        answer = mover.finish(cancelled=True)
        assert "waits paused for its source" in answer.error()[2]
        mover.confirm(cancelled=True)
        assert mover.source.answer().status == frames.OK
        runs_on_a_alone(pair, pulse)


@pytest.mark.parametrize("leaving", [True, False], ids=["left", "confirmed"])
def test_the_sources_qemu_dies_while_the_other_host_is_asked(pair, leaving):
    """The question ends with the guest; whoever waited for its answer hears why."""
    with running(pair) as pulse:
        mover = Mover(pair).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))  # else b, which hears that all have left, rightly gives it up
        wait_for("it runs", lambda: state_of(pair.b, "g") == "running")
        with deaf(pair.b):
            if leaving:
                mover.leave()
            else:
                mover.confirm(cancelled=True)
            wait_for("b is asked", lambda: is_connected(pair.b, 49215))  # the last port of the range
            pair.a.kill("qemu-system-x86_64")
            wait_for("a sees it", lambda: guests_of(pair.a, "--all") == [])
            if not leaving:
                assert "ended while it was migrated" in mover.source.answer().error()[2]
        if not leaving:
            answer = mover.finish(cancelled=False)
            assert answer.status == frames.OK, answer.error()
            mover.leave()
        runs_on_b_alone(pair, pulse)


@contextlib.contextmanager
def broken(pair, flags, before=lambda: None):
    """Perform of a guest whose last memory is on its way when the destination's QEMU dies."""
    with running(pair, touch_mib=64) as pulse:  # far more than lies in sockets while nobody reads them
        before()
        mover = Mover(pair, flags, mib_s=1).prepare().start()
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.b.kill("qemu-system-x86_64", signal.SIGSTOP)
        pair.a.virsh("migrate-setmaxdowntime", "g", "100000")
        wait_for("it stands still", lambda: state_of(pair.a, "g") == "paused")
        pair.b.kill("qemu-system-x86_64")
        yield pulse, mover


def test_a_break_at_the_switch_over_is_asked_about(pair):
    """The destination was not told to run the guest, and says that it has none: it goes on here."""
    with broken(pair, LIVE | PAUSED) as (pulse, mover):
        assert "goes on here" in mover.performed().error()[2]
        mover.leave()
        runs_on_a_alone(pair, pulse)


def test_the_answer_may_come_before_qemu_has_stopped_its_guest(pair):
    """QEMU lets the guest go on when the transfer breaks; told to hold it, it may do so late. It does not stay paused."""
    slow = []

    def slow_down():
        identity = pair.a.virsh("domuuid", "g").strip()
        assert pair.daemon_a.stop() == 0
        slow.append(SlowMonitor(pair.a.path(f"/run/drover/guests/{identity}/monitor"), '"stop"', 1))
        pair.daemon_a.start()
        wait_for("a knows it again", lambda: state_of(pair.a, "g") == "running")

    with broken(pair, LIVE | PAUSED, slow_down) as (pulse, mover):
        assert "goes on here" in mover.performed().error()[2]
        mover.leave()
        # comes to QEMU after all that was told to it before
        status = ["qemu-monitor-command", "g", '{"execute":"query-status"}']
        said = wait_for("the move is over", lambda: pair.a.virsh(*status, check=False), 60)
        assert slow[0].held and '"status":"running"' in said, said
        runs_on_a_alone(pair, pulse)
        pair.a.virsh("destroy", "g")
        slow[0].close()


def test_a_break_that_nobody_can_tell_about_leaves_the_guest_paused(pair):
    """The destination's QEMU was to run it as soon as all was there, and is dead: it may have run."""
    with broken(pair, LIVE) as (pulse, mover):
        assert "it stays paused here" in mover.performed().error()[2]
        mover.leave()
        assert state_of(pair.a, "g") == "paused"
        mark = pulse.mark()
        with pytest.raises(LabError, match="busy with a migration"):  # the other host is asked until somebody decides
            pair.a.virsh("setmem", "g", "20M")
        pair.a.virsh("resume", "g")
        pulse.wait("^beat", 60, mark)
        runs_on_a_alone(pair, pulse)
