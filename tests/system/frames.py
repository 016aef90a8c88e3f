"""Frames written and read by hand, so that the daemon is not only held against our own codecs."""
import socket
import struct

from waiting import PATIENCE_S

REMOTE, QEMU, LXC, KEEPALIVE = 0x20008086, 0x20008087, 0x00068000, 0x6b656570
CALL, REPLY, MESSAGE, STREAM, CALL_WITH_FDS, REPLY_WITH_FDS, HOLE = range(7)
OK, ERROR, CONTINUE = range(3)
AUTH_LIST, OPEN, CLOSE, SUPPORTS_FEATURE, GET_HOSTNAME, DEFINE_XML = 66, 1, 2, 60, 59, 11


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def frame(proc, payload=b"", program=REMOTE, version=1, kind=CALL, serial=0, status=OK, length=None):
    if length is None:
        length = 28 + len(payload)
    return struct.pack(">IIIiiIi", length, program, version, proc, kind, serial, status) + payload


class Answer:
    def __init__(self, data):
        (self.program, self.version, self.proc, self.kind, self.serial, self.status) = struct.unpack(">IIiiIi", data[:24])
        self.payload = data[24:]

    def error(self):
        """(code, domain, message)"""
        assert self.status == ERROR, self.payload
        code, domain, present = struct.unpack(">iiI", self.payload[:12])
        assert present == 1
        size = struct.unpack(">I", self.payload[12:16])[0]
        return code, domain, self.payload[16:16 + size].decode()


class Wire:
    """One connection."""

    def __init__(self, path, open_uri=None):
        """path: of a UNIX socket, or a host and a port."""
        remote = isinstance(path, tuple)
        self.socket = socket.socket(socket.AF_INET if remote else socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path if remote else str(path))
        self.serial = 0
        if open_uri is not None:
            assert self.call(AUTH_LIST).status == OK
            assert self.call(OPEN, struct.pack(">I", 1) + string(open_uri) + struct.pack(">I", 0)).status == OK

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                return None
            data += more
        return data

    def answer(self):
        """The next frame; None when the daemon closed the connection."""
        try:
            head = self.read(4)
        except ConnectionResetError:
            return None
        return Answer(self.read(struct.unpack(">I", head)[0] - 4)) if head else None

    def call(self, proc, payload=b"", **header):
        self.serial += 1
        self.send(frame(proc, payload, serial=self.serial, **header))
        answer = self.answer()
        assert answer and answer.serial == self.serial and answer.kind == REPLY
        return answer

    def lives(self):
        """Does it still serve? GET_HOSTNAME answers next."""
        return self.call(GET_HOSTNAME).status == OK
