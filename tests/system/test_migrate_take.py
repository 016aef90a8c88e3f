"""A guest that has arrived and waits paused, because its client is lost and its source dead: it is never lost, and never
runs twice (MIG-07; models/handover.pml: the source's word, and a person who takes it)."""
import contextlib
import signal
import socket

import frames
import pytest
from procfs import descriptors
from test_migrate_handover import BEGIN, LIVE, NONE, PAUSED, Mover, deaf, has_arrived, runs_on_b_alone, verify
from test_migrate_refusals import TO_B, add_disk, guests_of, running, state_of
from waiting import wait_for

from lab.paths import LabError

COPIED, PEER, TUNNELLED = 64, 2, 4
PREPARE_TUNNEL = 215
PIECE = 60000


def make_disks(pair):
    for host in (pair.a, pair.b):
        host.run(["qemu-img", "create", "-q", "-f", "qcow2", "/var/lib/disk.qcow2", "8M"])
    return add_disk("/var/lib/disk.qcow2")


@contextlib.contextmanager
def arrived(pair, flags):
    """A guest that b has and does not run, and the client that brought it so far."""
    with running(pair, devices=make_disks(pair) if flags & COPIED else "") as pulse:
        mover = Mover(pair, LIVE | flags).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        yield pulse, mover


def end_host_a(pair):
    """All that could speak for the source is dead."""
    pair.a.kill("droverd")
    pair.a.kill("qemu-system-x86_64")


def wait_at_b(pair):
    """b waits for its source, and has heard that nobody else will come."""
    wait_for("b waits", lambda: "virsh resume here" in pair.daemon_b.log.read_text())
    assert state_of(pair.b, "g") == "paused"


def take_by_hand(pair):
    with pytest.raises(LabError, match="has arrived from a, .*if both run it, its disks are destroyed.*once more"):
        pair.b.virsh("resume", "g")
    assert state_of(pair.b, "g") == "paused"
    pair.b.virsh("resume", "g")
    assert state_of(pair.b, "g") == "running"


@pytest.mark.limit(120)
@pytest.mark.parametrize("flags", [PAUSED, COPIED], ids=["paused", "copied"])
def test_a_source_whose_guest_is_dead_says_so(pair, flags):
    """Nobody has to force anything: the source knows that nobody else has the guest."""
    with arrived(pair, flags) as (pulse, mover):
        pair.a.kill("qemu-system-x86_64")
        wait_for("a sees it", lambda: guests_of(pair.a, "--all") == [])
        assert state_of(pair.b, "g") == "paused", "its client still may finish the move"
        mover.leave()
        wait_for("b takes it", lambda: "is taken over here" in pair.daemon_b.log.read_text())
        wait_for("a knows", lambda: "goes on at the other host" in pair.daemon_a.log.read_text())
        if flags & PAUSED:
            assert state_of(pair.b, "g") == "paused"
            pair.b.virsh("resume", "g")
        runs_on_b_alone(pair, pulse)


@pytest.mark.limit(120)
def test_a_source_that_says_so_again_ends_nothing(pair):
    """The answer was lost, or the daemon that heard it was killed before it noted that: the one copy that there is stays."""
    with arrived(pair, PAUSED) as (pulse, mover):
        pair.a.kill("qemu-system-x86_64")
        given = pair.a.path("/var/lib/drover/qemu/given")
        note, = wait_for("a notes it", lambda: [path for path in given.iterdir() if "." not in path.name])
        text = note.read_text()
        mover.leave()
        for times in (1, 2):
            wait_for("that is settled", lambda: not note.exists())
            assert pair.daemon_a.log.read_text().count("goes on at the other host") == times
            assert state_of(pair.b, "g") == "paused"
            if times == 1:
                assert pair.daemon_a.stop() == 0
                note.write_text(text)
                pair.daemon_a.start()
        pair.b.virsh("resume", "g")
        runs_on_b_alone(pair, pulse)


@pytest.mark.limit(120)
@pytest.mark.parametrize("flags", [PAUSED, COPIED], ids=["paused", "copied"])
def test_a_person_takes_the_guest_of_a_dead_host(pair, flags):
    """Also after b's daemon was killed. The source that comes back hears that it runs elsewhere."""
    with arrived(pair, flags) as (pulse, mover):
        with pytest.raises(LabError, match="busy with a migration from another host"):
            pair.b.virsh("resume", "g")  # by a client that still is there
        end_host_a(pair)
        mover.leave()
        wait_at_b(pair)
        take_by_hand(pair)
        pair.daemon_a.start()
        runs_on_b_alone(pair, pulse)
        wait_for("a knows", lambda: "goes on at the other host" in pair.daemon_a.log.read_text())


