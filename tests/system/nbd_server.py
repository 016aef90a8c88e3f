"""drover-img serve (or qemu-nbd) for the time of a test, and the credentials both sides need."""

import os
import pathlib
import signal
import subprocess
import tempfile

from img_tools import OURS
from waiting import wait_for


class Serve:
    """A server in the foreground; what it says and how it ends is looked at."""

    def __init__(self, tmp_path, image, *options, format="raw", tcp=None, program=(OURS, "serve"), socket=None, **popen):
        place = tempfile.mkdtemp(dir=tmp_path)
        self.path = str(socket or os.path.join(place, "s"))
        self.pid_file, self.log = os.path.join(place, "pid"), os.path.join(place, "log")
        where = ["--bind", "127.0.0.1", "--port", str(tcp)] if tcp else ["--socket", self.path]
        words = [*program, *where, "--pid-file", self.pid_file, *(["-f", format] if format else []), *options, image]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            **popen)
        self.uri = f"nbd://127.0.0.1:{tcp}/" if tcp else f"nbd+unix:///?socket={self.path}"
        wait_for("the server is ready", lambda: os.path.exists(self.pid_file) or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_written(self, size, client):
        """Until it has written that much more, or the client is gone. How large the image is would not tell: soon all of it
        has been written once."""
        def written():
            lines = pathlib.Path(f"/proc/{self.process.pid}/io").read_text(encoding="ascii").splitlines()
            return int(dict(line.split(": ") for line in lines)["wchar"])

        before = written()
        wait_for("it writes", lambda: written() >= before + size or client.poll() is not None)

    def wait(self):
        return self.process.wait(timeout=120)

    def end(self, with_signal=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        status = self.wait()
        assert status == (0 if with_signal == signal.SIGTERM else -with_signal), self.said()
        assert with_signal != signal.SIGTERM or not os.path.exists(self.path)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            self.process.wait()
            print(self.said())
        else:
            self.end()


class Serving(Serve):
    """One that stays, for any number of clients."""

    def __init__(self, tmp_path, image, *options, **more):
        super().__init__(tmp_path, image, "--persistent", "--shared", "0", *options, **more)


def certtool(*words, template):
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(template)
        file.flush()
        subprocess.run(["certtool", *map(str, words), "--template", file.name], check=True, capture_output=True, timeout=120)


def make_key(path):
    subprocess.run(["certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", path], check=True,
                   capture_output=True, timeout=120)


class Authority:
    """A certificate authority, and directories as QEMU's tls-creds-x509 wants them."""

    def __init__(self, tmp_path, name="authority"):
        self.place = tmp_path / name
        self.place.mkdir()
        self.key, self.cert = self.place / "ca-key.pem", self.place / "ca-cert.pem"
        make_key(self.key)
        certtool("--generate-self-signed", "--load-privkey", self.key, "--outfile", self.cert,
                 template=f"cn = {name}\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 10\n")

    def directory(self, name, server):
        place, role = self.place / name, "server" if server else "client"
        place.mkdir()
        (place / "ca-cert.pem").write_bytes(self.cert.read_bytes())
        make_key(place / f"{role}-key.pem")
        names = 'dns_name = "localhost"\nip_address = "127.0.0.1"\ntls_www_server\n' if server else "tls_www_client\n"
        certtool("--generate-certificate", "--load-ca-certificate", self.cert, "--load-ca-privkey", self.key,
                 "--load-privkey", place / f"{role}-key.pem", "--outfile", place / f"{role}-cert.pem",
                 template=f"cn = {name}\norganization = Test\nexpiration_days = 10\nencryption_key\nsigning_key\n{names}")
        return place

    def revoke(self, client, server):
        certtool("--generate-crl", "--load-ca-privkey", self.key, "--load-ca-certificate", self.cert,
                 "--load-certificate", client / "client-cert.pem", "--outfile", server / "ca-crl.pem",
                 template="crl_next_update = 10\n")
