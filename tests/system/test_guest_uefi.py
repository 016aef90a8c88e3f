"""Guests that boot by UEFI, and the variables that their firmware keeps - real OVMF, stock clients (DOM-10, LIFE-27)."""
import pathlib
import xml.etree.ElementTree as ElementTree

import libvirt
import pytest

from live import state
from waiting import wait_for

OVMF = pathlib.Path("/usr/share/OVMF")


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def uefi(daemon, place):
    """Define a guest with this firmware; its serial port goes to a file."""
    serial = place / "serial.log"

    def define(firmware, loader=""):
        file = place / "u.xml"
        file.write_text(f"<domain type='qemu'><name>u</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><os {firmware}>"
                        f"<type arch='x86_64' machine='q35'>hvm</type>{loader}</os><features><acpi/></features><devices>"
                        "<controller type='usb' model='none'/><memballoon model='none'/>"
                        f"<serial type='file'><source path='{serial}'/></serial></devices></domain>")
        daemon.virsh("define", file)
        return pathlib.Path(ElementTree.fromstring(daemon.virsh("dumpxml", "u", "--inactive")).findtext("os/nvram"))
    define.serial = serial
    yield define
    daemon.virsh("destroy", "u", check=False)
    daemon.virsh("undefine", "u", "--nvram", check=False)


def boots(daemon, uefi):
    """It says on the serial port that it looks for something to boot."""
    daemon.virsh("start", "u")
    wait_for("the firmware", lambda: uefi.serial.exists() and b"BdsDxe" in uefi.serial.read_bytes())


def test_the_firmware_runs_and_its_variables_outlive_the_run(daemon, uefi):
    variables, template = uefi("firmware='efi'"), (OVMF / "OVMF_VARS_4M.fd").read_bytes()
    boots(daemon, uefi)
    daemon.virsh("destroy", "u")
    kept = variables.read_bytes()
    assert len(kept) == len(template) and kept != template
    daemon.virsh("start", "u", "--paused")
    daemon.virsh("destroy", "u")
    assert variables.read_bytes() == kept
    daemon.virsh("start", "u", "--paused", "--reset-nvram")
    daemon.virsh("destroy", "u")
    assert variables.read_bytes() == template


def test_a_firmware_that_is_named_gets_the_variables_that_came_with_it(daemon, uefi):
    loader = f"<loader readonly='yes' type='pflash'>{OVMF}/OVMF_CODE.fd</loader>"
    variables = uefi("", loader)
    boots(daemon, uefi)
    daemon.virsh("destroy", "u")
    assert len(variables.read_bytes()) == (OVMF / "OVMF_VARS.fd").stat().st_size


def test_secure_boot_protects_its_flash_and_says_what_it_needs(daemon, uefi, place):
    loader = f"<loader readonly='yes' secure='yes' type='pflash'>{OVMF}/OVMF_CODE_4M.ms.fd</loader>"
    variables = uefi("", loader)
    boots(daemon, uefi)
    tree = daemon.virsh("qemu-monitor-command", "u", "--hmp", "info qtree")
    assert tree.count("secure = true") == 2
    daemon.virsh("destroy", "u")
    assert len(variables.read_bytes()) == (OVMF / "OVMF_VARS_4M.ms.fd").stat().st_size
    other = place / "pc.xml"
    other.write_text("<domain type='qemu'><name>pc</name><memory unit='MiB'>64</memory><os>"
                     f"<type arch='x86_64' machine='pc'>hvm</type>{loader}</os></domain>")
    daemon.virsh("define", other)
    assert "secure='yes'> needs a 'q35' machine" in daemon.virsh("start", "pc", check=False)
    daemon.virsh("undefine", "pc")


def test_nobody_loses_or_leaves_variables_without_a_word(daemon, uefi):
    """As with stock daemons: who undefines a guest that has some says what becomes of them."""
    variables = uefi("firmware='efi'")
    assert not variables.exists()
    daemon.virsh("undefine", "u")
    uefi("firmware='efi'")
    daemon.virsh("start", "u", "--paused")
    daemon.virsh("destroy", "u")
    said = daemon.virsh("undefine", "u", check=False)
    assert "cannot undefine domain 'u' with nvram" in said and "--keep-nvram" in said
    assert state(daemon, "u").startswith("shut off") and variables.exists()
    conn = libvirt.open(daemon.uri())
    with pytest.raises(libvirt.libvirtError, match="exclude each other"):
        conn.lookupByName("u").undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
    conn.close()
    daemon.virsh("undefine", "u", "--keep-nvram")
    assert "u" not in daemon.virsh("list", "--all", "--name").split() and variables.exists()
    uefi("firmware='efi'")
    daemon.virsh("undefine", "u", "--nvram")
    assert "u" not in daemon.virsh("list", "--all", "--name").split() and not variables.exists()
