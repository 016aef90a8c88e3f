"""Uploads that break off and daemons that die while they change volumes: everything is as before, or as it was to be."""
import os
import subprocess
import threading

import pytest

from live import LiveDaemon
from mortal import MortalDaemon
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")

MIB = 1 << 20


class Volumes:
    """A directory pool called p with a volume v in it, whose content is known."""

    def __init__(self, daemon):
        self.daemon, self.dir = daemon, daemon.base / "images"
        self.dir.mkdir(mode=0o711)
        self.virsh("pool-define-as", "p", "dir", "--target", self.dir)
        self.virsh("pool-start", "p")
        self.content = os.urandom(MIB) + bytes(MIB) + os.urandom(2 * MIB)
        self.virsh("vol-create-as", "p", "v", "4M", "--format", "raw")
        self.fill()

    def virsh(self, *args, check=True):
        return self.daemon.virsh(*args, check=check)

    def fill(self):
        (self.dir / "v").write_bytes(self.content)

    def is_as_before(self):
        return os.listdir(self.dir) == ["v"] and (self.dir / "v").read_bytes() == self.content


@pytest.fixture(name="volumes")
def fixture_volumes():
    volumes = Volumes(LiveDaemon())
    yield volumes
    volumes.daemon.stop()


class Upload:
    """A stock virsh that uploads what comes through a pipe, and got a part of it."""

    def __init__(self, volumes, place):
        self.pipe, self.more = place / "pipe", threading.Event()
        os.mkfifo(self.pipe)
        self.virsh = subprocess.Popen(["virsh", "-c", volumes.daemon.uri(), "vol-upload", "v", self.pipe, "--pool", "p"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # who only writes would wait for ever when virsh fails at once
        self.end = os.open(self.pipe, os.O_RDWR)
        self.feeder = threading.Thread(target=lambda: os.write(self.end, b"n" * (3 * MIB)))
        self.feeder.start()
        wait_for("a part of it is in the volume", lambda: (volumes.dir / "v").read_bytes()[:MIB] == b"n" * MIB)

    def stop(self):
        self.virsh.kill()
        self.virsh.wait()
        # what virsh did not read
        while self.feeder.is_alive():
            os.read(self.end, MIB)
        self.feeder.join()
        os.close(self.end)


def test_a_client_that_dies_in_the_middle_leaves_the_volume_as_it_was(volumes, place):
    upload = Upload(volumes, place)
    assert "still in use" in volumes.virsh("vol-wipe", "v", "p", check=False)
    upload.stop()
    wait_for("what came is undone", volumes.is_as_before)
    wait_for("the volume is free again", lambda: "still in use" not in volumes.virsh("vol-wipe", "v", "p", check=False))


def test_a_daemon_that_dies_in_the_middle_gives_the_volume_back_at_its_next_start(volumes, place):
    upload = Upload(volumes, place)
    volumes.daemon.process.kill()
    volumes.daemon.process.wait()
    upload.stop()
    volumes.daemon.output.truncate(0)
    volumes.daemon.start()
    assert volumes.virsh("vol-list", "p").split().count("v") == 1  # waits until the pool was gone through
    assert volumes.is_as_before()


def test_a_part_is_written_and_one_that_is_too_long_changes_nothing(volumes, place):
    (place / "data").write_bytes(b"n" * MIB)
    said = volumes.virsh("vol-upload", "v", place / "data", "--pool", "p", "--length", "65536", check=False)
    assert "more is sent than the 65536 bytes announced" in said and volumes.is_as_before()
    volumes.virsh("vol-upload", "v", place / "data", "--pool", "p", "--offset", str(2 * MIB))
    volumes.content = volumes.content[:2 * MIB] + b"n" * MIB + volumes.content[3 * MIB:]
    assert volumes.is_as_before()


# --- killed at each of its acts ---


@pytest.fixture(scope="module", name="mortal")
def fixture_mortal():
    volumes = Volumes(MortalDaemon())
    yield volumes
    volumes.daemon.stop()


def sweep(volumes, act, check):
    """Kill the daemon at the first act, then at the second, ... until it does all of it alive."""
    daemon = volumes.daemon
    for point in range(1, 40):
        for name in set(os.listdir(volumes.dir)) - {"v"}:
            volumes.virsh("vol-delete", name, "p")
        volumes.fill()
        daemon.arm(point)
        volumes.virsh(*act, check=False)
        daemon.disarm()
        alive = daemon.answers()
        if not alive:
            daemon.restart()
        where = f"killed at {daemon.last()} ({point})"
        listed = {line.split()[0] for line in volumes.virsh("vol-list", "p").splitlines()[2:] if line.strip()}
        assert listed == set(os.listdir(volumes.dir)), where
        check(where, alive)
        if alive:
            assert point > 1, "it was never killed"
            return
    raise AssertionError("it never came to its end")


def is_whole(volumes, name):
    image = volumes.dir / name
    return not image.exists() or "No errors were found" in subprocess.run(
        ["qemu-img", "check", "-f", "qcow2", image], capture_output=True, text=True, check=True).stdout


def test_a_volume_is_made_whole_or_not_at_all(mortal):
    def check(where, alive):
        assert is_whole(mortal, "new"), where
        assert not alive or (mortal.dir / "new").exists()
    sweep(mortal, ("vol-create-as", "p", "new", "8M", "--format", "qcow2"), check)


def test_a_copy_is_whole_or_not_there(mortal):
    def check(where, alive):
        copy = mortal.dir / "copy"
        assert copy.read_bytes() == mortal.content if copy.exists() else not alive, where
    sweep(mortal, ("vol-clone", "v", "copy", "--pool", "p"), check)


def test_another_size_is_there_or_not(mortal):
    def check(where, alive):
        data = (mortal.dir / "v").read_bytes()
        assert data[:4 * MIB] == mortal.content and len(data) in ({8 * MIB} if alive else {4 * MIB, 8 * MIB}), where
    sweep(mortal, ("vol-resize", "v", "8M", "--pool", "p"), check)


def test_an_upload_is_there_or_not(mortal, place):
    sent = os.urandom(4 * MIB)
    (place / "sent").write_bytes(sent)

    def check(where, alive):
        assert (mortal.dir / "v").read_bytes() in ([sent] if alive else [sent, mortal.content]), where
    sweep(mortal, ("vol-upload", "v", place / "sent", "--pool", "p"), check)


def test_a_wiped_volume_is_still_a_volume(mortal):
    """What was overwritten is gone, as was wished; nothing says how far a wipe came, so it is to be said again."""
    def check(where, alive):
        data = (mortal.dir / "v").read_bytes()
        assert len(data) == 4 * MIB and not (alive and data.strip(b"\0")), where
    sweep(mortal, ("vol-wipe", "v", "p"), check)


def test_a_pool_is_built_or_can_be_built_again(mortal):
    target = mortal.daemon.base / "built"
    mortal.virsh("pool-define-as", "q", "dir", "--target", target)

    def check(where, alive):
        assert target.is_dir() or not alive, where
        mortal.virsh("pool-build", "q")
        mortal.virsh("pool-start", "q")
        mortal.virsh("pool-destroy", "q")
        mortal.virsh("pool-delete", "q")
    sweep(mortal, ("pool-build", "q"), check)
