"""Files of guests on storage that does not answer: nobody else waits, and who does is told so."""
import os
import select
import struct
import threading

import frames
import libvirt
import pytest
from frames import OK, Wire, frame, string
from hung_storage import HungStorage, LonelyDaemon

FLASH = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"


@pytest.fixture()
def conf():
    return ""


@pytest.fixture()
def daemon(conf):
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    daemon = LonelyDaemon(conf)
    yield daemon
    daemon.stop()


@pytest.fixture()
def hung(daemon, place):
    (place / "hung").mkdir()
    storage = HungStorage(daemon, place / "hung")
    yield storage.place
    storage.close()


def definition(name, boot="", devices=""):
    return (f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><os>"
            f"<type arch='x86_64' machine='q35'>hvm</type>{boot}</os><devices>{devices}</devices></domain>")


def test_what_is_on_storage_that_hangs_is_given_up_and_nobody_else_waits(daemon, place, hung):
    """A save image is read, an image looked at, variables of UEFI removed; meanwhile others define, list and undefine."""
    def define(name, boot="", devices=""):
        file = place / f"{name}.xml"
        file.write_text(definition(name, boot, devices))
        daemon.virsh("define", file)

    define("disk", devices=f"<disk type='file'><source file='{hung}/d.img'/><target dev='vda' bus='virtio'/></disk>")
    for name in ("asked", "removed"):
        define(name, boot=f"{FLASH}<nvram>{hung}/{name}.fd</nvram>")
    acts = [("restore", hung / "image"), ("save-image-dumpxml", hung / "image"), ("start", "disk"), ("undefine", "asked"),
            ("undefine", "removed", "--nvram")]
    said = {}

    def act(words):
        said[words] = daemon.virsh(*words, check=False)
    threads = [threading.Thread(target=act, args=(words,)) for words in acts]
    for thread in threads:
        thread.start()
    define("other")
    assert "other" in daemon.virsh("list", "--all", "--name").split()
    daemon.virsh("undefine", "other")
    for thread in threads:
        thread.join()
    for words in acts:
        assert "error:" in said[words] and "answer" in said[words] and "within 30 s" in said[words], (words, said[words])
    listed = daemon.virsh("list", "--all", "--name").split()
    assert {"disk", "asked", "removed"} <= set(listed)
    for name in ("asked", "removed"):
        daemon.virsh("undefine", name, "--keep-nvram")
    daemon.virsh("undefine", "disk")
    assert not daemon.virsh("list", "--all", "--name").split()


PROC = {"domain_create": 9, "domain_destroy": 12, "domain_save": 55}


@pytest.mark.parametrize("conf", ["min_workers = 1\nmax_workers = 1\nmax_requests = 1\nprio_workers = 1\n"])
def test_a_destroy_is_answered_while_every_ordinary_call_hangs(daemon, hung):
    """CFG-08, CON-67, LIFE-26: told by the order of the answers; what hangs ends when the storage answers at last."""
    conn = libvirt.open(daemon.uri())
    saved, ended, begun = (conn.defineXML(definition(name)) for name in "abc")
    saved.create()
    ended.create()
    guest = {dom: string(dom.name()) + dom.UUID() + struct.pack(">i", dom.ID()) for dom in (saved, ended, begun)}

    def ask(wire, call, payload):
        """The daemon has the call when the other, which came with it, is answered."""
        wire.send(frame(PROC[call], payload, serial=101) + frame(frames.GET_HOSTNAME, serial=102))
        assert wire.answer().serial == 102
    hanging, waiting, urgent = (Wire(daemon.socket(), "qemu:///system") for _ in range(3))
    ask(hanging, "domain_save", guest[saved] + string(str(hung / "image")))
    ask(waiting, "domain_create", guest[begun])
    for dom in (ended, saved):
        assert urgent.call(PROC["domain_destroy"], guest[dom]).status == OK
        assert not select.select([waiting.socket], [], [], 0)[0] or dom is saved
    assert hanging.answer().error() and waiting.answer().status == OK
    assert not ended.isActive() and not saved.isActive() and begun.isActive()
    begun.destroy()
    conn.close()
