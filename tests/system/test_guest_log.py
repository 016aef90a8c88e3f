"""drover-log: files that stay below their cap, however much a guest says."""
import os
import pathlib
import subprocess

import procfs
import pytest

from droverd import ROOT
from live import LiveDaemon
from mortal import processes
from waiting import wait_for

BUILT = sorted([*ROOT.glob("build/drover-log"), *ROOT.glob("build/*/drover-log")], key=lambda p: p.stat().st_mtime)
PROGRAM = BUILT[-1] if BUILT else pathlib.Path("/nonexistent")


@pytest.fixture
def run(tmp_path):
    if not PROGRAM.exists():
        pytest.skip("drover-log is not built")

    def run(cap, backups, how, data):
        path = tmp_path / "guest.log"
        subprocess.run([PROGRAM, str(cap), str(backups), "0", str(path), how], input=data, check=True, timeout=120)
        return {p.name: p.read_bytes() for p in sorted(tmp_path.iterdir())}
    return run


def test_a_chatty_guest_keeps_the_newest_output_and_nothing_grows(run):
    data = b"".join(b"%07d\n" % i for i in range(10000))
    files = run(4096, 2, "append", data)
    assert set(files) == {"guest.log", "guest.log.0", "guest.log.1"}
    assert all(len(content) <= 4096 for content in files.values())
    assert (files["guest.log.1"] + files["guest.log.0"] + files["guest.log"]) == data[-sum(map(len, files.values())):]


def test_old_output_stays_when_it_was_asked_for(run):
    run(4096, 1, "append", b"one\n")
    assert run(4096, 1, "append", b"two\n") == {"guest.log": b"one\ntwo\n"}
    assert run(4096, 1, "new", b"three\n") == {"guest.log": b"three\n"}


def test_without_backups_the_file_begins_anew(run):
    files = run(10, 0, "append", b"0123456789abc")
    assert files == {"guest.log": b"abc"}


@pytest.mark.parametrize("arguments", [[], ["1"], ["0", "1", "0", "f", "append"], ["x", "1", "0", "f", "append"]])
def test_wrong_arguments_are_refused(arguments):
    if not PROGRAM.exists():
        pytest.skip("drover-log is not built")
    assert subprocess.run([PROGRAM, *arguments], stderr=subprocess.DEVNULL, check=False).returncode == 2


# A boot sector that writes to COM1 for ever.
CHATTERS = bytes.fromhex("baf803 b078 ee ebfd").ljust(510, b"\0") + b"\x55\xaa"
CAP = 4096


def test_a_guest_that_never_stops_talking_fills_no_disk(place):
    """What its serial port's file and two before it hold is all that there is; QEMU has none of them open."""
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    boot, serial = place / "boot", place / "serial.log"
    boot.write_bytes(CHATTERS.ljust(1 << 20, b"\0"))
    (place / "guest.xml").write_text(
        "<domain type='qemu'><name>talks</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
        f"<disk type='file'><source file='{boot}'/><target dev='hda' bus='ide'/></disk>"
        f"<serial type='file'><source path='{serial}'/></serial></devices></domain>")
    daemon = LiveDaemon(f"guest_log_max_bytes = {CAP}\n")
    try:
        daemon.virsh("create", place / "guest.xml")
        for _ in range(3):
            (place / "serial.log.1").unlink(missing_ok=True)
            wait_for("the next turn", (place / "serial.log.1").exists)
            said = {path.name: procfs.read(path) for path in place.glob("serial.log*")}
            assert set(said) <= {"serial.log", "serial.log.0", "serial.log.1"}
            assert all(len(text) <= CAP and not text.strip(b"x") for text in said.values())
        qemu, = processes(daemon.virsh("domuuid", "talks").strip())
        assert not [file for file in procfs.descriptors(qemu).values() if file.startswith(str(serial))]
        daemon.virsh("destroy", "talks")
    finally:
        daemon.stop()
