"""Definitions that the disk does not take, and somebody removing them at the same time: each object goes once, and the daemon stays."""
import errno
import os
import uuid

import pytest
from frames import REPLY, Wire, frame, string
from live import LiveDaemon

UUID = uuid.UUID("3174da78-6c5b-4b4e-8f6a-5d0d9f0a4d01")
NAMED = f"<name>odd</name><uuid>{UUID}</uuid>"
BY_NAME = string("odd") + UUID.bytes
NO_FLAGS, NO_ID, FOR_VOLUME = bytes(4), (-1).to_bytes(4, "big", signed=True), (1).to_bytes(4, "big")

#: define's and undefine's numbers, the file, the definition, what follows it in the call, the object in the other call
KINDS = {
    "domain": (11, 35, "qemu/odd.xml",
               f"<domain type='qemu'>{NAMED}<memory>32768</memory><os><type>hvm</type></os></domain>", b"", BY_NAME + NO_ID),
    "network": (41, 49, "network/odd.xml", f"<network>{NAMED}</network>", b"", BY_NAME),
    "pool": (77, 82, "storage/odd.xml", f"<pool type='dir'>{NAMED}<target><path>/nowhere</path></target></pool>", NO_FLAGS, BY_NAME),
    "nwfilter": (180, 181, "nwfilter/odd.xml", f"<filter name='odd'><uuid>{UUID}</uuid></filter>", b"", BY_NAME),
    "secret": (142, 146, f"secrets/{UUID}.xml",
               f"<secret><uuid>{UUID}</uuid><usage type='volume'><volume>/one</volume></usage></secret>", NO_FLAGS,
               UUID.bytes + FOR_VOLUME + string("/one")),
}


@pytest.fixture(scope="module")
def daemon():
    daemon = LiveDaemon()
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_that_cannot_be_kept_goes_once_while_another_removes_it(daemon, kind):
    define, undefine, file, xml, more, named = KINDS[kind]
    in_the_way = daemon.base / "etc" / f"{file}.new"
    in_the_way.mkdir(parents=True)
    wire = Wire(daemon.socket(), "qemu:///system")
    for serial in range(100, 140, 2):
        wire.send(frame(define, string(xml) + more, serial=serial) + frame(undefine, named, serial=serial + 1))
        answers = {answer.serial: answer for answer in (wire.answer(), wire.answer())}
        assert all(answer.kind == REPLY for answer in answers.values())
        assert os.strerror(errno.EISDIR) in answers[serial].error()[2]
    in_the_way.rmdir()
    assert not (daemon.base / "etc" / file).exists()
    wire.send(frame(define, string(xml) + more, serial=200))
    assert wire.answer().status == 0, "the name and the UUID are free again"
    assert wire.call(undefine, named).status == 0
