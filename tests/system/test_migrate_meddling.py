"""What people and other clients do to a guest while it moves: resume it, destroy it, move it elsewhere or back, take its name.

Whatever that is, the guest never runs twice and is never lost (MIG-07; architecture, concurrency 6).
"""
import contextlib
import re
import shutil
import signal
import struct

import frames
import pytest
from test_migrate_handover import BEGIN, LIVE, NONE, PAUSED, Mover, Reader, deaf, has_arrived, is_connected, runs_on_a_alone, runs_on_b_alone, verify
from test_migrate_refusals import TO_B, check_moved, guests_of, running, state_of
from waiting import PATIENCE_S, wait_for

from lab import domains
from lab.paths import LabError
from lab.services import SOCKET

QEMU = "qemu-system-x86_64"
RESUME, GET_STATE = 28, 212
ASK_PORT = 49215  # the last port of the range
TO_A = "qemu+tcp://a/system"


def status_of(host):
    return host.path("/run/drover/qemu/g.status")


@contextlib.contextmanager
def unwritable(host):
    """What becomes of the guest cannot be written down there, as on a full disk."""
    status = status_of(host)
    kept = status.with_suffix(".kept")
    status.rename(kept)
    status.mkdir()
    yield
    status.rmdir()
    kept.rename(status)


@pytest.mark.limit(120)
def test_nobody_resumes_a_guest_whose_fate_is_being_asked_about(pair):
    """It runs there, and would run twice."""
    with running(pair) as pulse:
        mover = Mover(pair).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        with deaf(pair.b):
            mover.leave()
            wait_for("b is asked", lambda: is_connected(pair.b, ASK_PORT))
            with pytest.raises(LabError, match="the other host is being asked whether it runs it"):
                pair.a.virsh("resume", "g")
            assert state_of(pair.a, "g") == "paused"
        runs_on_b_alone(pair, pulse)


@pytest.mark.limit(120)
def test_nobody_resumes_a_guest_while_its_rest_is_on_its_way(pair):
    """QEMU would do so the moment it has sent the last byte, and before its daemon has heard of that."""
    with running(pair, touch_mib=64) as pulse:  # far more than lies in sockets while nobody reads them
        mover = Mover(pair, mib_s=1).prepare().start()
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.b.kill(QEMU, signal.SIGSTOP)  # reads nothing: the rest stays on its way
        pair.a.virsh("migrate-setmaxdowntime", "g", "100000")
        wait_for("it stands still", lambda: state_of(pair.a, "g") == "paused")
        with pytest.raises(LabError, match="is being handed to the other host at this moment"):
            pair.a.virsh("resume", "g")
        pair.b.kill(QEMU, signal.SIGCONT)
        assert mover.performed().status == frames.OK
        wait_for("it has arrived", lambda: has_arrived(pair))
        mover.leave()
        runs_on_b_alone(pair, pulse)


@pytest.mark.limit(180)
@pytest.mark.parametrize("lost", [False, True], ids=["soon", "late"])
def test_a_resume_that_waits_for_a_new_daemon_comes_after_what_that_finds(pair, lost):
    """The guest has moved. Its QEMU answers the new daemon only when somebody has already asked for it to be resumed."""
    with running(pair) as pulse:
        mover = Mover(pair).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        pair.daemon_a.kill()
        mover.leave()
        pair.a.kill(QEMU, signal.SIGSTOP)
        pair.daemon_a.start()
        if lost:
            wait_for("the daemon has given up", lambda: "cannot be reached for now" in pair.daemon_a.log.read_text())
        link = frames.Wire(pair.a.path(SOCKET), "qemu:///system")
        link.send(frames.frame(RESUME, mover.domain, serial=99))
        assert link.call(GET_STATE, mover.domain + struct.pack(">I", 0)).status == frames.OK  # and so RESUME waits
        pair.a.kill(QEMU, signal.SIGCONT)
        answer = link.answer()
        assert re.search("what became of that is being found out|being asked|no domain|not running", answer.error()[2])
        runs_on_b_alone(pair, pulse)
        link.socket.close()


