"""Read a guest's heartbeat from outside, and say how long it really stood still.

`Pulse` listens where QEMU connects the serial port and keeps every line with the host's time. The pause of a migration
is the largest gap between two beats in host time: the guest's own clocks do not see it.
"""

import re
import subprocess
import threading
import time
from typing import NamedTuple

from . import native
from .paths import PATIENCE_S, LabError

BEAT = re.compile(r"beat ([0-9a-f]+)(?: (\d+) (\d+))?$")


class Line(NamedTuple):
    """One line of the serial port."""

    at: float  # seconds, CLOCK_MONOTONIC of the host
    connection: int  # which QEMU it came from: 1, 2, ...
    text: str


class Gap(NamedTuple):
    """The longest silence between two beats."""

    seconds: float
    before: Line
    after: Line


class Pulse:
    """The serial port of one guest, wherever it runs. Use as a context manager, or close()."""

    def __init__(self, path):
        self.path = str(path)
        self._lines = []
        self._news = threading.Condition()
        self._stamp = subprocess.Popen(
            [native.program("stamp"), self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + PATIENCE_S
        while self._stamp.poll() is None and not listening(self.path):
            if time.monotonic() > deadline:
                raise LabError(f"nobody listens on {self.path}")
            time.sleep(0.005)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._stamp.stdin.close()
        self._stamp.wait()
        self._reader.join()

    def _read(self):
        for row in self._stamp.stdout:
            at, connection, text = row.rstrip("\n").split(" ", 2)
            with self._news:
                self._lines.append(Line(int(at) / 1e9, int(connection), text))
                self._news.notify_all()

    def send(self, command):
        """A command line for the heartbeat ("verify", "dirty 50") or, without newline, a key for the payload."""
        self._stamp.stdin.write(command)
        self._stamp.stdin.flush()

    def lines(self, since=0.0):
        with self._news:
            return [line for line in self._lines if line.at >= since]

    def mark(self):
        """The index from which wait() shall look, to see only what comes from now on."""
        with self._news:
            return len(self._lines)

    def wait(self, pattern, timeout=0, start=0, connection=None):
        """The first line from index start on that matches; LabError with the last lines when there is none."""
        timeout = max(timeout, PATIENCE_S)
        deadline = time.monotonic() + timeout
        expression = re.compile(pattern)
        with self._news:
            while True:
                for line in self._lines[start:]:
                    if expression.search(line.text) and connection in (None, line.connection):
                        return line
                start = max(start, len(self._lines))
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    if time.monotonic() >= deadline:
                        last = "\n".join(f"  {line.connection}: {line.text}" for line in self._lines[-12:])
                        raise LabError(f"the guest did not say '{pattern}' within {timeout} s; its last lines:\n{last}")

    def wait_silence(self, seconds, timeout=PATIENCE_S):
        """Return when nothing came for so long; LabError when the guest goes on. What it said before may come late."""
        deadline = time.monotonic() + timeout
        with self._news:
            while self._news.wait(seconds):
                if time.monotonic() > deadline:
                    raise LabError(f"the guest was never silent for {seconds} s")

    def beats(self, since=0.0):
        return [line for line in self.lines(since) if BEAT.match(line.text)]

    def pause(self, since=0.0):
        """The longest gap between two beats, None where there are fewer than two."""
        beats = self.beats(since)
        gaps = (Gap(after.at - before.at, before, after) for before, after in zip(beats, beats[1:]))
        return max(gaps, default=None)

    def verify(self, timeout=0):
        """Ask the guest whether all its memory is right: (right, its line). Works for heartbeat and payload."""
        start = self.mark()
        kernel = any(line.text.startswith("ready ") for line in self.lines())
        self.send("verify\n" if kernel else "v")
        answer = self.wait(r"^(verify (ok|LOST)|check \w+ lost) ?", timeout, start)
        return answer.text.startswith("verify ok") or answer.text.endswith(" lost 00000000"), answer.text


def listening(path):
    """Whether somebody takes connections at a UNIX socket's path; its file is there before that."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        rows = [row.split(maxsplit=7) for row in table]
    # a socket has its path before it listens; only then its flags say __SO_ACCEPTCON
    return any(row[-1].rstrip("\n") == path and int(row[3], 16) & 0x10000 for row in rows[1:])
