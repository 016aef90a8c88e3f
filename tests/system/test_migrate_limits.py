"""How many guests move at a time, and what is said to the one that is too many (CON-10)."""
import contextlib
import json
import re
import signal

import frames
import pytest
from test_migrate_handover import FINISH, NONE, Mover, runs_on_b_alone
from test_migrate_refusals import TO_B, guests_of, running, state_of
from waiting import wait_for

from lab import domains
from lab.paths import PROGRAMS, LabError

BASE = {"listen_tcp": 1, "auth_tcp": "none"}
DROVER = PROGRAMS / "drover"


def restart(pair, host, **settings):
    """The daemon of host 'a' or 'b' with other limits."""
    assert getattr(pair, f"daemon_{host}").stop() == 0
    setattr(pair, f"daemon_{host}", getattr(pair, host).droverd({**BASE, **settings}))


@contextlib.contextmanager
def on_its_way(pair, name, uri="qemu:///system", *options):
    """A slow move of this guest, begun; given up at the end."""
    move = pair.a.popen(["virsh", "-q", "-c", uri, "migrate", "--live", "--bandwidth", "1", *options, name, TO_B], stderr=-3)
    wait_for(f"{name} moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", name), 60)
    yield
    pair.a.virsh("domjobabort", name)
    move.wait(120)


def too_many(pair, bound_by):
    """The third is told so at once, moved by the client or by the daemons; it goes on where it is."""
    for options in ([], ["--p2p"]):
        with pytest.raises(LabError, match=rf"error: .*takes part in 2 migrations, .*\({bound_by} in its droverd.conf\)"):
            pair.a.virsh("migrate", "--live", *options, "g3", TO_B)
        assert state_of(pair.a, "g3") == "running"


@pytest.mark.limit(240)
def test_one_too_many_is_told_so_and_can_try_again(pair):
    """MIG-62, MIG-65: by the source, for all of its users together; a definition alone is not counted."""
    restart(pair, "a", max_clients=5)
    with contextlib.ExitStack() as stack:
        for name in ("g1", "g2", "g3"):
            stack.enter_context(running(pair, name, touch_mib=64))
        with on_its_way(pair, "g1"):
            with on_its_way(pair, "g2", "qemu+tcp://a/system", "--p2p"):
                too_many(pair, "max_clients")
                pair.a.write_file("/root/d.xml", domains.bare("d"))
                pair.a.virsh("define", "/root/d.xml")
                pair.a.virsh("migrate", "--offline", "--persistent", "d", TO_B)
            wait_for("it is over", lambda: "g2" not in guests_of(pair.b, "--all"), 60)
            pair.a.virsh("migrate", "--live", "g3", TO_B, timeout=120)
        assert "g3" in guests_of(pair.b) and guests_of(pair.a) == ["g1", "g2"]


@pytest.mark.limit(240)
def test_the_destination_has_a_limit_of_its_own(pair):
    """MIG-62, MIG-67; CON-06: 64 ports unless told otherwise, 63 for guests. Here its ports are the fewest, one of which is where it is asked; the same figure and its reason are printed."""
    restart(pair, "b", migration_port_min=49152, migration_port_max=49154)
    with contextlib.ExitStack() as stack:
        for name in ("g1", "g2", "g3"):
            stack.enter_context(running(pair, name, touch_mib=64))
        with on_its_way(pair, "g1"), on_its_way(pair, "g2"):
            too_many(pair, "migration_port_min and migration_port_max")
    assert "Migrations at a time: 2 (bound by migration_port_min and" in pair.b.run([DROVER, "migrate-limit"]).stdout
    said = json.loads(pair.a.run([DROVER, "-o", "json", "migrate-limit", "--config=/etc/drover/droverd.conf"]).stdout)
    assert (said["most"], said["bound_by"], said["half_of_max_clients"], said["ports"]) == (20, "max_workers", 2500, 63)


def reported(host, daemon, pattern):
    """What droverd says of itself when it is asked."""
    mark = len(daemon.log.read_text())
    host.kill("droverd", signal.SIGUSR1)
    return wait_for("it reports", lambda: re.search(pattern, daemon.log.read_text()[mark:]))


def worked_on(host, daemon):
    """What droverd is busy with for its clients, by its own count."""
    found = reported(host, daemon, r"(\d+) are worked on(?:: (.*))?\n")
    return int(found[1]), found[2]


def clients(host, daemon):
    return int(reported(host, daemon, r"(\d+) clients;")[1])


@pytest.mark.limit(120)
def test_each_phase_keeps_one_worker_of_one_host(pair):
    """MIG-63: perform one of the source and none of the destination, finish one of the destination. CFG-20 (CON-69): the move takes
    a client of each."""
    with running(pair) as pulse:
        mover = Mover(pair, mib_s=1).prepare()
        assert worked_on(pair.a, pair.daemon_a) == worked_on(pair.b, pair.daemon_b) == (0, None)
        mover.start()
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        assert worked_on(pair.a, pair.daemon_a) == (1, "domain_migrate_perform3")
        assert worked_on(pair.b, pair.daemon_b) == (0, None)
        wait_for("those who asked have left", lambda: clients(pair.a, pair.daemon_a) == clients(pair.b, pair.daemon_b) == 1)
        payload = frames.string("g") + frames.string(b"") + NONE + NONE + mover.flags + NONE  # it waits for the memory
        mover.target.send(frames.frame(FINISH, payload, serial=98))
        assert wait_for("finish", lambda: worked_on(pair.b, pair.daemon_b) == (1, "domain_migrate_finish3"))
        pair.a.virsh("migrate-setspeed", "g", "0")
        assert mover.performed().status == mover.target.answer().status == frames.OK
        mover.confirm(0)
        assert mover.source.answer().status == frames.OK
        assert worked_on(pair.a, pair.daemon_a) == worked_on(pair.b, pair.daemon_b) == (0, None)
        mover.leave()
        runs_on_b_alone(pair, pulse)


@pytest.mark.limit(120)
def test_an_sshd_that_drops_connections_is_named(pair):
    """MIG-66: what ssh says alone does not tell an administrator what to change."""
    sshd = pair.b.popen(["/usr/sbin/sshd", "-D", "-e", "-p", "2222", "-o", "MaxStartups=1:100:1", "-f", "/etc/ssh/lab_config"],
                        stderr=-3)
    wait_for("it listens", lambda: ":2222 " in pair.b.run(["ss", "-Hltn"]).stdout, 60)
    words = [DROVER, "-c", "qemu+ssh://b:2222/system", "list"]
    pair.a.run(words)
    silent = pair.a.popen(["nc", "b", "2222"], stdin=-1, stdout=-1)  # says nothing, so it is never logged in
    assert silent.stdout.readline().startswith(b"SSH-2.0")
    with pytest.raises(LabError, match=r"error: .*MaxStartups .*/etc/ssh/sshd_config of b"):
        pair.a.run(words)
    silent.terminate()
    silent.communicate()
    wait_for("it takes connections again", lambda: pair.a.run(words, check=False).returncode == 0, 60)
    sshd.terminate()
    sshd.wait(120)
