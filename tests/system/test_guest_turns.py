"""Calls that meet in one guest, and steps that fail in the middle: everybody is answered, and nothing is half done."""
import contextlib
import fcntl
import os
import pathlib
import signal
import struct
import threading
import uuid
import xml.etree.ElementTree as ET

import libvirt
import pytest

import frames
from mortal import definition, processes
from waiting import Lifecycle, wait_for

# A boot sector that stands still (hlt, jmp): it hears no power button and no request to let go of a card.
STILL = b"\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa"
RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='ua-rng'/></rng>"


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def dom(conn, place):
    """A guest that is defined and runs."""
    (place / "boot").write_bytes(STILL.ljust(1 << 20, b"\0"))
    dom = conn.defineXML(
        f"<domain type='qemu'><name>t</name><uuid>{uuid.uuid4()}</uuid><memory unit='MiB'>64</memory><os>"
        "<type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>"
        "<controller type='usb' model='none'/><serial type='pty'/><disk type='file' device='disk'>"
        f"<source file='{place / 'boot'}'/><target dev='vda' bus='virtio'/></disk></devices></domain>")
    dom.create()
    yield dom
    with contextlib.suppress(libvirt.libvirtError):
        dom.destroy()
    dom.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


class Asked(threading.Thread):
    """A call of a client of its own, from another thread."""

    def __init__(self, daemon, act):
        super().__init__(daemon=True)
        self.uri, self.act, self.failure = daemon.uri(), act, None
        self.start()

    def run(self):
        conn = libvirt.open(self.uri)
        try:
            self.act(conn.lookupByName("t"))
        except libvirt.libvirtError as failure:
            self.failure = failure
        finally:
            conn.close()

    def answered(self):
        self.join(120)
        assert not self.is_alive(), "a call is not answered"
        return self.failure


def qemu_of(dom):
    pid, = processes(dom.UUIDString())
    return pid


def was_told_to_end(pid):
    """SIGTERM was sent, which a process that stands still cannot take; or droverd lost patience and killed it."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    pending = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd")]
    return not pending or int(pending[0], 16) & (1 << (signal.SIGTERM - 1) | 1 << (signal.SIGKILL - 1))


@pytest.fixture()
def destroying(daemon, dom):
    """The guest's QEMU stands still, so that destroy lasts until it is killed, and that was asked for."""
    pid = qemu_of(dom)
    os.kill(pid, signal.SIGSTOP)
    destroy = Asked(daemon, lambda dom: dom.destroy())
    wait_for("QEMU to be told to end", lambda: was_told_to_end(pid) or not destroy.is_alive())
    return destroy


@pytest.mark.parametrize("acts", [
    [lambda dom: dom.suspend(), lambda dom: dom.resume(), lambda dom: dom.shutdown(), lambda dom: dom.reboot()],
    [lambda dom: dom.reset(), lambda dom: dom.setMemory(32 << 10), lambda dom: dom.attachDevice(RNG)],
], ids=["power", "devices"])
def test_who_waits_while_a_guest_is_destroyed_is_answered(daemon, dom, destroying, acts):
    """LIFE-26: by then there is no QEMU to ask."""
    waiting = [Asked(daemon, act) for act in acts]
    assert destroying.answered() is None
    for asked in waiting:
        assert "not running" in str(asked.answered())
    assert not dom.isActive()
    dom.create()
    dom.suspend()


def test_a_start_that_waits_for_a_destroy_succeeds(daemon, dom, destroying):
    start = Asked(daemon, lambda dom: dom.create())
    assert destroying.answered() is None and start.answered() is None
    assert dom.isActive()


def test_who_waits_for_a_detach_is_answered_when_qemu_dies(daemon, dom, conn):
    """The guest never lets go of the card, so the call lasts; the next one gets its turn in the middle of the end."""
    def is_busy():
        stats, = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_CPU_TOTAL, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
        return "cpu.time" not in stats[1]

    dom.attachDevice(RNG)
    detach = Asked(daemon, lambda dom: dom.detachDevice(RNG))
    wait_for("the detach to be under way", lambda: is_busy() or not detach.is_alive())
    suspend = Asked(daemon, lambda dom: dom.suspend())
    for _ in range(100):
        is_busy()
    os.kill(qemu_of(dom), signal.SIGKILL)
    detach.answered()
    suspend.answered()
    wait_for("its end", lambda: not dom.isActive())
    dom.create()


def test_what_a_running_guest_was_given_it_has_though_its_configuration_is_not_written(daemon, dom, conn):
    added = []
    conn.domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, lambda _c, _d, alias, _o: added.append(alias), None)
    file = daemon.base / "etc" / "qemu" / "t.xml"
    before = file.read_bytes()
    file.unlink()
    file.mkdir()
    both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
    try:
        with pytest.raises(libvirt.libvirtError, match="the running guest is changed, what its next start uses is not"):
            dom.attachDeviceFlags(RNG, both)
    finally:
        file.rmdir()
        file.write_bytes(before)
    assert "ua-rng" in dom.XMLDesc() and "ua-rng" not in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    wait_for("the event", lambda: added == ["ua-rng"])
    with pytest.raises(libvirt.libvirtError, match="alias 'ua-rng' already"):
        dom.attachDevice(RNG)


