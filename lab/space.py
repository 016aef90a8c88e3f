"""One set of namespaces with its own PID 1: the ground a lab host, and the lab's switch, stand on.

Everything in it ends with the `host` program, and that ends with us: it holds the other end of a pipe (native/host.c).
"""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

from . import native
from .paths import LAB, PATIENCE_S, LabError

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


def control_groups(name):
    """A directory of this name in every hierarchy: below our own group where groups are v1, at the top of v2."""
    own = {}
    for row in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = row.split(":", 2)
        own[controllers.removeprefix("name=")] = path
    found = []
    for row in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, options, *_ = row.split()
        if not where.startswith("/sys/fs/cgroup"):
            continue
        if kind == "cgroup2":
            found.append(f"{where}/{name}")
        elif kind == "cgroup":
            controllers = next((key for key in own if key and set(key.split(",")) <= set(_names(options))), None)
            if controllers is not None:
                found.append(f"{where}{own[controllers].rstrip('/')}/{name}")
    return [directory for directory in found if os.access(Path(directory).parent, os.W_OK)]


def _names(options):
    return [option.removeprefix("name=") for option in options.split(",")]


class Space:
    """Namespaces, control groups and PID 1 under one name."""

    def __init__(self, name, settings, groups=(), remove=None, script=None):
        self.name = name
        self.groups = list(groups)
        arguments = ["--remove", remove] if remove else []
        for group in self.groups:
            arguments += ["--cgroup", group]
        self._keeper = subprocess.Popen(
            [native.program("host"), name, str(script or LAB / "setup.sh"), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**ENVIRONMENT, **settings}, start_new_session=True,
        )
        answer = self._keeper.stdout.readline()
        if not answer:
            self.close()
            raise LabError(f"the lab host '{name}' did not start (are you root?)")
        self.pid = int(answer)
        self._enter = [str(native.program("enter")), str(self.pid)]
        for group in self.groups:
            self._enter += ["-c", group]

    def begin_close(self):
        """Tell everything inside to end; close() waits for it."""
        self._keeper.stdin.close()

    def close(self):
        self.begin_close()
        self._keeper.wait()
        self._keeper.stdout.close()

    def popen(self, argv, env=None, cwd="/root", **options):
        """Start a program inside; signals sent to the Popen reach it, and it is killed with it."""
        env = {**ENVIRONMENT, **native.environment(argv), **(env or {})}
        return subprocess.Popen([*self._enter, "-d", cwd, "--", *map(str, argv)], env=env, **options)

    def run(self, argv, check=True, input=None, timeout=PATIENCE_S, env=None, cwd="/root"):
        """Run a program inside to its end; what it printed is in stdout and stderr of the answer."""
        with contextlib.ExitStack() as files:
            # files, not pipes: what the program leaves running may hold its output open for ever
            out, errors = (files.enter_context(tempfile.TemporaryFile("w+", errors="replace")) for _ in range(2))
            stdin = subprocess.DEVNULL
            if input is not None:
                stdin = files.enter_context(tempfile.TemporaryFile("w+"))
                stdin.write(input)
                stdin.seek(0)
            process = self.popen(argv, env, cwd, stdin=stdin, stdout=out, stderr=errors)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = f"did not end in {timeout} s"
            else:
                status = f"ended with {process.returncode}"
            said = [file.seek(0) or file.read() for file in (out, errors)]
        if status.startswith("did not") or (check and process.returncode != 0):
            raise LabError(f"{self.name}: '{_said(argv)}' {status}\n{said[0]}{said[1]}")
        return subprocess.CompletedProcess(argv, process.returncode, *said)

    def path(self, inside):
        """A path of the host, as seen from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def ip(self, *commands):
        """Run ip(8) commands in one go."""
        self.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n")


def _said(argv):
    return " ".join(map(str, argv))
