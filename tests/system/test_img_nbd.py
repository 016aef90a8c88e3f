"""NBD exports as source and target of every command, with stock servers (IMG-33)."""

import json
import os
import select
import shutil
import subprocess
import tempfile

import pytest

from droverd import free_port
from img_tools import OURS, failing, fill, needs_stock, ours, stock

pytestmark = [needs_stock, pytest.mark.skipif(not shutil.which("qemu-nbd"), reason="qemu-utils is missing")]


class Export:
    """qemu-nbd serves a file until it is told to end."""

    def __init__(self, tmp_path, image, *options, format="raw", tcp=False):
        place = tempfile.mkdtemp(dir=tmp_path)
        self.path = os.path.join(place, "s")
        self.pid_file = os.path.join(place, "pid")
        self.port = None
        where = ["-k", self.path]
        if tcp:
            self.port = free_port()
            where = ["-b", "127.0.0.1", "-p", str(self.port)]
        subprocess.run(["qemu-nbd", "-t", "-f", format, "-e", "8", *where, "--fork", "--pid-file", self.pid_file, *options,
                        image], check=True, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.uri = f"nbd://127.0.0.1:{self.port}/" if tcp else f"nbd+unix:///?socket={self.path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with open(self.pid_file, encoding="ascii") as f:
            pid = int(f.read())
        server = os.pidfd_open(pid)
        os.kill(pid, 15)
        select.select([server], [], [], 120)
        os.close(server)


@pytest.mark.parametrize("tcp", [False, True])
def test_raw_exports_are_read_written_mapped_and_compared(tmp_path, tcp):
    raw, target = fill(tmp_path / "a.raw", 9 << 20), tmp_path / "t.raw"
    target.write_bytes(b"old content" * 1000000)
    os.truncate(target, 9 << 20)
    with Export(tmp_path, raw, "-r", tcp=tcp) as source, Export(tmp_path, target, tcp=tcp) as sink:
        ours("convert", "-f", "raw", "-O", "raw", source.uri, sink.uri)
        ours("compare", "-f", "raw", "-F", "raw", raw, sink.uri)
        stock("compare", "-f", "raw", "-F", "raw", raw, sink.uri)
        assert json.loads(ours("map", "-f", "raw", "--output=json", source.uri)) == json.loads(
            stock("map", "-f", "raw", "--output=json", source.uri))
        # qemu-img writes the name in another way
        mine, theirs = (run("info", "-f", "raw", source.uri).splitlines()[1:] for run in (ours, stock))
        assert mine == theirs
        ours("dd", "-f", "raw", "-O", "raw", "bs=1M", "count=3", f"if={source.uri}", f"of={tmp_path / 'd'}")
        assert (tmp_path / "d").read_bytes() == raw.read_bytes()[:3 << 20]
        assert "exported for reading only" in failing("convert", "-n", "-f", "raw", "-O", "raw", tmp_path / "d", source.uri)
        assert "cannot grow" in failing("resize", "-f", "raw", sink.uri, "10M")
        assert "Cannot resize" in failing("resize", "-f", "raw", "--shrink", sink.uri, "8M")
        json.loads(ours("measure", "--output=json", "-f", "raw", "-O", "qcow2", source.uri))
    stock("compare", "-f", "raw", "-F", "raw", raw, target)


def test_names_of_exports(tmp_path):
    raw = fill(tmp_path / "a.raw", 3 << 20)
    with Export(tmp_path, raw, "-r", "-x", "an export") as named, Export(tmp_path, raw, "-r", tcp=True) as port:
        spelled = [[f"nbd+unix:///an%20export?socket={named.path}"], [f"nbd:unix:{named.path}:exportname=an export"],
                   [f"nbd:127.0.0.1:{port.port}"]]
        nodes = [f"driver=nbd,server.type=unix,server.path={named.path},export=an export",
                 f"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={named.path},file.export=an export",
                 f"driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={port.port}"]
        for run in (ours, stock):
            for name in spelled:
                run("compare", "-f", "raw", "-F", "raw", raw, *name)
            for node in nodes:
                run("compare", "--image-opts", f"driver=raw,file.filename={raw}", node)
            run("map", "-f", "raw", f"nbd+unix:///gone?socket={named.path}", code=1)
            run("map", "-f", "raw", f"nbd+unix:///?socket={tmp_path}/gone", code=1)
            run("map", "--image-opts", "driver=nbd,export=x", code=1)


def test_json_names(tmp_path):
    """json:{...} wherever an image is named (IMG-38)."""
    raw, image, top = fill(tmp_path / "a.raw", 3 << 20), tmp_path / "an image", tmp_path / "top"
    stock("convert", "-f", "raw", "-O", "qcow2", raw, image)
    stock("create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", top)
    file = {"driver": "file", "filename": str(image)}
    with Export(tmp_path, raw, "-r", "-x", "x") as export:
        server = {"type": "unix", "path": export.path}
        names = [{"driver": "qcow2", "file": file}, {"driver": "qcow2", "file.driver": "file", "file.filename": str(image)},
                 {"driver": "nbd", "server": server, "export": "x"},
                 {"driver": "raw", "read-only": True, "file": {"driver": "nbd", "server": server, "export": "x"}},
                 {"driver": "qcow2", "file": {"filename": str(top)}, "backing": {"driver": "qcow2", "file": file}}]
        for run in (ours, stock):
            for name in names:
                run("compare", "-U", "-F", "raw", f"json:{json.dumps(name)}", raw)
            run("compare", "-F", "raw", "json: " + json.dumps(names[0]).replace("an image", "\\u0061n\\u0020image"), raw)
            run("convert", "-O", "raw", f"json:{json.dumps(names[2])}", tmp_path / "out")
            assert (tmp_path / "out").read_bytes() == raw.read_bytes()
            run("resize", "json:" + json.dumps({"driver": "qcow2", "file": {"filename": str(top)}}), "+1M")
    for wrong, said in (("{", "character 2"), ("[]", "an object"), ('{"driver" "raw"}', "a colon"), ('{"a": }', "a value"),
                        ('{"driver": "raw", "file": {"filename": "a"}} x', "behind"), ('{"a": "\\x"}', "an escape"),
                        ('{"a": "b}', "does not end"), ('{"a": 1 "b": 2}', "a comma"), ('{"a":' * 40, "too deep"),
                        ('{"a": "\\ud800"}', "second half"), ('{"driver": "raw", "x": 1, "filename": "' + str(raw) + '"}', "'x'"),
                        ('{"driver": "ssh"}', "")):
        assert said in failing("map", f"json:{wrong}"), wrong


def test_a_qcow2_image_on_an_export(tmp_path):
    """Its file is the export: made, written, checked, resized and converted there, then read where it lies."""
    raw, room = fill(tmp_path / "a.raw", 6 << 20), tmp_path / "room"
    with open(room, "wb") as f:
        f.truncate(20 << 20)
    with Export(tmp_path, room) as there:
        ours("convert", "-f", "raw", "-O", "qcow2", raw, there.uri)
        ours("check", "-f", "qcow2", there.uri)
        stock("compare", "-f", "raw", "-F", "qcow2", raw, there.uri)
        ours("snapshot", "-f", "qcow2", "-c", "one", there.uri)
        ours("bitmap", "--add", "-f", "qcow2", there.uri, "b")
        ours("resize", "-q", "-f", "qcow2", there.uri, "+1M")
        top = tmp_path / "top"
        ours("create", "-q", "-f", "qcow2", "-b", there.uri, "-F", "qcow2", top)
        ours("convert", "-O", "raw", "--image-opts", f"driver=qcow2,file.filename={top},backing.driver=qcow2,"
             f"backing.file.driver=nbd,backing.file.server.type=unix,backing.file.server.path={there.path}", tmp_path / "b")
        ours("info", "--backing-chain", top, code=1)  # nothing on the command line names a server: no socket is made
    stock("check", "-f", "qcow2", room)
    assert (tmp_path / "b").read_bytes() == raw.read_bytes() + bytes(1 << 20)


def test_no_room_on_the_export(tmp_path):
    raw, room = fill(tmp_path / "a.raw", 6 << 20), tmp_path / "room"
    with open(room, "wb") as f:
        f.truncate(2 << 20)
    with Export(tmp_path, room) as there:
        for format in ("raw", "qcow2"):
            assert "cannot grow" in failing("convert", "-f", "raw", "-O", format, raw, there.uri)


def test_tls(tmp_path):
    raw, keys = fill(tmp_path / "a.raw", 3 << 20), tmp_path / "keys"
    keys.mkdir()
    (keys / "keys.psk").write_text("tester:" + "5a" * 32 + "\n")
    (tmp_path / "wrong.psk").write_text("tester:" + "5b" * 32 + "\n")
    options = ["-r", "--object", f"tls-creds-psk,id=t,endpoint=server,dir={keys}", "--tls-creds", "t"]
    with Export(tmp_path, raw, *options) as export:
        uri = f"nbds+unix://tester@/?socket={export.path}&tls-psk-file="
        ours("compare", "-f", "raw", "-F", "raw", raw, f"{uri}{keys}/keys.psk")
        failing("map", "-f", "raw", f"{uri}{tmp_path}/wrong.psk")
        failing("map", "-f", "raw", export.uri)


def test_a_server_that_breaks_leaves_no_half_image(tmp_path):
    target = tmp_path / "out"
    command = f'"{OURS}" convert -f raw -O qcow2 "$uri" "{target}"'
    done = subprocess.run(["nbdkit", "--exit-with-parent", "-U", "-", "--filter=error", "pattern", "40M", "error-pread=EIO",
                           "error-pread-rate=50%", "--run", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "cannot read from" in done.stderr, done
    assert not target.exists() and os.listdir(tmp_path) == []
