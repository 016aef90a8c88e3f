"""The start among many definitions: what is listed at once, what waits for its definition, and the index of the files."""
import contextlib
import os
import pathlib
import signal
import struct
import subprocess
import uuid

import libvirt
import pytest
from droverd import find_program
from frames import QEMU, Wire, frame, string
from live import LiveDaemon
from mortal import MortalDaemon, definition
from procfs import descriptors
from waiting import PATIENCE_S, EventLoop, Lifecycle, wait_for

MANY = 5000
HELD = "g2"
CREATE_WITH_FLAGS, MONITOR_EVENT_REGISTER = 196, 4
EVENT_REGISTERS, EVENT_DEREGISTERS = (313, 368, 374, 380), (314, 375, 381)  # of networks, pools, devices and secrets


def identity(number):
    return str(uuid.UUID(int=(0x6472 << 112) + number))


class Files:
    """The definitions of a daemon, written by hand."""

    def __init__(self, base):
        self.directory = base / "etc/qemu"
        self.index = base / "state/qemu/definitions.index"

    def path(self, name):
        return self.directory / f"{name}.xml"

    def put(self, number, name=None, **options):
        name = name or f"g{number}"
        self.path(name).write_text(definition(name, identity(number), **options))

    def rows(self):
        """How many definitions the index knows."""
        with contextlib.suppress(FileNotFoundError):
            return len(self.index.read_text().splitlines()) - 2
        return None

    def settle(self):
        """Return when a change of any of them is told from the last one, whatever the file system's clock is like."""
        directory = self.directory
        newest = max(path.stat().st_ctime for path in directory.glob("*.xml"))
        probe = directory / "clock"

        def clock():
            probe.write_text("")
            return probe.stat().st_ctime
        wait_for("the file system's clock", lambda: clock() > newest + 2.6)
        probe.unlink()

    def write_in_place(self, name, old, new):
        """The same file, of the same size, with its old time put back: only the kernel's own mark tells."""
        path = self.path(name)
        before, text = path.stat(), path.read_text()
        changed = text.replace(old, new)
        assert changed != text and len(changed) == len(text)

        def write():
            with open(path, "r+", encoding="utf-8") as file:
                file.write(changed)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            return path.stat().st_ctime_ns != before.st_ctime_ns
        wait_for("a tick of the file system's clock", write)
        assert path.stat().st_mtime_ns == before.st_mtime_ns and path.stat().st_ino == before.st_ino


