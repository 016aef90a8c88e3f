"""What droverd does with frames of all kinds, as stock daemons do it."""
import array
import os
import pathlib
import select
import socket
import struct
import tomllib

import pytest

import libvirt

import frames
from droverd import Droverd
from frames import CALL_WITH_FDS, CONTINUE, ERROR, HOLE, KEEPALIVE, MESSAGE, OK, REPLY, STREAM, Wire, frame, string
from waiting import wait_for

FACTS = pathlib.Path(__file__).resolve().parents[2] / "facts/wire"
PROGRAMS = {"REMOTE": frames.REMOTE, "QEMU": frames.QEMU, "LXC": frames.LXC}
RPC = (39, 7)
LOOKUP_BY_NAME, DESTROY = 23, 12


def rows():
    return [row for path in sorted(FACTS.glob("*.toml")) for row in tomllib.loads(path.read_text()).get("proc", [])]


@pytest.fixture
def wire(droverd):
    return Wire(droverd.socket(), "test:///default")


@pytest.mark.parametrize("length", [0, 27, 4 + 33554432 + 1, 0xffffffff])
def test_an_impossible_length_closes_the_connection(wire, length):
    wire.send(frame(1, length=length))
    assert wire.answer() is None


def test_a_connection_opens_one_driver_only(wire):
    again = wire.call(frames.OPEN, struct.pack(">I", 1) + string("test:///default") + struct.pack(">I", 0))
    assert again.error() == (1, 7, "internal error: connection already open")
    assert wire.lives()


def test_unknown_programs_versions_and_procedures_are_named(wire):
    for program, version in (4711, 1), (frames.REMOTE, 2), (0x06900690, 1):
        code, domain, text = wire.call(1, program=program, version=version).error()
        assert (code, domain) == RPC and text == f"Cannot find program {program} version {version}"
    for number in 0, -1, 107, 318, 99999:
        code, domain, text = wire.call(number).error()
        assert (code, domain) == RPC and text == f"unknown procedure: {number}"
    assert wire.lives()


def test_a_call_with_a_strange_status_is_refused(wire):
    for status in ERROR, CONTINUE, 7:
        code, domain, text = wire.call(frames.GET_HOSTNAME, status=status).error()
        assert (code, domain) == RPC and text == f"Unexpected message status {status}"
    assert wire.lives()


@pytest.mark.parametrize("payload", [b"", b"\0\0\0", string("x")[:6], struct.pack(">I", 4194305) + bytes(64),
                                     struct.pack(">I", 0xffffffff), string(b"\xc3\x28"), string(b"a\0b")],
                         ids=["none", "short", "cut", "over-limit", "endless", "not-utf8", "nul"])
def test_arguments_that_cannot_be_read_are_refused(wire, payload):
    answer = wire.call(23, payload)
    assert answer.error() == (39, 7, "Unable to decode message payload")
    assert wire.lives()


INT, ULLONG = 1, 4


def test_parameters_of_another_name_or_type_are_refused(wire):
    guest = wire.call(LOOKUP_BY_NAME, string("test")).payload
    number = next(row["number"] for row in rows() if row["name"] == "domain_set_memory_parameters")

    def refusal(*params, flags=0):
        return wire.call(number, guest + struct.pack(">I", len(params)) + b"".join(params) + struct.pack(">I", flags)).error()
    limit = string("hard_limit") + struct.pack(">iQ", ULLONG, 1 << 20)
    for said, params in (("hard_limit", [string("hard_limit") + struct.pack(">ii", INT, 5)]),
                         ("no_limit", [limit, string("no_limit") + struct.pack(">iQ", ULLONG, 5)])):
        code, _, text = refusal(*params)
        assert code == 8 and said in text
    code, _, text = refusal(limit, flags=1 << 30)
    assert code == 8 and text.endswith("unsupported flags (0x40000000) in function virDomainSetMemoryParameters")
    assert refusal(string("hard_limit") + struct.pack(">i", 99)) == (39, 7, "Unable to decode message payload")
    assert wire.lives()


def test_what_other_servers_overlook_is_overlooked(droverd):
    w = Wire(droverd.socket())
    assert w.call(frames.AUTH_LIST).status == OK
    strange_marker = struct.pack(">I", 0x01000000) + string("test:///default") + struct.pack(">I", 0)
    assert w.call(frames.OPEN, strange_marker + b"left over").status == OK
    padding = struct.pack(">I", 1) + b"x\1\2\3"
    assert w.call(23, padding).error()[0] == 42
    for kind in REPLY, MESSAGE, 7, -1:
        w.send(frame(frames.GET_HOSTNAME, kind=kind, serial=99))
    for kind in STREAM, HOLE:
        w.send(frame(209, bytes(12), kind=kind, serial=12345, status=CONTINUE))
    assert w.lives()


