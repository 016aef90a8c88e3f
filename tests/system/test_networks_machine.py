"""What guests send is limited: for that this machine's kernel lacks an action, the lab machine's has it (NET-*)."""
import re

import pytest

from inside import Inside, disks
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
               "ip netns exec guest ip address add 10.70.0.5/24 dev g0 && ip netns exec guest ip link set g0 up")
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