class Held(LiveDaemon):
    """A daemon that cannot open the definition of the guest HELD while the file `mark` is there (see hold-open.c)."""

    def __init__(self, conf=""):
        super().__init__(conf)
        self.files = Files(self.base)

    @property
    def mark(self):
        return self.base / "hold"

    def environment(self):
        preload = pathlib.Path(find_program()).parent / "tests/system/hold-open.so"
        asan = os.environ.get("ASAN_OPTIONS", "")
        return {**os.environ, "LD_PRELOAD": str(preload), "HOLD_NAME": f"/{HELD}.xml", "HOLD_WHILE": str(self.mark),
                "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0"}

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_S)

    def indexed(self, count):
        """Start on files that are the same long since, until the index knows so many."""
        self.files.settle()
        self.end()
        self.start()
        wait_for("the index", lambda: self.files.rows() == count)
        self.end(signal.SIGKILL)

    def names(self):
        return sorted(self.virsh("list", "--all", "--name").split())

    def memory_kib(self, name):
        return int([line for line in self.virsh("dominfo", name).splitlines() if "Max memory" in line][0].split()[2])

    def begin_virsh(self, *words):
        # this command is to wait, so it is not waited for
        return subprocess.Popen(["virsh", "-c", self.uri(), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def daemon():
    held = Held()
    try:
        yield held
    finally:
        held.mark.unlink(missing_ok=True)
        if held.process.poll() is not None:
            held.start()
        held.stop()


def test_the_first_list_of_thousands_is_right(daemon):
    """Names, UUIDs and what else a list tells; and each definition that is asked for at once."""
    for number in range(MANY):
        daemon.files.put(number, memory_mib=1 + number)
    daemon.files.put(7, "same-uuid")
    daemon.files.path("broken").write_text("<domain")
    daemon.indexed(MANY)
    for name in "g10", "g11":
        (daemon.files.directory / f"autostart/{name}.xml").symlink_to(f"../{name}.xml")
    for name in "g11", "g4999":
        (daemon.base / f"state/qemu/save/{name}.save").write_text("")
    left_out = daemon.said().count("left out")
    daemon.start()
    with contextlib.closing(libvirt.open(daemon.uri())) as conn:
        first = {(guest.name(), guest.UUIDString()) for guest in conn.listAllDomains()}
        marked, saved = ({guest.name() for guest in conn.listAllDomains(flag)} for flag in
                         (libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART, libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE))
        last = conn.lookupByName(f"g{MANY - 1}")
        info, stats = last.info(), conn.getAllDomainStats()
    assert first == {(f"g{number}", identity(number)) for number in range(MANY)}
    assert marked == {"g10", "g11"} and saved == {"g11", "g4999"}
    assert info[:2] == [libvirt.VIR_DOMAIN_SHUTOFF, MANY * 1024] and len(stats) == MANY
    assert daemon.said().count("left out") == left_out + 2


def leave_with_calls(daemon, number):
    """Clients leave whose calls wait: they were to hear of events, and a guest was to end with the last of them."""
    before = len(descriptors(daemon.process.pid))
    calls = [*(frame(proc, struct.pack(">iI", 0, 0)) for proc in EVENT_REGISTERS),
             *(frame(proc, struct.pack(">i", 1)) for proc in EVENT_DEREGISTERS),
             frame(MONITOR_EVENT_REGISTER, struct.pack(">III", 0, 0, 0), program=QEMU),
             frame(CREATE_WITH_FLAGS, string(f"g{number}") + uuid.UUID(identity(number)).bytes +
                   struct.pack(">iI", -1, libvirt.VIR_DOMAIN_START_AUTODESTROY))]
    for call in calls:
        wire = Wire(daemon.socket(), "qemu:///system")
        wire.send(call)
        assert wire.lives()
        wire.socket.close()
    wait_for("the daemon has seen them leave", lambda: len(descriptors(daemon.process.pid)) <= before)


def test_what_needs_a_definition_waits_for_it_and_nothing_else_does(daemon):
    for number in range(200):
        daemon.files.put(number, memory_mib=16 + number)
    daemon.indexed(200)
    daemon.mark.touch()
    daemon.start()
    with contextlib.closing(libvirt.open(daemon.uri())) as conn:
        assert len(conn.listAllDomains()) == 200
        guest = conn.lookupByUUIDString(identity(2))
        assert guest.name() == HELD and guest.isPersistent() and not guest.isActive() and not guest.autostart()
        assert guest.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF
        leave_with_calls(daemon, 3)
        leaver = daemon.begin_virsh("dumpxml", HELD)
        dump, info, undefine = (daemon.begin_virsh(*words) for words in
                                (("dumpxml", HELD), ("dominfo", "g150"), ("undefine", "g199")))
        assert len(conn.listAllDomains()) == 200
        leaver.kill()
        leaver.wait()
        assert [one.poll() for one in (dump, info, undefine)] == [None] * 3
        daemon.mark.unlink()
        said = [one.communicate(timeout=PATIENCE_S)[0] for one in (dump, info, undefine)]
        assert f"<uuid>{identity(2)}</uuid>" in said[0] and str((16 + 150) * 1024) in said[1], said
        assert undefine.returncode == 0 and len(conn.listAllDomains()) == 199
        assert not conn.lookupByName("g3").isActive()
    assert not daemon.files.path("g199").exists()


def test_what_was_changed_by_hand_counts(daemon):
    for number in range(6):
        daemon.files.put(number)
    daemon.indexed(6)
    daemon.files.write_in_place("g0", ">16<", ">24<")
    daemon.files.write_in_place("g1", identity(1), identity(91))
    daemon.files.put(2, memory_mib=32)
    daemon.files.path("g3").unlink()
    daemon.files.path("g4").write_text("<domain")
    daemon.files.put(6)
    daemon.start()
    assert daemon.names() == ["g0", "g1", "g2", "g5", "g6"]
    assert [daemon.memory_kib(name) // 1024 for name in daemon.names()] == [24, 16, 32, 16, 16]
    assert daemon.virsh("domuuid", "g1").strip() == identity(91)
    assert "g4.xml': " in daemon.said()


def test_what_is_no_file_is_named_and_holds_nothing_up(daemon):
    """A FIFO is not waited for, whatever it is to define."""
    for number in range(2):
        daemon.files.put(number)
    daemon.end()
    directories = [daemon.base / "etc" / kind for kind in ("qemu", "secrets", "network", "storage", "nwfilter")]
    wrong = []
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
        wrong += [directory / name for name in ("fifo.xml", "directory.xml", "nowhere.xml", "empty.xml")]
        os.mkfifo(wrong[-4])
        wrong[-3].mkdir()
        wrong[-2].symlink_to("/nonexistent")
        wrong[-1].touch()
    daemon.files.path("g1").rename(daemon.base / "elsewhere")
    daemon.files.path("g1").symlink_to("../../elsewhere")
    daemon.start()
    assert daemon.names() == ["g0", "g1"]
    said = daemon.said()
    assert [path for path in wrong if f"{path}': " not in said] == []
    for path in wrong:
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_damaged_index_is_as_good_as_none(daemon):
    for number in range(20):
        daemon.files.put(number)
    daemon.indexed(20)
    whole = daemon.files.index.read_bytes()
    for wrong in whole[:-200], whole.replace(b" g7\n", b" g8\n"), b"", b"\0" * 1000, b"drover-definitions 2\n":
        daemon.files.index.write_bytes(wrong)
        daemon.start()
        assert len(daemon.names()) == 20
        assert daemon.virsh("domuuid", "g7").strip() == identity(7)
        wait_for("a new index", lambda: daemon.files.index.read_bytes() == whole)
        daemon.end(signal.SIGKILL)


def test_a_file_that_changes_during_the_start(daemon):
    """Its guest was announced; clients hear that there is another one now."""
    for number in range(4):
        daemon.files.put(number)
    daemon.indexed(4)
    daemon.mark.touch()
    daemon.start()
    assert daemon.virsh("domuuid", HELD).strip() == identity(2)
    EventLoop.start()
    with contextlib.closing(libvirt.open(daemon.uri())) as conn, contextlib.closing(Lifecycle(conn)) as heard:
        assert daemon.names() == ["g0", "g1", "g2", "g3"]
        daemon.files.put(92, HELD)
        daemon.mark.unlink()
        heard.wait(HELD, libvirt.VIR_DOMAIN_EVENT_UNDEFINED)
        heard.wait(HELD, libvirt.VIR_DOMAIN_EVENT_DEFINED)
    assert daemon.memory_kib(HELD) == 16 * 1024
    assert daemon.virsh("domuuid", HELD).strip() == identity(92)
    assert daemon.names() == ["g0", "g1", "g2", "g3"]


def test_the_daemon_ends_or_is_killed_while_it_reads(daemon):
    for number in range(100):
        daemon.files.put(number)
    daemon.indexed(100)
    for number in signal.SIGKILL, signal.SIGTERM:
        daemon.mark.touch()
        daemon.start()
        waiting = daemon.begin_virsh("dumpxml", HELD)
        assert len(daemon.names()) == 100
        ends = daemon.said().count("droverd ends")
        daemon.process.send_signal(number)
        wait_for("it to answer nobody any more", lambda: daemon.process.poll() is not None or daemon.said().count("droverd ends") > ends)
        daemon.mark.unlink()
        assert daemon.process.wait(timeout=PATIENCE_S) in (0, -number)
        waiting.communicate(timeout=PATIENCE_S)
        assert waiting.returncode != 0
    daemon.start()
    assert daemon.memory_kib(HELD) == 16 * 1024


def test_the_daemon_is_killed_at_every_act_of_a_start():
    """What is on disk afterwards gives the right list, and an index in the end."""
    daemon = MortalDaemon()
    files = Files(daemon.base)
    try:
        for number in range(5):
            files.put(number)
        files.settle()
        point = 0
        while True:
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
            files.index.unlink(missing_ok=True)
            point += 1
            daemon.arm(point)
            with contextlib.suppress(RuntimeError):
                daemon.start()
            wait_for("the index or the end", lambda: files.rows() == 5 or daemon.process.poll() is not None)
            died = daemon.last()
            daemon.disarm()
            if daemon.process.poll() is None:
                break
            daemon.start()
            assert daemon.virsh("list", "--all", "--name").split() == [f"g{number}" for number in range(5)], died
            wait_for("the index", lambda: files.rows() == 5)
        assert point > 1
    finally:
        daemon.disarm()
        if daemon.process.poll() is not None:
            daemon.start()
        daemon.stop()
