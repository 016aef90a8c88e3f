"""Stock virt-clone and virt-xml against droverd (CLN-*, INS-*): copies with identities of their own, edits cold and live."""
import contextlib
import os
import shutil
import xml.etree.ElementTree as ET

import pytest
import virtinst
from console import Console

from lab.hosts import Lab

CONNECT = ["--connect", "qemu:///system"]


@pytest.fixture(scope="module")
def lab():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    if not shutil.which("virt-clone"):
        pytest.skip("virtinst is not installed")
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def host(lab):
    """One guest that was installed by import and is off: a disk in a pool, a CD, two cards."""
    host = lab.host("a", kvm=True)
    host.daemon = host.droverd({"default_network": 1})
    virtinst.put_payload(host, "/srv/disks/one.img")
    host.write_file("/srv/media/cd.iso", "\0" * 65536)
    _, host.socket = lab.socket("one")
    console, done = virtinst.install(lab, host, "one", "--import", "--disk", "/srv/disks/one.img,format=raw,bus=virtio",
                                     "--disk", "/srv/media/cd.iso,device=cdrom", "--network", "network=default,model=virtio",
                                     "--network", "bridge=br0,model=e1000e")
    assert done.returncode == 0, done.stderr
    console.wait("^beat")
    console.close()
    host.virsh("destroy", "one")
    yield host
    assert host.daemon.stop() == 0, host.daemon.tail()
    log = host.daemon.log.read_text(errors="replace")
    assert "Sanitizer" not in log, log


def tool(host, name, *words, check=True):
    done = host.run([name, *CONNECT, *words], check=False)
    assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def dumped(host, name, *flags):
    return ET.fromstring(host.virsh("dumpxml", name, *flags))


def macs(xml):
    return [mac.get("address") for mac in xml.findall("devices/interface/mac")]


def disks(xml):
    return [source.get("file") for source in xml.findall("devices/disk/source")]


@contextlib.contextmanager
def running(host, name, start=True):
    """The guest runs, and beats on the one serial port that all have."""
    console = Console(host.socket)
    try:
        if start:
            host.virsh("start", name)
            console.wait("^beat")
        yield console
    finally:
        host.run(["virsh", "-q", "-c", "qemu:///system", "destroy", name], check=False)
        console.close()


def remove(host, name):
    host.virsh("undefine", name, "--nvram")


def test_a_clone_is_another_guest(host):
    """CLN-05 to CLN-07, CLN-09, CLN-11: name, UUID and addresses are new, the disk is a copy, the CD is shared; and it runs."""
    said = tool(host, "virt-clone", "--original", "one", "--name", "two", "--auto-clone").stdout
    assert "Clone 'two' created successfully" in said
    one, two = dumped(host, "one"), dumped(host, "two")
    assert one.findtext("uuid") != two.findtext("uuid") and not set(macs(one)) & set(macs(two)) and len(macs(two)) == 2
    assert all(mac.startswith("52:54:00:") for mac in macs(two))  # CLN-02
    assert disks(two) == ["/srv/disks/two.img", "/srv/media/cd.iso"]
    assert host.path("/srv/disks/two.img").read_bytes() == host.path("/srv/disks/one.img").read_bytes()
    assert "two.img" in host.virsh("vol-list", "disks")
    with running(host, "two"):
        pass
    remove(host, "two")


def test_what_a_clone_cannot_be_is_said(host):
    assert "two" not in host.virsh("list", "--all", "--name").split()
    for words, says in ((("--name", "one"), "Guest name 'one' is already in use"),
                        (("--name", "two", "--uuid", dumped(host, "one").findtext("uuid")), "is already defined with uuid"),
                        (("--name", "two", "--mac", macs(dumped(host, "one"))[0]), "in use")):
        done = tool(host, "virt-clone", "--original", "one", *words, "--auto-clone", check=False)
        assert done.returncode != 0 and says in done.stderr, done.stderr
    with running(host, "one"):
        done = tool(host, "virt-clone", "--original", "one", "--name", "two", "--auto-clone", check=False)
    assert done.returncode != 0 and "must be shutoff" in done.stderr, done.stderr


def test_a_clone_takes_the_disk_that_it_is_given(host):
    """--file with another place and format of name, --preserve-data with one that is there, --mac, --nonsparse."""
    host.path("/srv/more").mkdir()
    tool(host, "virt-clone", "-o", "one", "-n", "three", "--file", "/srv/more/three.raw", "--nonsparse",
         "--mac", "52:54:00:00:33:01", "--mac", "52:54:00:00:33:02")
    three = dumped(host, "three")
    assert disks(three)[0] == "/srv/more/three.raw" and macs(three) == ["52:54:00:00:33:01", "52:54:00:00:33:02"]
    assert host.path("/srv/more/three.raw").read_bytes() == host.path("/srv/disks/one.img").read_bytes()
    remove(host, "three")
    host.path("/srv/more/three.raw").write_bytes(b"kept" * 1024)
    tool(host, "virt-clone", "-o", "one", "-n", "three", "--file", "/srv/more/three.raw", "--preserve-data")
    assert host.path("/srv/more/three.raw").read_bytes() == b"kept" * 1024
    remove(host, "three")


