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
        back = threading.Thread(target=self._pump, args=(far, near, None), daemon=True)
        self._threads.append(back)
        back.start()
        self._pump(near, far, self.word)

    def _pump(self, source, target, word):
        """Until either is closed; descriptors go along."""
        try:
            while True:
                data, extra, _, _ = source.recvmsg(65536, socket.CMSG_SPACE(self.MOST_FDS * array.array("i").itemsize))
                if not data:
                    break
                if word and word in data:
                    data = self._let_through(source, data)
                target.sendmsg([data], extra)
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