@pytest.mark.limit(120)
@pytest.mark.parametrize("options", [[], ["--p2p"]], ids=["managed", "p2p"])
def test_a_move_that_cannot_be_written_down_is_not_begun(pair, options):
    """A daemon that comes back would let the guest run beside its copy. Either side; and it can move after all."""
    with running(pair) as pulse:
        with unwritable(pair.a):
            with pytest.raises(LabError, match="that guest 'g' moves cannot be written down .*g.status"):
                pair.a.virsh("migrate", "--live", *options, "g", TO_B)
            assert state_of(pair.a, "g") == "running"
            wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [])
        status_of(pair.b).mkdir()
        with pytest.raises(LabError, match="g.status"):
            pair.a.virsh("migrate", "--live", *options, "g", TO_B)
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == [] and not pair.b.processes(QEMU)
        status_of(pair.b).rmdir()
        pair.a.virsh("migrate", "--live", *options, "g", TO_B)
        check_moved(pair, pulse)


@pytest.mark.limit(180)
def test_two_clients_move_a_guest_to_two_hosts_at_once(pair):
    """One of them does, the other hears why not, and nothing of the guest is left where it did not go."""
    pair.c = pair.lab.host("c", kvm=True)
    daemon = pair.c.droverd({"listen_tcp": 1, "auth_tcp": "none"})
    with running(pair, touch_mib=96) as pulse:  # at 1 MiB/s neither move ends before the other client has been refused
        moves = [pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "1", *options, "g", f"qemu+tcp://{name}/system"],
                              stderr=-1, text=True) for name, options in (("b", []), ("c", ["--p2p"]))]
        wait_for("one has failed", lambda: any(move.poll() is not None for move in moves))
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.a.virsh("migrate-setspeed", "g", "0")
        said = [move.communicate(timeout=PATIENCE_S)[1] for move in moves]
        assert sorted(move.returncode != 0 for move in moves) == [False, True], said
        assert "busy with a migration" in "".join(said), said
        where = [host for host in (pair.a, pair.b, pair.c) if guests_of(host, "--all")]
        assert where == [pair.b if moves[0].returncode == 0 else pair.c] and state_of(where[0], "g") == "running"
        assert sum(len(host.processes(QEMU)) for host in (pair.a, pair.b, pair.c)) == 1
        right, line = pulse.verify()
        assert right, line
    assert daemon.stop() == 0, daemon.tail()


@pytest.mark.limit(180)
def test_one_begin_serves_one_destination(pair):
    """A client that prepares two hosts for one move: the guest goes to one of them, the other gives it up."""
    pair.c = pair.lab.host("c", kvm=True)
    daemon = pair.c.droverd({"listen_tcp": 1, "auth_tcp": "none"})
    with running(pair) as pulse:
        mover = Mover(pair).prepare()
        other = frames.Wire(pair.c.path(SOCKET), "qemu:///system")
        assert other.call(214, mover.preparing()).status == frames.OK
        mover.start()
        assert mover.performed().status == frames.OK
        other.socket.close()
        wait_for("c is rid of it", lambda: guests_of(pair.c, "--all") == [] and not pair.c.processes(QEMU))
        assert mover.finish(False).status == frames.OK
        mover.confirm(False)
        assert mover.source.answer().status == frames.OK
        mover.leave()
        runs_on_b_alone(pair, pulse)
    assert daemon.stop() == 0, daemon.tail()


@pytest.mark.limit(180)
def test_back_again_before_the_first_move_is_confirmed(pair):
    """The source still has what was sent: it takes nothing back until that is settled."""
    with running(pair) as pulse:
        mover = Mover(pair).perform()
        assert mover.finish(False).status == frames.OK
        for options in ([], ["--p2p"]):
            with pytest.raises(LabError, match="already (active|running)|is active"):
                pair.b.virsh("migrate", "--live", *options, "g", TO_A)
            assert state_of(pair.b, "g") == "running" and state_of(pair.a, "g") == "paused"
        mover.confirm(False)
        assert mover.source.answer().status == frames.OK
        mover.leave()
        check_moved(pair, pulse)
        pair.b.virsh("migrate", "--live", "--p2p", "g", TO_A)
        runs_on_a_alone(pair, pulse)


