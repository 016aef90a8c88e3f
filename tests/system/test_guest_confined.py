"""What keeps a guest to itself: the process that it is, and where its display listens."""
import os
import pathlib
import socket
import uuid

import libvirt
import procfs
import pytest
from droverd import free_port
from live import LiveDaemon
from mortal import definition, processes
from procfs import descriptors, threads

FIRST = free_port()


@pytest.fixture(scope="module")
def daemon():
    """With display ports of its own: others on this machine start guests, too."""
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    daemon = LiveDaemon(f"remote_display_port_min = {FIRST}\nremote_display_port_max = {FIRST + 9}\n")
    yield daemon
    daemon.stop()


@pytest.fixture()
def create(daemon, place):
    """Start a guest; the directory of its QEMU in /proc."""
    names = []

    def begin(name, devices=""):
        identity, file = str(uuid.uuid4()), place / f"{name}.xml"
        file.write_text(definition(name, identity).replace("</devices>", devices + "</devices>"))
        daemon.virsh("create", file)
        names.append(name)
        qemu, = processes(identity)
        return pathlib.Path(f"/proc/{qemu}")
    yield begin
    for name in names:
        daemon.virsh("destroy", name)


def test_qemu_has_no_right_beyond_its_own_user(create):
    """Its threads too: none is root or may become it, and the kernel filters what they may ask for."""
    qemu = create("g")
    texts = [procfs.read(task / "status").decode() for task in threads(qemu.name)]
    assert len(list(filter(None, texts))) > 1
    for text in filter(None, texts):  # helper threads end when they have nothing to do
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert "0" not in status["Uid"].split() + status["Gid"].split(), status
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}, status
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
    words = (qemu / "cmdline").read_bytes().split(b"\0")
    assert b"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny" in words


def listening(qemu):
    """Addresses that it listens on by TCP, as the kernel writes them."""
    ours = set(descriptors(qemu.name).values())
    rows = [line.split() for table in ("tcp", "tcp6") for line in (qemu / "net" / table).read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in ours]


def test_displays_listen_on_this_host_only_each_on_its_own_port(create, daemon):
    """DOM-29: of the range that is set, the first that nobody has."""
    seen = []
    for name in "ab":
        only, = listening(create(name, "<graphics type='vnc' port='-1' autoport='yes'/>"))
        address, port = only.split(":")
        assert bytes.fromhex(address)[::-1] == bytes([127, 0, 0, 1]) and FIRST <= int(port, 16) < FIRST + 10
        assert f"port='{int(port, 16)}'" in daemon.virsh("dumpxml", name)
        seen.append(int(port, 16))
    assert seen[0] < seen[1]


@pytest.mark.parametrize("password, kinds", [("", [1]), (" passwd='secret'", [2])], ids=["none", "password"])
def test_a_display_asks_for_its_password(conn, password, kinds):
    """DOM-30: by RFB's own means, and the definition shows it to those only who may see secrets."""
    dom = conn.createXML("<domain type='qemu'><name>v</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm"
                         f"</type></os><devices><graphics type='vnc' port='-1' autoport='yes'{password}/></devices></domain>")
    try:
        with socket.socket(fileno=dom.openGraphicsFD(0)) as display:
            display.settimeout(120)
            assert display.recv(12, socket.MSG_WAITALL) == b"RFB 003.008\n"
            display.sendall(b"RFB 003.008\n")
            offered = display.recv(display.recv(1, socket.MSG_WAITALL)[0], socket.MSG_WAITALL)
            assert list(offered) == kinds
        assert "passwd" not in dom.XMLDesc()
        assert ("passwd='secret'" in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)) == bool(password)
    finally:
        dom.destroy()
