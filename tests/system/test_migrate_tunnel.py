"""Tunnelled moves: the memory goes through the daemons' own connection (MIG-35), and what may break on the way."""
import contextlib

import pytest
from test_migrate_faults import found_again, lives_at_home
from test_migrate_refusals import TO_B, check_moved, guests_of, running, state_of, states
from waiting import wait_for

from lab.paths import LabError

TUNNEL = ["--live", "--p2p", "--tunnelled"]
DAEMON_PORT = 16509


@contextlib.contextmanager
def tunnelling(pair, *options):
    """A move through the tunnel of the guest that runs on a, slow enough to be caught on the way."""
    move = pair.a.popen(["virsh", "-q", "migrate", *TUNNEL, "--bandwidth", "1", *options, "g", TO_B],
                        stderr=-1, text=True)
    wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
    yield move
    assert move.poll() is not None
    move.stderr.close()


@contextlib.contextmanager
def quick_to_notice(pair):
    """The source gives up a silent peer after ten seconds, which no busy machine makes it wait for an answer."""
    assert pair.daemon_a.stop() == 0
    pair.daemon_a = pair.a.droverd({"listen_tcp": 1, "auth_tcp": "none", "keepalive_interval": 1, "keepalive_count": 9})
    yield pair
    assert pair.daemon_a.stop() == 0


def ports_in_use(host):
    """Ports at the other end of the host's TCP connections."""
    lines = host.run(["ss", "-Htn", "state", "established"]).stdout.splitlines()
    return {int(line.split()[3].rsplit(":", 1)[1]) for line in lines}


@pytest.mark.limit(180)
def test_a_guest_moves_through_the_tunnel(pair):
    """MIG-35: over no connection but the daemons'; its memory is right and its definition comes along."""
    with running(pair) as pulse:
        with tunnelling(pair, "--persistent") as move:
            assert ports_in_use(pair.a) == {DAEMON_PORT}
            pair.a.virsh("migrate-setspeed", "g", "0")
            assert move.wait(120) == 0, move.stderr.read()
        check_moved(pair, pulse)
        assert guests_of(pair.b, "--all", "--persistent") == ["g"]
        pair.b.virsh("migrate", *TUNNEL, "--compressed", "--suspend", "g", "qemu+ssh://a/system", timeout=120)
        assert state_of(pair.a, "g") == "paused" and guests_of(pair.b) == []
        mark = pulse.mark()
        pair.a.virsh("resume", "g")
        pulse.wait("^beat ", 60, mark)


@pytest.mark.limit(120)
def test_what_cannot_go_through_a_tunnel_is_refused_by_name(pair):
    with running(pair):
        for words, complaint in [
            (["--parallel"], "TUNNELLED.*PARALLEL"),  # by the stock client itself
            (["--copy-storage-all"], "disks cannot be copied through a tunnel"),
            (["--postcopy"], "post-copy needs a way back; it cannot be tunnelled"),
            (["--listen-address", "10.0.0.1"], "a connection that --tunnelled does not make"),
        ]:
            with pytest.raises(LabError, match=complaint):
                pair.a.virsh("migrate", *TUNNEL, *words, "g", TO_B)
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []


@pytest.mark.limit(240)
def test_a_break_of_the_tunnel_leaves_the_guest_at_home(pair):
    """MIG-07: whatever ends while the memory is on its way, one after the other with the same guest."""
    with quick_to_notice(pair), running(pair) as pulse:
        def broken(act, repair=lambda: None):
            with tunnelling(pair) as move:
                act()
                assert move.wait(120) != 0
            if not pair.daemon_a.running:
                pair.daemon_a.start()
                found_again(pair)
            wait_for("the guest runs on a", lambda: state_of(pair.a, "g") == "running")
            repair()
            wait_for("the move is over", lambda: "None" in pair.a.virsh("domjobinfo", "g"))
            wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [])

        broken(lambda: pair.a.virsh("domjobabort", "g"))
        broken(lambda: pair.b.kill("qemu-system-x86_64"))
        broken(pair.daemon_a.kill)
        broken(pair.daemon_b.kill, pair.daemon_b.start)
        broken(pair.b.cut, pair.b.restore)
        lives_at_home(pair, pulse)


@contextlib.contextmanager
def all_but_arrived(pair):
    """A move whose source has sent everything while the end of it still is in the tunnel."""
    pair.b.set_rate(30)  # and a guest with so much memory that its last part takes long enough to be seen
    move = pair.a.popen(["virsh", "-q", "migrate", *TUNNEL, "g", TO_B], stderr=-1, text=True)

    def sends():
        assert move.poll() is None, f"the move was refused: {move.stderr.read()}"
        return "Memory processed" in pair.a.virsh("domjobinfo", "g")

    wait_for("memory moves", sends)
    pair.a.virsh("migrate-setmaxdowntime", "g", "100000")  # what is let go at once takes so long that it is seen
    wait_for("all is let go", lambda: state_of(pair.a, "g") == "paused")
    yield move
    move.wait(120)
    move.stderr.close()
    pair.b.set_rate(None)


@pytest.mark.limit(240)
def test_a_break_of_the_tunnel_at_the_hand_over_is_asked_about(pair):
    """MIG-07: the source stands still until it knows; then the guest runs on exactly one host."""
    with quick_to_notice(pair), running(pair, touch_mib=96) as pulse:
        def settled():
            return next((name for name, state in zip("ab", states(pair)) if state == "running"), None)

        with all_but_arrived(pair):
            pair.daemon_a.kill()
        pair.daemon_a.start()
        assert wait_for("it runs on one of them", settled, 60) == "a", "it was not all there: it goes on at home"
        wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [])
        with all_but_arrived(pair):
            pair.daemon_b.kill()
            pair.daemon_b.start()
        if wait_for("it runs on one of them", settled, 60) == "a":
            lives_at_home(pair, pulse)
        right, line = pulse.verify()
        assert right, line
