"""Stock virt-install end to end: from an image, a CD, a tree and a boot server, on the default network (INS-*, NET-*)."""
import os
import re
import shutil
import xml.etree.ElementTree as ET

import pytest
import virtinst
from waiting import wait_for

from lab.hosts import Lab
from lab.paths import TOP

PXE = """<network><name>pxe</name><forward/><bridge stp='off'/><ip address='10.68.0.1' prefix='24'><tftp root='/srv/tftp'/>
  <dhcp><range start='10.68.0.5' end='10.68.0.9'/><bootp file='beat.0'/></dhcp></ip></network>"""
ALONE = """<network><name>alone</name><bridge stp='off'/><ip address='10.66.0.1' prefix='24'>
  <dhcp><range start='10.66.0.5' end='10.66.0.9'/></dhcp></ip></network>"""


@pytest.fixture(scope="module")
def lab():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    if not shutil.which("virt-install") or not os.path.exists(virtinst.ISOLINUX):
        pytest.skip("virtinst or isolinux is not installed")
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def host(lab):
    """A host as it is after an install: droverd, the default network and pool, and nothing else. Outside is host b."""
    host = lab.host("a", kvm=True)
    host.outside = lab.host("b")
    host.run(["systemd-tmpfiles", "--create", str(TOP / "packaging/drover.tmpfiles")])  # as a package does
    host.daemon = host.droverd({"default_network": 1, "default_pool": 1})
    virtinst.put_boot_program(host, "/srv/tftp/beat.0")
    for name, xml in (("pxe", PXE), ("alone", ALONE)):
        host.write_file(f"/root/{name}.xml", xml)
        host.virsh("net-define", f"/root/{name}.xml")
        host.virsh("net-start", name)
    yield host
    assert host.daemon.stop() == 0, host.daemon.tail()
    log = host.daemon.log.read_text(errors="replace")
    assert "Sanitizer" not in log and " error: " not in log, log


@pytest.fixture()
def install(lab, host, request):
    consoles = []

    def begin(name, *words):
        console, done = virtinst.install(lab, host, name, *words)
        consoles.append(console)
        assert done.returncode == 0, done.stderr
        request.addfinalizer(lambda: host.run(["virsh", "-q", "-c", "qemu:///system", "destroy", name], check=False))
        return console
    yield begin
    for console in consoles:
        console.close()


def dumped(host, name, *flags):
    return ET.fromstring(host.virsh("dumpxml", name, *flags))


@pytest.mark.limit(90)
def test_from_an_image(host, install):
    """INS-01, INS-02, INS-09: --import of a disk that a pool gets; the pool is made by virt-install itself."""
    virtinst.put_payload(host, "/srv/disks/imp.img")
    console = install("imp", "--import", "--disk", "/srv/disks/imp.img,format=raw", "--network", "network=default")
    console.wait("^beat", 60)
    assert set(host.virsh("pool-list", "--name").split()) == {"default", "disks"}
    assert host.virsh("vol-pool", "/srv/disks/imp.img").strip() == "disks"
    assert dumped(host, "imp").find("devices/interface/source").get("bridge") == "virbr0"
    assert "virbr0" in host.run(["bridge", "link"]).stdout


@pytest.mark.limit(150)
def test_from_a_cd_to_the_world(lab, host, install):
    """INS-08, INS-20, STO-02, CON-23, NET-16 to NET-18, NET-21: a disk in the default pool, a lease, names, host and outside; isolation isolates."""
    virtinst.make_cd(lab.home / "cd", lab.shared / "tiny.iso")
    console = install("cd", "--cdrom", "/mnt/shared/tiny.iso", "--disk", "size=1,bus=virtio",
                      "--network", "network=default,model=virtio", "--network", "network=alone,model=virtio")
    assert {"default", "shared"} <= set(host.virsh("pool-list", "--name").split())
    assert host.virsh("vol-path", "cd.qcow2", "--pool", "default").strip() == "/var/lib/libvirt/images/cd.qcow2"
    console.wait("^ready", 90)
    lease = wait_for("the lease", lambda: re.search(r"192\.168\.122\.\d+", host.virsh("net-dhcp-leases", "default")), 60)[0]
    wait_for("both addresses", lambda: all(f"inet {net}" in console.run("ip address")[1] for net in (lease, "10.66.0.")), 60)
    outside = host.outside
    console.run("ip route replace default via 192.168.122.1")
    assert "1048576 vda" in console.run("cat /proc/partitions")[1]
    wait_for("its name", lambda: outside.address in console.run("nslookup -type=a b 192.168.122.1")[1])
    for reached in ("192.168.122.1", outside.address):
        wait_for(reached, lambda: console.run(f"ping -c 1 -W 10 {reached}")[0] == 0)
    assert outside.run(["ip", "route", "get", lease], check=False).returncode != 0  # so it answered host a
    console.run("ip route replace default via 10.66.0.1")
    wait_for("the other network", lambda: console.run("ping -c 1 -W 10 10.66.0.1")[0] == 0)
    assert console.run(f"ping -c 1 -W 2 {outside.address}")[0] != 0


