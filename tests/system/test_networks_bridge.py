"""Networks and guests on bridges of the host itself (NET-*)."""
import json
import os
import pathlib
import xml.etree.ElementTree as ET

import pytest
from console import Console
from packets import ruleset
from waiting import wait_for

from lab import domains
from lab.hosts import Lab
from lab.paths import PROGRAMS

DEFAULT = pathlib.Path(__file__).parents[2] / "packaging/default-network.xml"
LAN = "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>"
OWN = "<network><name>own</name><forward/><bridge name='own0'/><ip address='10.68.0.1' prefix='24'/></network>"
MACS = ["52:54:00:68:00:01", "52:54:00:68:00:02"]


@pytest.fixture(scope="module")
def world():
    """Host a with a guest on its bridge to b and on one with long frames; nothing forwards."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        a, b = lab.host("a", kvm=True), lab.host("b")
        switch(a, "ipv4/ip_forward", 0)
        a.ip("link add br9 type bridge", "link set br9 mtu 9000", "link set br9 up")
        a.daemon = a.droverd()
        start(a, LAN)
        inside, outside = lab.socket("console")
        a.console = Console(outside)
        a.write_file("/root/g.xml", domains.linux("g", port=inside, devices=card(0, "network", "network='lan'") +
                                                  card(1, "bridge", "bridge='br9'"), shell="ttyS0", beat=0))
        a.virsh("define", "/root/g.xml")
        a.virsh("start", "g")
        a.console.wait("^ready", 90)
        yield a, b
        a.console.close()
        a.virsh("destroy", "g")
        a.virsh("undefine", "g")
        assert a.daemon.stop() == 0, a.daemon.tail()
        assert "Sanitizer" not in a.daemon.log.read_text(errors="replace"), a.daemon.tail()


def card(number, kind, source):
    return f"<interface type='{kind}'><mac address='{MACS[number]}'/><source {source}/><model type='virtio'/></interface>"


def start(host, xml):
    host.write_file("/root/net.xml", xml)
    host.virsh("net-create", "/root/net.xml")


def switch(host, name, value):
    host.run(["sh", "-c", f"echo {value} > /proc/sys/net/{name}"])


def forwards(host):
    """As the host itself sees it: read from outside it would be this machine's."""
    return host.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout.strip()


def link(host, name):
    return json.loads(host.run(["ip", "-j", "link", "show", name]).stdout)[0]


def live(host, number):
    return next(i for i in ET.fromstring(host.virsh("dumpxml", "g")).iter("interface") if i.find("mac").get("address") == MACS[number])


@pytest.mark.limit(150)
def test_a_bridged_guest_reaches_the_network_whatever_bridge_nf_says(world):
    """NET-01, NET-24, NET-26: without forwarding; also while rules of a network of its own are in force."""
    a, b = world
    address = f"{b.address.rsplit('.', 1)[0]}.200"
    card_of = f"$(grep -l {MACS[0]} /sys/class/net/*/address | cut -d/ -f5)"
    assert a.console.run(f"ip link set {card_of} up && ip address add {address}/24 dev {card_of}")[0] == 0
    for own in (False, True):
        if own:
            start(a, OWN)
        else:
            assert forwards(a) == "0"
        for value in (0, 1):
            switch(a, "bridge/bridge-nf-call-iptables", value)
            wait_for("b", lambda: a.console.run(f"ping -c 1 -W 10 {b.address}")[0] == 0)
    a.virsh("net-destroy", "own")
    assert forwards(a) == "0"


@pytest.mark.limit(60)
def test_a_guest_takes_the_mtu_of_its_bridge(world):
    """NET-25: its card, its tap, and the bridge keeps what it has; several bridges, each its own."""
    a, _ = world
    long = live(a, 1)
    assert long.find("mtu").get("size") == "9000" and live(a, 0).find("mtu") is None
    assert link(a, long.find("target").get("dev"))["mtu"] == link(a, "br9")["mtu"] == 9000
    assert "mtu 9000" in a.console.run(f"ip link | grep -B 1 {MACS[1]}")[1]
    assert ET.fromstring(a.virsh("dumpxml", "g", "--inactive")).find(".//mtu") is None


def test_a_tap_that_moves_takes_the_mtu_of_where_it_goes(world):
    """NET-29: a bridge with long frames keeps them when a card with short ones joins, and one moves without saying more."""
    a, _ = world
    tap = live(a, 0).find("target").get("dev")
    for bridge, mtu in (("br9", 9000), ("br0", link(a, "br0")["mtu"])):
        a.write_file("/root/card.xml", card(0, "bridge" if bridge == "br9" else "network",
                                            "bridge='br9'" if bridge == "br9" else "network='lan'"))
        a.virsh("update-device", "g", "/root/card.xml")
        assert (link(a, tap)["master"], link(a, tap)["mtu"], link(a, "br9")["mtu"]) == (bridge, mtu, 9000)
    a.write_file("/root/card.xml", card(1, "bridge", "bridge='br0'"))
    a.virsh("update-device", "g", "/root/card.xml")
    assert link(a, live(a, 1).find("target").get("dev"))["master"] == "br0"
    a.write_file("/root/card.xml", card(1, "bridge", "bridge='br9'"))
    a.virsh("update-device", "g", "/root/card.xml")


