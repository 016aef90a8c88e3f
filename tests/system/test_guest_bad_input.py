"""What cannot work is refused with a reason, and nothing is lost by it (the main job, bad input)."""
import os
import pathlib
import subprocess
import uuid

import libvirt
import pytest

from live import LiveDaemon
from waiting import wait_for


class FullDisk:
    """The configuration directory on a file system of its own, which can be filled."""

    def __init__(self, directory):
        self.directory = directory

    def __enter__(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "full", self.directory], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.directory], check=True)

    def fill(self):
        with open(self.directory / "filler", "wb", buffering=0) as file:
            with pytest.raises(OSError):
                while True:
                    file.write(bytes(4096))

    def empty(self):
        (self.directory / "filler").unlink()


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


def definition(name="bad", devices="", extra="", memory_mib=16):
    return (f"<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>{name}</name>"
            f"<uuid>{uuid.uuid4()}</uuid><memory unit='MiB'>{memory_mib}</memory><vcpu>1</vcpu>"
            "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
            f"<devices><controller type='usb' model='none'/><memballoon model='none'/>{devices}</devices>{extra}</domain>")


def refused(call, *args):
    with pytest.raises(libvirt.libvirtError) as failed:
        call(*args)
    return str(failed.value)


def nothing_is_left(daemon, conn):
    assert [dom.name() for dom in conn.listAllDomains()] == []
    run = daemon.base / "run"
    wait_for("everything to be cleaned up", lambda: not [*run.glob("guests/*"), *run.glob("qemu/*.status")])


def test_a_qemu_that_refuses_its_arguments_is_quoted(daemon, conn):
    extra = "<qemu:commandline><qemu:arg value='-no-such-option'/></qemu:commandline>"
    assert "-no-such-option: invalid option" in refused(conn.createXML, definition(extra=extra))
    nothing_is_left(daemon, conn)


def test_a_qemu_that_dies_at_its_start_is_quoted(daemon, conn):
    extra = "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='no-such-device'/></qemu:commandline>"
    assert "'no-such-device' is not a valid device model name" in refused(conn.createXML, definition(extra=extra))
    nothing_is_left(daemon, conn)


def test_an_emulator_that_is_gone_or_crashes(place):
    """The daemon comes up without one, says so, and each start says what is missing."""
    fake = place / "qemu"
    for text, said in ((None, "does not exist|cannot run|No such file"), ("#!/bin/sh\nkill -SEGV $$\n", "signal|ended|QEMU")):
        if text:
            fake.write_text(text)
            fake.chmod(0o755)
        daemon = LiveDaemon(f'qemu_emulator = "{fake}"\n')
        try:
            conn = libvirt.open(daemon.uri())
            with pytest.raises(libvirt.libvirtError, match=said):
                conn.createXML(definition())
            assert str(fake) in daemon.said()
            for ask in ("capabilities", "domcapabilities", "maxvcpus", "version", "cpu-models x86_64", "nodeinfo"):
                daemon.virsh(*ask.split(), check=False)
            nothing_is_left(daemon, conn)
            conn.close()
        finally:
            daemon.stop()


@pytest.mark.parametrize("devices, said", [
    ("<interface type='bridge'><source bridge='nobridge0'/></interface>", "there is no bridge 'nobridge0'"),
    ("<interface type='network'><source network='nonet'/></interface>", "no network with matching name 'nonet'"),
    ("<disk type='file'><source file='/nowhere/x.img'/><target dev='vda'/></disk>",
     "'/nowhere/x.img' does not exist: there is no directory '/nowhere'"),
    ("<disk type='block'><source dev='/dev/nodisk'/><target dev='vda'/></disk>", "'/dev/nodisk' does not exist"),
    ("<disk type='block'><source dev='/dev/zero'/><target dev='vda'/></disk>", "is a character device"),
    # what its secrecy or safety rests on is not left out
    ("</devices><launchSecurity type='sev'><policy>0x3</policy></launchSecurity><devices>", "'domain/launchSecurity' cannot be had"),
    ("<lease><lockspace>l</lockspace><key>k</key><target path='/l'/></lease>", "'domain/devices/lease' cannot be had"),
])
def test_what_the_host_lacks_is_named(daemon, conn, devices, said):
    assert said in refused(conn.createXML, definition(devices=devices))
    nothing_is_left(daemon, conn)


def feature(name, policy="require"):
    return f"<feature name='{name}' policy='{policy}'/>"


HASWELL = "<cpu mode='custom' match='exact' check='{}'><model fallback='forbid'>Haswell</model>{}</cpu>"
LACKS = ("hle", "rtm", "invpcid", "pcid")  # of a Haswell, where QEMU has no KVM
OPTIONAL = "".join(feature(name, "optional") for name in (*LACKS, "x2apic", "tsc-deadline"))


