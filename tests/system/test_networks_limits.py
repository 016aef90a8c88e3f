"""What a network promises its guests, and what it cannot: floors, and settings that are refused by name (NET-*)."""
import os
import re
import xml.etree.ElementTree as ET

import libvirt
import pytest

from lab import domains
from lab.hosts import Lab
from lab.paths import PROGRAMS

VIRSH = ["virsh", "-q", "-c", "qemu:///system"]
SHARED = """<network><name>shared</name><bridge name='shared0' stp='off' delay='0'/>
  <bandwidth><inbound average='4000' peak='8000'/></bandwidth><ip address='10.67.0.1' prefix='24'/></network>"""
MACS = ["52:54:00:67:00:01", "52:54:00:67:00:02"]


@pytest.fixture(scope="module")
def host():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        host = lab.host("a", kvm=True)
        host.daemon = host.droverd()
        define(host, SHARED)
        host.virsh("net-start", "shared")
        yield host
        assert host.daemon.stop() == 0, host.daemon.tail()
        assert "Sanitizer" not in host.daemon.log.read_text(errors="replace"), host.daemon.tail()


def define(host, xml):
    host.write_file("/root/net.xml", xml)
    host.virsh("net-define", "/root/net.xml")


def card(mac, inner, source="network='shared'", kind="network"):
    return (f"<interface type='{kind}'><mac address='{mac}'/><source {source}/>{inner}<model type='virtio'/></interface>")


def create(host, name, *cards):
    host.write_file(f"/root/{name}.xml", domains.bare(name, kind="qemu", devices="".join(cards)))
    return host.run([*VIRSH, "create", f"/root/{name}.xml"], check=False)


def floor(rate):
    return f"<bandwidth><inbound average='1000' floor='{rate}'/></bandwidth>"


def classes(host):
    """Rates of the bridge's classes in Mbit/s by number."""
    said = host.run(["tc", "class", "show", "dev", "shared0"]).stdout
    return {number: float(rate) * (0.001 if unit == "K" else 1)
            for number, rate, unit in re.findall(r"class htb 1:(\d+) .*?rate ([\d.]+)(K|M)bit", said)}


def sent(host, number):
    """Packets that went through a class of the bridge."""
    said = host.run(["tc", "-s", "class", "show", "dev", "shared0"]).stdout
    return int(re.search(rf"class htb 1:{number} .*?Sent \d+ bytes (\d+) pkt", said, re.S)[1])


def test_guests_are_sure_of_their_floors(host):
    """A floor is a class of the bridge that the guest's packets go through; it goes with the guest."""
    assert classes(host) == {"1": 32}
    for name, mac, rate in (("one", MACS[0], 1000), ("two", MACS[1], 2000)):
        done = create(host, name, card(mac, floor(rate)))
        assert done.returncode == 0, done.stderr
    assert classes(host) == {"1": 32, "2": 8, "3": 8, "4": 16}
    for number, mac in enumerate(MACS):
        host.ip(f"neigh replace 10.67.0.{number + 5} lladdr {mac} dev shared0 nud permanent")
        before = [sent(host, 3), sent(host, 4)]
        host.run(["busybox", "ping", "-c", "3", "-i", "0.01", "-W", "1", f"10.67.0.{number + 5}"], check=False)
        after = [sent(host, 3), sent(host, 4)]
        assert [b - a for a, b in zip(before, after)] == [3 * (number == 0), 3 * (number == 1)]
    host.virsh("destroy", "one")
    assert classes(host) == {"1": 32, "2": 16, "3": 16}
    host.virsh("destroy", "two")
    assert classes(host) == {"1": 32, "2": 32}


def test_floors_change_while_the_guest_runs_and_outlive_network_and_daemon(host):
    assert create(host, "one", card(MACS[0], floor(1000))).returncode == 0
    assert classes(host)["3"] == 8
    host.virsh("domiftune", "one", MACS[0], "--inbound", "1000,0,0,2000", "--live")
    assert classes(host)["3"] == 16
    said = host.run([*VIRSH, "domiftune", "one", MACS[0], "--inbound", "1000,0,0,4001", "--live"], check=False)
    assert "overcommit" in said.stderr and classes(host)["3"] == 16
    host.daemon.kill()
    host.daemon.start()
    assert classes(host)["3"] == 16
    host.virsh("net-destroy", "shared")
    host.virsh("net-start", "shared")
    assert classes(host)["3"] == 16
    host.virsh("destroy", "one")
    assert "3" not in classes(host)


