"""The far side of a redirected USB device, as a SPICE client or usbredirserver is: the packets of usbredirproto.h."""
import socket
import struct

from waiting import PATIENCE_S

HELLO, CONNECT, INTERFACES, ENDPOINTS, REJECT = 0, 1, 4, 5, 22
CAN_SAY_VERSION, CAN_BE_REJECTED = 1 << 1, 1 << 2
MOST = 32  # interfaces, and endpoints: rows of a fixed size
HIGH_SPEED, INVALID = 2, 255


class UsbPeer:
    """Listens where a redirdev of type tcp connects to, and plugs devices of one interface in."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self.port = self._listener.getsockname()[1]
        self.link = None

    def greet(self):
        self.link, _ = self._listener.accept()
        self.link.settimeout(PATIENCE_S)
        self._send(HELLO, b"a test".ljust(64, b"\0") + struct.pack("<I", CAN_SAY_VERSION | CAN_BE_REJECTED))

    def plug(self, number, vendor, product, version):
        """A device with an interface of this class."""
        def row(first):
            return bytes([first]).ljust(MOST, b"\0")
        self._send(INTERFACES, struct.pack("<I", 1) + row(0) + row(number) + row(0) + row(0))
        self._send(ENDPOINTS, bytes([0, *[INVALID] * (MOST // 2 - 1)] * 2) + row(0) + row(0))
        self._send(CONNECT, struct.pack("<BBBBHHH", HIGH_SPEED, 0, 0, 0, vendor, product, version))

    def wait_rejected(self):
        while self._receive() != REJECT:
            pass

    def _send(self, kind, data):
        self.link.sendall(struct.pack("<III", kind, len(data), 0) + data)

    def _receive(self):
        kind, size, _ = struct.unpack("<III", self._read(12))
        self._read(size)
        return kind

    def _read(self, size):
        data = b""
        while len(data) < size:
            more = self.link.recv(size - len(data))
            assert more, "QEMU hung up"
            data += more
        return data

    def close(self):
        for end in (self.link, self._listener):
            if end:
                end.close()
