"""What of networks this machine's kernel lacks, and the lab machine's has: limits on what is sent, and VLANs (NET-*)."""
import json
import re

import pytest

from inside import Inside, disks
from packets import forwards
from waiting import wait_for
from lab import domains
from lab.machine import Machine
from lab.paths import BUILD

MAC = "52:54:00:70:00:01"
NET = """<network><name>slow</name><bridge name='slow0' stp='off' delay='0'/>
  <bandwidth><outbound average='10' burst='16'/></bandwidth><ip address='10.70.0.1' prefix='24'/></network>"""
FLOOD = """
import socket
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(2000):
    ear.sendto(bytes(1000), ("10.70.0.1", 9))
"""


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    disks(tmp_path_factory, [])
    with Machine() as machine:
        machine.run(["modprobe", "-a", "bridge", "veth", "tun", "sch_ingress", "cls_matchall", "act_police", "sch_htb",
                     "nf_tables", "nf_conntrack", "nft_ct", "nft_chain_nat", "nft_masq", "nft_reject_inet"])
        host = Inside(machine)
        machine.run(["sh", "-c", "cat > /root/slow.xml"], stdin=NET)
        host.virsh("net-create /root/slow.xml")
        yield host


def policers(host, link):
    return re.findall(r"police .* rate (\S+) burst (\S+)", host.shell(f"tc filter show dev {link} ingress"))


@pytest.mark.limit(120)
def test_what_leaves_a_network_towards_the_host_is_limited(host):
    """Two megabytes at once through ten kilobytes a second: some comes through, most is dropped."""
    assert policers(host, "slow0") == [("80Kbit", "16Kb")]
    host.shell("ip netns add guest && ip link add p0 type veth peer name g0 netns guest && ip link set p0 master slow0 up && "
               "ip netns exec guest ip address add 10.70.0.5/24 dev g0 && ip netns exec guest ip link set g0 up; "
               # nobody is asked who 10.70.0.1 is while all of it comes
               "ip netns exec guest ip neigh replace 10.70.0.1 lladdr $(cat /sys/class/net/slow0/address) dev g0 nud permanent; "
               + forwards("p0"))
    host.machine.run(["ip", "netns", "exec", "guest", "/usr/bin/python3", "-c", FLOOD])
    said = host.shell("tc -s filter show dev slow0 ingress")
    packets, dropped = map(int, re.search(r"(\d+) pkt \(dropped (\d+)", said).groups())
    assert packets >= 2000 and 1000 < dropped < packets, said
    host.shell("ip netns delete guest")


@pytest.mark.limit(150)
def test_what_a_guest_sends_is_limited_and_changed_while_it_runs(host):
    card = (f"<interface type='network'><mac address='{MAC}'/><source network='slow'/><model type='virtio'/>"
            "<bandwidth><outbound average='125' burst='64'/></bandwidth></interface>")
    xml = domains.bare("g", kind="qemu", devices=card).replace("/mnt/lab/", f"{BUILD}/")
    host.machine.run(["sh", "-c", "cat > /root/g.xml"], stdin=xml)
    host.virsh("create /root/g.xml")
    tap = re.search(r"^ *(vnet\d+)", host.virsh("domiflist g"), re.M)[1]
    assert policers(host, tap) == [("1Mbit", "64Kb")]
    host.virsh(f"domiftune g {MAC} --outbound 250,0,64 --live")
    assert policers(host, tap) == [("2Mbit", "64Kb")]
    assert re.search(r"outbound.average *: 250", host.virsh(f"domiftune g {MAC}"))
    host.virsh(f"domiftune g {MAC} --outbound 0 --live")
    assert policers(host, tap) == []
    host.virsh("destroy g", "net-destroy slow")


COLOURS = """<network><name>colours</name><bridge name='col0' stp='off' delay='0'/><ip address='10.71.0.1' prefix='24'/>
  <portgroup name='red'><vlan><tag id='42'/></vlan></portgroup><portgroup name='blue'><vlan><tag id='43'/></vlan></portgroup>
  <portgroup name='all'><vlan trunk='yes'><tag id='42'/><tag id='43' nativeMode='untagged'/></vlan></portgroup></network>"""
# Sends one broadcast into a device, and says on which others it comes out: of a guest's tap that is on its way to the guest.
# The bridge floods all its ports in one go, so who has not heard it when the expected ones have does not hear it.
SHOUT = """
import json, select, socket, sys
into, outs, expected = sys.argv[1], *map(json.loads, sys.argv[2:])
frame = bytes.fromhex("ffffffffffff52540071000988b5") + bytes(50)
ears = {}
for out in outs:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ear.bind((out, 3))
    ears[ear] = out
mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
mouth.bind((into, 0))
mouth.send(frame)
heard = set()
while ready := select.select(list(ears), [], [], 0 if heard >= set(expected) else 60)[0]:
    heard.update(ears[ear] for ear in ready if ear.recv(2000)[6:12] == frame[6:12])
print(json.dumps(sorted(heard)))
"""


def vlans(host):
    """What each link is in: number to flags."""
    found = json.loads(host.shell("bridge -j vlan show"))
    return {port["ifname"]: {v["vlan"]: set(v.get("flags", [])) for v in port["vlans"]} for port in found}


