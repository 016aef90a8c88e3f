"""drover-img is asked how far it is, and stopped in the middle: what is left is whole, or gone, and said (IMG-04)."""

import os
import pty
import re
import signal
import subprocess

import pytest

from img_tools import OURS, fill, needs_stock, ours, stock
from lab.pulse import listening
from waiting import wait_for

pytestmark = needs_stock

SIZE = 8 << 20
SLOW = "256K"  # a second: pieces of 1 MiB come at once, and then it waits, which a signal ends


def started(*args, **more):
    return subprocess.Popen([OURS, *map(str, args)], stderr=subprocess.PIPE, text=True, **more)


def stopped(child, number=signal.SIGINT):
    child.send_signal(number)
    said = child.communicate(timeout=120)[1]
    return child.returncode, said


def written(path):
    return path.exists() and os.stat(path).st_blocks > 0


@pytest.fixture
def overlay(tmp_path):
    """A qcow2 with data over a raw file, and what it shows."""
    fill(tmp_path / "base", SIZE)
    fill(tmp_path / "view", SIZE, seed=2)
    stock("convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=64k", tmp_path / "view", tmp_path / "over")
    stock("rebase", "-u", "-b", tmp_path / "base", "-F", "raw", tmp_path / "over")
    stock("convert", "-O", "raw", tmp_path / "over", tmp_path / "view")
    return tmp_path / "over"


def test_a_commit_that_is_stopped_can_be_done_again(overlay, tmp_path):
    before = (tmp_path / "base").read_bytes()
    child = started("commit", "-r", SLOW, overlay)
    wait_for("the backing file changes", lambda: (tmp_path / "base").read_bytes() != before)
    code, said = stopped(child)
    assert code == 1 and "interrupted by signal 2" in said and "still holds everything" in said
    stock("check", "-q", overlay)
    stock("compare", "-F", "raw", overlay, tmp_path / "view")
    ours("commit", "-q", overlay)
    stock("compare", "-f", "raw", "-F", "raw", tmp_path / "base", tmp_path / "view")


def test_a_rebase_that_is_stopped_changes_nothing_that_is_seen(overlay, tmp_path):
    """Onto a slow server: what was copied already stands in the image, on the backing file it has."""
    ours("create", "-q", "-f", "qcow2", "-b", tmp_path / "view", "-F", "raw", tmp_path / "empty")
    server = subprocess.Popen(["nbdkit", "-f", "-U", tmp_path / "socket", "--filter=delay", "file", tmp_path / "base",
                               "rdelay=300ms"])
    try:
        wait_for("the server listens", lambda: listening(str(tmp_path / "socket")))
        before = (tmp_path / "empty").stat().st_size
        child = started("rebase", "-b", f"nbd+unix:///?socket={tmp_path}/socket", "-F", "raw", tmp_path / "empty")
        wait_for("the image grows", lambda: (tmp_path / "empty").stat().st_size > before + (1 << 20))
        code, said = stopped(child)
        assert code == 1 and "on the backing file that it had" in said
    finally:
        server.terminate()
        server.wait()
    stock("check", "-q", tmp_path / "empty")
    stock("compare", "-F", "raw", tmp_path / "empty", tmp_path / "view")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_new_image_of_many_files_that_is_stopped_leaves_none(tmp_path, number):
    raw, place = fill(tmp_path / "raw", SIZE), tmp_path / "there"
    place.mkdir()
    child = started("convert", "-r", SLOW, "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", raw,
                    place / "a.vmdk")
    wait_for("it began", lambda: sum(os.stat(path).st_blocks for path in place.iterdir()) > 1024)
    code, said = stopped(child, number)
    assert code == 1 and "nothing was kept" in said
    assert not os.listdir(place)


def test_who_is_asked_twice_to_stop_ends_at_once_and_leaves_nothing(tmp_path):
    """The step it is at does not end: the server that it reads from never answers."""
    place = tmp_path / "there"
    place.mkdir()
    fill(tmp_path / "raw", SIZE)
    server = subprocess.Popen(["nbdkit", "-f", "-U", tmp_path / "socket", "--filter=delay", "file", tmp_path / "raw",
                               "rdelay=3600"])
    try:
        wait_for("the server listens", lambda: listening(str(tmp_path / "socket")))
        child = started("convert", "-f", "raw", "-O", "qcow2", "-o", f"data_file={place}/data",
                        f"nbd+unix:///?socket={tmp_path}/socket", place / "image")
        wait_for("it began", lambda: len(os.listdir(place)) == 2)

        def asked():
            child.send_signal(signal.SIGINT)
            return child.poll() is not None

        wait_for("it ends", asked)
        child.stderr.close()
        assert child.returncode == -signal.SIGINT
    finally:
        server.kill()
        server.wait()
    assert not os.listdir(place)


