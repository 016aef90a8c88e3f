"""The shell of a test guest, or whatever else it writes, on a serial port that QEMU connects to us."""
import contextlib
import os
import re
import socket

from waiting import PATIENCE_S


class Console:
    """One serial port: bind it before the guest starts."""

    def __init__(self, path):
        self.path = path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o777)
        self.listener.listen(1)
        self.listener.settimeout(PATIENCE_S)
        self.link, self.text, self.number = None, "", 0

    def wait(self, pattern, seconds=0):
        """Read until the pattern is in the text. The match and what came before it; both are dropped from the text."""
        if self.link is None:
            self.link, _ = self.listener.accept()
        self.link.settimeout(max(seconds, PATIENCE_S))
        while not (found := re.search(pattern, self.text, re.M)):
            said = self.link.recv(4096)
            assert said, f"the console was closed; it said {self.text!r}"
            self.text += said.decode(errors="replace")
        before, self.text = self.text[:found.start()], self.text[found.end():]
        return found, before

    def run(self, command, seconds=0):
        """The exit status of a command and what it printed."""
        self.number += 1
        self.link.sendall(f"({command}) 2>&1; echo end{self.number}=$?\n".encode())
        found, said = self.wait(rf"^end{self.number}=(\d+)\r?\n", seconds)
        return int(found[1]), said

    def close(self):
        for one in (self.link, self.listener):
            if one:
                one.close()