def test_a_volume_with_a_format_is_cloned_by_its_pool(host):
    host.virsh("vol-create-as", "disks", "q.qcow2", "64M", "--format", "qcow2")
    tool(host, "virt-xml", "one", "--add-device", "--disk", "vol=disks/q.qcow2,bus=virtio")
    assert "/srv/disks/q.qcow2" in disks(dumped(host, "one"))
    tool(host, "virt-clone", "-o", "one", "-n", "four", "--auto-clone")
    path = disks(dumped(host, "four"))[-1]
    assert path.startswith("/srv/disks/") and path != "/srv/disks/q.qcow2" and "type='qcow2'" in host.virsh("vol-dumpxml", path)
    with running(host, "four"):
        pass
    remove(host, "four")
    tool(host, "virt-xml", "one", "--remove-device", "--disk", "path=/srv/disks/q.qcow2")
    assert "/srv/disks/q.qcow2" not in disks(dumped(host, "one"))


def test_a_definition_is_edited(host):
    diff = tool(host, "virt-xml", "one", "--edit", "--memory", "memory=256,maxmemory=256", "--print-diff").stdout
    assert "-  <memory unit=\"KiB\">196608</memory>" in diff.replace("'", '"') and "+  <memory" in diff
    tool(host, "virt-xml", "one", "--edit", "--memory", "memory=256,maxmemory=256", "--define")
    tool(host, "virt-xml", "one", "--edit", "--vcpus", "2")
    tool(host, "virt-xml", "one", "--edit", "--metadata", "title=one of them,description=for tests")
    tool(host, "virt-xml", "one", "--edit", "target=vda", "--disk", "driver.cache=none")
    one = dumped(host, "one")
    assert (one.findtext("memory"), one.findtext("vcpu"), one.findtext("title")) == ("262144", "2", "one of them")
    assert one.find("devices/disk/driver").get("cache") == "none"
    done = tool(host, "virt-xml", "one", "--edit", "target=nosuch", "--disk", "driver.cache=none", check=False)
    assert done.returncode != 0 and "No matching" in done.stderr


def test_a_running_guest_is_edited(host):
    """--update: devices come, change and go while the guest runs, and in its definition too."""
    with running(host, "one"):
        tool(host, "virt-xml", "one", "--add-device", "--disk", "/srv/disks/new.qcow2,size=1,bus=virtio,target.dev=vdc", "--update")
        assert "/srv/disks/new.qcow2" in host.virsh("domblklist", "one")
        tool(host, "virt-xml", "one", "--add-device", "--network", "network=default,model=virtio,mac=52:54:00:00:44:01", "--update")
        tap = next(line.split()[0] for line in host.virsh("domiflist", "one").splitlines() if "52:54:00:00:44:01" in line)
        assert f"{tap}:" in host.run(["bridge", "link"]).stdout
        tool(host, "virt-xml", "one", "--edit", "mac=52:54:00:00:44:01", "--network", "link.state=down", "--update")
        assert host.virsh("domif-getlink", "one", "52:54:00:00:44:01").split()[-1] == "down"
        for flags in ((), ("--inactive",)):
            assert len(macs(dumped(host, "one", *flags))) == 3 and "/srv/disks/new.qcow2" in disks(dumped(host, "one", *flags))
        tool(host, "virt-xml", "one", "--edit", "target=sda", "--disk", "path=", "--update")
        assert "/srv/media/cd.iso" not in disks(dumped(host, "one")) + disks(dumped(host, "one", "--inactive"))
        # the payload answers no request to let go of a device, so this one is for the next start
        tool(host, "virt-xml", "one", "--remove-device", "--network", "mac=52:54:00:00:44:01")
        assert len(macs(dumped(host, "one", "--inactive"))) == 2 and len(macs(dumped(host, "one"))) == 3


def test_a_guest_is_started_with_changes_of_one_run(host):
    with running(host, "one", start=False) as console:
        tool(host, "virt-xml", "one", "--edit", "--vcpus", "1", "--no-define", "--start")
        console.wait("^beat")
        assert dumped(host, "one").findtext("vcpu") == "1" and dumped(host, "one", "--inactive").findtext("vcpu") == "2"