def test_a_card_on_a_bridge_comes_and_goes_while_the_guest_runs(world):
    """LIFE-43: plugged by type and bridge, let go by type and MAC address; its tap goes too."""
    a, _ = world
    mac = "52:54:00:68:00:03"
    a.run([PROGRAMS / "drover", "-c", "qemu:///system", "attach-interface", "g", "bridge", "br9", "--model", "virtio", "--mac", mac])
    tap = next(line.split()[0] for line in a.virsh("domiflist", "g").splitlines() if mac in line)
    assert link(a, tap)["master"] == "br9"
    wait_for("the guest's card", lambda: mac in a.console.run("ip link")[1])
    a.virsh("detach-interface", "g", "bridge", "--mac", mac)
    wait_for("it is gone", lambda: mac not in a.virsh("domiflist", "g") and f"{tap}:" not in a.run(["ip", "link"]).stdout)
    wait_for("the guest has none", lambda: mac not in a.console.run("ip link")[1])


def test_bridges_are_shown_with_their_members(world):
    """NET-28"""
    a, _ = world
    drover = [PROGRAMS / "drover", "-c", "qemu:///system"]
    rows = {row["name"]: row for row in json.loads(a.run([*drover, "-o", "json", "iface-bridges"]).stdout)}
    assert rows["br9"]["bridge_id"] == "8000." + link(a, "br9")["address"].replace(":", "") and rows["br9"]["stp"] == "off"
    assert rows["br9"]["members"] == live(a, 1).find("target").get("dev")
    assert live(a, 0).find("target").get("dev") in rows["br0"]["members"].split()
    assert len(rows) == 2 and "Bridge ID" in a.run([*drover, "iface-bridges"]).stdout


def test_the_default_network_is_defined_again_from_its_file(world):
    """NET-03, NET-09, NET-12: defined and not started; lists show what is active unless asked."""
    a, _ = world
    a.write_file("/root/default.xml", DEFAULT.read_text(encoding="utf-8"))
    assert "Network default defined from /root/default.xml" in a.run(["virsh", "-c", "qemu:///system", "net-define", "/root/default.xml"]).stdout
    table = a.run(["virsh", "-c", "qemu:///system", "net-list", "--all"]).stdout.splitlines()
    assert table[0].split()[:3] == ["Name", "State", "Autostart"] and ["default", "inactive", "no", "yes"] in [row.split() for row in table]
    assert a.virsh("net-list", "--name").split() == ["lan"] and a.virsh("net-list", "--inactive", "--name").split() == ["default"]
    a.virsh("net-start", "default")
    assert "192.168.122.1/24" in a.run(["ip", "-br", "address", "show", "virbr0"]).stdout
    a.virsh("net-destroy", "default")
    a.virsh("net-undefine", "default")


@pytest.mark.parametrize("mode, kind", [("private", "private"), ("vepa", "vepa"), ("bridge", "bridge"), ("passthrough", "passthru")])
def test_a_network_of_devices_says_how_guests_see_each_other(world, mode, kind):
    """NET-23: each mode of macvtap; a device that is handed over whole has one user."""
    a, _ = world
    a.ip("link add ve0 type veth peer name ve1", "link set ve0 up", "link set ve1 up")
    start(a, f"<network><name>direct</name><forward mode='{mode}'><interface dev='ve0'/></forward></network>")
    for name in ("h", "i"):
        a.write_file(f"/root/{name}.xml", domains.bare(name, kind="qemu", devices="<interface type='network'><source network='direct'/></interface>"))
    a.virsh("create", "/root/h.xml")
    assert f"macvtap mode {kind} " in a.run(["ip", "-d", "link", "show", "type", "macvtap"]).stdout
    if mode == "passthrough":
        said = a.run(["virsh", "-c", "qemu:///system", "create", "/root/i.xml"], check=False).stderr
        assert "requires exclusive access to interfaces, but none are available" in said
    a.virsh("destroy", "h")
    a.virsh("net-destroy", "direct")
    a.ip("link delete ve0")


def test_an_open_network_leaves_forwarding_to_the_host(world):
    """No rule of ours says what may pass, and the switch is the host's; names and addresses are served."""
    a, _ = world
    start(a, "<network><name>open</name><forward mode='open'/><bridge name='open0'/><ip address='10.69.0.1' prefix='24'/></network>")
    rules = ruleset(a)
    assert '"open0" : jump into_host_open0' in rules and "jump from_guests_open0" not in rules and "masquerade" not in rules
    assert forwards(a) == "0" and len(a.processes("dnsmasq")) == 1
    a.virsh("net-destroy", "open")
    assert "drover" not in ruleset(a)