def test_the_order_of_opening_is_kept(droverd):
    w = Wire(droverd.socket())
    assert w.call(frames.AUTH_LIST).payload == struct.pack(">II", 1, 0)
    assert w.call(frames.SUPPORTS_FEATURE, struct.pack(">i", 10)).payload == struct.pack(">i", 1)
    assert w.call(frames.GET_HOSTNAME).error() == (1, 7, "internal error: hypervisor connection not open")
    opening = struct.pack(">I", 1) + string("test:///default") + struct.pack(">I", 0)
    assert w.call(frames.OPEN, opening).status == OK
    assert w.call(frames.OPEN, opening).error()[0] == 1
    assert w.call(frames.CLOSE).status == OK
    assert w.answer() is None


@pytest.mark.parametrize("uri, moves", [("qemu:///system", 1), ("test:///default", 0)])
def test_what_is_not_here_is_not_offered(droverd, uri, moves):
    """Versions 1 and 2 of migration (1, 3), a hypervisor that moves guests by itself (5), and what nobody knows."""
    w = Wire(droverd.socket(), uri)
    asked = {feature: w.call(frames.SUPPORTS_FEATURE, struct.pack(">i", feature)).payload for feature in range(19)}
    answers = {feature: struct.unpack(">i", payload)[0] for feature, payload in asked.items()}
    assert set(answers.values()) == {0, 1}
    assert [feature for feature in (4, 6, 7, 12, 13) if answers[feature] == moves] == [4, 6, 7, 12, 13]
    assert all(answers[feature] for feature in (8, 9, 10, 11, 14, 15, 16))
    assert not any(answers[feature] for feature in (0, 1, 2, 3, 5, 17, 18))


def test_a_call_that_nobody_implements_says_its_name(wire):
    """Its arguments are not looked at: there are none here."""
    missing = next(row for row in rows() if row["runs"] == "none" and row["program"] == "REMOTE" and "api" in row)
    code, _, text = wire.call(missing["number"]).error()
    assert code == 3 and missing["api"] in text


def test_keepalive_is_answered_and_its_noise_ignored(wire):
    wire.send(frame(2, program=KEEPALIVE, kind=MESSAGE) + frame(77, program=KEEPALIVE, kind=MESSAGE))
    wire.send(frame(1, program=KEEPALIVE, kind=MESSAGE))
    pong = wire.answer()
    assert (pong.program, pong.proc, pong.kind, pong.serial, pong.payload) == (KEEPALIVE, 2, MESSAGE, 0, b"")
    assert wire.lives()


def test_a_client_that_answers_no_keepalive_is_let_go():
    """The daemon asks who said that it knows of it; one that answers is served on, whatever becomes of the others."""
    daemon = Droverd("keepalive_interval = 1\nkeepalive_count = 4\n")
    try:
        silent, alive, other = (Wire(daemon.socket(), "test:///default") for _ in range(3))
        for each in (silent, alive):
            assert each.call(frames.SUPPORTS_FEATURE, struct.pack(">i", 10)).payload == struct.pack(">i", 1)
        ping = silent.answer()
        assert (ping.program, ping.proc, ping.kind) == (KEEPALIVE, 1, MESSAGE)
        while select.select([silent.socket], [], [], 0)[0] == [] or silent.answer():
            assert alive.answer().proc == 1
            alive.send(frame(2, program=KEEPALIVE, kind=MESSAGE))
        assert other.lives()
        alive.send(frame(2, program=KEEPALIVE, kind=MESSAGE) + frame(frames.GET_HOSTNAME, serial=99))
        while (answer := alive.answer()).program == KEEPALIVE:
            pass
        assert (answer.serial, answer.status) == (99, OK)
    finally:
        daemon.stop()


def test_many_calls_at_once_are_all_answered(wire):
    wire.send(b"".join(frame(frames.GET_HOSTNAME, serial=1000 + i) for i in range(500)))
    assert {wire.answer().serial for _ in range(500)} == set(range(1000, 1500))


