"""Guests saved to files and started from there, with stock virsh."""
import re
import signal
import subprocess
import threading
import time

import libvirt
import pytest

from live import helper_of, hold, linux, start, state, wait_state
from slow_monitor import RefusingMonitor
from waiting import wait_for


BEAT_MS = 100


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def guest(daemon, tmp_path):
    """A persistent guest that runs and beats."""
    file = tmp_path / "guest.xml"
    file.write_text(linux("s", beat=BEAT_MS))
    daemon.virsh("define", file)
    daemon.virsh("start", "s")
    assert beat(daemon) >= 0
    yield "s"
    if "running" in state(daemon, "s") or "paused" in state(daemon, "s"):
        daemon.virsh("destroy", "s")
    daemon.virsh("undefine", "s", "--managed-save")


def beat(daemon, name="s"):
    """The number of the next heartbeat on the guest's console."""
    conn = libvirt.open(daemon.uri())
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    conn.lookupByName(name).openConsole(None, stream)
    seen = b""

    def found():
        nonlocal seen
        data = stream.recv(4096)
        seen += data if data != -2 else b""
        return re.search(rb"\nbeat (\d+) \d+ \d+\s*\n", seen)

    number = int(wait_for("a heartbeat", found).group(1))
    stream.abort()
    conn.close()
    return number


def goes_on(daemon, before, since):
    """It counts on from where it was, no faster than it does; what the console still held of before may be heard first."""
    now = beat(daemon)
    return before < now < before + (time.monotonic() - since) * 1000 / BEAT_MS + 200


def test_a_guest_goes_on_where_it_was_saved(daemon, guest, tmp_path):
    """LIFE-21, LIFE-22: what the guest counts goes on."""
    image = tmp_path / "image"
    since, before = time.monotonic(), beat(daemon)
    daemon.virsh("save", guest, image)
    assert state(daemon, guest) == "shut off (saved)"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("image")] == ["image"]
    assert image.read_bytes()[:8] == b"DRSAVED\n" and image.stat().st_mode & 0o777 == 0o600
    daemon.virsh("restore", image)
    assert state(daemon, guest) == "running (restored)"
    assert goes_on(daemon, before, since)
    assert image.exists()


def test_around_the_page_cache_it_is_the_same(daemon, guest, tmp_path):
    since, before = time.monotonic(), beat(daemon)
    daemon.virsh("save", guest, tmp_path / "image", "--bypass-cache", "--paused")
    daemon.virsh("restore", tmp_path / "image", "--bypass-cache")
    assert state(daemon, guest).startswith("paused")
    daemon.virsh("resume", guest)
    assert state(daemon, guest) == "running (unpaused)"
    assert goes_on(daemon, before, since)


def test_the_caller_says_whether_it_runs(daemon, guest, tmp_path):
    image = tmp_path / "image"
    daemon.virsh("suspend", guest)
    daemon.virsh("save", guest, image)
    daemon.virsh("restore", image, "--running")
    assert state(daemon, guest) == "running (restored)"
    daemon.virsh("save", guest, image)
    daemon.virsh("restore", image, "--paused")
    assert state(daemon, guest).startswith("paused")


def test_a_managed_save_is_taken_up_by_the_next_start_also_of_another_daemon(daemon, guest):
    since, before = time.monotonic(), beat(daemon)
    daemon.virsh("managedsave", guest)
    assert guest in daemon.virsh("list", "--all", "--with-managed-save", "--name").split()
    assert f"<name>{guest}</name>" in daemon.virsh("managedsave-dumpxml", guest)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.wait()
    daemon.output.truncate(0)
    daemon.start()
    assert guest in daemon.virsh("list", "--all", "--with-managed-save", "--name").split()
    daemon.virsh("start", guest)
    assert state(daemon, guest) == "running (restored)"
    assert goes_on(daemon, before, since)
    assert guest in daemon.virsh("list", "--all", "--without-managed-save", "--name").split()


def test_a_managed_save_can_be_thrown_away(daemon, guest):
    daemon.virsh("managedsave", guest)
    daemon.virsh("start", guest, "--force-boot")
    assert state(daemon, guest) == "running (booted)"
    daemon.virsh("managedsave", guest)
    daemon.virsh("managedsave-remove", guest)
    daemon.virsh("start", guest)
    assert state(daemon, guest) == "running (booted)"


def test_a_save_that_fails_leaves_the_guest_running(daemon, guest, tmp_path):
    said = daemon.virsh("save", guest, tmp_path / "no-such" / "image", check=False)
    assert "cannot make a file in" in said and "No such file" in said
    # whether it was stopped for it, or the file was refused before
    wait_for("the guest to run on", lambda: state(daemon, guest) in ("running (save canceled)", "running (booted)"))
    (tmp_path / "directory").mkdir()
    said = daemon.virsh("save", guest, tmp_path / "directory", check=False)
    assert "is no regular file" in said
    beat(daemon)


def test_a_full_disk_leaves_the_guest_running_and_no_file(daemon, guest, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=True)
    try:
        said = daemon.virsh("save", guest, small / "image", check=False)
        assert "No space left on device" in said
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)
    wait_state(daemon, guest, "running (save canceled)")