@pytest.mark.limit(120)
def test_a_daemon_that_was_killed_finds_the_waiting_guest_again(pair):
    with arrived(pair, PAUSED) as (pulse, mover):
        end_host_a(pair)
        mover.leave()
        wait_at_b(pair)
        pair.daemon_b.kill()
        pair.daemon_b.start()
        wait_for("it is found", lambda: guests_of(pair.b) == ["g"])
        with pytest.raises(LabError, match="has arrived from another host"):
            pair.b.virsh("resume", "g")
        pair.b.virsh("resume", "g")
        pair.daemon_a.start()
        runs_on_b_alone(pair, pulse)


@pytest.mark.limit(120)
def test_a_source_that_was_only_silent_ends_its_guest(pair):
    """A person was wrong about the host, but not about the guest: it stood still there, and stays so."""
    with arrived(pair, PAUSED) as (pulse, mover):
        with deaf(pair.a):
            mover.leave()
            wait_at_b(pair)
            take_by_hand(pair)
        runs_on_b_alone(pair, pulse)
        assert "Resumed" not in pair.daemon_a.log.read_text()


@pytest.mark.limit(120)
def test_a_source_that_asks_gets_back_what_nobody_took(pair):
    """The first, refused word changes nothing."""
    with arrived(pair, PAUSED) as (pulse, mover):
        with deaf(pair.a):
            mover.leave()
            wait_at_b(pair)
            with pytest.raises(LabError, match="once more"):
                pair.b.virsh("resume", "g")
        wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [])
        wait_for("it runs on a", lambda: state_of(pair.a, "g") == "running")
        verify(pulse)


@pytest.mark.limit(120)
def test_a_peer_to_peer_move_whose_source_host_dies_at_its_end(pair):
    """MIG-34: the source's daemon drives; it dies between the last byte and the call that finishes."""
    with running(pair, touch_mib=64, dirty_mib_s=100, random=False) as pulse:
        pair.b.set_rate(30)  # what is let go takes so long that it is seen
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--p2p", "--suspend", "g", TO_B], stderr=-1)
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.a.virsh("migrate-setmaxdowntime", "g", "100000")
        wait_for("all is let go", lambda: state_of(pair.a, "g") == "paused", 60)
        pair.a.kill("droverd", signal.SIGSTOP)
        wait_for("it has arrived", lambda: has_arrived(pair), 60)
        end_host_a(pair)
        assert move.wait(120) != 0
        move.stderr.close()
        wait_at_b(pair)
        take_by_hand(pair)
        pair.daemon_a.start()
        runs_on_b_alone(pair, pulse)


def count_sockets(host):
    """Of its one QEMU, which closes the stream when it has read all of it."""
    return sum(file.startswith("socket:") for file in descriptors(host.processes("qemu-system-x86_64")[0]).values())


class Tunnel(Mover):
    """A source that sends the memory through the destination's stream, and dies before it calls finish."""

    def __init__(self, pair, path):
        super().__init__(pair, LIVE | PEER | TUNNELLED)
        self.pair, self.path = pair, path

    def send_all(self):
        ret = self.ask(self.source, BEGIN, self.domain + NONE + self.flags + NONE + self.limit)
        cookie, xml = ret.opaque(), ret.opaque()
        self.source.socket.close()
        wait_for("its QEMU may be told", lambda: "it is given up" in self.pair.daemon_a.log.read_text())
        self.target.serial += 1
        serial = self.target.serial
        self.target.send(frames.frame(PREPARE_TUNNEL, frames.string(cookie) + self.flags + NONE + self.limit
                                      + frames.string(xml), serial=serial))
        assert self.target.answer().status == frames.OK
        ends = count_sockets(self.pair.b)
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as door:
            door.bind(str(self.path[1]))
            self.path[1].chmod(0o777)
            door.listen()
            self.pair.a.virsh("qemu-monitor-command", "g", '{"execute":"migrate","arguments":{"uri":"unix:%s"}}' % self.path[0])
            link, _ = door.accept()
        with contextlib.closing(link):
            while piece := link.recv(PIECE):
                self.target.send(frames.frame(PREPARE_TUNNEL, piece, kind=frames.STREAM, status=frames.CONTINUE,
                                              serial=serial))
        wait_for("all is read", lambda: count_sockets(self.pair.b) < ends)


@pytest.mark.limit(120)
def test_a_tunnelled_guest_whose_source_host_dies_at_its_end(pair):
    with running(pair) as pulse:
        mover = Tunnel(pair, pair.lab.socket("stream"))
        mover.send_all()
        end_host_a(pair)
        mover.leave()
        wait_at_b(pair)
        take_by_hand(pair)
        pair.daemon_a.start()
        runs_on_b_alone(pair, pulse)
