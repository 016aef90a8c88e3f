"""A daemon that is killed with -9 at any of its acts (see kill-point.c), and a guest of it to look at afterwards."""
import mmap
import os
import pathlib
import signal
import struct
import uuid

from droverd import find_program
from live import LiveDaemon
from procfs import commands
from waiting import wait_for

CONTROL_BYTES = 128
MOST_POINTS = 80


class MortalDaemon(LiveDaemon):
    """A daemon that can be told at which of its acts it dies."""

    def __init__(self, conf=""):
        self.control = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"drover-kill-{uuid.uuid4()}"
        self.control.write_bytes(bytes(CONTROL_BYTES))
        with open(self.control, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), CONTROL_BYTES)
        super().__init__(conf)

    def environment(self):
        preload = pathlib.Path(find_program()).parent / "tests/system/kill-point.so"
        asan = os.environ.get("ASAN_OPTIONS", "")
        return {**os.environ, "LD_PRELOAD": str(preload), "KILL_POINT_FILE": str(self.control),
                "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0"}

    def arm(self, point):
        """Die at the point-th act from now; 0: never."""
        self.shared[:CONTROL_BYTES] = struct.pack("QQ", point, 0) + bytes(CONTROL_BYTES - 16)

    def disarm(self):
        """Not to die any more; where it died stays known."""
        self.shared[:8] = struct.pack("Q", 0)

    def answers(self):
        """Whether it lives, asked of itself: it may be dying at this moment."""
        return "Using API" in self.virsh("version", check=False)

    def last(self):
        return self.shared[16:].split(b"\0")[0].decode()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        self.process.wait()
        self.start()

    def stop(self):
        super().stop()
        self.control.unlink()


def definition(name, identity, memory_mib=16):
    return (f"<domain type='qemu'><name>{name}</name><uuid>{identity}</uuid><memory unit='MiB'>{memory_mib}</memory>"
            "<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
            "<devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>")


def processes(identity):
    return [pid for pid, words in commands().items() if b"qemu-system" in words[0] and identity.encode() in words]


class Subject:
    """The guest under test, and what must hold of it whatever happened."""

    def __init__(self, daemon, directory):
        self.daemon, self.directory, self.identity, self.name = daemon, directory, str(uuid.uuid4()), "k"
        self.file = directory / "k.xml"
        self.file.write_text(definition(self.name, self.identity))
        daemon.virsh("define", self.file)

    def virsh(self, *args, check=False):
        return self.daemon.virsh(*args, check=check)

    def state(self):
        return self.virsh("domstate", self.name).strip()

    def is_saved(self):
        return "Managed save:   yes" in self.virsh("dominfo", self.name)

    def leftovers(self):
        run = self.daemon.base / "run"
        # a file that was never renamed is overwritten by the next one
        return [path.name for path in [*run.glob("guests/*"), *run.glob("qemu/*.status")] if path.suffix != ".new"]

    def settled(self):
        """Its state once nothing moves any more: 'running' or 'shut off', and the processes say the same."""
        def agrees():
            state, found = self.state(), processes(self.identity)
            assert len(found) <= 1, f"it runs {len(found)} times"
            if state == "running":
                return state if len(found) == 1 and '"running"' in self.qmp("query-status") else None
            return state if state == "shut off" and not found and not self.leftovers() else None
        try:
            return wait_for("a settled state", agrees)
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.state()}, processes {processes(self.identity)}, {self.leftovers()}") from late

    def qmp(self, command):
        return self.virsh("qemu-monitor-command", self.name, f'{{"execute":"{command}"}}')

    def be(self, state):
        """running or shut off, without a saved image."""
        if state == "running" and self.state() != "running":
            self.virsh("start", self.name, "--force-boot", check=True)
        elif state == "shut off" and self.state() != "shut off":
            self.virsh("destroy", self.name, check=True)
        self.virsh("managedsave-remove", self.name)


def sweep(subject, prepare, act, check):
    """Kill the daemon at the first act, then at the second, ... until it does all of it alive."""
    daemon = subject.daemon
    for point in range(1, MOST_POINTS):
        prepare()
        daemon.arm(point)
        act()
        daemon.disarm()
        if daemon.answers():
            check("it was not killed")
            return point - 1
        where = f"killed at {daemon.last()} ({point})"
        daemon.restart()
        try:
            check(where)
        except AssertionError as failed:
            raise AssertionError(f"{where}: {failed}\n{daemon.said()[-3000:]}") from failed
    raise AssertionError(f"more than {MOST_POINTS} acts")
