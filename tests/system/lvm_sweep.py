"""Inside the lab machine: a daemon is killed with -9 at each of its acts on the volumes of a volume group (see kill-point.c).

The device that the group is made of is the argument; how many acts each operation has is printed.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys

import libvirt
from mortal import MortalDaemon, sweep
from waiting import PATIENCE_S

MIB = 1 << 20
POOL = "<pool type='logical'><name>sweep</name><source><device path='{}'/></source></pool>"
VOLUME = "<volume><name>{}</name><capacity unit='MiB'>4</capacity></volume>"


class Daemon(MortalDaemon):
    """One that is spoken to by one connection: a program for each command takes its time in an emulated machine."""

    def __init__(self):
        super().__init__("storage_timeout = 120\n")
        self.connect()

    def connect(self):
        self.conn = libvirt.open(self.uri())

    def restart(self):
        super().restart()
        self.connect()

    def answers(self):
        try:
            return bool(self.conn.getLibVersion())
        except libvirt.libvirtError:
            return False


class Group:
    """The pool, and what LVM says of it."""

    def __init__(self, device):
        self.daemon = Daemon()
        pool = self.daemon.conn.storagePoolDefineXML(POOL.format(device))
        pool.build()
        pool.create()

    def pool(self):
        return self.daemon.conn.storagePoolLookupByName("sweep")

    def volume(self, name):
        return self.pool().storageVolLookupByName(name)

    def listed(self):
        return set(self.pool().listVolumes())

    def check(self, where):
        """A tool that had begun went on alone, the next daemon waited for it, and nothing is there that is not whole."""
        said = subprocess.run(["lvs", "--noheadings", "-o", "lv_name,lv_tags", "sweep"], capture_output=True, text=True, check=True)
        rows = [line.split() for line in said.stdout.splitlines()]
        assert all(len(row) == 1 for row in rows) and {row[0] for row in rows} == self.listed(), (where, rows, self.listed())

    def be(self, names):
        """These volumes are there, and no others."""
        for name in self.listed() - names:
            self.volume(name).delete()
        for name in names - self.listed():
            self.pool().createXML(VOLUME.format(name))

    def attempt(self, act):
        try:
            act()
        except libvirt.libvirtError:
            pass  # whether it was done is looked at

    def sweep(self, names, act, check=None):
        return sweep(self, lambda: self.be(names), lambda: self.attempt(act), check or self.check)


def main():
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    group = Group(sys.argv[1])
    acts = {"make": group.sweep(set(), lambda: group.pool().createXML(VOLUME.format("v")))}
    assert group.listed() == {"v"}
    data = os.urandom(4 * MIB)
    pathlib.Path("/dev/sweep/v").write_bytes(data)

    def check_copy(where):
        group.check(where)
        assert "copy" not in group.listed() or pathlib.Path("/dev/sweep/copy").read_bytes() == data, where

    acts["copy"] = group.sweep({"v"}, lambda: group.pool().createXMLFrom(VOLUME.format("copy"), group.volume("v")), check_copy)
    assert group.listed() == {"v", "copy"}
    acts["delete"] = group.sweep({"v", "copy"}, lambda: group.volume("copy").delete())
    assert group.listed() == {"v"}
    group.pool().destroy()
    group.pool().delete()
    group.daemon.conn.close()
    group.daemon.process.send_signal(signal.SIGTERM)
    group.daemon.process.wait(PATIENCE_S)
    assert "Sanitizer" not in group.daemon.said() and "runtime error" not in group.daemon.said(), group.daemon.said()
    print(json.dumps(acts))


main()
