"""A guest on virtual networks: lease, names, the host, the world outside, and what is kept from it (NET-*)."""
import os
import re
import xml.etree.ElementTree as ET

import pytest
from console import Console
from packets import ruleset
from waiting import wait_for

from lab import domains
from lab.hosts import Lab
from lab.paths import PROGRAMS

ISOLATED = """<network><name>alone</name><bridge name='alone0' delay='0' stp='off'/>
  <ip address='10.66.0.1' prefix='24'><dhcp><range start='10.66.0.5' end='10.66.0.9'/>
  <host mac='52:54:00:00:00:02' ip='10.66.0.77'/></dhcp></ip></network>"""
NAT = """<network><name>out</name><uuid>1b2f0a3e-5a0e-4b52-8a53-90d3f2a1c0de</uuid><forward><nat ipv6='yes'/></forward>
  <bridge name='out0' stp='off'/><domain name='lab.test'/>
  <dns><txt name='words.lab.test' value='some words'/><srv service='ldap' protocol='tcp' domain='lab.test' target='seventyseven.lab.test' port='389'/>
    <host ip='192.168.50.77'><hostname>seventyseven</hostname></host></dns>
  <ip address='192.168.50.1' prefix='24'><tftp root='/srv/tftp'/><dhcp><range start='192.168.50.5' end='192.168.50.9'/></dhcp></ip>
  <ip family='ipv6' address='fd50::1' prefix='64'/>
  <portgroup name='slow'><bandwidth><inbound average='1000' peak='2000' burst='64'/></bandwidth></portgroup></network>"""


@pytest.fixture(scope="module")
def world():
    """Host a with droverd and two networks, host b outside, and a guest with a card on each."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        a, b = lab.host("a", kvm=True), lab.host("b")
        a.ip("address add fd77::1/64 dev br0 nodad")
        b.ip("address add fd77::2/64 dev br0 nodad")
        a.write_file("/srv/tftp/boot.txt", "served by tftp\n")
        a.daemon = a.droverd()
        served = b.popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root", "--pid-file=/run/far",
                          f"--listen-address={b.address}", "--bind-interfaces", "--address=/far.test/10.9.8.7"])
        wait_for("the server outside", lambda: b.path("/run/far").exists())
        forwarder = f"<dns><forwarder domain='far.test' addr='{b.address}'/>"
        for name, xml in (("alone", ISOLATED), ("out", NAT.replace("<dns>", forwarder))):
            a.write_file(f"/root/{name}.xml", xml)
            a.virsh("net-define", f"/root/{name}.xml")
            a.virsh("net-start", name)
        inside, outside = lab.socket("console")
        a.console = Console(outside)
        cards = "".join(f"<interface type='network'><mac address='{mac}'/><source network='{net}'{group}/><model type='virtio'/></interface>"
                        for mac, net, group in (("52:54:00:00:00:01", "out", " portgroup='slow'"), ("52:54:00:00:00:02", "alone", "")))
        a.write_file("/root/g.xml", domains.linux("g", port=inside, devices=cards, net="dhcp", shell="ttyS0", beat=0))
        a.virsh("create", "/root/g.xml")
        yield a, b
        a.console.close()
        served.terminate()
        served.wait()
        a.virsh("destroy", "g")
        assert a.daemon.stop() == 0, a.daemon.tail()
        assert "Sanitizer" not in a.daemon.log.read_text(errors="replace"), a.daemon.tail()


def address(host, mac):
    """What the guest's card got, by the server's lease."""
    found = wait_for(f"an address of {mac}", lambda: re.search(rf"{mac} +ipv4 +(\S+)/24", host.virsh("domifaddr", "g")), 60)
    return found[1]


@pytest.mark.limit(60)
def test_a_guest_gets_leases_and_names(world):
    """NET-16, NET-17, NET-22: of a range, or the one that is the card's; names, texts, services and what other servers know."""
    a, _ = world
    a.console.wait("^ready", 90)
    mine, alone = address(a, "52:54:00:00:00:01"), address(a, "52:54:00:00:00:02")
    assert mine.startswith("192.168.50.") and alone == "10.66.0.77"
    assert mine in a.virsh("net-dhcp-leases", "out") and alone not in a.virsh("net-dhcp-leases", "out")
    assert mine in a.virsh("net-dhcp-leases", "out", "--mac", "52:54:00:00:00:01")
    wait_for("the address in the guest", lambda: mine in a.console.run("ip address")[1])
    wait_for("the name", lambda: "192.168.50.77" in a.console.run("nslookup -type=a seventyseven.lab.test 192.168.50.1")[1])
    for kind, name, known in (("txt", "words.lab.test", '"some words"'), ("srv", "_ldap._tcp.lab.test", "389 seventyseven.lab.test"),
                              ("a", "x.far.test", "10.9.8.7")):
        wait_for(name, lambda kind=kind, name=name, known=known: known in a.console.run(f"nslookup -type={kind} {name} 192.168.50.1")[1])
    status, said = a.console.run("tftp -g -r boot.txt -l /tmp/boot 192.168.50.1 && cat /tmp/boot")
    assert status == 0 and "served by tftp" in said, said