def test_a_card_stays_where_it_is_when_its_new_place_has_no_room_for_it(host):
    host.ip("link add elsewhere type bridge")
    host.ip("link set elsewhere up")
    try:
        assert create(host, "one", card(MACS[0], "", "bridge='elsewhere'", "bridge")).returncode == 0
        host.write_file("/root/card.xml", card(MACS[0], floor(4001)))
        said = host.run([*VIRSH, "update-device", "one", "/root/card.xml", "--live"], check=False)
        assert "overcommit" in said.stderr
        found = ET.fromstring(host.virsh("dumpxml", "one")).find("devices/interface")
        assert found.find("source").get("bridge") == "elsewhere"
        assert " master elsewhere " in host.run(["ip", "-o", "link", "show", "dev", found.find("target").get("dev")]).stdout
        host.write_file("/root/card.xml", card(MACS[0], floor(1000)))
        host.virsh("update-device", "one", "/root/card.xml", "--live")
        assert classes(host)["3"] == 8
        host.virsh("destroy", "one")
        assert "3" not in classes(host)
    finally:
        host.ip("link delete elsewhere")


PORT = """<networkport><uuid>{uuid}</uuid><owner><name>router</name><uuid>11111111-2222-3333-4444-555555555589</uuid></owner>
  <mac address='52:54:00:67:00:09'/><bandwidth><inbound average='1000' floor='{floor}'/></bandwidth>{plug}</networkport>"""
PORTS = [f"11111111-2222-3333-4444-55555555559{n}" for n in range(3)]


def make_port(host, number, rate, plug="", network="shared"):
    host.write_file("/root/port.xml", PORT.format(uuid=PORTS[number], floor=rate, plug=plug))
    return host.run(["virsh", "-c", "qemu:///system", "net-port-create", network, "/root/port.xml"], check=False)


def test_ports_are_made_for_others_and_outlive_the_daemon(host):
    """A port of somebody's own counts, is promised its floor, and goes with the network at the latest."""
    said = make_port(host, 0, 1000)
    assert f"Network port {PORTS[0]} created from /root/port.xml" in said.stdout, said
    assert classes(host)["3"] == 8 and PORTS[0] in host.virsh("net-port-list", "shared")
    shown = ET.fromstring(host.virsh("net-port-dumpxml", "shared", PORTS[0]))
    assert shown.findtext("owner/name") == "router" and shown.find("plug").attrib == {"type": "network", "bridge": "shared0"}
    assert ET.fromstring(host.virsh("net-dumpxml", "shared")).get("connections") == "1"
    for number, rate, plug, says in ((0, 10, "", "is on network 'shared' already"), (1, 3500, "", "overcommit 'average'"),
                                     (1, 10, "<plug type='bridge' bridge='br0'/>", "has no place like the <plug>")):
        assert says in make_port(host, number, rate, plug).stderr
    host.write_file("/root/port.xml", PORT.format(uuid=PORTS[2], floor=1, plug="").replace("router", 5000 * "r"))
    assert "4096 bytes at most" in host.run(["virsh", "-c", "qemu:///system", "net-port-create", "shared", "/root/port.xml"], check=False).stderr
    assert make_port(host, 1, 2000, "<plug type='network' bridge='shared0'/>").returncode == 0
    host.daemon.kill()
    host.daemon.start()
    assert sorted(host.virsh("net-port-list", "shared", "--uuid").split()) == PORTS[:2]
    said = host.run(["virsh", "-c", "qemu:///system", "net-port-delete", "shared", PORTS[0]]).stdout
    assert f"Network port {PORTS[0]} deleted" in said and classes(host) == {"1": 32, "2": 16, "3": 16}
    host.daemon.kill()
    host.daemon.start()
    assert host.virsh("net-port-list", "shared", "--uuid").split() == [PORTS[1]]
    host.virsh("net-destroy", "shared")
    host.virsh("net-start", "shared")
    assert host.virsh("net-port-list", "shared", "--uuid").split() == [] and "3" not in classes(host)


def test_what_a_port_is_promised_changes_while_it_is_there(host):
    """By parameters, as domiftune for guests: a port of somebody's own, and a guest's, whose interface it is."""
    conn = libvirt.open(host.daemon.uri)
    net = conn.networkLookupByName("shared")
    assert make_port(host, 0, 1000).returncode == 0
    port = net.portLookupByUUIDString(PORTS[0])
    assert port.parameters()["inbound.floor"] == 1000 and classes(host)["3"] == 8
    port.setParameters({"inbound.floor": 2000, "outbound.average": 512, "outbound.peak": 1024})
    assert classes(host)["3"] == 16
    with pytest.raises(libvirt.libvirtError, match="overcommit 'average'"):
        port.setParameters({"inbound.floor": 4001})
    host.daemon.kill()
    host.daemon.start()
    conn.close()
    conn = libvirt.open(host.daemon.uri)
    net = conn.networkLookupByName("shared")
    port = net.portLookupByUUIDString(PORTS[0])
    found = port.parameters()
    assert (found["inbound.floor"], found["inbound.average"], found["outbound.average"], found["outbound.peak"]) == (2000, 1000, 512, 1024)
    assert ET.fromstring(port.XMLDesc()).find("bandwidth/inbound").get("floor") == "2000"
    port.delete()
    assert create(host, "one", card(MACS[0], floor(1000))).returncode == 0
    port = net.listAllPorts()[0]
    assert port.parameters()["inbound.floor"] == 1000
    port.setParameters({"inbound.floor": 3000})
    assert classes(host)["3"] == 24 and re.search("inbound.floor *: 3000", host.virsh("domiftune", "one", MACS[0]))
    host.virsh("destroy", "one")
    with pytest.raises(libvirt.libvirtError, match="does not exist"):
        port.parameters()
    conn.close()


