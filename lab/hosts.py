"""Any number of hosts on one machine, on one network, gone without trace when the lab ends.

    with Lab() as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-c1", "b"])

A host has its own name, address, file system, processes and control groups (space.py, setup.sh); the network is a bridge
in a namespace of its own, so nothing shows in the machine's. The machine is used by nobody but its owner: hosts are for
isolation from accidents, not from malice.
"""

import contextlib
import ipaddress
import os
import secrets
import signal
import subprocess
import uuid
from pathlib import Path

from . import native, peer
from .paths import BUILD, PROGRAMS, TOP, LabError, run
from .services import Droverd, Libvirtd, Sshd
from .space import Space, control_groups

NETWORK = ipaddress.ip_network("10.77.0.0/24")
DEVICES = "null zero full random urandom tty kmsg fuse userfaultfd loop-control net/tun vhost-net vhost-vsock".split()
SWITCH_SCRIPT = "mount -t sysfs sysfs /sys\nmount -t proc proc /proc\n"
BURST_BYTES = 256 * 1024


class Lab:
    """Hosts that see each other. A context manager; with keep, the directory of logs and images stays."""

    def __init__(self, keep=False):
        self.id = secrets.token_hex(3)
        self.home = BUILD / "run" / self.id
        self.shared = self.home / "shared"
        self.shared.mkdir(parents=True)
        for directory in (self.home, self.shared):
            directory.chmod(0o755)
        self.hosts = {}
        self._made = 0
        script = self.home / "switch.sh"
        script.write_text(SWITCH_SCRIPT)
        self._switch = Space("switch", {}, remove=None if keep else self.home, script=script)
        self._switch.ip("link set lo up", "link add br0 type bridge", "link set br0 up")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", self.home / "key"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        spaces = [*self.hosts.values(), self._switch]
        for space in spaces:
            space.begin_close()
        for space in spaces:
            space.close()
        self.hosts = {}

    def host(self, name, **options):
        """A new host; see Host for the options."""
        self._made += 1
        host = Host(self, name, self._made, **options)
        self.hosts[name] = host
        table = "127.0.0.1 localhost\n" + "".join(f"{other.address} {other.name}\n" for other in self.hosts.values())
        for other in self.hosts.values():
            other.write_file("/etc/hosts", table)
        return host

    def remove(self, host):
        """End one host before the lab ends."""
        del self.hosts[host.name]
        host.close()

    def socket(self, name):
        """A path for a UNIX socket that every host and the driver see alike: (inside, outside)."""
        return f"/mnt/shared/{name}", self.shared / name


class Host(Space):
    """One machine. rate_mbit limits what it sends and receives, delay_ms is added each way; kvm shows it /dev/kvm;
    stock has the unpacked peer in it (peer.py) instead of nothing but the machine's own programs."""

    def __init__(self, lab, name, number, rate_mbit=None, delay_ms=0, kvm=False, stock=False):
        self.lab = lab
        self.number = number
        self.uuid = str(uuid.uuid4())
        self.address = str(NETWORK[number + 10])
        self.link = f"port{number}"
        settings = {
            "TOP": str(TOP), "PROGRAMS": str(PROGRAMS), "LAB_BUILD": str(BUILD), "SHARED": str(lab.shared),
            "PEER": str(peer.tree()) if stock else "", "DEVICES": " ".join([*DEVICES, *(["kvm"] if kvm else [])]),
            "NOTES": os.environ.get("STOCK_CALLS", ""), "MACHINE_ID": uuid.uuid4().hex, "HOST_UUID": self.uuid, "HOSTNAME": name,
        }
        super().__init__(name, settings, control_groups(f"drover-lab-{lab.id}-{name}"))
        self._delay = None
        try:
            self._connect(delay_ms)
            if rate_mbit:
                self.set_rate(rate_mbit)
        except BaseException:
            self.close()
            raise

    def _connect(self, delay_ms):
        switch = self.lab._switch
        if delay_ms:
            self._delay = Delay(self, switch, delay_ms)
        else:
            # only the network is the switch's here: the PID must mean the same to ip as to us
            cable = f"ip link add {self.link} type veth peer name eth0 netns {self.pid}"
            run(["nsenter", "-t", switch.pid, "-n", *cable.split()])
        switch.ip(f"link set {self.link} master br0 up")
        self.ip(
            "link set lo up", "link add br0 type bridge", "link set eth0 master br0 up", "link set br0 up",
            f"address add {self.address}/{NETWORK.prefixlen} dev br0",
        )

    def begin_close(self):
        if self._delay:
            self._delay.close()
        super().begin_close()

    def droverd(self, config=None, arguments=(), env=None):
        """Our daemon, started with its default paths."""
        return Droverd(self, config, arguments, env).start()

    def libvirtd(self, config=None, qemu_config=None):
        """The stock daemon, on a host made with stock."""
        return Libvirtd(self, config, qemu_config).start()

    def sshd(self):
        return Sshd(self).start()

    def virsh(self, *arguments, uri="qemu:///system", **options):
        """Stock virsh, run on this host; its output."""
        return self.run(["virsh", "-q", "-c", uri, *arguments], **options).stdout

    def set_rate(self, mbit):
        """Limit both directions to mbit (None: no limit)."""
        for space, link in ((self, "eth0"), (self.lab._switch, self.link)):
            space.run(["tc", "qdisc", "del", "dev", link, "root"], check=False)
            if mbit:
                limits = ["rate", f"{mbit}mbit", "burst", str(BURST_BYTES), "latency", "50ms"]
                space.run(["tc", "qdisc", "add", "dev", link, "root", "tbf", *limits])

    def cut(self):
        """Pull the cable: both ends keep their addresses, nothing passes."""
        self.lab._switch.ip(f"link set {self.link} down")

    def restore(self):
        self.lab._switch.ip(f"link set {self.link} up")

    def write_file(self, path, text, mode=0o644):
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def read_file(self, path):
        return self.path(path).read_text()

    def processes(self, program):
        """Outer PIDs of the host's processes whose program has this name, oldest first."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns/pid") == space and Path(os.readlink(entry / "exe")).name == program:
                    found.append(int(entry.name))
        return sorted(found)

    def kill(self, program, number=signal.SIGKILL):
        """Send a signal to every process of this program; LabError where there is none."""
        victims = self.processes(program)
        if not victims:
            raise LabError(f"{self.name} runs no {program}")
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return victims


class Delay:
    """A cable with latency: two taps and a program that holds each packet back, for kernels without netem."""

    def __init__(self, host, switch, delay_ms):
        argv = [native.program("delay"), host.pid, "eth0", switch.pid, host.link, int(delay_ms * 1000)]
        self._process = subprocess.Popen([*map(str, argv)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdout.readline() != b"ready\n":
            raise LabError("the delaying cable did not start")

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
