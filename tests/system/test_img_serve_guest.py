"""Guests on images that drover-img serve exports: under QEMU, under droverd, and copied to while they run."""

import json
import os
import socket
import subprocess

import pytest

from droverd import free_port
from img_tools import clean, fill, needs_stock, stock
from lab import payload
from live import LiveDaemon
from nbd_server import Serve, Serving
from waiting import wait_for

pytestmark = needs_stock

QEMU = "qemu-system-x86_64"


def bootable(tmp_path):
    """A qcow2 image of the payload, with data behind it."""
    raw = fill(tmp_path / "disk.raw", 8 << 20)
    with open(raw, "r+b") as out:
        out.write(payload.build(4).read_bytes())
    stock("convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "disk.qcow2")
    return raw, tmp_path / "disk.qcow2"


class Machine:
    """QEMU with a serial port that is a file, and QMP."""

    def __init__(self, tmp_path, *arguments):
        self.log, path = tmp_path / "serial", tmp_path / "qmp"
        self.process = subprocess.Popen([QEMU, "-M", "pc", "-accel", "tcg", "-m", "160", "-display", "none", "-nodefaults",
                                         "-serial", f"file:{self.log}", "-qmp", f"unix:{path},server=on,wait=off", *arguments],
                                        stdin=subprocess.DEVNULL)
        self.link = socket.socket(socket.AF_UNIX)
        wait_for("QEMU opens QMP", lambda: self.link.connect_ex(str(path)) == 0)
        self.file = self.link.makefile("rw")
        self.file.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                assert "return" in answer, answer
                return answer["return"]

    def wait_for_beats(self):
        before = self.log.read_bytes().count(b"beat") if self.log.exists() else 0
        wait_for("the guest beats", lambda: self.log.exists() and self.log.read_bytes().count(b"beat") > before + 5, 60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_a_guest_boots_from_a_served_image_and_is_copied_to_another(tmp_path):
    """IMG-33: the disk is an export, and the target of a block copy is one too."""
    raw, image = bootable(tmp_path)
    target = tmp_path / "target.qcow2"
    stock("create", "-q", "-f", "qcow2", target, "8M")
    with Serve(tmp_path, image, format="qcow2") as source, Serving(tmp_path, target, format="qcow2") as copy:
        disk = f"driver=nbd,node-name=disk,server.type=unix,server.path={source.path}"
        with Machine(tmp_path, "-blockdev", disk, "-device", "ide-hd,drive=disk") as machine:
            machine.wait_for_beats()
            machine.run("blockdev-add", **{"driver": "nbd", "node-name": "copy", "server": {"type": "unix", "path": copy.path}})
            machine.run("blockdev-mirror", **{"job-id": "job", "device": "disk", "target": "copy", "sync": "full"})
            wait_for("the copy is complete", lambda: [j["ready"] for j in machine.run("query-block-jobs")] == [True], 60)
            machine.run("block-job-complete", device="job")
            wait_for("the guest runs on the copy", lambda: not machine.run("query-block-jobs"))
            machine.wait_for_beats()
        assert source.wait() == 0  # its last client is gone
    for each in (image, target):
        clean(each)
        stock("compare", "-f", "raw", "-F", "qcow2", raw, each)


@pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")
def test_a_droverd_guest_boots_from_a_network_disk(place):
    """A network disk of a definition, by UNIX socket and by TCP."""
    raw, image = bootable(place)
    port, daemon = free_port(), LiveDaemon()
    with Serving(place, image, format="qcow2", umask=0) as by_name, Serving(place, raw, "-r", "-x", "x", tcp=port):
        os.chmod(os.path.dirname(by_name.path), 0o755)
        hosts = {"unix": (f"<host transport='unix' socket='{by_name.path}'/>", "", ""),
                 "tcp": (f"<host name='127.0.0.1' port='{port}'/>", " name='x'", "<readonly/>")}
        try:
            for kind, (host, name, more) in hosts.items():
                (place / "guest.xml").write_text(f"""<domain type='qemu'>
                  <name>{kind}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
                  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
                  <devices><disk type='network'><driver name='qemu' type='raw' cache='none'/>
                    <source protocol='nbd'{name}>{host}</source><target dev='vda' bus='virtio'/>{more}</disk>
                    <serial type='file'><source path='{place}/{kind}'/></serial></devices></domain>""")
                daemon.virsh("create", place / "guest.xml")
                wait_for("the guest beats", lambda log=place / kind: log.exists() and b"beat" in log.read_bytes(), 60)
                daemon.virsh("destroy", kind)
        finally:
            daemon.stop()
    clean(image)
