"""Either daemon of a move is killed with -9 at each of its acts (see kill-point.c; MIG-07; architecture, concurrency 5 and 6).

An act is a file that appears or goes, a child that is made, a word to QEMU, to the other daemon or to the client: every step
of the table in migrate-transfer.c is between two of them. Whatever came of the move, the guest runs on exactly one host
afterwards, both daemons say so, no page of it is lost, and nothing of it is left on the other. Here every STRIDE-th act is
tried; STRIDE=1 in the environment tries all of them.
"""
import mmap
import os
import struct
import subprocess
import types

import pytest
from test_migrate_refusals import TO_B, guests_of, payload_kind, states
from waiting import wait_for

from lab import domains
from lab.paths import PROGRAMS
from lab.pulse import Pulse

STRIDE = int(os.environ.get("STRIDE", "6"))
FIRST = {("a", False): 1, ("a", True): 4, ("b", False): 0, ("b", True): 3}  # so that together they try more of them
MOST_POINTS = 80
CONTROL_BYTES = 128
MOVE_S = 120


class Trigger:
    """The file that says at which act a daemon dies, and at which it did."""

    def __init__(self, lab):
        self.inside, path = lab.socket("kill-point")
        path.write_bytes(bytes(CONTROL_BYTES))
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), CONTROL_BYTES)

    def environment(self):
        return {"LD_PRELOAD": str(PROGRAMS / "tests/system/kill-point.so"), "KILL_POINT_FILE": self.inside,
                "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"}

    def arm(self, point):
        self.shared[:CONTROL_BYTES] = struct.pack("QQ", point, 0) + bytes(CONTROL_BYTES - 16)

    def disarm(self):
        self.shared[:8] = struct.pack("Q", 0)

    def last(self):
        return self.shared[16:].split(b"\0")[0].decode()


def mortal_pair(lab, side, trigger):
    hosts = {name: lab.host(name, kvm=True) for name in ("a", "b")}
    config = {"listen_tcp": 1, "auth_tcp": "none"}
    daemons = {name: host.droverd(config, env=trigger.environment() if name == side else None)
               for name, host in hosts.items()}
    return types.SimpleNamespace(lab=lab, a=hosts["a"], b=hosts["b"], mortal=daemons[side], daemons=daemons)


def move(pair, options, trigger, point):
    """One move during which the daemon dies at this act, or right after it; False: it did not die. A new one is there then, and
    whoever asked for the move has heard of it: a source that drives it asks the other host until that is back."""
    trigger.arm(point)
    drover = [PROGRAMS / "drover", "-c", "qemu:///system", "migrate", "--live", *options, "g", TO_B]
    asked = pair.a.popen(drover, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("it has moved, or somebody died", lambda: asked.poll() is not None or trigger.last(), MOVE_S)
    if not trigger.last():
        trigger.disarm()
        pair.mortal.host.virsh("version", check=False)  # it answers, or is dead, or says while it dies at what
    if trigger.last():
        wait_for("it is dead", lambda: not pair.mortal.running, 60)
        trigger.disarm()
        pair.mortal.start()
    asked.wait(MOVE_S)
    return bool(trigger.last())


def check(pair, pulse, where):
    try:
        wait_for("the guest to run on one host alone", lambda: sorted(map(str, states(pair))) == ["None", "running"], 60)
        pulse.wait("^beat ", 30, pulse.mark())
        right, line = pulse.verify()
        assert right, line
    except AssertionError as failed:
        logs = "\n".join(f"--- {name}\n{daemon.tail()}" for name, daemon in pair.daemons.items())
        raise AssertionError(f"{where}: {failed}; {states(pair)}\n{logs}") from failed


def create(pair):
    """Where a QEMU ended after all was sent, its daemon may still be telling the other host, whose guest was destroyed meanwhile."""
    done = pair.a.run(["virsh", "-q", "-c", "qemu:///system", "create", "/root/g.xml"], check=False)
    if done.returncode:
        assert "say start once more" in done.stderr, done.stderr
        pair.a.virsh("create", "/root/g.xml")


@pytest.mark.limit(400)
@pytest.mark.parametrize("options", [[], ["--p2p"]], ids=["managed", "p2p"])
@pytest.mark.parametrize("side", ["a", "b"], ids=["source", "destination"])
def test_a_daemon_is_killed_at_each_act_of_a_move(lab, side, options):
    trigger = Trigger(lab)
    pair = mortal_pair(lab, side, trigger)
    inside, outside = lab.socket("port")
    pair.a.write_file("/root/g.xml", domains.bare("g", 8, 0, 10, inside, kind=payload_kind(pair.a), random=True))
    killed = 0
    for point in range(1 + FIRST[side, bool(options)] % STRIDE, MOST_POINTS, STRIDE):
        with Pulse(outside) as pulse:
            create(pair)
            pulse.wait("^beat ", 60)
            if not move(pair, options, trigger, point):
                assert guests_of(pair.b) == ["g"] and guests_of(pair.a, "--all") == []
                break
            killed += 1
            where = f"killed at {trigger.last()} ({point})"
            print(where)  # in the report of a test that fails
            check(pair, pulse, where)
            for host in (pair.a, pair.b):
                host.virsh("destroy", "g", check=False)
            wait_for("it is gone", lambda: guests_of(pair.a, "--all") == guests_of(pair.b, "--all") == [], 60)
    else:
        raise AssertionError(f"more than {MOST_POINTS} acts")
    assert killed > 2
    for daemon in pair.daemons.values():
        assert daemon.stop() == 0, daemon.tail()
        assert "Sanitizer" not in daemon.log.read_text(errors="replace"), daemon.tail()