def hold_a_save(daemon, guest, image):
    """A save that stands still: its thread, and what it said when it is over."""
    said = []
    while True:  # until what writes the file is caught at it
        saving = threading.Thread(target=lambda: said.append(daemon.virsh("save", guest, image, check=False)))
        saving.start()
        if hold(lambda: helper_of(daemon), saving):
            break
        saving.join()
        daemon.virsh("restore", image)
        image.unlink()
    wait_state(daemon, guest, "paused (saving)")
    wait_for("the job", lambda: "Save" in daemon.virsh("domjobinfo", guest))
    return saving, said


def abort_a_save(daemon, guest, image):
    saving, said = hold_a_save(daemon, guest, image)
    daemon.virsh("domjobabort", guest)
    saving.join()
    assert "canceled by a client" in said[-1]
    assert not image.exists()
    wait_state(daemon, guest, "running (save canceled)")
    beat(daemon)


def test_an_abort_lets_the_guest_go_on(daemon, guest, tmp_path):
    abort_a_save(daemon, guest, tmp_path / "image")


def test_a_guest_goes_on_also_when_qemu_is_not_ready_for_that_at_first(daemon, guest, tmp_path):
    """QEMU says that its migration failed a moment before it takes `cont`."""
    identity = daemon.virsh("domuuid", guest).strip()
    daemon.process.kill()
    daemon.process.wait()
    monitor = RefusingMonitor(daemon.base / f"run/guests/{identity}/monitor", 3)
    daemon.start()
    wait_for("the daemon knows the guest", lambda: "running" in state(daemon, guest))
    abort_a_save(daemon, guest, tmp_path / "image")
    assert monitor.left == 0
    daemon.virsh("destroy", guest)
    monitor.close()


def test_a_damaged_image_is_refused_before_anything_is_touched(daemon, guest, tmp_path):
    image, cut = tmp_path / "image", tmp_path / "cut"
    daemon.virsh("save", guest, image)
    data = image.read_bytes()
    for damage, why in ((data[:-1], "it should hold"), (data[:100], "cut short in its head"), (b"x" + data[1:], "no save image"),
                        (data[:70] + b"x" + data[71:], "check sum is wrong")):
        cut.write_bytes(damage)
        assert why in daemon.virsh("restore", cut, check=False)
        assert state(daemon, guest) == "shut off (saved)"
    broken = bytearray(data)
    broken[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    cut.write_bytes(broken)
    said = daemon.virsh("restore", cut, check=False)
    assert "error:" in said
    wait_state(daemon, guest, "shut off (failed)")
    daemon.virsh("restore", image)


def test_the_definition_in_an_image_can_be_read_and_changed(daemon, guest, tmp_path):
    image, file = tmp_path / "image", tmp_path / "new.xml"
    daemon.virsh("save", guest, image)
    xml = daemon.virsh("save-image-dumpxml", image)
    file.write_text(xml.replace("<memory", "<title>other</title><memory", 1))
    daemon.virsh("save-image-define", image, file, "--paused")
    assert "<title>other</title>" in daemon.virsh("save-image-dumpxml", image)
    file.write_text(re.sub(r"(<memory unit='KiB'>)\d+", r"\g<1>999424", xml))
    said = daemon.virsh("save-image-define", image, file, check=False)
    assert "memory" in said
    assert "memory" in daemon.virsh("restore", image, "--xml", file, check=False)
    daemon.virsh("restore", image)
    assert state(daemon, guest).startswith("paused")
    assert "<title>other</title>" in daemon.virsh("dumpxml", guest)


def test_what_cannot_be_saved_says_why(daemon, tmp_path):
    start(daemon, tmp_path, linux("transient"))
    said = daemon.virsh("managedsave", "transient", check=False)
    assert "cannot do managed save for transient domain" in said
    daemon.virsh("destroy", "transient")


def test_a_large_definition_goes_through_an_image(daemon, tmp_path):
    """Over 128 KiB it is read on a worker: restored, shown and changed like any other; what does not fit is refused."""
    text = "some text " * 40_000
    file, image = tmp_path / "large.xml", daemon.base / "large.save"
    file.write_text("<domain type='qemu'><name>large</name><memory unit='MiB'>16</memory><metadata>"
                    f"<a:x xmlns:a='http://a'>{text}</a:x></metadata><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>")
    daemon.virsh("create", file, "--paused")
    daemon.virsh("save", "large", image)
    shown = daemon.virsh("save-image-dumpxml", image)
    assert text.strip() in shown
    file.write_text(shown.replace("16384</memory>", "32768</memory>"))
    assert "memory" in daemon.virsh("save-image-define", image, file, check=False)
    file.write_text(shown.replace("<metadata>", "<title>changed</title><metadata>"))
    daemon.virsh("save-image-define", image, file)
    daemon.virsh("restore", image)
    assert state(daemon, "large").startswith("paused")
    said = daemon.virsh("dumpxml", "large")
    assert "<title>changed</title>" in said and text.strip() in said
    daemon.virsh("destroy", "large")
