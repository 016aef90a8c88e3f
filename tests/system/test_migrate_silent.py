"""A destination whose daemon is silent, or gone, while a guest moves from peer to peer: the client hears so after the time that
keepalive gives a peer, and the guest is where it can be found (MIG-07, MIG-34)."""
import types

import pytest
from test_migrate_faults import lives_at_home, moving
from test_migrate_handover import deaf, runs_on_b_alone
from test_migrate_refusals import guests_of, state_of
from waiting import wait_for

QUICK = {"listen_tcp": 1, "auth_tcp": "none", "keepalive_interval": 1, "keepalive_count": 5}


@pytest.fixture
def quick(lab):
    """Two hosts whose daemons give up a silent peer after six seconds, which a busy machine does not make it be silent."""
    hosts = [lab.host(name, kvm=True) for name in ("a", "b")]
    daemons = [host.droverd(QUICK) for host in hosts]
    yield types.SimpleNamespace(lab=lab, a=hosts[0], b=hosts[1], daemon_a=daemons[0], daemon_b=daemons[1])
    for daemon in daemons:
        if daemon.running:
            assert daemon.stop() == 0, daemon.tail()


@pytest.mark.limit(150)
def test_a_daemon_that_is_gone_while_memory_moves(quick):
    """Its QEMU would take all of the memory, but nobody could say then whether the guest runs there."""
    with moving(quick, "--p2p") as (pulse, move):
        quick.b.kill("droverd")
        assert move.wait(120) != 0
        assert "for 6000 ms nobody was there to take the guest over" in quick.daemon_a.log.read_text()
        assert state_of(quick.a, "g") == "running"
        quick.daemon_b.start()
        lives_at_home(quick, pulse)


@pytest.mark.limit(150)
def test_a_daemon_that_is_silent_when_all_was_sent(quick):
    """The guest waits paused; the client does not. When the daemon speaks again, what it says is what happened."""
    with moving(quick, "--p2p") as (pulse, move):
        with deaf(quick.b):
            quick.a.virsh("migrate-setspeed", "g", "0")
            assert move.wait(120) != 0
            said = quick.daemon_a.log.read_text()
            assert "does not say whether it runs it (it gave no answer for 6000 ms); it stays paused here, and the other" in said
            assert state_of(quick.a, "g") == "paused"
        wait_for("a hears that it runs there", lambda: guests_of(quick.a, "--all") == [], 90)
        runs_on_b_alone(quick, pulse)
