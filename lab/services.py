"""What a lab host runs: sshd, our droverd, or a stock libvirtd.

A daemon logs to a file of its own in the lab's directory; waiting for it means waiting until its socket answers.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from .paths import PATIENCE_S, PROGRAMS, LabError

SOCKET = "/run/libvirt/libvirt-sock"
START_S = STOP_S = PATIENCE_S


class Daemon:
    """A long-running program of a host."""

    def __init__(self, host, argv, socket_path=None, env=None):
        self.host = host
        self.name = os.path.basename(str(argv[0]))
        self.socket_path = socket_path
        self.log = host.lab.home / f"{host.name}-{self.name}.log"
        self._argv = list(argv)
        self._env = env
        self._process = None
        self._gate = None

    def start(self):
        self._spawn(self._argv, subprocess.DEVNULL)
        self.wait_ready()
        return self

    def poise(self):
        """Bring it to its host, where it waits for go(): for whoever times the program, not the way there. To join so many
        control groups waits for the kernel, more or less long as somebody did so just before."""
        self._gate, inside = socket.socketpair()
        with inside:
            self._spawn(["sh", "-c", 'echo >&0; read -r go; exec "$@" </dev/null', "sh", *self._argv], inside)
        self._gate.settimeout(START_S)
        self._gate.recv(1)

    def go(self):
        with self._gate:
            self._gate.send(b"\n")
            self.wait_ready()

    def _spawn(self, argv, stdin):
        with open(self.log, "ab") as log:
            self._process = self.host.popen(argv, self._env, stdin=stdin, stdout=log, stderr=log, start_new_session=True)

    def wait_ready(self):
        """Return when the daemon answers on its socket."""
        began = time.monotonic()
        deadline = began + START_S
        while self.socket_path and not self._answers():
            if self._process.poll() is not None:
                raise LabError(f"{self.host.name}: {self.name} ended with {self._process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.host.name}: {self.name} does not answer on {self.socket_path}\n{self.tail()}")
            time.sleep(min(0.0003 + (time.monotonic() - began) / 20, 0.02))  # benches measure this wait

    def _answers(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as link:
            return link.connect_ex(str(self.host.path(self.socket_path))) == 0

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self):
        """The daemon's PID as the machine counts."""
        with open(f"/proc/{self._process.pid}/task/{self._process.pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def stop(self, number=signal.SIGTERM):
        """End it with a signal and wait; its exit status (negative: the signal)."""
        if self._process is None:
            return None
        if self.running:
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(self.pid, number)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise LabError(f"{self.host.name}: {self.name} did not end in {STOP_S} s\n{self.tail()}") from None

    def kill(self):
        return self.stop(signal.SIGKILL)

    def tail(self, lines=40):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Sshd(Daemon):
    """The host's ssh server, for root of every host of the lab, who has the one key."""

    CONFIG = """Port 22
HostKey /etc/ssh/lab_host_key
AuthorizedKeysFile /root/.ssh/authorized_keys
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
StrictModes no
PidFile none
"""

    def __init__(self, host):
        super().__init__(host, ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/lab_config"])
        key = (host.lab.home / "key").read_text()
        public = (host.lab.home / "key.pub").read_text()
        host.write_file("/etc/ssh/lab_config", self.CONFIG)
        host.write_file("/etc/ssh/lab_host_key", key, 0o600)
        host.write_file("/root/.ssh/id_ed25519", key, 0o600)
        host.write_file("/root/.ssh/authorized_keys", public)
        host.write_file("/root/.ssh/known_hosts", f"* {public}")

    def wait_ready(self):
        deadline = time.monotonic() + START_S
        while ":0016 " not in Path(f"/proc/{self.host.pid}/net/tcp").read_text(encoding="ascii"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"{self.host.name}: sshd did not start\n{self.tail()}")
            time.sleep(0.01)


class Virtd(Daemon):
    """A daemon that speaks the libvirt protocol; `uri` reaches it from outside the host."""

    @property
    def uri(self):
        return f"qemu+unix:///system?socket={self.host.path(SOCKET)}"


class Droverd(Virtd):
    """Our own, as built; config holds lines of droverd.conf by key."""

    def __init__(self, host, config=None, arguments=(), env=None):
        lines = {"host_uuid": host.uuid, "default_network": 0, "default_pool": 0, **(config or {})}
        host.write_file("/etc/drover/droverd.conf", config_text(lines))
        super().__init__(host, [PROGRAMS / "droverd", *arguments], SOCKET, env)


class Libvirtd(Virtd):
    """The stock one of the unpacked peer; the host must have been made with stock."""

    ACCOUNTS = {  # the package's own scripts would have made these
        "/etc/passwd": "libvirt-qemu:x:64055:64055:Libvirt Qemu:/var/lib/libvirt:/usr/sbin/nologin\n",
        "/etc/group": "libvirt-qemu:x:64055:\nlibvirt:x:64056:\nkvm:x:64057:libvirt-qemu\n",
    }

    def __init__(self, host, config=None, qemu_config=None):
        lines = {
            "host_uuid": host.uuid, "auth_unix_rw": "none", "auth_unix_ro": "none", "listen_tls": 0, "listen_tcp": 1,
            "auth_tcp": "none", **(config or {}),
        }
        qemu_lines = {
            "user": "root", "group": "root", "security_driver": "none", "stdio_handler": "file",
            **(qemu_config or {}),
        }
        for path, lines_of_package in self.ACCOUNTS.items():
            host.write_file(path, host.read_file(path) + lines_of_package)
        host.write_file("/etc/libvirt/libvirtd.conf", config_text(lines))
        host.write_file("/etc/libvirt/qemu.conf", config_text(qemu_lines))
        super().__init__(host, ["/usr/sbin/libvirtd", "--listen"], SOCKET)


def config_text(lines):
    """libvirtd.conf's format: strings quoted, lists in brackets, the rest as it is."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in lines.items())


def _value(value):
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(int(value))
