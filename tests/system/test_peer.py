"""The stock libvirtd of the lab: the reference for behaviour, and the peer that drover's command line also drives."""
import re

import pytest
from waiting import wait_for

from lab import domains
from lab.paths import PROGRAMS
from lab.pulse import Pulse


@pytest.fixture()
def stock(lab):
    """Two hosts with stock libvirtd and sshd."""
    hosts = [lab.host(name, stock=True) for name in ("a", "b")]
    for host in hosts:
        host.sshd()
        host.libvirtd()
    return hosts


def guests_of(host):
    return host.virsh("list", "--name").split()


@pytest.mark.limit(180)
def test_stock_daemons_move_a_quiet_guest(lab, stock):
    a, b = stock
    inside, outside = lab.socket("port")
    a.write_file("/root/g.xml", domains.linux("g", port=inside, beat=50, touch=16))
    with Pulse(outside) as pulse:
        a.virsh("create", "/root/g.xml")
        pulse.wait("^touched", 60)
        a.virsh("migrate", "--live", "g", "qemu+ssh://b/system", timeout=120)
        assert guests_of(a) == [] and guests_of(b) == ["g"]
        right, line = pulse.verify()
        assert right, line
        b.virsh("shutdown", "g")
        pulse.wait("^power off", 60)
    wait_for("the guest ends", lambda: guests_of(b) == [])


def test_drover_lists_the_guests_of_a_stock_daemon(stock):
    a, _ = stock
    a.write_file("/root/g.xml", domains.linux("g"))
    a.virsh("define", "/root/g.xml")
    ours = a.run([PROGRAMS / "drover", "-c", "qemu:///system", "list", "--all"]).stdout
    assert ours == a.run(["virsh", "-c", "qemu:///system", "list", "--all"]).stdout


DISK = "<disk type='file'><driver name='qemu' type='raw'/><source file='/{0}'/><target dev='sd{0}' bus='scsi'/>{1}</disk>"
NIC = "<interface type='user'><mac address='{}'/><alias name='{}'/></interface>"
WWN = "<wwn>5000c50015ea71ad</wwn>"
SCSI = "<controller type='scsi' index='{}'/>"
VIDEO = "<video><model type='{}' primary='yes'/></video>"
# what stands between a guest's devices, and whether it can be
ONCE = {
    "aliases": (NIC.format("52:54:00:00:00:01", "ua-a") + NIC.format("52:54:00:00:00:02", "ua-b"), True),
    "one-alias": (NIC.format("52:54:00:00:00:01", "ua-a") + NIC.format("52:54:00:00:00:02", "ua-a"), False),
    "one-mac": (NIC.format("52:54:00:00:00:01", "ua-a") + NIC.format("52:54:00:00:00:01", "ua-b"), True),
    "one-wwn": (DISK.format("a", WWN) + DISK.format("b", WWN), True),  # two ways to one disk
    "one-target": (DISK.format("a", "") * 2, False),
    "controllers": (SCSI.format(0) + SCSI.format(1), True),
    "one-controller": (SCSI.format(0) * 2, False),
    "companions": ("<controller type='usb' index='0' model='ich9-ehci1'/><controller type='usb' index='0' model='ich9-uhci1'>"
                   "<master startport='0'/></controller>", True),
    "one-primary": (VIDEO.format("vga") + VIDEO.format("qxl"), False),
}


def test_what_a_guest_has_once_only_is_refused_twice_by_both(lab):
    """DOM-23: a definition that one daemon takes and the other does not could not move between them."""
    stock, own = lab.host("a", stock=True), lab.host("b")
    stock.libvirtd()
    own.droverd()
    for name, (devices, can_be) in ONCE.items():
        xml = re.sub("<controller type=.usb. model=.none./>", "", domains.linux(name)).replace("</devices>", f"{devices}</devices>")
        for host in (stock, own):
            host.write_file("/root/g.xml", xml)
            done = host.run(["virsh", "-q", "-c", "qemu:///system", "define", "/root/g.xml"], check=False)
            assert (done.returncode == 0) == can_be, f"{name}: {done.stdout}{done.stderr}"
            if can_be:
                host.virsh("undefine", name)


@pytest.mark.limit(180)
@pytest.mark.parametrize("options", [["--live"], ["--live", "--p2p"], ["--live", "--persistent", "--undefinesource"]],
                         ids=["managed", "p2p", "persistent"])
def test_drover_migrate_drives_two_stock_daemons(lab, stock, options):
    a, b = stock
    inside, outside = lab.socket("port")
    # not Linux, which a slow move under TCG may panic (test_migrate_refusals.running says why)
    a.write_file("/root/g.xml", domains.bare("g", touch_mib=24, dirty_mib_s=0, beat_ms=10, port=inside, kind="qemu", random=True))
    with Pulse(outside) as pulse:
        a.virsh("define", "/root/g.xml")
        a.virsh("start", "g")
        pulse.wait("^beat ")
        drover = [PROGRAMS / "drover", "-c", "qemu:///system"]
        assert a.run([*drover, "migrate", *options, "g", "qemu+tcp://b/system"], timeout=120).stdout.strip() == ""
        assert guests_of(a) == [] and guests_of(b) == ["g"]
        right, line = pulse.verify()
        assert right, line
        defined = [host.virsh("list", "--all", "--persistent", "--name").split() for host in stock]
        assert defined == ([[], ["g"]] if "--persistent" in options else [["g"], []])