ACCESS = {"PVID", "Egress Untagged"}


def coloured(number, place):
    return f"<interface type='network'><mac address='52:54:00:71:00:0{number}'/><source network='colours' {place}/><model type='virtio'/></interface>"


def put(host, path, text):
    host.machine.run(["sh", "-c", f"cat > {path}"], stdin=text)


@pytest.mark.limit(300)
def test_guests_are_in_the_vlans_of_their_portgroups(host):
    """Tagged by the bridge: who is in one hears it, others do not, and a card changes while its guest runs."""
    put(host, "/root/colours.xml", COLOURS)
    host.virsh("net-create /root/colours.xml")
    assert vlans(host)["col0"] == {1: ACCESS}
    cards = [coloured(1, "portgroup='red'"), coloured(2, "portgroup='blue'"), coloured(3, "portgroup='all'"), coloured(4, "")]
    put(host, "/root/g.xml", domains.bare("g", kind="qemu", devices="".join(cards)).replace("/mnt/lab/", f"{BUILD}/"))
    host.virsh("create /root/g.xml")
    red, blue, trunk, plain = taps = re.findall(r"^ *(vnet\d+)", host.virsh("domiflist g"), re.M)
    found = vlans(host)
    assert [found[tap] for tap in taps] == [{42: ACCESS}, {43: ACCESS}, {42: set(), 43: ACCESS}, {1: ACCESS}]
    host.shell("ip link add p0 type veth peer name g0 && ip link set p0 master col0 up && ip link set g0 up && "
               "bridge vlan del vid 1 dev p0 && bridge vlan add vid 42 pvid untagged dev p0; " + forwards("p0", *taps))

    def hear(*expected):
        said = host.machine.run(["/usr/bin/python3", "-c", SHOUT, "g0", json.dumps(taps), json.dumps(expected)]).stdout
        return json.loads(said) == sorted(expected)
    assert hear(red, trunk)
    assert host.virsh("net-port-list colours --uuid").split() and "<tag id='42'/>" in host.shell(
        "for p in $(virsh -q net-port-list colours --uuid); do virsh net-port-dumpxml colours $p; done")
    # blue becomes red, and what says nothing a VLAN of its own; then the network is another for a while
    put(host, "/root/blue.xml", coloured(2, "portgroup='red'"))
    put(host, "/root/plain.xml", coloured(4, "").replace("<model", "<vlan><tag id='42'/></vlan><model"))
    host.virsh("update-device g /root/blue.xml", "update-device g /root/plain.xml")
    assert hear(*taps)
    host.virsh("net-destroy colours", "net-create /root/colours.xml")
    host.shell("ip link set p0 master col0 up && bridge vlan del vid 1 dev p0 && bridge vlan add vid 42 pvid untagged dev p0; "
               + forwards("p0", *taps))
    assert hear(*taps) and vlans(host)[blue] == {42: ACCESS}
    put(host, "/root/plain.xml", coloured(4, ""))
    host.virsh("update-device g /root/plain.xml")
    assert vlans(host)[plain] == {1: ACCESS} and hear(red, blue, trunk)
    host.virsh("destroy g", "net-destroy colours")
    host.shell("ip link delete p0")


@pytest.mark.limit(300)
def test_a_network_in_a_vlan_has_its_host_there_too(host):
    """A network that says one for all; and what cannot filter them says so, with what to do."""
    put(host, "/root/whole.xml", "<network><name>whole</name><bridge name='who0' stp='off' delay='0'/><vlan><tag id='7'/></vlan>"
                                 "<ip address='10.72.0.1' prefix='24'/></network>")
    host.virsh("net-create /root/whole.xml")
    assert vlans(host)["who0"] == {7: ACCESS}
    host.shell("ip netns add guest && ip link add p7 type veth peer name g7 netns guest && ip link set p7 master who0 up && "
               "ip netns exec guest ip address add 10.72.0.5/24 dev g7 && ip netns exec guest ip link set g7 up; " + forwards("p7"))
    ping = ["ip", "netns", "exec", "guest", "busybox", "ping", "-c", "1", "-W", "3", "10.72.0.1"]
    assert host.machine.run(ping, check=False).returncode != 0  # in VLAN 1, where nobody is
    host.shell("bridge vlan del vid 1 dev p7 && bridge vlan add vid 7 pvid untagged dev p7")
    wait_for("its host", lambda: host.machine.run(ping, check=False).returncode == 0)
    host.shell("ip netns delete guest; ip link add deaf0 type bridge; ip link set deaf0 up")
    card = "<interface type='bridge'><source bridge='deaf0'/><vlan><tag id='5'/></vlan><model type='virtio'/></interface>"
    put(host, "/root/g.xml", domains.bare("g", kind="qemu", devices=card).replace("/mnt/lab/", f"{BUILD}/"))
    assert "ip link set deaf0 type bridge vlan_filtering 1" in host.virsh("create /root/g.xml", check=False)
    host.shell("ip link set deaf0 type bridge vlan_filtering 1")
    host.virsh("create /root/g.xml")
    assert vlans(host)[re.search(r"^ *(vnet\d+)", host.virsh("domiflist g"), re.M)[1]] == {5: ACCESS}
    host.virsh("destroy g", "net-destroy whole")
    host.shell("ip link delete deaf0")
