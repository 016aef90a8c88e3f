"""Devices into and out of a running guest, through stock clients."""
import os
import socket
import stat
import subprocess
import xml.etree.ElementTree as ET

import libvirt
import pytest

from live import linux, shell, start
from waiting import wait_for

RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='ua-rng'/></rng>"
SCSI = "<controller type='scsi' index='0' model='virtio-scsi'/>"
DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>
<target dev='sda' bus='scsi'/></disk>"""


@pytest.fixture(scope="module")
def daemon(live_daemon, tmp_path_factory):
    daemon = live_daemon
    (daemon.base / "disk").write_bytes(bytes(4 << 20))
    start(daemon, tmp_path_factory.mktemp("xml"),
          linux("g", "<serial type='pty'/><graphics type='vnc' port='-1' autoport='yes' passwd='first'/>",
                shell="ttyS1"))
    conn = libvirt.open(daemon.uri())
    shell(conn.lookupByName("g"), b"echo up-$((1+1))", b"up-2")
    conn.close()
    return daemon


def device(tmp_path, xml):
    file = tmp_path / "device.xml"
    file.write_text(xml)
    return file


def test_a_controller_and_a_disk_on_it(daemon, dom, tmp_path):
    """LIFE-38, LIFE-39, DOM-39."""
    added, removed = [], []
    dom.connect().domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
                                         lambda _c, _d, alias, _o: added.append(alias), None)
    dom.connect().domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                                         lambda _c, _d, alias, _o: removed.append(alias), None)
    assert "attached successfully" in daemon.virsh("attach-device", "g", device(tmp_path, SCSI))
    disk = device(tmp_path, DISK.format(daemon.base / "disk"))
    daemon.virsh("attach-device", "g", disk)
    shell(dom, b"echo disk-$(cat /sys/block/sda/size)", b"disk-8192")
    wait_for("both events", lambda: len(added) == 2)
    assert added[0].startswith("scsi0") and "sda" in daemon.virsh("domblklist", "g")
    said = daemon.virsh("attach-device", "g", disk, check=False)
    assert "sda" in said and "error" in said
    assert "detached successfully" in daemon.virsh("detach-device", "g", disk)
    wait_for("its going", lambda: removed == [added[1]])
    assert "sda" not in daemon.virsh("domblklist", "g")
    shell(dom, b"test -e /sys/block/sda || echo gone-$((1+2))", b"gone-3")


def test_a_random_number_device_goes_by_its_alias(daemon, dom, tmp_path):
    daemon.virsh("attach-device", "g", device(tmp_path, RNG))
    assert "<alias name='ua-rng'/>" in dom.XMLDesc()
    daemon.virsh("detach-device-alias", "g", "ua-rng")
    wait_for("its going", lambda: "ua-rng" not in dom.XMLDesc())
    assert "no device with alias 'ua-rng'" in daemon.virsh("detach-device-alias", "g", "ua-rng", check=False)
    daemon.virsh("attach-device", "g", device(tmp_path, RNG))  # nothing of it was left behind
    daemon.virsh("detach-device-alias", "g", "ua-rng")
    wait_for("its going", lambda: "ua-rng" not in dom.XMLDesc())


SERIAL_BUS = "<controller type='virtio-serial' index='0'/>"
CHANNEL = "<channel type='unix'><target type='virtio' name='org.drover.test'/></channel>"
PORT = "<serial type='pty'><target type='pci-serial'/></serial>"


def only(dom, path):
    found = ET.fromstring(dom.XMLDesc()).findall(f"devices/{path}")
    assert len(found) <= 1
    return found[0] if found else None


def test_a_channel_comes_and_goes(daemon, dom, tmp_path):
    """LIFE-38: with the socket that a client is connected to; what was taken away can come again."""
    channel = device(tmp_path, CHANNEL)
    assert "add a <controller type='virtio-serial'>" in daemon.virsh("attach-device", "g", channel, check=False)
    daemon.virsh("attach-device", "g", device(tmp_path, SERIAL_BUS))
    for _ in range(2):
        daemon.virsh("attach-device", "g", device(tmp_path, CHANNEL))
        alias = only(dom, "channel/alias").get("name")
        stream = dom.connect().newStream()
        dom.openChannel("org.drover.test", stream)
        stream.abort()
        assert (daemon.base / "run" / "guests" / dom.UUIDString() / alias).is_socket()
        daemon.virsh("detach-device", "g", device(tmp_path, CHANNEL))
        wait_for("its going", lambda: only(dom, "channel") is None)


def test_a_serial_port_comes_and_goes(daemon, dom, tmp_path):
    """LIFE-38: its terminal is in the definition; the guest lets go of a PCI device when it is asked."""
    where = "serial/target[@type='pci-serial']/.."
    for _ in range(2):
        daemon.virsh("attach-device", "g", device(tmp_path, PORT))
        port = only(dom, where)
        assert stat.S_ISCHR(os.stat(port.find("source").get("path")).st_mode) and port.get("tty") == port.find("source").get("path")
        daemon.virsh("detach-device", "g", device(tmp_path, PORT))
        wait_for("its going", lambda: only(dom, where) is None)


@pytest.mark.parametrize("xml, complaint", [
    ("<serial type='pty'><target type='isa-serial'/></serial>", "a serial port of type pci-serial or usb-serial can"),
    ("<parallel type='pty'/>", "a <parallel> cannot be plugged into a running guest"),
    ("<console type='pty'><target type='serial'/></console>", "a console or channel of type virtio"),
    ("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>", "add it with --config"),
    ("<serial type='file'><source path='/x'/><target type='pci-serial'/></serial>", "not one of type 'file'"),
    ("<serial type='pty'><log file='/x'/><target type='pci-serial'/></serial>", "not one with a log in '/x'")])
def test_streams_that_a_running_guest_cannot_be_given(daemon, dom, tmp_path, xml, complaint):
    before = dom.XMLDesc()
    said = daemon.virsh("attach-device", "g", device(tmp_path, xml), check=False)
    assert complaint in said, said
    assert dom.XMLDesc() == before


def test_a_device_that_goes_while_no_daemon_looks(daemon, dom, tmp_path):
    """LIFE-39: the next daemon asks QEMU what is left."""
    daemon.virsh("attach-device", "g", device(tmp_path, RNG))
    daemon.virsh("suspend", "g")
    daemon.virsh("detach-device-alias", "g", "ua-rng")
    assert "ua-rng" in dom.XMLDesc()  # a guest that stands still cannot let go of it
    daemon.process.kill()
    daemon.process.wait()
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(next((daemon.base / "run" / "guests").glob("*/monitor"))))
        monitor.settimeout(120)
        monitor.sendall(b'{"execute":"qmp_capabilities"}{"execute":"cont"}')
        said = b""
        while b"DEVICE_DELETED" not in said:
            said += monitor.recv(4096)
    daemon.start()
    wait_for("its going", lambda: "ua-rng" not in daemon.virsh("dumpxml", "g"))
    assert "running" in daemon.virsh("domstate", "g")
    daemon.virsh("attach-device", "g", device(tmp_path, RNG))  # nothing of it was left behind
    daemon.virsh("detach-device-alias", "g", "ua-rng")
    wait_for("its going", lambda: "ua-rng" not in daemon.virsh("dumpxml", "g"))


def test_what_cannot_be_plugged_is_refused_by_name(daemon, dom, tmp_path):
    before = dom.XMLDesc()
    for xml, word in (("<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='31' "
                       "function='7'/></source></hostdev>", "no such host device"),
                      ("<serial type='file'><source path='/tmp/x'/></serial>", "serial"),
                      ("<nonsense/>", "nonsense")):
        said = daemon.virsh("attach-device", "g", device(tmp_path, xml), check=False)
        assert "error" in said and word in said, said
    assert dom.XMLDesc() == before


def test_the_password_of_a_display_is_changed(daemon, dom, tmp_path):
    xml = dom.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    graphics = xml[xml.index("<graphics"):xml.index("</graphics>") + len("</graphics>")]
    assert "passwd='first'" in graphics
    daemon.virsh("update-device", "g", device(tmp_path, graphics.replace("first", "second")))
    assert "passwd='second'" in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    assert "passwd" not in dom.XMLDesc()
    said = daemon.virsh("update-device", "g", device(tmp_path, graphics.replace("type='vnc' port='59", "type='vnc' port='69")),
                        check=False)
    assert "cannot change" in said


def test_a_guest_that_does_not_answer_keeps_its_device(daemon, tmp_path):
    """A guest that stands still does not let go: the request is made, the device stays until it does."""
    file = daemon.base / "still"
    subprocess.run(["truncate", "-s", "1M", file], check=True)
    start(daemon, tmp_path, linux("still", f"<disk type='file'><source file='{file}'/><target dev='vda' bus='virtio'/></disk>"))
    daemon.virsh("suspend", "still")
    daemon.virsh("detach-disk", "still", "vda")
    assert "vda" in daemon.virsh("domblklist", "still")
    daemon.virsh("destroy", "still")
