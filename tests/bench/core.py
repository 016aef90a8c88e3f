"""What every bench stands on: the two daemons side by side, measured in turns, and the table that comes out.

Each figure is the median over rounds in which both sides are measured one right after the other, so whatever else
the machine does hits both alike. What counts is the ratio; the absolute values are of this machine and this hour.
"""
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys

import libvirt

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from lab import native  # noqa: E402  (the path comes first)
from lab.hosts import Lab  # noqa: E402
from lab.paths import LabError, run  # noqa: E402
from lab.raw import RawQemu  # noqa: E402, F401  (for the benches)
from lab.services import SOCKET  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SYSTEM = "qemu:///system"


def hammer():
    """The compiled hammer.c."""
    return native.compiled(HERE / "hammer.c")


class Side:
    """One daemon: 'drover' or 'libvirtd', on a lab host of its own; without /dev/kvm unless its guests do use it, because
    libvirtd looks at one that cannot be used again and again."""

    def __init__(self, lab, name, host=None, rate_mbit=None, kvm=False):
        self.name = name
        self.host = lab.host(host or name, stock=name == "libvirtd", rate_mbit=rate_mbit, kvm=kvm)
        if name == "drover":  # as packaging/drover.sysusers has it; libvirtd's accounts are the lab's business
            self.host.write_file("/etc/group", self.host.read_file("/etc/group") + "libvirt:x:64056:\n")
        self.start()

    def start(self):
        self.daemon = self.host.libvirtd() if self.name == "libvirtd" else self.host.droverd()

    def stop(self):
        self.daemon.stop()

    @property
    def socket(self):
        return str(self.host.path(SOCKET))

    def open(self):
        return libvirt.open(self.daemon.uri)

    def cpu_ns(self):
        """CPU time of all threads of the daemon so far."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.daemon.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total

    def private_bytes(self):
        """Memory that is there for the daemon alone. Clean pages of files are left out: whether they count as private
        depends on who else has the library open, this client for instance."""
        rows = pathlib.Path(f"/proc/{self.daemon.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith("Private_Dirty"))


class Bench:
    """Both sides, and the table of results."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.missed = 0
        libvirt.registerErrorHandler(lambda *_: None, None)
        os.sync()  # pages of a program that was just built, and is not on the disk yet, would count as its private memory

    def __enter__(self):
        self.lab = Lab()
        try:
            self.sides = [Side(self.lab, name) for name in ("drover", "libvirtd")]
        except BaseException:
            self.lab.close()
            raise
        return self

    def __exit__(self, *_):
        self.lab.close()

    def script(self, name, frames):
        """A file of frames for hammer."""
        path = self.lab.home / f"{name}.frames"
        path.write_bytes(b"".join(frames))
        return path

    def paired(self, measure, rounds=None):
        """[median for drover, median for libvirtd] of measure(side), which gives a number or a dict of numbers."""
        samples = [[], []]
        for turn in range(rounds or self.rounds):
            for index in (0, 1) if turn % 2 == 0 else (1, 0):
                samples[index].append(measure(self.sides[index]))
        return [median(values) for values in samples]

    def part(self, measure, *arguments):
        """Run one part of a bench; what cannot be measured is said, counts as missed, and does not end the run."""
        try:
            measure(self, *arguments)
        except (LabError, libvirt.libvirtError, AssertionError) as failure:
            self.missed += 1
            what = " ".join([measure.__name__, *(word for word in arguments if isinstance(word, str))])
            print(f"{what:<46} NOT MEASURED: {(str(failure).strip() or repr(failure)).splitlines()[-1]}", flush=True)

    def report(self, figure, values, unit, target=None, scale=1.0):
        """One row: drover, the other, ratio, and whether it is at or below (negative target: at or above) the target."""
        ratio = values[0] / values[1] if values[1] else float("inf")
        verdict = ""
        if target is not None:
            good = ratio <= target if target > 0 else ratio >= -target
            self.missed += not good
            verdict = f"{'<=' if target > 0 else '>='} {abs(target):<5g} {'ok' if good else 'MISSED'}"
        print(f"{figure:<46} {values[0] * scale:>11.2f} {values[1] * scale:>11.2f} {unit:<6} {ratio:>7.3f}  {verdict}",
              flush=True)


def median(values):
    if isinstance(values[0], dict):
        return {key: statistics.median(value[key] for value in values) for key in values[0]}
    return statistics.median(values)


def hammered(mode, *arguments, cpu=None):
    """What hammer measured, kept on one CPU if that is given."""
    return json.loads(run([*([] if cpu is None else ["taskset", "-c", cpu]), hammer(), mode, *arguments]))


@contextlib.contextmanager
def kept_on(cpu, pid):
    """All threads of a process run on one CPU meanwhile."""
    tasks = [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    before = [os.sched_getaffinity(task) for task in tasks]
    try:
        for task in tasks:
            os.sched_setaffinity(task, {cpu})
        yield
    finally:
        for task, cpus in zip(tasks, before):
            os.sched_setaffinity(task, cpus)


class Echo:
    """hammer's own echo server, the floor of every call."""

    def __init__(self, directory):
        self.socket = str(directory / "echo")
        self._process = subprocess.Popen([str(hammer()), "echo", self.socket], stdout=subprocess.PIPE)
        self.pid = self._process.pid
        if self._process.stdout.readline() != b"ready\n":
            raise LabError("the echo server did not start")

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
