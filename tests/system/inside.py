"""A droverd inside the lab machine, and stock virsh beside it."""
import os
import xml.etree.ElementTree as ElementTree

import pytest

from lab.paths import PROGRAMS

MIB = 1 << 20


class Inside:
    """Commands in the machine are slow: several for virsh go into one call of it."""

    def __init__(self, machine):
        self.machine = machine
        config = "libvirt_sockets = 1\ndefault_network = 0\nstorage_timeout = 120\n"  # a busy host is no dead server
        machine.run(["sh", "-c", "mkdir -p /etc/drover && cat > /etc/drover/droverd.conf"], stdin=config)
        self.start()

    def start(self):
        self.shell(f"rm -f /run/drover/libvirt-sock; setsid {PROGRAMS}/droverd > /run/droverd.log 2>&1 < /dev/null & "
                   "echo $! > /run/droverd.pid; n=0; until [ -S /run/drover/libvirt-sock ] || [ $n = 100 ]; do "
                   "sleep 0.2; n=$((n + 1)); done; "
                   "[ -S /run/drover/libvirt-sock ] || { cat /run/droverd.log >&2; exit 1; }")

    def kill(self):
        self.shell("kill -9 $(cat /run/droverd.pid)")

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
