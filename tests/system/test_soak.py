"""Many clients define, start, save, rename and remove the same few guests at once while the daemon is killed with -9 again and
again. Whoever is answered is believed: what a client was told about a guest that only it touches must hold afterwards, and
what the daemon lists, what is on disk and which QEMUs run must agree.

DROVER_SOAK_SEED and DROVER_SOAK_ROUNDS make another, or a longer, run of it.
"""
import collections
import contextlib
import os
import random
import re
import signal
import threading
import uuid

import libvirt
import pytest

from mortal import MortalDaemon, definition, processes
from waiting import PATIENCE_S, wait_for

SEED = int(os.environ.get("DROVER_SOAK_SEED", "20"))
ROUNDS = int(os.environ.get("DROVER_SOAK_ROUNDS", "10"))
CLIENTS = 8
ACTS = 200  # between two kills
SHARED = [(f"s{i}", str(uuid.uuid4())) for i in range(4)]
OWN = [str(uuid.uuid4()) for _ in range(CLIENTS)]

#: What a guest that others change meanwhile may be refused for.
REFUSALS = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_OPERATION_FAILED,
            libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_OPERATION_ABORTED}
REMOVE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE


class Gone(Exception):
    """The daemon was killed: nobody knows whether it did what it was asked for."""


Known = collections.namedtuple("Known", "name autostart running")  # name None: it is not defined


class Client(threading.Thread):
    """One connection, opened again when the daemon was killed. Its own guest is touched by nobody else."""

    def __init__(self, soak, number):
        super().__init__(daemon=True)
        self.soak, self.random, self.number = soak, random.Random(SEED * 1000 + number), number
        self.identity = OWN[number]
        self.own = {Known(None, False, False)}  # what may be true of it
        self.conn, self.broken, self.doing = None, None, "nothing yet"

    def run(self):
        try:
            while not self.soak.is_over.is_set():
                self.act()
                self.soak.count()
        except BaseException as failure:  # the test shows it
            self.broken = failure
        finally:
            self.close()

    def close(self):
        with contextlib.suppress(libvirt.libvirtError):
            if self.conn:
                self.conn.close()
        self.conn = None

    def ask(self, what, *args):
        """What a call answers; a refusal as it is, Gone when the daemon was."""
        try:
            return what(*args)
        except libvirt.libvirtError as failure:
            if not self.conn.isAlive():
                raise Gone from failure
            raise

    def act(self):
        if self.conn is None:
            try:
                self.conn = libvirt.open(self.soak.daemon.uri())
            except libvirt.libvirtError:
                wait_for("a daemon", self.soak.is_up.is_set)
                return
        try:
            if self.random.random() < 0.4:
                self.change_own()
            else:
                self.change_shared()
        except Gone:
            self.close()

    # --- guests of all ---

    def change_shared(self):
        name, identity = self.random.choice(SHARED)
        other = f"{name}-other"
        act = self.random.choice(["define", "start", "start", "destroy", "rename", "undefine", "save", "autostart", "list"])
        self.doing = f"{act} {name}"
        try:
            if act == "define":
                self.ask(self.conn.defineXML, definition(self.random.choice([name, other]), identity))
            elif act == "list":
                for dom in self.ask(self.conn.listAllDomains):
                    self.ask(dom.XMLDesc)
            else:
                dom = self.ask(self.conn.lookupByUUIDString, identity)
                self.ask({"start": dom.create, "destroy": dom.destroy, "undefine": lambda: dom.undefineFlags(REMOVE),
                          "rename": lambda: dom.rename(other if dom.name() == name else name), "save": dom.managedSave,
                          "autostart": lambda: dom.setAutostart(self.random.randrange(2))}[act])
        except libvirt.libvirtError as refused:
            assert refused.get_error_code() in REFUSALS, f"{act} {name}: {refused} ({refused.get_error_code()})"

    # --- its own: told exactly ---

    def change_own(self):
        if len(self.own) > 1:
            self.settle()
        known, = self.own
        a, b = f"c{self.number}-a", f"c{self.number}-b"
        if known.name is None:
            act, after = "define", Known(a, False, False)
        elif known.running:
            act, after = "destroy", known._replace(running=False)
        else:
            act, after = self.random.choice([
                ("start", known._replace(running=True)),
                ("rename", known._replace(name=b if known.name == a else a)),
                ("autostart", known._replace(autostart=not known.autostart)),
                ("undefine", Known(None, False, False))])
        self.doing = f"{act} its own {known}"
        self.own = {known, after}
        if act == "undefine":
            self.own.add(known._replace(autostart=False))  # the mark goes first: a later guest of the name must not have it
        if act == "define":
            self.ask(self.conn.defineXML, definition(a, self.identity))
        else:
            dom = self.ask(self.conn.lookupByName, known.name)
            self.ask({"start": dom.create, "destroy": dom.destroy, "rename": lambda: dom.rename(after.name),
                      "undefine": dom.undefine, "autostart": lambda: dom.setAutostart(after.autostart)}[act])
        self.own = {after}
        assert self.look() == after

    def settle(self):
        """The daemon was killed during the last act. A start or an end that it cut off takes its time: the guest is ended."""
        self.doing = f"ending its own, one of {self.own}"
        found = self.look()
        if found.running:
            try:
                self.ask(self.ask(self.conn.lookupByName, found.name).destroy)
            except libvirt.libvirtError as refused:
                assert refused.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID, refused
        self.own = {found._replace(running=False)}

    def look(self):
        try:
            dom = self.ask(self.conn.lookupByUUIDString, self.identity)
            found = Known(dom.name(), bool(self.ask(dom.autostart)), bool(self.ask(dom.isActive)))
        except libvirt.libvirtError as failure:
            assert failure.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN, failure
            found = Known(None, False, False)
        assert found in self.own, f"client {self.number} was told {self.own} of its guest, and it is {found}"
        return found


