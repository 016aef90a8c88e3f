"""Files of guests on storage that does not answer: nobody else waits, and who does is told so."""
import os
import pathlib
import select
import shutil
import signal
import struct
import threading

import frames
import libvirt
import pytest
from droverd import find_program
from frames import OK, Wire, frame, string
from hung_storage import HungStorage, LonelyDaemon
from waiting import wait_for

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
    """A save image is read, an image looked at, variables of UEFI made and removed; meanwhile others define, list and undefine."""
    def define(name, boot="", devices=""):
        file = place / f"{name}.xml"
        file.write_text(definition(name, boot, devices))
        daemon.virsh("define", file)

    define("disk", devices=f"<disk type='file'><source file='{hung}/d.img'/><target dev='vda' bus='virtio'/></disk>")
    for name in ("asked", "removed"):
        define(name, boot=f"{FLASH}<nvram>{hung}/{name}.fd</nvram>")
    define("begun", boot=f"{FLASH}<nvram template='{place}/copied.fd'>{hung}/begun.fd</nvram>")
    (place / "copied.fd").write_bytes(bytes(4096))
    acts = {("restore", hung / "image"): 30, ("save-image-dumpxml", hung / "image"): 30, ("start", "disk"): 30,
            ("undefine", "asked"): 30, ("undefine", "removed", "--nvram"): 30, ("start", "begun"): 60}
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
    for words, seconds in acts.items():
        assert "error:" in said[words] and "answer" in said[words] and f"within {seconds} s" in said[words], (words, said[words])
    listed = daemon.virsh("list", "--all", "--name").split()
    assert {"disk", "asked", "removed", "begun"} <= set(listed)
    for name in ("asked", "removed", "begun"):
        daemon.virsh("undefine", name, "--keep-nvram")
    daemon.virsh("undefine", "disk")
    assert not daemon.virsh("list", "--all", "--name").split()


PROC = {"domain_create": 9, "domain_destroy": 12, "domain_restore": 54, "domain_save": 55}


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


@pytest.mark.parametrize("conf", ["max_workers = 20\nmax_requests = 20\nmax_client_requests = 5\n"])
def test_calls_over_the_limits_wait_their_turn(daemon, hung):
    """CFG-06, CFG-09, CFG-11: of 25 calls that hang 20 are worked on. A client with five of its own is not heard until one of
    them is answered; others are."""
    other = Wire(daemon.socket(), "qemu:///system")
    clients = [Wire(daemon.socket(), "qemu:///system") for _ in range(5)]
    restore = string(str(hung / "image"))
    for client in clients:
        client.send(b"".join(frame(PROC["domain_restore"], restore, serial=200 + n) for n in range(5)))
        client.send(frame(frames.GET_HOSTNAME, serial=300))

    def report():
        daemon.process.send_signal(signal.SIGUSR1)
        return "5 calls wait for a worker, 20 are worked on" in daemon.said()
    wait_for("20 calls to be worked on", report)
    assert other.lives()
    assert not select.select([client.socket for client in clients], [], [], 0)[0]
    assert clients[0].answer().serial in range(200, 205)
    assert sorted(clients[0].answer().serial for _ in range(5))[-1] == 300
    for client in clients[1:]:
        assert sorted(client.answer().serial for _ in range(6)) == [200, 201, 202, 203, 204, 300]


@pytest.fixture()
def still(place):
    """droverd beside a drover-save that stands still before it changes an image."""
    built = pathlib.Path(find_program()).parent
    programs = place / "programs"
    programs.mkdir()
    shutil.copy(find_program(), programs / "droverd")
    for program in built.glob("drover-*"):
        if program.is_file() and os.access(program, os.X_OK) and program.name != "drover-save":
            (programs / program.name).symlink_to(program)
    saver = programs / "drover-save"
    saver.write_text(f"""#!/bin/sh
[ "$1" != edit ] || kill -STOP $$
exec {built / "drover-save"} "$@"
""")
    saver.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DROVERD", str(programs / "droverd"))
        daemon = LonelyDaemon()
    yield daemon
    daemon.stop()


def test_the_change_of_a_save_image_is_given_up_and_the_image_is_whole(still, place):
    image, file = place / "image", place / "g.xml"
    file.write_text(definition("g"))
    still.virsh("create", file)
    still.virsh("save", "g", image)
    before = image.read_bytes()
    file.write_text(still.virsh("save-image-dumpxml", image))
    said = still.virsh("save-image-define", image, file, "--paused", check=False)
    assert "within 30 s" in said and "does not answer" in said and "it is whole" in said
    assert image.read_bytes() == before
    assert sorted(path.name for path in place.iterdir()) == ["g.xml", "image", "programs"]
    still.virsh("restore", image)
    assert still.virsh("domstate", "g").strip() == "running"
