"""A droverd inside the lab machine, and stock virsh beside it."""
import os

import pytest
from droverd import BARE

from lab import payload
from lab.paths import PROGRAMS

MIB = 1 << 20
MARK = "@@@"
CALL_S = 300  # several commands go into one call, on a machine that is emulated by one that may be busy
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/><serial type='file'><source path='/run/{name}.beat'/></serial>
    <disk type='volume'><driver name='qemu' type='raw'/><source pool='{pool}' volume='{volume}'/><target dev='vda' bus='virtio'/></disk>
  </devices></domain>"""

OWNS = """set -e
cat > /run/{name}.xml
path=$(virsh -q vol-path {volume} {pool})
stat -L -c %u:%g $path | tee /run/{name}.before
virsh -q "vol-upload {volume} {image} --pool {pool}; create /run/{name}.xml" > /run/{name}.said
{beats} || {{ cat /run/{name}.said >&2; exit 1; }}
stat -c %u:%g /proc/$(pidof -s qemu-system-x86_64)
stat -L -c %u:%g $path
virsh -q destroy {name} > /dev/null
{back}
stat -L -c %u:%g $path
"""


def until(condition):
    """Words of a shell that waits for a condition; they fail when it does not come in a minute or two, as the machine counts."""
    return f"{{ n=0; until {condition}; do [ $n -lt 300 ] || break; sleep 0.2; n=$((n + 1)); done; [ $n -lt 300 ]; }}"


def beats(name):
    return until(f"grep -qs beat /run/{name}.beat")


class Inside:
    """Commands in the machine are slow: several for virsh go into one call of it."""

    def __init__(self, machine, storage_timeout=120, settings=""):  # a busy host is no dead server
        self.machine = machine
        config = f"libvirt_sockets = 1\n{BARE}storage_timeout = {storage_timeout}\n{settings}"
        machine.run(["sh", "-c", "mkdir -p /etc/drover && cat > /etc/drover/droverd.conf"], stdin=config)
        self.start()

    def start(self, around=""):
        self.shell(f": > /run/droverd.log; setsid {around} {PROGRAMS}/droverd >> /run/droverd.log 2>&1 < /dev/null & "
                   f"echo $! > /run/droverd.pid; {until('grep -q is.ready /run/droverd.log')} || {{ cat /run/droverd.log >&2; exit 1; }}")

    def kill(self):
        self.shell(f"kill -9 $(cat /run/droverd.pid); {until('! kill -0 $(cat /run/droverd.pid) 2> /dev/null')}")

    def shell(self, line, **options):
        return self.machine.run(["sh", "-c", line], **{"timeout": CALL_S, **options}).stdout

    def virsh(self, *commands, check=True):
        """Commands that must all succeed; with check off, what they said, errors too."""
        done = self.machine.run(["virsh", "-q", "; ".join(commands)], check=check, timeout=CALL_S)
        assert not check or "error:" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def ask(self, *commands):
        """What each of several commands for virsh says, errors too, in one call of it."""
        line = "; ".join(f"{command}; echo {MARK}" for command in commands)
        done = self.machine.run(["sh", "-c", 'exec stdbuf -o0 virsh -q "$0" 2>&1', line], check=False, timeout=CALL_S)
        said = done.stdout.split(MARK)
        assert len(said) == len(commands) + 1, done
        return said[:-1]

    def restart(self):
        """Killed with -9, and started again."""
        self.kill()
        self.start()

    def guest(self, name, pool, volume):
        """Start a transient guest that boots from a volume: it beats, so it read its disk."""
        self.shell(f"rm -f /run/{name}.beat; cat > /run/{name}.xml; virsh -q create /run/{name}.xml && {beats(name)}",
                   stdin=GUEST.format(name=name, pool=pool, volume=volume))

    def guest_owns(self, name, pool, volume):
        """A guest that runs on a device, which is QEMU's meanwhile, and is given back when the guest ends."""
        script = OWNS.format(name=name, pool=pool, volume=volume, image=payload.build(4, 1, 10), beats=beats(name),
                             back=until(f"[ $(stat -L -c %u:%g $path) = $(cat /run/{name}.before) ]"))
        before, user, meanwhile, after = self.shell(script, stdin=GUEST.format(name=name, pool=pool, volume=volume)).split()
        assert meanwhile == user and user != before == after


def names(said):
    """Of the volumes in a vol-list."""
    return {line.split()[0] for line in said.splitlines() if line.strip()}


def figures(said):
    """Of a pool-info --bytes."""
    pairs = (line.split(":") for line in said.splitlines() if ":" in line)
    return {key: int(value) for key, value in pairs if value.strip().isdigit()}


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
