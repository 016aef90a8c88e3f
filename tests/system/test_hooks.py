"""The administrator's hook script: what it is called with, what its refusal stops, and the XML it may change (MIG-29)."""
import os

import procfs
import pytest
from live import LiveDaemon, start, state
from mortal import definition
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


def wait_told(host, word):
    """Until its script was asked about this: the file may not be there yet, or be empty."""
    wait_for(f"{host.name} is told of '{word}'", lambda: word.encode() in procfs.read(host.path("/root/hook.log")))


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
        pair.a.virsh("migrate", "--live", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
        assert told(pair.b) == ["migrate begin", *starting]
        assert pair.b.virsh("desc", "--title", "g").strip() == "changed on the way"
        wait_told(pair.a, "release end")
        assert told(pair.a) == ["stopped end", "release end"]

        pair.daemon_b.kill()
        pair.daemon_b.start()
        wait_told(pair.b, "reconnect begin")
        assert told(pair.b) == ["reconnect begin"] and guests_of(pair.b) == ["g"]
        right, line = pulse.verify()
        assert right, line

        for number, operation in enumerate(starting):
            pair.a.write_file("/root/refused", operation.split()[0] + "\n")
            with pytest.raises(LabError, match=f"said no to '{operation}'"):
                pair.a.virsh("start", "g")
            assert state_of(pair.a, "g") == "shut off"
            wait_told(pair.a, "release end")
            assert told(pair.a) == [*starting[: number + 1], "release end"]


RESTORES = """#!/bin/sh
echo "$2 $3" >> {base}/hook.log
[ $2 = restore ] || exit 0
cat {base}/words >&2
[ ! -e {base}/refused ] || exit 1
sed "$(cat {base}/change)"
"""


@pytest.fixture()
def asking(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    daemon = LiveDaemon()
    script = daemon.base / "etc" / "hooks" / "qemu"
    script.parent.mkdir()
    script.write_text(RESTORES.format(base=daemon.base))
    script.chmod(0o755)
    for name, text in (("words", "not on a restore"), ("change", "s|</name>|</name><title>changed in the file</title>|")):
        (daemon.base / name).write_text(text)
    daemon.process.kill()
    daemon.process.wait()
    daemon.start()  # a script is looked for when the daemon starts
    start(daemon, tmp_path, definition("r", "0b1d7b9e-5c0f-4d53-9a53-2a4f0e4d6b01"))
    yield daemon
    daemon.stop()


def test_a_hook_script_is_asked_before_a_guest_is_restored(asking, tmp_path):
    """It may change the definition as long as the state fits it, or say no; then nothing has happened to the image."""
    daemon, image, log = asking, asking.base / "image", asking.base / "hook.log"
    daemon.virsh("save", "r", image)
    (daemon.base / "refused").touch()
    starts = log.read_text().count("prepare begin")
    said = daemon.virsh("restore", image, check=False)
    assert "said no to 'restore begin' of guest 'r': not on a restore" in said
    assert "restore begin" in log.read_text() and log.read_text().count("prepare begin") == starts
    assert daemon.virsh("list", "--all", "--name").split() == []
    (daemon.base / "refused").unlink()
    change = (daemon.base / "change").read_text()
    for wrong, why in (("s|16384|32768|", "memory"), ("s|<domain|<nonsense|", "domain")):
        (daemon.base / "change").write_text(wrong)
        assert why in daemon.virsh("restore", image, check=False)
    assert daemon.virsh("list", "--all", "--name").split() == []
    (daemon.base / "change").write_text(change)
    daemon.virsh("restore", image)
    assert state(daemon, "r") == "running (restored)" and daemon.virsh("desc", "--title", "r").strip() == "changed in the file"

    file = tmp_path / "kept.xml"
    file.write_text(daemon.virsh("dumpxml", "r").replace("changed in the file", "kept"))
    daemon.virsh("define", file)
    daemon.virsh("managedsave", "r")
    (daemon.base / "refused").touch()
    assert "said no to 'restore begin'" in daemon.virsh("start", "r", check=False)
    assert state(daemon, "r") == "shut off (saved)"
    (daemon.base / "refused").unlink()
    (daemon.base / "change").write_text("s/kept/after the managed save/; s/changed in the file/after the managed save/")
    daemon.virsh("start", "r")
    assert state(daemon, "r") == "running (restored)" and daemon.virsh("desc", "--title", "r").strip() == "after the managed save"
