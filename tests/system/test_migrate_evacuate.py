"""drover evacuate: all guests of a host move away, and one that cannot does not hold the others up."""
import contextlib
import json
import signal

import pytest
from test_migrate_handover import has_arrived
from test_migrate_refusals import check_moved, guests_of, running, state_of
from waiting import wait_for

from lab import domains
from lab.paths import PROGRAMS

DROVER = [PROGRAMS / "drover", "-c", "qemu:///system"]
ONLY_HERE = "<interface type='bridge'><source bridge='only-here'/><model type='virtio'/></interface>"


@pytest.mark.limit(240)
def test_a_host_is_emptied(pair):
    """MIG-13: definitions and guests without one; what stays is named with its reason, and moves when that is mended."""
    pair.a.ip("link add only-here type bridge", "link set only-here up")
    pair.a.write_file("/root/off.xml", domains.bare("off"))
    pair.a.virsh("define", "/root/off.xml")
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(running(pair, "kept", verb="define"))
        passing = stack.enter_context(running(pair, "passing"))
        stuck = stack.enter_context(running(pair, "stuck", devices=ONLY_HERE))
        said = pair.a.run([*DROVER, "evacuate", "b"], timeout=120, check=False)
        assert said.returncode == 1 and "1 of 3 guests are still on this host" in said.stderr
        assert "Domain 'stuck' stays here: " in said.stdout and "no bridge 'only-here'" in said.stdout
        assert "Domain 'kept' moved in " in said.stdout and "Domain 'passing' moved in " in said.stdout
        for name, pulse in (("kept", kept), ("passing", passing)):
            check_moved(pair, pulse, name)
        assert state_of(pair.a, "stuck") == "running" and sorted(guests_of(pair.a, "--all")) == ["off", "stuck"]
        assert guests_of(pair.b, "--all", "--persistent") == ["kept"]
        pair.b.ip("link add only-here type bridge", "link set only-here up")
        said = pair.a.run([*DROVER, "-o", "json", "evacuate", "b", "--all", "--p2p"], timeout=120).stdout
        entries = [json.loads(line) for line in said.splitlines()]
        assert {(entry["domain"], entry["moved"]) for entry in sum(entries, [])} == {("stuck", True), ("off", True)}
        check_moved(pair, stuck, "stuck")
        assert guests_of(pair.a, "--all") == [] and guests_of(pair.b, "--all", "--persistent") == ["kept", "off"]
        assert state_of(pair.b, "off") == "shut off"


def test_a_guest_that_the_destination_lost_is_named(pair):
    """The destination answers that it knows no such guest: that is not a guest that went away from here by itself."""
    with running(pair):
        moving = pair.a.popen([*DROVER, "evacuate", "b", "--bandwidth", "1"], stdout=-1, stderr=-1, text=True)
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.a.kill("drover", signal.SIGSTOP)
        pair.a.virsh("migrate-setspeed", "g", "0")
        wait_for("it has arrived", lambda: has_arrived(pair))
        pair.b.kill("qemu-system-x86_64")
        wait_for("b is rid of it", lambda: guests_of(pair.b, "--all") == [])
        pair.a.kill("drover", signal.SIGCONT)
        said, errors = moving.communicate(timeout=120)
        assert moving.returncode == 1 and "Domain 'g' stays here: " in said and "1 of 1 guests are still on this host" in errors
        assert guests_of(pair.a, "--all") == ["g"]
