"""Secrets: defined, given values, kept over a restart, private or in memory only - by stock virsh, libvirt-python and drover."""
import base64
import contextlib
import os
import stat
import struct
import subprocess
import uuid

import libvirt
import procfs
import pytest
from cli import DROVER
from droverd import Droverd
from frames import ERROR, Wire, frame, string
from live import LiveDaemon
from waiting import EventLoop, wait_for

SECRET_DEFINE_XML, SECRET_SET_VALUE = 142, 144
UUID = "3174da78-6c5b-4b4e-8f6a-5d0d9f0a4d01"


def secret(identity=UUID, usage="<usage type='volume'><volume>/images/one.luks</volume></usage>", attributes=""):
    return f"<secret {attributes}><uuid>{identity}</uuid><description>for one</description>{usage}</secret>"


@pytest.fixture(params=["test", "qemu"])
def any_driver(request):
    daemon = LiveDaemon() if request.param == "qemu" else Droverd()
    yield daemon
    daemon.stop()


@pytest.fixture()
def kept():
    daemon = LiveDaemon()
    yield daemon
    daemon.stop()


def define(daemon, place, xml, check=True):
    file = place / f"{uuid.uuid4()}.xml"
    file.write_text(xml)
    return daemon.virsh("secret-define", file, check=check)


def test_a_secret_is_defined_valued_shown_and_undefined(any_driver, place):
    daemon = any_driver
    assert define(daemon, place, secret()) == f"Secret {UUID} created\n\n"
    assert daemon.virsh("secret-list").split()[-3:] == [UUID, "volume", "/images/one.luks"]
    xml = daemon.virsh("secret-dumpxml", UUID)
    assert "<volume>/images/one.luks</volume>" in xml and "ephemeral='no' private='no'" in xml
    assert f"secret '{UUID}' does not have a value" in daemon.virsh("secret-get-value", UUID, check=False)
    value = bytes(range(256))
    (place / "value").write_bytes(value)
    assert "Secret value set" in daemon.virsh("secret-set-value", UUID, "--file", place / "value", "--plain")
    assert base64.b64decode(daemon.virsh("secret-get-value", UUID)) == value
    assert value not in daemon.virsh("secret-dumpxml", UUID).encode()
    assert "deleted" in daemon.virsh("secret-undefine", UUID)
    assert "no secret with matching uuid" in daemon.virsh("secret-dumpxml", UUID, check=False)