def test_a_guest_that_is_destroyed_twice_at_once_answers_both(wire):
    """The second comes with the first, and finds it at work."""
    guest = wire.call(LOOKUP_BY_NAME, string("test")).payload
    wire.send(frame(DESTROY, guest, serial=501) + frame(DESTROY, guest, serial=502))
    assert {(answer.serial, answer.status) for answer in (wire.answer(), wire.answer())} == {(501, OK), (502, OK)}
    assert "is not running" in wire.call(DESTROY, guest).error()[2]


def test_frames_may_come_byte_by_byte(wire):
    for byte in frame(frames.GET_HOSTNAME, serial=5):
        wire.send(bytes([byte]))
    answer = wire.answer()
    assert (answer.serial, answer.status) == (5, OK)


def test_descriptors_are_counted(wire):
    assert wire.call(frames.GET_HOSTNAME, struct.pack(">I", 0), kind=CALL_WITH_FDS).status == OK
    wire.serial += 1
    wire.send(frame(frames.GET_HOSTNAME, struct.pack(">I", 1), kind=CALL_WITH_FDS, serial=wire.serial))
    null = os.open("/dev/null", os.O_RDONLY)
    wire.socket.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null]))])
    os.close(null)
    assert wire.answer().serial == wire.serial
    wire.send(frame(frames.GET_HOSTNAME, struct.pack(">I", 33), kind=CALL_WITH_FDS))
    assert wire.answer() is None


def test_a_large_frame_before_authentication_closes_the_connection(droverd):
    w = Wire(droverd.socket())
    w.send(frame(frames.AUTH_LIST, length=320 * 1024 + 1))
    assert w.answer() is None


def test_four_megabytes_of_text_are_taken(wire):
    code, _, text = wire.call(23, string("x" * 4194304)).error()
    assert code == 42


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(droverd, wire):
    for cut in 1, 4, 27, 30:
        other = Wire(droverd.socket(), "test:///default")
        other.send(frame(23, string("some guest"))[:cut])
        other.socket.close()
    assert wire.lives()
    assert droverd.process.poll() is None


def test_every_row_keeps_its_word_on_the_read_only_socket(droverd):
    """REM-07: rights are checked before arguments are looked at."""
    w = Wire(droverd.socket(readonly=True), "test:///default")
    checked = 0
    for row in rows():
        if row["name"] in ("connect_open", "connect_close") or row["name"].startswith("auth_"):
            continue
        answer = w.call(row["number"], program=PROGRAMS[row["program"]])
        denied = answer.status == ERROR and answer.error()[:2] == (29, 20)
        assert denied == (not row["readonly"]), row["name"]
        checked += 1
    assert checked > 390
    assert w.lives()


def large_definition(end="</domain>"):
    """Of about 3 MiB, in which only the end is or is not wrong."""
    notes = "<m:b>eeeeeeeeeeeeeee</m:b>" * 105_000
    return (f"<domain type='test'><name>large</name><memory>65536</memory><os><type>hvm</type></os>"
            f"<metadata><m:a xmlns:m='urn:m'>{notes}</m:a></metadata>{end}")


def test_a_large_definition_makes_no_other_client_wait(droverd, wire):
    """It is read beside the loop: who asks after it was sent is answered before it is. Were it read on the loop, that would
    never be so; on a busy machine we may ask too late, and once more."""
    other = Wire(droverd.socket(), "test:///default")
    for end, expected in ("</nonsense>", ERROR), ("</domain>", OK):
        definition = frame(frames.DEFINE_XML, string(large_definition(end)), serial=77)

        def overtaken(definition=definition, expected=expected):
            wire.send(definition)
            assert other.lives()
            first = not select.select([wire.socket], [], [], 0)[0]
            answer = wire.answer()
            assert (answer.serial, answer.status) == (77, expected), answer.payload[:200]
            return first

        wait_for("the other to be answered first", overtaken)


def test_a_definition_that_no_client_could_read_is_refused(droverd):
    """Many small elements are more bytes when they are written one on a line."""
    conn = libvirt.open(droverd.uri())
    notes = "<m:b>e</m:b>" * 230_000
    with pytest.raises(libvirt.libvirtError, match="definition of 'large' is too large.*4194304 are the most"):
        conn.defineXML(f"<domain type='test'><name>large</name><memory>65536</memory><os><type>hvm</type></os>"
                       f"<metadata><m:a xmlns:m='urn:m'>{notes}</m:a></metadata></domain>")
    assert "large" not in [dom.name() for dom in conn.listAllDomains()]
    conn.close()