class Soak:
    def __init__(self, daemon):
        self.daemon, self.acts, self.lock = daemon, 0, threading.Lock()
        self.is_over, self.is_up = threading.Event(), threading.Event()
        self.is_up.set()
        self.clients = [Client(self, number) for number in range(CLIENTS)]

    def count(self):
        with self.lock:
            self.acts += 1

    def broken(self):
        return [client for client in self.clients if client.broken]

    def wait_acts(self, n):
        until = self.acts + n
        wait_for(f"{n} more acts", lambda: self.acts >= until or self.broken())
        for client in self.broken():
            raise AssertionError(f"client {client.number}: {client.doing}") from client.broken

    def kill(self):
        self.is_up.clear()
        self.daemon.kill()
        self.daemon.restart()
        self.is_up.set()

    def finish(self):
        self.is_over.set()
        for client in self.clients:
            client.join(PATIENCE_S)
            assert not client.is_alive(), f"client {client.number} was never answered: {client.doing}"
        for client in self.broken():
            raise AssertionError(f"client {client.number}: {client.doing}") from client.broken


@pytest.fixture()
def soak():
    daemon = MortalDaemon()
    soak = Soak(daemon)
    yield soak
    soak.is_over.set()
    if daemon.process.poll() is None:
        for client in soak.clients:
            client.join(PATIENCE_S)
    for pid in [pid for identity in identities() for pid in processes(identity)]:  # of a test that failed
        os.kill(pid, signal.SIGKILL)
    daemon.stop()


def identities():
    return [*OWN, *(identity for _, identity in SHARED)]


def names_in(directory, ending):
    return sorted(path.name[:-len(ending)] for path in directory.glob(f"*{ending}"))


def qemus():
    """The UUID of each QEMU that runs a guest of this test: one that runs twice is there twice."""
    return sorted(identity for identity in identities() for _ in processes(identity))


def listed(daemon):
    """[(name, UUID, active, persistent, autostart, has a saved image)] as one client is told."""
    conn = libvirt.open(daemon.uri())
    found = sorted((dom.name(), dom.UUIDString(), dom.isActive(), dom.isPersistent(), dom.autostart() if dom.isPersistent() else 0,
                    dom.hasManagedSaveImage()) for dom in conn.listAllDomains())
    conn.close()
    return found


def agree(daemon):
    """Once nothing moves any more, the three say the same."""
    etc, state, run = daemon.base / "etc/qemu", daemon.base / "state/qemu", daemon.base / "run"

    def told():
        guests = listed(daemon)
        kept = [guest for guest in guests if guest[3]]
        return {"kept": [guest[0] for guest in kept],
                "identities": [guest[1] for guest in kept],
                "marked": [guest[0] for guest in kept if guest[4]],
                "saved": [guest[0] for guest in guests if guest[5]],
                "running": sorted(guest[1] for guest in guests if guest[2]),
                "noted": sorted(guest[0] for guest in guests if guest[2])}

    def found():
        return {"kept": names_in(etc, ".xml"),
                "identities": [re.search("<uuid>(.*)</uuid>", (etc / f"{name}.xml").read_text())[1]
                               for name in names_in(etc, ".xml")],
                "marked": names_in(etc / "autostart", ".xml"),
                "saved": names_in(state / "save", ".save"),
                "running": qemus(),
                "noted": names_in(run / "qemu", ".status")}

    try:
        wait_for("what is told and what is there to be the same", lambda: told() == found())
    except AssertionError as late:
        raise AssertionError(f"told {told()}\nfound {found()}\n{daemon.said()[-4000:]}") from late


def test_many_clients_change_the_same_guests_while_the_daemon_is_killed(soak):
    daemon = soak.daemon
    moments = random.Random(SEED)
    for client in soak.clients:
        client.start()
    for _ in range(ROUNDS):
        soak.wait_acts(moments.randrange(ACTS // 2, ACTS))
        soak.kill()
    soak.wait_acts(ACTS)
    soak.finish()
    agree(daemon)
    before = listed(daemon)
    soak.kill()
    assert listed(daemon) == before
    agree(daemon)
    conn = libvirt.open(daemon.uri())
    for client in soak.clients:
        client.conn = conn
        client.look()
    for name, _, active, persistent, _, _ in before:
        dom = conn.lookupByName(name)
        if active:
            dom.destroy()
        if persistent:
            dom.undefineFlags(REMOVE)
    conn.close()
    assert not listed(daemon)
    agree(daemon)
