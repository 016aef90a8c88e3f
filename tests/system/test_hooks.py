"""The administrator's hook script: what it is called with, what its refusal stops, and the XML it may change (MIG-29)."""
import pytest
from test_migrate_refusals import TO_B, check_moved, guests_of, running, state_of
from waiting import wait_for

from lab.paths import LabError

SCRIPT = """#!/bin/sh
echo "$@" >> /root/hook.log
if grep -qx "$2" /root/refused 2>/dev/null; then echo "not on a $2" >&2; exit 1; fi
if [ "$2" = migrate ]; then sed 's|</name>|</name><title>changed on the way</title>|'; fi
"""


def told(host):
    """The operations that the script of this host was asked about since the last time."""
    path = host.path("/root/hook.log")
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    assert all(line.split()[0] == "g" and line.endswith(" -") for line in lines), lines
    return [" ".join(line.split()[1:-1]) for line in lines]


@pytest.mark.limit(240)
def test_a_hook_script_is_asked_at_every_turn(pair):
    for host, daemon in ((pair.a, pair.daemon_a), (pair.b, pair.daemon_b)):
        host.write_file("/etc/drover/hooks/qemu", SCRIPT, mode=0o755)
        assert daemon.stop() == 0
        daemon.start()  # a script is looked for when the daemon starts
    starting = ["prepare begin", "start begin", "started begin"]
    with running(pair, verb="define") as pulse:
        assert told(pair.a) == starting

        pair.b.write_file("/root/refused", "migrate\n")
        with pytest.raises(LabError, match="hook script said no to 'migrate begin' of guest 'g': not on a migrate"):
            pair.a.virsh("migrate", "--live", "g", TO_B)
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        assert told(pair.b) == ["migrate begin"]

        pair.b.write_file("/root/refused", "")
        pair.a.virsh("migrate", "--live", "g", TO_B, timeout=60)
        check_moved(pair, pulse)
        assert told(pair.b) == ["migrate begin", *starting]
        assert pair.b.virsh("desc", "--title", "g").strip() == "changed on the way"
        wait_for("a is told", lambda: pair.a.path("/root/hook.log").read_text().count("release") == 1)
        assert told(pair.a) == ["stopped end", "release end"]

        pair.daemon_b.kill()
        pair.daemon_b.start()
        wait_for("the guest is found again", lambda: pair.b.path("/root/hook.log").exists())
        assert told(pair.b) == ["reconnect begin"] and guests_of(pair.b) == ["g"]
        right, line = pulse.verify()
        assert right, line

        for number, operation in enumerate(starting):
            pair.a.write_file("/root/refused", operation.split()[0] + "\n")
            with pytest.raises(LabError, match=f"said no to '{operation}'"):
                pair.a.virsh("start", "g")
            assert state_of(pair.a, "g") == "shut off"
            wait_for("a is told", lambda: "release" in pair.a.path("/root/hook.log").read_text())
            assert told(pair.a) == [*starting[: number + 1], "release end"]