@pytest.mark.limit(60)
def test_a_guest_reaches_what_its_network_lets_it(world):
    """NET-18, NET-21, IPv6 too: host and outside through NAT, nothing through the isolated network."""
    a, b = world
    guest = a.console
    guest.run("ip route replace default via 192.168.50.1")
    for reached in ("192.168.50.1", "10.66.0.1", b.address):
        wait_for(reached, lambda: guest.run(f"ping -c 1 -W 10 {reached}")[0] == 0)
    for reached in ("fd50::1", "fd77::2"):  # with the address and the way out that the network advertises
        wait_for(reached, lambda: guest.run(f"ping -6 -c 1 -W 10 {reached}")[0] == 0)
    # b knows no way to the guest's networks: what it answered, it answered to a
    assert b.run(["ip", "route", "get", "192.168.50.5"], check=False).returncode != 0
    guest.run("ip route replace default via 10.66.0.1")
    assert guest.run(f"ping -c 1 -W 2 {b.address}")[0] != 0
    guest.run("ip route replace default via 192.168.50.1")


def test_a_card_counts_what_passes(world):
    """LIFE-33: as the guest sees it, by the name of its tap and by its MAC address."""
    a, _ = world
    tap = ET.fromstring(a.virsh("dumpxml", "g")).find("devices/interface/target").get("dev")

    def counters(card):
        return {name: int(value) for _, name, value in (line.split() for line in a.virsh("domifstat", "g", card).splitlines() if line)}

    def sent_by_host():
        return int(a.run(["cat", f"/sys/class/net/{tap}/statistics/tx_bytes"]).stdout)
    before, least = counters(tap), sent_by_host()
    assert a.console.run("ping -c 3 -s 1000 192.168.50.1")[0] == 0
    after = counters("52:54:00:00:00:01")
    assert set(after) == set(before) == {f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errs", "drop")}
    for way in ("rx", "tx"):
        assert after[f"{way}_packets"] >= before[f"{way}_packets"] + 3 and after[f"{way}_bytes"] >= before[f"{way}_bytes"] + 3000
    assert least < after["rx_bytes"] <= sent_by_host()


@pytest.mark.limit(60)
def test_outside_does_not_reach_in_unless_routed(world):
    """NET-18, NET-20: NAT lets nobody in; a routed network lets in who knows the way."""
    a, b = world
    mine = address(a, "52:54:00:00:00:01")
    b.ip(f"route add 192.168.50.0/24 via {a.address}")
    reach = ["sh", "-c", f"busybox ping -c 1 -W 2 {mine}"]
    assert b.run(reach, check=False).returncode != 0
    a.write_file("/root/out.xml", NAT.replace("<forward><nat ipv6='yes'/></forward>", "<forward mode='route'/>"))
    a.virsh("net-destroy", "out")
    a.virsh("net-define", "/root/out.xml")
    a.virsh("net-start", "out")  # guests that run are on it again
    wait_for("the way in", lambda: b.run(reach, check=False).returncode == 0)
    assert "masquerade" not in ruleset(a)


def test_what_is_live_shows_where_the_card_is(world):
    a, _ = world
    card = ET.fromstring(a.virsh("dumpxml", "g")).find("devices/interface")
    assert card.find("source").get("bridge") == "out0" and card.find("source").get("portid") in a.virsh("net-port-list", "out")
    port = ET.fromstring(a.virsh("net-port-dumpxml", "out", card.find("source").get("portid")))
    assert port.findtext("owner/name") == "g" and port.find("plug").get("bridge") == "out0"
    assert port.find("bandwidth/inbound").get("average") == "1000"
    assert ET.fromstring(a.virsh("net-dumpxml", "out")).get("connections") == "1"
    limit = a.run(["tc", "class", "show", "dev", card.find("target").get("dev")]).stdout
    assert "rate 8Mbit ceil 16Mbit" in limit
    assert "bridge" not in ET.fromstring(a.virsh("dumpxml", "g", "--inactive")).find("devices/interface/source").attrib


@pytest.mark.limit(60)
def test_a_card_moves_while_the_guest_runs(world):
    """NET-29, NET-31: from network to network to bridge, and back; the tap stays, the guest sees no change."""
    a, _ = world
    tap = ET.fromstring(a.virsh("dumpxml", "g")).find("devices/interface/target").get("dev")
    for source, kind, bridge in (("network='alone'", "network", "alone0"), ("bridge='br0'", "bridge", "br0"),
                                 ("network='out' portgroup='slow'", "network", "out0")):
        a.write_file("/root/card.xml", f"<interface type='{kind}'><mac address='52:54:00:00:00:01'/><source {source}/>"
                     "<model type='virtio'/></interface>")
        a.virsh("update-device", "g", "/root/card.xml")
        assert re.search(rf"{tap}: .* master {bridge} ", a.run(["bridge", "link"]).stdout)
    a.write_file("/root/card.xml", "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='out'/>"
                 "<model type='e1000'/></interface>")
    assert "model" in a.run(["virsh", "-c", "qemu:///system", "update-device", "g", "/root/card.xml"], check=False).stderr
    assert "gone" not in a.console.text


@pytest.mark.limit(120)
def test_a_guest_that_was_moved_asks_for_an_address_where_it_is(world):
    """NET-29, NET-30: as the docs say, who moves it pulls its cable; what it asks for then is given by where it is now."""
    a, _ = world
    mac = "52:54:00:00:00:01"
    tap = ET.fromstring(a.virsh("dumpxml", "g")).find("devices/interface/target").get("dev")
    card = a.console.run(f"grep -l {mac} /sys/class/net/*/address | cut -d/ -f5")[1].split()[-1]

    def move(network):
        a.write_file("/root/card.xml", f"<interface type='network'><mac address='{mac}'/><source network='{network}'/>"
                     "<model type='virtio'/></interface>")
        a.virsh("update-device", "g", "/root/card.xml")
        for state, carrier in (("down", "0"), ("up", "1")):
            a.run([PROGRAMS / "drover", "-c", "qemu:///system", "domif-setlink", "g", tap, state])
            wait_for(f"the cable {state}", lambda: a.console.run(f"cat /sys/class/net/{card}/carrier")[1].split()[-1:] == [carrier])
        return a.console.run(f"udhcpc -i {card} -n -q -t 30 -T 1 -s /bin/on-lease")[1]

    said = move("alone")
    assert re.search(r"lease of 10\.66\.0\.\d+ obtained", said), said
    assert re.search(rf"{mac} +ipv4 +10\.66\.0\.", a.virsh("net-dhcp-leases", "alone"))
    said = move("out")
    assert re.search(r"lease of 192\.168\.50\.\d+ obtained", said), said


@pytest.mark.limit(60)
def test_a_card_comes_and_goes_while_the_guest_runs(world):
    """LIFE-43; on a bridge: test_networks_bridge.py."""
    a, _ = world
    before = a.run(["bridge", "link"]).stdout
    a.virsh("attach-interface", "g", "network", "alone", "--model", "virtio", "--mac", "52:54:00:00:00:03")
    a.console.wait("nic eth")
    assert address(a, "52:54:00:00:00:03").startswith("10.66.0.")
    a.run([PROGRAMS / "drover", "-c", "qemu:///system", "detach-interface", "g", "network", "--mac", "52:54:00:00:00:03"])
    wait_for("it is gone", lambda: "52:54:00:00:00:03" not in a.virsh("domiflist", "g"))
    wait_for("its tap is gone", lambda: len(a.run(["bridge", "link"]).stdout.splitlines()) == len(before.splitlines()))


def test_guests_go_to_devices_of_the_host_directly(world):
    """NET-23, DOM-42: a network of mode 'bridge' on a device; nothing stays when the guest ends."""
    a, _ = world
    a.ip("link add ve0 type veth peer name ve1", "link set ve0 up", "link set ve1 up")
    a.write_file("/root/direct.xml", "<network><name>direct</name><forward mode='bridge'><interface dev='ve0'/></forward></network>")
    a.virsh("net-create", "/root/direct.xml")
    a.write_file("/root/h.xml", domains.bare("h", kind="qemu", devices="<interface type='network'><source network='direct'/></interface>"))
    a.virsh("create", "/root/h.xml")
    assert "macvtap0@ve0" in a.run(["ip", "link"]).stdout
    assert ET.fromstring(a.virsh("net-dumpxml", "direct")).find("forward/interface").get("connections") == "1"
    a.virsh("destroy", "h")
    wait_for("the end of its link", lambda: "macvtap" not in a.run(["ip", "link"]).stdout)
    a.virsh("net-destroy", "direct")


def test_a_guest_whose_network_is_not_active_is_refused(world):
    a, _ = world
    a.write_file("/root/asleep.xml", "<network><name>asleep</name></network>")
    a.virsh("net-define", "/root/asleep.xml")
    for network, says in (("nosuch", "no network with matching name 'nosuch'"), ("asleep", "network 'asleep' is not active")):
        a.write_file("/root/h.xml", domains.bare("h", kind="qemu", devices=f"<interface type='network'><source network='{network}'/></interface>"))
        assert says in a.run(["virsh", "-c", "qemu:///system", "create", "/root/h.xml"], check=False).stderr
    a.virsh("net-undefine", "asleep")