@pytest.mark.limit(120)
def test_from_a_tree_in_two_phases(host, install):
    """INS-13, INS-18: kernel and initrd come over HTTP; what is installed starts from its disk, without them."""
    with virtinst.tree(host.outside) as url:
        console = install("tree", "--location", url, "--extra-args", virtinst.kernel_arguments(),
                          "--disk", "size=1,bus=virtio", "--network", "network=default,model=virtio")
    live, later = dumped(host, "tree"), dumped(host, "tree", "--inactive")
    assert live.findtext("os/kernel") and live.findtext("on_reboot") == "destroy"
    assert later.find("os/kernel") is None and later.findtext("on_reboot") == "restart"
    console.wait("^ready", 90)
    wait_for("the lease", lambda: "192.168.122." in host.virsh("domifaddr", "tree"), 60)
    console.link.sendall(b"poweroff\n")  # installed; the installer asks for a reboot, and the guest is off
    wait_for("its end", lambda: host.virsh("domstate", "tree").strip() == "shut off", 60)
    host.virsh("start", "tree")
    assert host.virsh("domstate", "tree").strip() == "running"


@pytest.mark.limit(120)
def test_from_the_networks_own_boot_server(host, install):
    """INS-10, INS-21, NET-32: DHCP, TFTP and the program are the network's; nothing else is there to boot from."""
    console = install("pxe", "--pxe", "--disk", "size=1,bus=virtio", "--network", "network=pxe,model=virtio")
    console.wait("^beat", 90)
    assert "pxe.qcow2" in host.virsh("vol-list", "default")
    mac = dumped(host, "pxe").find("devices/interface/mac").get("address")
    wait_for("its lease", lambda: mac in host.virsh("net-dhcp-leases", "pxe"))


@pytest.mark.limit(120)
def test_from_a_boot_server_on_a_bridge_of_the_host(host, install):
    """NET-32: the network's own server is somebody else's; drover only puts the guest on the wire."""
    host.ip("link add lan0 type bridge", "link set lan0 up", "address add 10.70.0.1/24 dev lan0")
    server = host.popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan0", "--bind-dynamic",
                         "--except-interface=lo", "--dhcp-range=10.70.0.5,10.70.0.9", "--dhcp-boot=beat.0", "--enable-tftp",
                         "--tftp-root=/srv/tftp", "--dhcp-leasefile=/run/lan-leases", "--pid-file=/run/lan-pid", "--user=root"])
    wait_for("the boot server", lambda: host.path("/run/lan-pid").exists())
    console = install("lan", "--pxe", "--disk", "none", "--network", "bridge=lan0,model=virtio")
    console.wait("^beat", 90)
    assert dumped(host, "lan").find("devices/interface/mac").get("address") in host.read_file("/run/lan-leases")
    server.terminate()
    server.wait()


@pytest.mark.parametrize("words", [
    ("-n", "rhel3", "-r", "756", "-f", "/srv/old/rhel3.img", "-s", "6", "--network", "network:default", "--pxe"),
    ("--name", "el10", "--memory", "512", "--vcpus", "4", "--disk", "size=1", "--network", "bridge:br0", "--pxe"),
    ("--name", "nodisk", "--memory", "512", "--disk", "none", "--pxe", "--graphics", "vnc"),
])
def test_the_guides_forms_are_understood(host, words):
    """INS-04 to INS-07, INS-09, INS-11, INS-25, CON-61: what the guide types, against this daemon."""
    host.path("/srv/old").mkdir(exist_ok=True)
    done = host.run(["virt-install", "--connect", "qemu:///system", "--virt-type", "qemu", "--osinfo", "generic", "--noautoconsole",
                     "--print-xml", *words], check=False)
    assert done.returncode == 0, done.stderr
    xml = ET.fromstring(done.stdout[:done.stdout.index("</domain>") + 9])
    assert xml.findtext("name") == words[1]
    if "756" in words:
        assert xml.findtext("memory") == "774144"
    if "4" in words:
        assert xml.findtext("vcpu") == "4" and xml.find("devices/interface/source").get("bridge") == "br0"
    host.write_file("/root/printed.xml", ET.tostring(xml, encoding="unicode"))
    host.virsh("define", "/root/printed.xml")
    host.virsh("undefine", words[1])
