"""Frames of the wire protocol, as few as the benches need; procedure numbers come from the facts."""
import pathlib
import struct
import tomllib

FACTS = pathlib.Path(__file__).resolve().parents[2] / "facts" / "wire"
REMOTE_VERSION = 1


def _numbers():
    program, numbers = None, {}
    for path in FACTS.glob("*.toml"):
        facts = tomllib.loads(path.read_text())
        for row in facts.get("program", []):
            if row["name"] == "REMOTE":
                program = row["number"]
        numbers |= {row["name"]: row["number"] for row in facts.get("proc", []) if row["program"] == "REMOTE"}
    return program, numbers


PROGRAM, NUMBERS = _numbers()


def frame(procedure, body=b""):
    """A call; hammer fills in the serial number."""
    header = struct.pack(">IIIiIi", PROGRAM, REMOTE_VERSION, NUMBERS[procedure], 0, 0, 0)
    return struct.pack(">I", 4 + len(header) + len(body)) + header + body


def text(value):
    data = value.encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def uint(value):
    return struct.pack(">I", value)


def domain(dom):
    """A guest as the wire names it, from a libvirt.virDomain."""
    return text(dom.name()) + dom.UUID() + struct.pack(">i", dom.ID())


def opening(uri):
    """What every client says first."""
    return [frame("auth_list"), frame("connect_open", uint(1) + text(uri) + uint(0))]