@pytest.mark.limit(180)
def test_a_name_that_comes_between_is_refused(pair):
    """From prepare on the name and the UUID are taken at the destination: by definition, start, or a new name for another."""
    with running(pair) as pulse:
        pair.b.write_file("/root/other.xml", domains.bare("other"))
        pair.b.virsh("define", "/root/other.xml")
        mover = Mover(pair).prepare()
        pair.b.write_file("/root/clash.xml", domains.bare("g"))
        for words in (["define", "/root/clash.xml"], ["create", "/root/clash.xml"], ["domrename", "other", "g"]):
            with pytest.raises(LabError, match="already|busy"):
                pair.b.virsh(*words)
        for words in (["resume", "g"], ["reset", "g"], ["shutdown", "g"], ["save", "g", "/root/g.save"], ["setmem", "g", "16M"]):
            with pytest.raises(LabError, match="busy with a migration from another host"):
                pair.b.virsh(*words)
        mover.start()
        assert mover.performed().status == frames.OK
        assert mover.finish(False).status == frames.OK
        mover.confirm(False)
        assert mover.source.answer().status == frames.OK
        mover.leave()
        assert guests_of(pair.a, "--all") == [] and state_of(pair.b, "g") == "running"
        right, line = pulse.verify()
        assert right, line


@pytest.mark.limit(180)
@pytest.mark.parametrize("phase", ["prepared", "sending", "arrived"])
def test_a_guest_destroyed_where_it_goes_to_before_it_ran_there_goes_on_at_home(pair, phase):
    with running(pair) as pulse:
        mover = Mover(pair, LIVE | PAUSED, mib_s=1 if phase == "sending" else 0).prepare()
        if phase != "prepared":
            mover.start()
        if phase == "sending":
            wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        elif phase == "arrived":
            assert mover.performed().status == frames.OK
            wait_for("it has arrived", lambda: has_arrived(pair))
        pair.b.virsh("destroy", "g")
        if phase == "prepared":
            mover.start()
        if phase != "arrived":
            assert mover.performed().status == frames.ERROR
        else:
            assert mover.finish(False).status == frames.ERROR
            mover.confirm(True)
            assert mover.source.answer().status == frames.OK
        mover.leave()
        runs_on_a_alone(pair, pulse)


@pytest.mark.limit(180)
def test_a_guest_destroyed_where_it_ran_does_not_go_on_at_home(pair):
    """What it wrote there is on its disks: the memory that was sent is its past. A person may say that this does not matter."""
    with running(pair) as pulse:
        mover = Mover(pair).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        wait_for("it runs", lambda: state_of(pair.b, "g") == "running")
        pair.b.virsh("destroy", "g")
        assert mover.finish(False).status == frames.ERROR
        mover.confirm(True)
        assert "stays paused here" in mover.source.answer().error()[2]
        mover.leave()
        assert state_of(pair.a, "g") == "paused"
        pair.a.virsh("resume", "g")
        pulse.wait("^beat", 60, pulse.mark())
        pair.a.virsh("destroy", "g")


@pytest.mark.limit(180)
def test_a_host_that_was_booted_denies_no_guest_that_it_may_have_run(pair):
    """All that it knew of the guest went with the boot. It ran there and wrote to its disks: it does not go on from its past."""
    with running(pair) as pulse:
        mover = Mover(pair).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        wait_for("it runs", lambda: state_of(pair.b, "g") == "running")
        pair.daemon_b.kill()
        pair.b.kill(QEMU)
        shutil.rmtree(pair.b.path("/run/drover"))
        mover.leave()
        wait_for("a asks in vain", lambda: "does not say whether it runs it" in pair.daemon_a.log.read_text())
        pair.daemon_b.start()
        with running(pair, "other"):
            pair.a.virsh("migrate", "--live", "other", TO_B)  # from now on b can be asked again
            wait_for("a asks again", lambda: "before this host was booted" in pair.daemon_b.log.read_text())
            assert state_of(pair.a, "g") == "paused"
            pair.a.virsh("resume", "g")
            verify(pulse)
            for host, name in ((pair.a, "g"), (pair.b, "other")):
                host.virsh("destroy", name)


@pytest.mark.limit(180)
@pytest.mark.parametrize("meant", [False, True], ids=["once", "twice"])
def test_a_guest_that_is_being_given_away_is_started_only_when_that_is_meant(pair, meant):
    """Its QEMU here died when all was sent: the other host is told to go on with it, and may do so at any moment. So says a
    daemon that comes after one that was killed, too."""
    with running(pair, verb="define") as pulse:
        mover = Mover(pair, LIVE | PAUSED).perform()
        wait_for("it has arrived", lambda: has_arrived(pair))
        pair.a.kill(QEMU)
        wait_for("a sees it", lambda: guests_of(pair.a) == [])
        for killed in (False, True):
            if killed:
                pair.daemon_a.kill()
                pair.daemon_a.start()
            with pytest.raises(LabError, match="that host was told to go on with it.*say start once more"):
                pair.a.virsh("start", "g")
            assert state_of(pair.a, "g") == "shut off"
        if meant:
            pair.b.virsh("destroy", "g")
            pair.a.virsh("start", "g")
        mover.leave()
        if meant:
            wait_for("it runs", lambda: state_of(pair.a, "g") == "running")
            assert guests_of(pair.b, "--all") == []
            pair.a.virsh("destroy", "g")
        else:
            wait_for("b takes it", lambda: "is taken over here" in pair.daemon_b.log.read_text())
            pair.b.virsh("resume", "g")
            verify(pulse)
        wait_for("that is settled", lambda: list(pair.a.path("/var/lib/drover/qemu/given").iterdir()) == [])


