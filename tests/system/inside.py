"""A droverd inside the lab machine, and stock virsh beside it."""
import os
import xml.etree.ElementTree as ElementTree

import pytest
from droverd import BARE

from lab import payload
from lab.paths import PROGRAMS

MIB = 1 << 20
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/><serial type='file'><source path='/run/{name}.beat'/></serial>
    <disk type='volume'><driver name='qemu' type='raw'/><source pool='{pool}' volume='{volume}'/><target dev='vda' bus='virtio'/></disk>
  </devices></domain>"""


def until(condition):
    """Words of a shell that waits for a condition; they fail when it does not come in a minute or two, as the machine counts."""
    return f"{{ n=0; until {condition}; do [ $n -lt 300 ] || break; sleep 0.2; n=$((n + 1)); done; [ $n -lt 300 ]; }}"


class Inside:
    """Commands in the machine are slow: several for virsh go into one call of it."""

    def __init__(self, machine, storage_timeout=120):  # a busy host is no dead server
        self.machine = machine
        config = f"libvirt_sockets = 1\n{BARE}storage_timeout = {storage_timeout}\n"
        machine.run(["sh", "-c", "mkdir -p /etc/drover && cat > /etc/drover/droverd.conf"], stdin=config)
        self.start()

    def start(self):
        self.shell(f": > /run/droverd.log; setsid {PROGRAMS}/droverd >> /run/droverd.log 2>&1 < /dev/null & "
                   f"echo $! > /run/droverd.pid; {until('grep -q is.ready /run/droverd.log')} || {{ cat /run/droverd.log >&2; exit 1; }}")

    def kill(self):
        self.shell(f"kill -9 $(cat /run/droverd.pid); {until('! kill -0 $(cat /run/droverd.pid) 2> /dev/null')}")

    def shell(self, line, **options):
        return self.machine.run(["sh", "-c", line], **options).stdout

    def virsh(self, *commands, check=True):
        """Commands that must all succeed; with check off, what they said, errors too."""
        done = self.machine.run(["virsh", "-q", "; ".join(commands)], check=check)
        assert not check or "error:" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def volume(self, pool, name):
        return ElementTree.fromstring(self.virsh(f"vol-dumpxml {name} {pool}"))

    def names(self, pool):
        return {line.split()[0] for line in self.virsh(f"vol-list {pool}").splitlines() if line.strip()}

    def figures(self, pool):
        said = self.virsh(f"pool-info {pool} --bytes").splitlines()
        pairs = (line.split(":") for line in said if ":" in line)
        return {key: int(value) for key, value in pairs if value.strip().isdigit()}

    def guest(self, name, pool, volume):
        """Start a transient guest that boots from a volume: it beats, so it read its disk."""
        self.shell(f"rm -f /run/{name}.beat; cat > /run/{name}.xml", stdin=GUEST.format(name=name, pool=pool, volume=volume))
        self.virsh(f"create /run/{name}.xml")
        self.shell(until(f"grep -q beat /run/{name}.beat"))

    def guest_owns(self, name, pool, volume):
        """A guest that runs on a device, which is QEMU's meanwhile, and is given back when the guest ends."""
        path = self.virsh(f"vol-path {volume} {pool}").strip()
        before = self.shell(f"stat -L -c %u:%g {path}")
        self.virsh(f"vol-upload {volume} {payload.build(4, 1, 10)} --pool {pool}")
        self.guest(name, pool, volume)
        user = self.shell("stat -c %u:%g /proc/$(pidof -s qemu-system-x86_64)")
        assert (self.shell(f"stat -L -c %u:%g {path}") == user) and user != before
        self.virsh(f"destroy {name}")
        self.shell(until(f"[ $(stat -L -c %u:%g {path}) = {before.strip()} ]"))


def disks(tmp_path_factory, sizes_mib):
    """Files to be the machine's disks: /dev/vda and so on."""
    if os.geteuid() != 0:
        pytest.skip("the lab machine needs root")
    made = []
    for size in sizes_mib:
        made.append(tmp_path_factory.mktemp("disk") / "disk")
        with open(made[-1], "wb") as file:
            file.truncate(size * MIB)
    return made
