"""A pool of type iscsi-direct against tgt on this machine: no kernel has a part in it (STO-04, STO-10)."""
import os
import socket
import struct
import subprocess
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from droverd import Droverd, free_port
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")
TARGET = "iqn.2004-04.test:direct"


class Target:
    """A tgtd of our own, with two units."""

    def __init__(self, tmp_path):
        self.port = free_port()
        self.control = str(self.port % 30000)  # tgtd keeps it in 16 bits
        self.process = subprocess.Popen(["tgtd", "-f", "-C", self.control, "--iscsi", f"portal=127.0.0.1:{self.port}"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("tgtd answers", lambda: self.admin("--op", "show", "--mode", "system", check=False).returncode == 0)
        self.admin("--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET)
        for unit, size in ((1, 16 << 20), (2, 8 << 20)):
            image = tmp_path / f"unit{unit}"
            with open(image, "wb") as file:
                file.truncate(size)
            self.admin("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", str(unit), "-b", image)
        self.admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")

    def admin(self, *words, check=True):
        return subprocess.run(["tgtadm", "-C", self.control, "--lld", "iscsi", *words], capture_output=True, text=True,
                              check=check)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Portal:
    """A portal that lets everybody in and tells nobody what it has: it refuses to, or hangs up."""

    def __init__(self, refuses):
        self.refuses, self.listener = refuses, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            with link, link.makefile("rb") as stream:
                self.talk(link, stream)

    def talk(self, link, stream):
        number = 1
        while len(head := stream.read(48)) == 48:
            length = int.from_bytes(head[5:8], "big")
            stream.read(length + -length % 4)
            answer = self.answer(head)
            if not answer:
                return
            first, text = answer
            first[5:8] = len(text).to_bytes(3, "big")
            struct.pack_into(">III", first, 24, number, int.from_bytes(head[24:28], "big") + (not head[0] & 0x40), 100)
            link.sendall(bytes(first) + text + bytes(-len(text) % 4))
            number += 1

    def answer(self, head):
        first = bytearray(48)
        if head[0] & 0x3F == 0x03:  # login, in the stages that are asked for
            first[0], first[1], first[8:14], first[14:20] = 0x23, head[1] & 0x8F, head[8:14], b"\0\1" + head[16:20]
            return first, b"" if head[1] & 0x0C else b"AuthMethod=None\0"
        if not self.refuses:
            return None
        first[0], first[1], first[2], first[16:20] = 0x3F, 0x80, 0x05, b"\xff" * 4
        return first, head

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture(name="target")
def fixture_target(tmp_path):
    target = Target(tmp_path)
    yield target
    target.stop()


@pytest.fixture(name="virsh")
def fixture_virsh():
    daemon = Droverd("storage_timeout = 30\n")
    yield lambda *words, **more: daemon.virsh(*words, driver="qemu", **more)
    daemon.stop()


def test_units_of_a_target_are_network_volumes(target, virsh, tmp_path):
    spec = tmp_path / "source.xml"
    spec.write_text(f"<source><host name='127.0.0.1' port='{target.port}'/></source>")
    found = ElementTree.fromstring(virsh("find-storage-pool-sources", "iscsi-direct", spec))
    assert [source.find("device").get("path") for source in found] == [TARGET]
    pool = tmp_path / "pool.xml"
    pool.write_text(f"<pool type='iscsi-direct'><name>i</name><source><host name='127.0.0.1' port='{target.port}'/>"
                    f"<device path='{TARGET}'/><initiator><iqn name='iqn.2004-04.test:us'/></initiator></source></pool>")
    virsh("pool-define", pool)
    virsh("pool-start", "i")
    assert virsh("vol-list", "i", "--details").split().count("network") == 2
    unit = ElementTree.fromstring(virsh("vol-dumpxml", "unit:0:0:2", "i"))
    assert unit.findtext("capacity") == str(8 << 20)
    assert unit.findtext("target/path") == f"ip-127.0.0.1:{target.port}-iscsi-{TARGET}-lun-2"
    assert "24.00 MiB" in virsh("pool-info", "i")
    target.stop()
    assert "cannot connect" in virsh("pool-refresh", "i", check=False)
    assert "unit:0:0:2" in virsh("vol-list", "i")
    virsh("pool-destroy", "i")
    assert "cannot connect" in virsh("pool-start", "i", check=False)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_portal_that_does_not_say_what_it_has_is_an_error(virsh, tmp_path, refuses):
    """Not an empty answer, and nobody waits for it for ever."""
    portal = Portal(refuses)
    spec = tmp_path / "source.xml"
    spec.write_text(f"<source><host name='127.0.0.1' port='{portal.port}'/></source>")
    said = virsh("find-storage-pool-sources", "iscsi-direct", spec, check=False)
    portal.stop()
    assert "cannot find the targets" in said and str(portal.port) in said


def test_a_target_that_wants_a_password_is_logged_in_at_with_a_secret(target, virsh, tmp_path):
    target.admin("--op", "new", "--mode", "account", "--user", "me", "--password", "twelve-chars")
    target.admin("--op", "bind", "--mode", "account", "--tid", "1", "--user", "me")

    def write(text):
        (tmp_path / "text").write_text(text)
        return tmp_path / "text"

    auth = "<auth type='chap' username='me'><secret usage='target'/></auth>"
    pool = (f"<pool type='iscsi-direct'><name>i</name><source><host name='127.0.0.1' port='{target.port}'/>"
            f"<device path='{TARGET}'/><initiator><iqn name='iqn.2004-04.test:us'/></initiator>{{}}</source></pool>")
    virsh("pool-define", write(pool.format("")))
    assert "cannot log in" in virsh("pool-start", "i", check=False)
    virsh("pool-define", write(pool.format(auth)))
    assert "no secret with matching usage 'target'" in virsh("pool-start", "i", check=False)
    virsh("secret-define", write("<secret private='yes'><uuid>d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11</uuid>"
                                 "<usage type='iscsi'><target>target</target></usage></secret>"))
    for value, starts in (("not-the-right-one", False), ("twelve-chars", True)):
        virsh("secret-set-value", "d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11", "--file", write(value), "--plain")
        said = virsh("pool-start", "i", check=False)
        assert "Pool i started" in said if starts else "cannot log in" in said
    assert "unit:0:0:2" in virsh("vol-list", "i")
    shown = virsh("pool-dumpxml", "i")
    assert "username='me'" in shown and "usage='target'" in shown and "twelve-chars" not in shown
    virsh("secret-undefine", "d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11")
    virsh("pool-destroy", "i")