def test_a_data_file_appears_with_its_image_and_what_was_there_stays(tmp_path):
    raw, place = fill(tmp_path / "raw", SIZE), tmp_path / "there"
    place.mkdir()
    (place / "data").write_bytes(b"was there")
    (place / "data").chmod(0o640)
    words = ("-f", "raw", "-O", "qcow2", "-o", f"data_file={place}/data", raw, place / "image")
    child = started("convert", "-r", SLOW, *words)
    wait_for("it began", lambda: any(path.name.startswith("data.") and written(path) for path in place.iterdir()))
    code, said = stopped(child)
    assert code == 1 and "nothing was kept" in said
    assert os.listdir(place) == ["data"] and (place / "data").read_bytes() == b"was there"
    ours("convert", *words)
    assert sorted(os.listdir(place)) == ["data", "image"] and (place / "data").stat().st_mode & 0o777 == 0o640
    stock("compare", "-f", "qcow2", "-F", "raw", place / "image", raw)


def test_making_a_large_image_that_is_stopped_leaves_nothing(tmp_path):
    """Nobody asks about signals in there: the program ends at once."""
    child = started("create", "-q", "-f", "qcow2", "-o", "preallocation=full", tmp_path / "a", "20G")
    wait_for("it began", lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
    code, _ = stopped(child)
    assert code == -signal.SIGINT
    assert not os.listdir(tmp_path)


def test_a_target_that_was_there_is_told_to_be_half_written(tmp_path):
    raw, image = fill(tmp_path / "raw", SIZE), tmp_path / "a"
    ours("create", "-q", "-f", "qcow2", image, SIZE)
    empty = image.stat().st_size
    child = started("convert", "-n", "-r", SLOW, "-f", "raw", "-O", "qcow2", raw, image)
    wait_for("it began", lambda: image.stat().st_size > empty)
    code, said = stopped(child)
    assert code == 1 and "a part of the target has been written" in said
    stock("check", "-q", image)


def test_sigusr1_asks_how_far_it_is(tmp_path):
    raw = fill(tmp_path / "raw", SIZE)
    child = started("convert", "-r", SLOW, "-f", "raw", "-O", "raw", raw, tmp_path / "a")
    wait_for("it began", lambda: any(path.name.endswith(".part") and written(path) for path in tmp_path.iterdir()))

    def asked():
        child.send_signal(signal.SIGUSR1)
        return child.poll() is not None

    wait_for("it ends", asked)  # soon: who is asked waits no longer
    said = child.communicate(timeout=120)[1]
    assert child.returncode == 0
    assert re.fullmatch(r"(    \(\d+\.\d\d/100%\)\n)+", said), said
    shares = [float(share) for share in re.findall(r"[\d.]+(?=/)", said)]
    assert shares == sorted(shares)
    assert (tmp_path / "a").read_bytes() == raw.read_bytes()


def test_a_terminal_sees_a_bar_with_rate_and_time_left(tmp_path):
    raw = fill(tmp_path / "raw", SIZE)
    screen, inside = pty.openpty()
    child = started("convert", "-p", "-r", "2M", "-f", "raw", "-O", "raw", raw, tmp_path / "a", stdout=inside)
    os.close(inside)
    said = b""
    while True:
        try:
            said += os.read(screen, 4096)
        except OSError:  # the other end is closed
            break
    os.close(screen)
    assert child.wait(120) == 0
    child.stderr.close()
    drawn = re.findall(r"\r    \((\d+\.\d\d)/100%\) \[(#*)(\.*)\] [0-9.e+]+ [KMG]?i?B/s, (\d+:\d\d|-:--) left ", said.decode())
    assert len(drawn) > 3 and drawn[-1][0] == "100.00" and drawn[-1][1] == "#" * 30
    assert all(len(full) + len(rest) == 30 for _, full, rest, _ in drawn)
    assert [float(share) for share, *_ in drawn] == sorted(float(share) for share, *_ in drawn)


def test_quiet_is_quieter_than_progress(tmp_path):
    raw = fill(tmp_path / "raw", 1 << 20)
    assert ours("convert", "-q", "-p", "-f", "raw", "-O", "qcow2", raw, tmp_path / "a") == ""
    assert ours("compare", "-q", "-p", "-F", "raw", tmp_path / "a", raw) == ""
