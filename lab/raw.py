"""QEMU driven directly over QMP: what is possible at all, which drover's own figures are compared with."""

import contextlib
import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .paths import PATIENCE_S, LabError

QEMU = "qemu-system-x86_64"


class RawQemu:
    """One QEMU process with a monitor. Use as a context manager; it is killed at the end."""

    def __init__(self, accelerator, memory_mib, arguments, prefix=()):
        self._directory = tempfile.TemporaryDirectory(prefix="lab-raw-")
        self.home = Path(self._directory.name)
        monitor = self.home / "qmp"
        self.process = subprocess.Popen(
            [str(word) for word in [
                *prefix, QEMU, "-M", "pc", "-accel", accelerator, "-m", str(memory_mib), "-display", "none",
                "-nodefaults", "-qmp", f"unix:{monitor},server=on,wait=off", *arguments,
            ]],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.events = []  # (seconds, name, data)
        self._socket = self._connect(monitor)
        self._stream = self._socket.makefile("rw")
        self._read()
        self.qmp("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self.process.kill()
        self.process.communicate()
        self._directory.cleanup()

    def _connect(self, path):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise LabError(f"QEMU ended: {self.process.stderr.read().strip()}")
            link = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(OSError):
                link.connect(str(path))
                return link
            link.close()
            time.sleep(0.01)
        raise LabError("QEMU does not open its monitor")

    def _read(self):
        row = self._stream.readline()
        if not row:
            raise LabError("QEMU closed its monitor")
        message = json.loads(row)
        if "event" in message:
            stamp = message["timestamp"]
            at = stamp["seconds"] + stamp["microseconds"] / 1e6
            self.events.append((at, message["event"], message.get("data", {})))
        return message

    def qmp(self, command, **arguments):
        """The answer's "return"; LabError with QEMU's words otherwise."""
        request = {"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}
        self._stream.write(json.dumps(request) + "\n")
        self._stream.flush()
        while True:
            message = self._read()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise LabError(f"{command}: {message['error']['desc']}")

    def wait_event(self, name, timeout=PATIENCE_S, **data):
        """The first event of this name, and with these data, past or to come."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event[1] == name and data.items() <= event[2].items():
                    return event
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                self._read()
            except TimeoutError:
                raise LabError(f"no {name} from QEMU within {timeout} s") from None
            finally:
                self._socket.settimeout(None)

    def migrate_to(self, other, uri, timeout=120, **parameters):
        """Pre-copy to another RawQemu started with -incoming defer. The seconds it took, and query-migrate's answer."""
        other.qmp("migrate-incoming", uri=uri)
        if parameters:
            self.qmp("migrate-set-parameters", **parameters)
        began = time.monotonic()
        self.qmp("migrate", uri=uri)
        while True:
            state = self.qmp("query-migrate")
            if state["status"] == "completed":
                break
            if state["status"] == "failed" or time.monotonic() - began > timeout:
                raise LabError(f"migration: {state}")
            time.sleep(0.002)
        other.wait_event("RESUME", timeout)
        return time.monotonic() - began, state


class Debugger:
    """QEMU's gdb server, as much of it as changing a guest's memory behind its back takes."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._command("?")
        self._command("Qqemu.PhyMemMode:1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._command("D")
        self._socket.close()

    def write(self, address, data):
        """Write to physical memory; the guest stands still meanwhile."""
        self._command(f"M{address:x},{len(data):x}:{data.hex()}")

    def _command(self, text):
        self._socket.sendall(f"${text}#{sum(text.encode()) & 0xff:02x}".encode())
        answer = b""
        while not (b"#" in answer and len(answer) >= answer.rindex(b"#") + 3):
            answer += self._socket.recv(4096)
        self._socket.sendall(b"+")
        if b"$E" in answer:
            raise LabError(f"the debugger port refused '{text}': {answer.decode()}")
