"""Between droverd and a QEMU's monitor: commands that come late to QEMU, as they do on a busy machine."""
import array
import json
import os
import socket
import threading


class SlowMonitor:
    """Takes the place of a monitor socket that nobody is connected to; what holds `word` is handed on delay_s later."""

    MOST_FDS = 4

    def __init__(self, path, word, delay_s):
        self.word, self.delay_s, self.held = word.encode(), delay_s, 0
        self._over = threading.Event()
        self._there = f"{path}.there"
        os.rename(path, self._there)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self):
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._there)
        back = threading.Thread(target=self._pump, args=(far, near, self._from_qemu), daemon=True)
        self._threads.append(back)
        back.start()
        self._pump(near, far, lambda data: self._let_through(near, data) if self.word in data else data)

    def _pump(self, source, target, change):
        """Until either is closed; descriptors go along."""
        try:
            while True:
                data, extra, _, _ = source.recvmsg(65536, socket.CMSG_SPACE(self.MOST_FDS * array.array("i").itemsize))
                if not data:
                    break
                target.sendmsg([change(data)], extra)
                for _, _, fds in extra:
                    for fd in array.array("i", fds):
                        os.close(fd)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _let_through(self, _source, data):
        """What reaches QEMU of what holds the word."""
        self.held += 1
        self._over.wait(self.delay_s)
        return data

    def _from_qemu(self, data):
        """What reaches droverd of what QEMU says."""
        return data

    def close(self):
        """After the daemon or QEMU has ended."""
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


class RefusingMonitor(SlowMonitor):
    """The first `cont`s are refused, in the words of a QEMU whose migration has just failed."""

    def __init__(self, path, times):
        self.left = times
        super().__init__(path, '"cont"', 0)

    def _let_through(self, source, data):
        rest, text = b"", data.decode().lstrip()
        while text:
            command, end = json.JSONDecoder().raw_decode(text)
            if command["execute"] == "cont" and self.left:
                self.left -= 1
                error = {"class": "GenericError", "desc": "Migration is not finalized yet"}
                source.sendall(json.dumps({"id": command["id"], "error": error}).encode() + b"\n")
            else:
                rest += text[:end].encode() + b"\n"
            text = text[end:].lstrip()
        return rest


class LateAnswer(SlowMonitor):
    """The answer to a command comes after an event, as it does where QEMU saw to what is asked just before it was."""

    def __init__(self, path, command, event):
        self.event, self.released = event.encode(), False
        self._id = self._late = None
        self._part = b""
        super().__init__(path, f'"{command}"', 0)

    def _let_through(self, _source, data):
        self.held += 1
        text = data.decode().lstrip()
        while text:
            command, end = json.JSONDecoder().raw_decode(text)
            if f'"{command.get("execute") or command.get("exec-oob")}"' == self.word.decode():
                self._id = command["id"]
            text = text[end:].lstrip()
        return data

    def _from_qemu(self, data):
        *lines, self._part = (self._part + data).split(b"\n")
        passed = []
        for line in lines:
            if self._id is not None and not self.released and json.loads(line).get("id") == self._id:
                self._late = line
                continue
            passed.append(line)
            if self._late and self.event in line:
                passed.append(self._late)
                self._late, self.released = None, True
        return b"".join(line + b"\n" for line in passed)