def test_values_stay_over_a_restart_and_only_root_reads_them(kept, place):
    define(kept, place, secret())
    kept.virsh("secret-set-value", UUID, "--base64", base64.b64encode(b"open sesame").decode())
    files = sorted((kept.base / "etc/secrets").glob(f"{UUID}.*"))
    assert [file.suffix for file in files] == [".base64", ".xml"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    kept.process.kill()
    kept.process.wait()
    (kept.base / f"etc/secrets/{UUID}.base64.new").write_text("b3BlbiBzZXN")  # as when that cut off a write
    kept.start()
    assert base64.b64decode(kept.virsh("secret-get-value", UUID)) == b"open sesame"
    kept.virsh("secret-undefine", UUID)
    assert not list((kept.base / "etc/secrets").glob(f"{UUID}.*"))


def test_what_is_ephemeral_never_reaches_the_disk(kept, place):
    define(kept, place, secret(attributes="ephemeral='yes'"))
    kept.virsh("secret-set-value", UUID, "--base64", "c2VjcmV0")
    assert not list((kept.base / "etc").glob(f"**/{UUID}*"))
    define(kept, place, secret(attributes="ephemeral='no'"))
    assert (kept.base / f"etc/secrets/{UUID}.base64").read_text() == "c2VjcmV0"
    define(kept, place, secret(attributes="ephemeral='yes'"))
    assert not list((kept.base / "etc").glob(f"**/{UUID}*"))
    assert kept.virsh("secret-get-value", UUID).strip() == "c2VjcmV0"
    kept.virsh("secret-undefine", UUID)


@contextlib.contextmanager
def obstructed(path):
    """Nothing can be written there, as on a broken disk."""
    path.mkdir()
    yield
    path.rmdir()


@pytest.mark.parametrize("suffix", ["xml", "base64"])
def test_what_cannot_be_kept_leaves_nothing_on_the_disk(kept, place, suffix):
    """It stays ephemeral, and is changed in memory only."""
    define(kept, place, secret(attributes="ephemeral='yes'"))
    kept.virsh("secret-set-value", UUID, "--base64", "c2VjcmV0")
    with obstructed(kept.base / f"etc/secrets/{UUID}.{suffix}"):
        assert "cannot rename" in define(kept, place, secret(attributes="ephemeral='no'"), check=False)
        left = [path for path in (kept.base / "etc/secrets").glob(f"{UUID}*") if path.is_file()]
        assert left == []
    assert "ephemeral='yes'" in kept.virsh("secret-dumpxml", UUID)
    kept.virsh("secret-set-value", UUID, "--base64", "bmV3")
    assert not list((kept.base / "etc/secrets").glob(f"{UUID}*"))
    assert kept.virsh("secret-get-value", UUID).strip() == "bmV3"


def test_a_value_that_came_before_the_definition_failed_leaves_nothing_on_the_disk(kept):
    """Two calls at once: the secret is there for the second one while the first is still being written."""
    wire = Wire(kept.socket(), "qemu:///system")
    which = uuid.UUID(UUID).bytes + struct.pack(">i", libvirt.VIR_SECRET_USAGE_TYPE_VOLUME) + string("/images/one.luks")
    with obstructed(kept.base / f"etc/secrets/{UUID}.xml"):
        wire.send(frame(SECRET_DEFINE_XML, string(secret()) + bytes(4), serial=1) +
                  frame(SECRET_SET_VALUE, which + string(b"secret") + bytes(4), serial=2))
        answers = {answer.serial: answer for answer in (wire.answer(), wire.answer())}
        assert "cannot rename" in answers[1].error()[2] and answers[2].status == ERROR
        wait_for("the value to go", lambda: [path.suffix for path in (kept.base / "etc/secrets").glob(f"{UUID}*")] == [".xml"])
    wire.socket.close()


def test_a_private_value_is_told_to_nobody(any_driver, place):
    daemon = any_driver
    define(daemon, place, secret(attributes="private='yes'"))
    daemon.virsh("secret-set-value", UUID, "--base64", "c2VjcmV0")
    assert "secret is private" in daemon.virsh("secret-get-value", UUID, check=False)
    refused = define(daemon, place, secret(attributes="private='no'"), check=False)
    assert "cannot change private flag on existing secret" in refused
    conn = libvirt.openReadOnly(daemon.uri(readonly=True))
    found = conn.secretLookupByUUIDString(UUID)
    assert found.usageID() == "/images/one.luks"
    with pytest.raises(libvirt.libvirtError, match="read only"):
        found.value()
    conn.close()
    daemon.virsh("secret-undefine", UUID)


def memory_holds(pid, words):
    """Whether a process has these bytes anywhere in its memory. What is reserved by the GiB is a sanitizer's shadow."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in procfs.read(f"/proc/{pid}/maps").decode().splitlines():
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            if "rw" not in line.split()[1] or end - start > 1 << 30:
                continue
            memory.seek(start)
            with contextlib.suppress(OSError):
                if words in memory.read(end - start):
                    return True
    return False


def test_a_value_is_wiped_from_memory_with_its_secret(any_driver):
    """Of what came and went on the wire, too."""
    value = b"wiped-" + base64.b32encode(os.urandom(20))
    conn = libvirt.open(any_driver.uri())
    made = conn.secretDefineXML(secret())
    made.setValue(value)
    assert made.value() == value and memory_holds(any_driver.process.pid, value)
    made.undefine()
    conn.close()
    for words in (value, base64.b64encode(value)):
        assert not memory_holds(any_driver.process.pid, words)


def test_one_use_has_one_secret(any_driver, place):
    daemon = any_driver
    other = str(uuid.uuid4())
    define(daemon, place, secret())
    assert f"a secret with UUID {UUID} already defined for use with /images/one.luks" in \
        define(daemon, place, secret(identity=other), check=False)
    assert "is already defined for use with /images/one.luks" in \
        define(daemon, place, secret(usage="<usage type='iscsi'><target>t</target></usage>"), check=False)
    for usage, words in (("<usage type='ceph'><name>client</name></usage>", "ceph client"),
                         ("<usage type='iscsi'><target>iqn.x</target></usage>", "iscsi iqn.x"),
                         ("<usage type='tls'><name>key</name></usage>", "tls key"), ("", "Unused")):
        define(daemon, place, secret(identity=other, usage=usage))
        assert f"{other}   {words}\n" in daemon.virsh("secret-list")
        daemon.virsh("secret-undefine", other)
    assert "needs <usage><volume>" in define(daemon, place, secret(identity=other, usage="<usage type='volume'/>"), check=False)
    daemon.virsh("secret-undefine", UUID)


def test_lists_are_filtered(droverd):
    conn = libvirt.open(droverd.uri())
    for number, attributes in enumerate(("ephemeral='yes'", "private='yes'", "")):
        conn.secretDefineXML(secret(str(uuid.UUID(int=number + 1)), f"<usage type='ceph'><name>{number}</name></usage>", attributes))

    def listed(flags):
        return sorted(int(found.usageID()) for found in conn.listAllSecrets(flags))
    assert listed(0) == [0, 1, 2] and conn.numOfSecrets() == 3 and len(conn.listSecrets()) == 3
    assert listed(libvirt.VIR_CONNECT_LIST_SECRETS_EPHEMERAL) == [0]
    assert listed(libvirt.VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL) == [1, 2]
    assert listed(libvirt.VIR_CONNECT_LIST_SECRETS_PRIVATE) == [1]
    assert listed(libvirt.VIR_CONNECT_LIST_SECRETS_NO_PRIVATE | libvirt.VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL) == [2]
    assert conn.secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_CEPH, "2").UUIDString() == str(uuid.UUID(int=3))
    conn.close()


def test_events_tell_of_definition_value_and_end(droverd):
    EventLoop.start()
    conn = libvirt.open(droverd.uri())
    seen = []
    callbacks = [
        conn.secretEventRegisterAny(None, libvirt.VIR_SECRET_EVENT_ID_LIFECYCLE,
                                    lambda _c, s, event, _detail, _o: seen.append((s.UUIDString(), event)), None),
        conn.secretEventRegisterAny(None, libvirt.VIR_SECRET_EVENT_ID_VALUE_CHANGED,
                                    lambda _c, s, _o: seen.append((s.UUIDString(), "value")), None)]
    made = conn.secretDefineXML(secret())
    made.setValue(b"x")
    made.undefine()
    wait_for("three events", lambda: len(seen) == 3)
    assert seen == [(UUID, libvirt.VIR_SECRET_EVENT_DEFINED), (UUID, "value"), (UUID, libvirt.VIR_SECRET_EVENT_UNDEFINED)]
    for callback in callbacks:
        conn.secretEventDeregisterAny(callback)
    conn.close()


def drover(daemon, *args, said=None, check=True):
    done = subprocess.run([DROVER, "-c", daemon.uri(), *map(str, args)], input=said, capture_output=True, check=False, timeout=120)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done


def test_drover_has_the_commands_of_virsh(droverd, place):
    (place / "s.xml").write_text(secret())
    for command, *args in (("secret-define", place / "s.xml"), ("secret-list",), ("secret-dumpxml", UUID)):
        assert drover(droverd, command, *args).stdout.decode() == droverd.virsh(command, *args)
    assert drover(droverd, "secret-set-value", UUID, "--interactive", said=b"typed\n").returncode == 0
    long = drover(droverd, "secret-set-value", UUID, "--interactive", said=b"x" * 2000 + b"\n", check=False)
    assert long.returncode == 1 and b"1023 bytes is read from a --file" in long.stderr
    assert drover(droverd, "secret-get-value", UUID, "--plain").stdout.rstrip(b"\n") == b"typed"
    assert drover(droverd, "secret-get-value", UUID).stdout.decode().strip() == droverd.virsh("secret-get-value", UUID).strip()
    (place / "value").write_bytes(os.urandom(40))
    drover(droverd, "secret-set-value", UUID, "--file", place / "value", "--plain")
    assert base64.b64decode(droverd.virsh("secret-get-value", UUID)) == (place / "value").read_bytes()
    assert b"Invalid base64" in drover(droverd, "secret-set-value", UUID, "--base64", "?", check=False).stderr
    assert b"missing" in drover(droverd, "secret-set-value", UUID, check=False).stderr
    assert f'"{UUID}"'.encode() in drover(droverd, "-o", "json", "secret-list").stdout
    drover(droverd, "secret-undefine", UUID)
    assert b"no secret with matching uuid" in drover(droverd, "secret-undefine", UUID, check=False).stderr


@pytest.mark.parametrize("command, event, act, said", [
    ("secret-event", "lifecycle", "secret-define", f"event 'lifecycle' for secret {UUID}: Defined\n"),
    ("net-event", "lifecycle", "net-define", "event 'lifecycle' for network n: Defined\n"),
    ("pool-event", "lifecycle", "pool-define", "event 'lifecycle' for storage pool p: Defined\n")])
def test_drover_waits_for_events_as_virsh_does(droverd, place, command, event, act, said):
    (place / "x.xml").write_text({"secret-define": secret(), "net-define": "<network><name>n</name><uuid>8ae0a1d9-7b6d-4a5e-9d0e-000000000001</uuid></network>",
                                  "pool-define": "<pool type='dir'><name>p</name><uuid>8ae0a1d9-7b6d-4a5e-9d0e-000000000002</uuid><target><path>/p</path></target></pool>"}[act])
    assert event in drover(droverd, command, "--list").stdout.decode()
    theirs = droverd.virsh(command, "--list").split()
    assert drover(droverd, command, "--list").stdout.decode().split()[:len(theirs)] == theirs
    ours = subprocess.Popen([DROVER, "-c", droverd.uri(), command, "--event", event, "--timeout", "900"], stdout=subprocess.PIPE,
                            text=True)
    try:
        def happened():
            droverd.virsh(act, place / "x.xml")
            return ours.poll() is not None
        wait_for("the event", happened)
        assert ours.stdout.read().startswith(said)
    finally:
        ours.kill()
        ours.wait()
        ours.stdout.close()