def test_a_restored_guest_that_cannot_run_keeps_its_image(dom, place):
    """LIFE-33: what it was saved with may still change meanwhile, so the state is not left behind a paused guest."""
    dom.managedSave()
    with open(place / "boot", "rb") as disk:
        # The byte with which a QEMU elsewhere says that nobody else may write.
        fcntl.lockf(disk, fcntl.LOCK_SH, 1, 201)
        with pytest.raises(libvirt.libvirtError, match="lock"):
            dom.create()
        assert not dom.isActive() and dom.hasManagedSaveImage()
        assert not processes(dom.UUIDString())
    dom.create()
    assert dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING and not dom.hasManagedSaveImage()


def test_a_guest_is_not_saved_to_what_would_be_two_lines(dom, place):
    """Its status file says where, and a daemon that comes back meanwhile must be able to read it."""
    with pytest.raises(libvirt.libvirtError, match="line break"):
        dom.save(f"{place}/image\npid 1")
    assert dom.isActive()


def test_a_managed_save_takes_the_definition_that_comes_with_it(dom):
    xml = dom.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE)
    dom.saveParams({libvirt.VIR_DOMAIN_SAVE_PARAM_DXML: xml.replace("<memory", "<title>as saved</title><memory", 1)})
    assert ET.fromstring(dom.managedSaveGetXMLDesc()).findtext("title") == "as saved"


def test_a_name_that_cannot_be_changed_is_not_told_to_have_changed(daemon, dom, conn):
    dom.destroy()
    watch = Lifecycle(conn)
    notes = daemon.base / "etc" / "qemu" / ".rename"
    notes.write_bytes(b"")  # where a directory is to be
    try:
        with pytest.raises(libvirt.libvirtError):
            dom.rename("u")
    finally:
        notes.unlink()
    assert conn.lookupByName("t").UUIDString() == dom.UUIDString()
    dom.rename("u")
    watch.wait("u", libvirt.VIR_DOMAIN_EVENT_DEFINED)
    assert [event[1:] for event in watch.events] == [
        ("t", libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED),
        ("u", libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_RENAMED)]
    watch.close()
    dom.rename("t")


class Pipeline:
    """Calls about one guest in one write: each is there before the first is done."""

    CREATE, CREATE_XML, UNDEFINE, RENAME = 9, 10, 35, 358
    NO_FLAGS = bytes(4)

    def __init__(self, daemon, name):
        self.wire = frames.Wire(daemon.socket(), "qemu:///system")
        self.identity = uuid.uuid4()
        self.xml = definition(name, self.identity)
        self.dom = frames.string(name) + self.identity.bytes + struct.pack(">i", -1)
        assert self.wire.call(frames.DEFINE_XML, frames.string(self.xml)).status == frames.OK

    def ask(self, *calls):
        """The answers, in the order of the calls."""
        self.wire.send(b"".join(frames.frame(number, payload, serial=100 + i) for i, (number, payload) in enumerate(calls)))
        answers = {answer.serial: answer for answer in (self.wire.answer() for _ in calls)}
        return [answers[100 + i] for i in range(len(calls))]


def test_a_guest_that_is_undefined_while_its_start_waits_is_not_started(daemon, conn):
    """It would run where nobody sees it, and its name and UUID be free for another."""
    line = Pipeline(daemon, "gone")
    undefined, created = line.ask((line.UNDEFINE, line.dom), (line.CREATE_XML, frames.string(line.xml) + line.NO_FLAGS))
    assert undefined.status == frames.OK
    assert created.error()[0] == libvirt.VIR_ERR_NO_DOMAIN
    assert not processes(str(line.identity))
    assert "gone" not in [dom.name() for dom in conn.listAllDomains()]


def test_who_waits_behind_a_renaming_is_told_why_not(daemon, conn):
    line = Pipeline(daemon, "before")
    renamed, created, refused = line.ask((line.RENAME, line.dom + struct.pack(">I", 1) + frames.string("after") + line.NO_FLAGS),
                                         (line.CREATE, line.dom), (line.CREATE, line.dom))
    assert renamed.status == created.status == frames.OK
    assert "is busy with being started" in refused.error()[2]
    after = conn.lookupByName("after")
    after.destroy()
    after.undefine()


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "", ".."])
def test_a_guest_that_moves_in_gets_no_name_that_is_a_path(daemon, name):
    """Files are named after it."""
    wire = frames.Wire(daemon.socket(), "qemu:///system")
    prepare, live, none = 214, struct.pack(">Q", 1), bytes(4)
    answer = wire.call(prepare, frames.string("") + none + live + struct.pack(">I", 1) + frames.string(name) + bytes(8) +
                       frames.string(definition("moving", uuid.uuid4())))
    assert "name" in answer.error()[2] and answer.error()[0] == libvirt.VIR_ERR_XML_ERROR


def test_a_console_whose_guest_is_gone_costs_nothing(daemon, dom, conn):
    """The client has not finished the stream, and may never do."""
    def sleeps():
        stat = pathlib.Path(f"/proc/{daemon.process.pid}/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "S" for _ in range(50))

    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole(None, stream, 0)
    dom.destroy()
    wait_for("droverd to have nothing to do", sleeps)
    stream.abort()


def test_file_systems_are_thawed_all_or_not_at_all(dom):
    with pytest.raises(libvirt.libvirtError, match="specifying mountpoints is not supported"):
        dom.fsThaw(["/home"])