def test_a_guests_port_goes_with_its_interface_only(host):
    assert create(host, "one", card(MACS[0], "")).returncode == 0
    port = host.virsh("net-port-list", "shared", "--uuid").strip()
    said = host.run([PROGRAMS / "drover", "-c", "qemu:///system", "net-port-delete", "shared", port], check=False).stderr
    assert "is an interface of the running guest 'one'" in said
    assert ET.fromstring(host.virsh("net-port-dumpxml", "shared", port)).findtext("owner/name") == "one"
    host.virsh("destroy", "one")


def test_what_cannot_be_promised_is_refused(host):
    define(host, "<network><name>plain</name><bridge name='plain0'/></network>")
    host.virsh("net-start", "plain")
    for cards, says in (
            ([card(MACS[0], floor(3000)), card(MACS[1], floor(2000))], "would overcommit 'average'"),
            ([card(MACS[0], floor(10), "network='plain'")], "network 'plain' has no inbound QoS set"),
            ([card(MACS[0], floor(10), "bridge='br0'", "bridge")], "Invalid use of 'floor' on an interface of type 'bridge'")):
        done = create(host, "x", *cards)
        assert done.returncode != 0 and says in done.stderr, done
    assert set(classes(host)) <= {"1", "2"}  # nothing of it stays
    for xml in ("<network><name>x</name><bandwidth><inbound average='1' floor='1'/></bandwidth></network>",
                "<network><name>x</name><portgroup name='p'><bandwidth><inbound average='1' floor='1'/></bandwidth></portgroup></network>"):
        host.write_file("/root/net.xml", xml)
        assert "is for interfaces of guests" in host.run([*VIRSH, "net-define", "/root/net.xml"], check=False).stderr
    host.virsh("net-destroy", "plain")


@pytest.mark.parametrize("inner, says", [
    ("<bridge zone='home'/>", "'network/bridge/@zone' cannot be had: drover does not talk to firewalld"),
    ("<bridge macTableManager='libvirt'/>", "'network/bridge/@macTableManager' cannot be had"),
    ("<domain name='x.test' register='yes'/>", "'network/domain/@register' cannot be had"),
    ("<forward mode='passthrough'><pf dev='br0'/></forward>", "'network/forward/pf' cannot be had"),
    ("<forward mode='bridge'/><bridge name='br0'/><virtualport type='openvswitch'/>", "'network/virtualport' cannot be had"),
])
def test_a_network_that_asks_for_more_than_there_is_does_not_start(host, inner, says):
    define(host, f"<network><name>more</name>{inner}</network>")
    assert "prevents a start" in host.daemon.log.read_text()
    assert says in host.run([*VIRSH, "net-start", "more"], check=False).stderr
    host.virsh("net-undefine", "more")


def test_a_guest_that_relies_on_what_is_not_done_is_not_started(host):
    host.write_file("/srv/image", "\0" * 65536)
    host.ip("link add ve0 type veth peer name ve1", "link set ve0 up")
    for devices, says in (
            ("<disk type='file' device='disk'><source file='/srv/image'/><target dev='vdb'/><transient/></disk>", "disk[2]/transient' cannot be had"),
            (card(MACS[0], "<virtualport type='openvswitch'/>", "bridge='br0'", "bridge"), "interface/virtualport' cannot be had"),
            ("<interface type='direct' trustGuestRxFilters='yes'><source dev='ve0'/></interface>", "'@trustGuestRxFilters' cannot be had")):
        done = create(host, "x", devices)
        assert done.returncode != 0 and says in done.stderr, done
    assert create(host, "one").returncode == 0
    host.write_file("/root/d.xml", "<disk type='file' device='disk'><source file='/srv/image'/><target dev='vdb'/><transient/></disk>")
    assert "'disk/transient' cannot be had" in host.run([*VIRSH, "attach-device", "one", "/root/d.xml"], check=False).stderr
    host.virsh("destroy", "one")


def test_what_has_no_effect_is_among_a_guests_messages(host):
    quick = "<coalesce><rx><frames max='5'/></rx></coalesce>"
    xml = domains.bare("quiet", kind="qemu", devices=card(MACS[0], quick, "bridge='br0'", "bridge"))
    host.write_file("/root/quiet.xml", xml)
    host.virsh("define", "/root/quiet.xml")
    assert ET.fromstring(host.virsh("dumpxml", "quiet")).find(".//coalesce/rx/frames").get("max") == "5"
    assert "coalesce/rx/frames/@max has no effect" in host.virsh("dominfo", "quiet")
    host.virsh("undefine", "quiet")