@pytest.mark.parametrize("cpu, code", [
    (HASWELL.format("full", ""), libvirt.VIR_ERR_OPERATION_FAILED),
    (HASWELL.format("full", OPTIONAL.replace("optional", "force")), libvirt.VIR_ERR_OPERATION_FAILED),
    (HASWELL.format("partial", ""), libvirt.VIR_ERR_CPU_INCOMPATIBLE),
    ("<cpu mode='host-model'>" + "".join(map(feature, LACKS)) + "</cpu>", libvirt.VIR_ERR_CPU_INCOMPATIBLE),
])
def test_a_cpu_that_cannot_be_had_is_refused(daemon, conn, cpu, code):
    """DOM-37: QEMU itself would warn, and start the guest without parts of its CPU."""
    with pytest.raises(libvirt.libvirtError) as failed:
        conn.createXML(definition(extra=cpu))
    assert failed.value.get_error_code() == code
    missing = str(failed.value).partition("guest CPU doesn't match specification: missing features: ")[2].partition(";")[0]
    assert set(LACKS) <= set(missing.split(", ")), failed.value
    nothing_is_left(daemon, conn)


@pytest.mark.parametrize("cpu", [
    "", "<cpu mode='host-model'/>", "<cpu mode='maximum'/>", "<cpu mode='maximum' check='partial'>" + feature("vmx") + "</cpu>",
    HASWELL.format("none", ""), HASWELL.replace(" check='{}'", "").format(""), HASWELL.format("full", OPTIONAL),
    HASWELL.format("partial", OPTIONAL.replace("optional", "force")),
    "<cpu mode='custom' check='full'><model>qemu64</model>" + feature("svm", "disable") + feature("pclmuldq") + "</cpu>",
])
def test_a_cpu_that_is_had_or_not_looked_at_is_started(conn, cpu):
    """DOM-37: nothing is checked that stock does not check without KVM, nor missed that was optional."""
    dom = conn.createXML(definition("good", extra=cpu))
    assert dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    dom.destroy()


def bomb():
    entities = '<!ENTITY a0 "aaaaaaaaaa">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return f"<!DOCTYPE domain [{entities}]><domain type='qemu'><name>&a9;</name></domain>"


@pytest.mark.parametrize("what, text", [pytest.param(what, text, id=what) for what, text in [
    ("an entity bomb", bomb()),
    ("a file as an entity", "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain type='qemu'><name>&x;</name></domain>"),
    ("a deep tree", "<a>" * 5000 + "</a>" * 5000),
    ("half a document", definition()[:200]),
    ("nothing", ""),
    ("a name with a slash", definition("a/b")),
    ("a long name", definition("n" * 300)),
    ("a name of nearly 4 MiB", definition("n" * ((4 << 20) - 1024))),
    ("many elements", definition(devices="<hub/>" * 200_000)),
]])
def test_hostile_definitions_are_refused_quickly(daemon, conn, what, text):
    before = cpu_s(daemon)
    refused(conn.defineXML, text)
    refused(conn.createXML, text)
    assert cpu_s(daemon) - before < 20, what  # no explosion; the exact time is the benchmark's business
    nothing_is_left(daemon, conn)


def cpu_s(daemon):
    fields = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_what_keeps_the_loop_busy_is_named_in_the_log(daemon, conn):
    """A network of 1.5 MiB is more than a turn of the loop should take; ordinary ones are a few KiB."""
    text = '<a:x xmlns:a="http://a">some text</a:x>' * 40_000
    conn.networkDefineXML(f"<network><name>big</name><metadata>{text}</metadata></network>").undefine()
    assert "ms with virNetworkDefineXML" in daemon.said()


def test_a_name_of_ten_megabytes_ends_at_the_wire(daemon):
    """The protocol allows 4 MiB: the client itself refuses, and the daemon does not mind."""
    conn = libvirt.open(daemon.uri())
    refused(conn.defineXML, definition("n" * (10 << 20)))
    again = libvirt.open(daemon.uri())
    assert again.listAllDomains() == []


def test_a_full_disk_keeps_the_old_definition(tmp_path):
    daemon = LiveDaemon()
    directory = daemon.base / "etc" / "qemu"
    daemon.process.kill()
    daemon.process.wait()
    try:
        with FullDisk(directory) as disk:
            daemon.start()
            conn = libvirt.open(daemon.uri())
            dom = conn.defineXML(definition("kept"))
            kept = (directory / "kept.xml").read_text()
            disk.fill()
            other = kept.replace("16384", "32768").replace("</domain>", f"<description>{'x' * 100_000}</description></domain>")
            assert "No space left on device" in refused(conn.defineXML, other)
            assert "No space left on device" in refused(conn.defineXML, definition("new", extra=f"<title>{'x' * 8000}</title>"))
            assert [dom.name() for dom in conn.listAllDomains()] == ["kept"] and dom.maxMemory() == 16384
            assert sorted(path.name for path in directory.glob("*.xml*")) == ["kept.xml"]
            assert (directory / "kept.xml").read_text() == kept
            disk.empty()
            conn.defineXML(definition("new"))
            conn.close()
            daemon.process.terminate()
            daemon.process.wait()
            daemon.start()
            conn = libvirt.open(daemon.uri())
            assert sorted(dom.name() for dom in conn.listAllDomains()) == ["kept", "new"]
            conn.close()
            daemon.process.terminate()
            daemon.process.wait()
    finally:
        daemon.start()
        daemon.stop()
