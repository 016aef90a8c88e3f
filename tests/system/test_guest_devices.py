"""What a guest's devices are to the guest itself: programs of one sector try them, and say on the serial port what they found."""
import contextlib

import pytest
from usb_peer import UsbPeer
from waiting import wait_for

SECTOR = 512
# Reads the last sector of a 1.44 MB floppy (cylinder 79, head 1, sector 18) by the BIOS and says its first four bytes, or '!'.
READS_LAST = bytes.fromhex("31c0 8ed8 8ec0 b80102 b9124f ba0001 bb007e cd13 baf803 720d"
                           "be007e b90400 ac ee e2fc f4ebfd b021 ee f4ebfd")
# Writes to the first hard disk by the BIOS and says 'W' or, when it may not, 'F'.
WRITES = bytes.fromhex("31c0 8ed8 8ec0 b80103 b90100 ba8000 bb007c cd13 baf803 b057 7302 b046 ee f4ebfd")


def boot_sector(program):
    return program.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def says(conn, place):
    """Run a guest with these devices until it has said so much; what it said."""
    doms, serial = [], place / "serial.log"

    def run(devices, n):
        doms.append(conn.createXML(
            f"<domain type='qemu'><name>d</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type>"
            f"<boot dev='fd'/><boot dev='hd'/></os><devices><controller type='usb' model='none'/>{devices}"
            f"<serial type='file'><source path='{serial}'/></serial></devices></domain>"))
        wait_for("the guest's word", lambda: serial.exists() and len(serial.read_bytes()) >= n)
        return serial.read_bytes()
    yield run
    for dom in doms:
        dom.destroy()


def floppy(place, program, last=b""):
    """An image of 2880 sectors, as dd makes it."""
    image = place / "floppy.img"
    image.write_bytes(boot_sector(program).ljust(2879 * SECTOR, b"\0") + last.ljust(SECTOR, b"\0"))
    return f"<disk type='file' device='floppy'><source file='{image}'/><target dev='fda'/></disk>"


def test_a_floppy_is_one_of_1_44_megabytes(says, place):
    """DOM-16, DOM-17: its last sector is where it is on such a floppy."""
    assert says(floppy(place, READS_LAST, b"LAST"), 4) == b"LAST"


@pytest.mark.parametrize("readonly, said", [("", b"W"), ("<readonly/>", b"F")], ids=["written", "readonly"])
def test_a_disk_that_is_only_read_is_not_written(says, place, readonly, said):
    """DOM-21: the guest is told that its write failed, and the image is what it was."""
    image = place / "disk.img"
    image.write_bytes(bytes(1 << 20))
    before = image.stat().st_mtime_ns
    disk = f"<disk type='file'><source file='{image}'/><target dev='vda' bus='virtio'/>{readonly}</disk>"
    assert says(floppy(place, WRITES) + disk, 1) == said
    untouched = image.read_bytes() == bytes(1 << 20) and image.stat().st_mtime_ns == before
    assert untouched == bool(readonly)


STORAGE, AUDIO = 8, 1
ALLOWS = ("<usbdev vendor='0x1234' product='0x0001' allow='no'/><usbdev class='0x08' vendor='0x1234' version='2.0' allow='yes'/>"
          "<usbdev class='0x01' vendor='0x1234' product='0x0001' allow='yes'/>")


def test_a_redirected_device_is_let_in_by_the_first_rule_that_it_matches(daemon, conn):
    """DOM-33 to DOM-35: what matches no rule is denied; a later rule does not let in what an earlier one denies."""
    with contextlib.closing(UsbPeer()) as peer:
        dom = conn.createXML(
            "<domain type='qemu'><name>u</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
            "<controller type='usb' model='ehci'/><redirdev bus='usb' type='tcp'><source mode='connect' host='127.0.0.1' "
            f"service='{peer.port}'/></redirdev><redirfilter>{ALLOWS}</redirfilter></devices></domain>")
        try:
            peer.greet()
            for denied in ((STORAGE, 0x1234, 0x0001, 0x0200), (AUDIO, 0x1234, 0x0001, 0x0200), (AUDIO, 0x1234, 0x0002, 0x0200),
                           (STORAGE, 0x4321, 0x0002, 0x0200), (STORAGE, 0x1234, 0x0002, 0x0110)):
                peer.plug(*denied)
                peer.wait_rejected()

            def plugged():
                ask = '{"execute":"qom-get","arguments":{"path":"/machine/peripheral/redir0","property":"attached"}}'
                return '"return":true' in daemon.virsh("qemu-monitor-command", "u", ask)
            assert not plugged()
            peer.plug(STORAGE, 0x1234, 0x0002, 0x0200)
            wait_for("the one that is let in", plugged)
        finally:
            dom.destroy()
