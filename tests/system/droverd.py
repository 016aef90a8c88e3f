"""A droverd of its own for the tests of one file, and ways to reach it: stock virsh and python3-libvirt."""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import procfs
from lab import native
from waiting import PATIENCE_S

# No network on the machine that runs the tests, and no pool but those that a test makes.
BARE = "default_network = 0\ndefault_pool = 0\n"
ROOT = pathlib.Path(__file__).resolve().parents[2]
PORTS = range(20000, 30000)  # below those of ip_local_port_range


def find_program():
    """The droverd under test: of the newest build that has one, or as DROVERD says."""
    if os.environ.get("DROVERD"):
        return os.environ["DROVERD"]
    built = sorted([*ROOT.glob("build/droverd"), *ROOT.glob("build/*/droverd")], key=lambda p: p.stat().st_mtime)
    return str(built[-1]) if built else None


_held = []  # what keeps the ports of this process from others


def free_port():
    """A port of TCP that is this process's for as long as it lives: no other test is given it, and it is none of those that
    the kernel gives to connections."""
    for port in random.sample(PORTS, len(PORTS)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0drover-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _held.append(claim)
        return port
    raise RuntimeError("no port is free")


def networks_of(base):
    """What a daemon with these directories has of virtual networks, or was making; they outlive it."""
    return [path.read_text() for path in (base / "run/network").glob("*.status")]


class Droverd:
    """One daemon with directories of its own; stop() takes both away."""

    alive = []  # all of them, for the report of a test that fails meanwhile

    def __init__(self, conf=""):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="drover-test-"))
        for name in ("etc", "state", "run", "log"):
            (self.base / name).mkdir()
        (self.base / "etc" / "droverd.conf").write_text(BARE + conf)
        self.output = open(self.base / "output", "w+", encoding="utf-8")
        self.process = None
        self.alive.append(self)
        self.start()

    def start(self):
        readies = self.said().count("is ready")
        self.process = subprocess.Popen(
            [*self.around(), find_program(), "--config-dir", self.base / "etc", "--state-dir", self.base / "state",
             "--run-dir", self.base / "run", "--log-dir", self.base / "log"],
            stdout=self.output, stderr=subprocess.STDOUT, env=self.environment())
        deadline = time.monotonic() + PATIENCE_S
        while self.said().count("is ready") == readies:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"droverd did not start: {self.said()}")
            time.sleep(0.02)

    def environment(self):
        return None

    def around(self):
        """What it is run by: a program that gives it a place of its own."""
        return ()

    def logs(self):
        """Its own output, then what its guests' QEMUs wrote."""
        return [self.base / "output", *procfs.files(self.base / "log")]

    def said(self):
        return (self.base / "output").read_text(errors="replace")

    def socket(self, readonly=False):
        return str(self.base / "run" / ("libvirt-sock-ro" if readonly else "libvirt-sock"))

    def uri(self, readonly=False, driver="test"):
        path = {"test": "test+unix:///default", "qemu": "qemu+unix:///system"}[driver]
        return f"{path}?socket={self.socket(readonly)}"

    def virsh(self, *args, check=True, readonly=False, driver="test"):
        """What a command prints; with check=False its error output comes too."""
        words = ["virsh", "-c", self.uri(readonly, driver), *(["-r"] if readonly else []), *map(str, args)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                              env={**os.environ, **native.environment(words), "LC_ALL": "C"})
        if check:
            assert done.returncode == 0, f"virsh {' '.join(map(str, args))}: {done.stderr}"
            return done.stdout
        return done.stdout + done.stderr

    def stop(self):
        """Ends it and tells what a sanitizer found."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=PATIENCE_S)
        self.alive.remove(self)
        said = self.said()
        self.output.close()
        left = [] if self.around() else networks_of(self.base)
        shutil.rmtree(self.base)
        assert not left, f"networks stay on the machine that runs the tests: {left}"
        assert "Sanitizer" not in said and "runtime error" not in said, said
        assert status == 0, f"droverd ended with {status}: {said}"


def running_guest(conn, xml):
    """A guest of the test driver's that runs, as the body of a fixture."""
    dom = conn.defineXML(xml)
    dom.create()
    yield dom
    if dom.isActive():
        dom.destroy()
    dom.undefine()