def boot(host, daemon):
    """All its processes and what is in /run are gone; what is on its disks is there."""
    daemon.kill()
    host.kill(QEMU)
    shutil.rmtree(host.path("/run/drover"))
    daemon.start()


def is_noted(host):
    return any(host.path("/var/lib/drover/qemu/given").iterdir())


@pytest.mark.limit(180)
def test_a_source_host_that_was_booted_starts_no_guest_that_runs_elsewhere(pair):
    """Not by itself, and not when a person says so once: it is on the disk that the guest moves since before it did."""
    with running(pair, verb="define") as pulse:
        pair.a.virsh("autostart", "g")
        mover = Mover(pair).perform()
        wait_for("it runs", lambda: state_of(pair.b, "g") == "running")
        with deaf(pair.b):
            boot(pair.a, pair.daemon_a)
            mover.leave()
            wait_for("a waits", lambda: "is not autostarted yet" in pair.daemon_a.log.read_text())
            with pytest.raises(LabError, match="that host was told to go on with it.*say start once more"):
                pair.a.virsh("start", "g")
            assert state_of(pair.a, "g") == "shut off"
        wait_for("a knows", lambda: "goes on at the other host" in pair.daemon_a.log.read_text())
        verify(pulse)
        assert state_of(pair.a, "g") == "shut off"
        wait_for("that is settled", lambda: not is_noted(pair.a))


@pytest.mark.limit(180)
def test_a_source_host_that_was_booted_starts_a_guest_that_did_not_arrive(pair):
    with running(pair, verb="define", beat_ms=100) as pulse:
        pair.a.virsh("autostart", "g")
        mover = Mover(pair, mib_s=1).prepare().start()
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        assert is_noted(pair.a)
        mark = pulse.mark()
        boot(pair.a, pair.daemon_a)
        mover.leave()
        wait_for("it runs on a", lambda: state_of(pair.a, "g") == "running")
        pulse.wait("^beat", 60, mark)
        assert guests_of(pair.b, "--all") == [] and not is_noted(pair.a)


@pytest.mark.limit(120)
@pytest.mark.parametrize("hours", [1, -1])
def test_the_pause_is_told_also_where_the_clocks_of_the_hosts_differ(pair, hours):
    """As the time until the source heard that the guest runs; never as what the clocks are apart."""
    with running(pair, verb="define") as pulse:
        mover = Mover(pair).perform()
        answer = mover.finish(False)
        assert answer.status == frames.OK
        ret = Reader(answer.payload)
        assert ret.opaque() == b"g"
        ret.take(16 + 4)
        cookie = re.sub(rb"resumed-us='(\d+)'", lambda found: b"resumed-us='%d'" % (int(found[1]) + hours * 3600 * 10**6),
                        ret.opaque())
        mover.confirm(False, cookie)
        assert mover.source.answer().status == frames.OK
        mover.leave()
        assert "the clocks of the two hosts differ" in pair.daemon_a.log.read_text()
        told = pair.a.virsh("domjobinfo", "--completed", "g")
        downtime, whole = (int(re.search(rf"{name}: +(\d+) +ms", told)[1]) for name in ("Total downtime", "Time elapsed"))
        assert downtime < 600000 and whole < 600000, told
        check_moved(pair, pulse)


@pytest.mark.limit(120)
def test_a_second_client_cannot_begin_what_one_has_begun(pair):
    with running(pair) as pulse:
        mover = Mover(pair).begin()
        other = Mover(pair)
        answer = other.source.call(BEGIN, other.domain + NONE + other.flags + NONE + other.limit)
        assert "busy with a migration" in answer.error()[2]
        other.leave()
        mover.leave()
        wait_for("the move is over", lambda: "None" in pair.a.virsh("domjobinfo", "g"))
        pair.a.virsh("migrate", "--live", "g", TO_B)
        check_moved(pair, pulse)
