"""Who reaches whom: networks of every mode beside each other, the host, and the world outside (NET-18 to NET-21).

What is on a bridge here is a namespace with a cable into it: to the rules it is a guest, and there can be many.
"""
import os
import re
import subprocess

import pytest
from waiting import wait_for

from lab.hosts import Lab

# name: (number of its net, its forward element)
NETWORKS = {"one": (61, ""), "two": (62, ""), "nat": (63, "<forward/>"), "routed": (64, "<forward mode='route'/>"),
            "bound": (65, "<forward dev='br0'/>")}
ISP = "10.99.0.2"


@pytest.fixture(scope="module", name="world")
def fixture_world():
    """Host a with a network of each kind and guests on them, host b on its wire, and another provider on another card."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        a, b = lab.host("a"), lab.host("b")
        a.daemon = a.droverd()
        for name, (number, forward) in NETWORKS.items():
            a.write_file(f"/root/{name}.xml", f"<network><name>{name}</name>{forward}<bridge name='{name}0' stp='off' delay='0'/>"
                         f"<ip address='10.{number}.0.1' prefix='24'/></network>")
            a.virsh("net-create", f"/root/{name}.xml")
            b.ip(f"route add 10.{number}.0.0/24 via {a.address}")
            for guest in (1, 2):
                plug(a, f"{name}{guest}", f"10.{number}.0.{guest + 1}/24", f"10.{number}.0.1", f"{name}0")
        plug(a, "isp", f"{ISP}/24", "10.99.0.1", None)
        a.ip("address add 10.99.0.1/24 dev isp")
        yield a, b
        assert a.daemon.stop() == 0, a.daemon.tail()
        assert "Sanitizer" not in a.daemon.log.read_text(errors="replace"), a.daemon.tail()


def plug(host, name, address, gateway, bridge):
    """A namespace whose cable's other end is called like it, in a bridge or not."""
    host.run(["ip", "netns", "add", name])
    host.ip(f"link add {name} type veth peer name eth0 netns {name}", f"link set {name} {f'master {bridge} ' if bridge else ''}up")
    for words in ("link set lo up", "link set eth0 up", f"address add {address} dev eth0", f"route add default via {gateway}"):
        host.run(["ip", "-n", name, *words.split()])


def address(world, name):
    if name == "b":
        return world[1].address
    if name == "isp":
        return ISP
    return f"10.{NETWORKS[name.rstrip('12')][0]}.0.{int(name[-1]) + 1}"


def begin_ping(world, source, target, patience):
    words = ["busybox", "ping", "-c", "1", "-W", str(patience), target]
    a, b = world
    host, words = (b, words) if source == "b" else (a, ["ip", "netns", "exec", source, *words])
    return host.popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ping(world, source, target, patience):
    return begin_ping(world, source, target, patience).wait() == 0


@pytest.mark.limit(150)
@pytest.mark.parametrize("source, reached", [
    ("one1", ["one2"]),
    ("two1", ["two2"]),
    ("nat1", ["nat2", "routed1", "isp", "b"]),
    ("routed1", ["routed2", "isp", "b"]),
    ("bound1", ["bound2", "b"]),
    ("b", ["routed1", "routed2"]),
])
def test_each_reaches_what_its_network_lets_it(world, source, reached):
    """NET-18 to NET-21, both ways: whoever is not reached is asked for an answer that nobody may give."""
    for name in reached:
        if name == "isp" and source == "routed1":
            continue  # who has no way back to it
        wait_for(f"{source} to reach {name}", lambda name=name: ping(world, source, address(world, name), 5))
    others = {f"{name}{guest}" for name in NETWORKS for guest in (1, 2)} | {"isp", "b"}
    if source == "b":
        others -= {"isp"}  # b has no way there at all
    if source in ("nat1", "routed1", "bound1"):
        others -= {"routed1", "routed2"}  # networks that lead outside lead to what is routed
    tried = {name: begin_ping(world, source, address(world, name), 2) for name in others - {source, *reached}}
    answered = [name for name, one in tried.items() if one.wait() == 0]
    assert len(tried) > 5 and not answered
    if source != "b":
        number = NETWORKS[source[:-1]][0]
        wait_for("the host", lambda: ping(world, source, f"10.{number}.0.1", 5))


def test_what_is_bound_to_a_card_leaves_through_no_other(world):
    """NET-19: nothing gets there, neither with the host's address nor with its own; a network that is not bound gets there."""
    a, _ = world
    inside = ["ip", "netns", "exec", "isp", "nft"]
    a.run([*inside, "-f", "-"], input="table ip seen { chain in { type filter hook input priority 0;\nicmp type echo-request counter; }\n}\n")

    def seen():
        return int(re.search(r"packets (\d+)", a.run([*inside, "list", "table", "ip", "seen"]).stdout)[1])

    assert not ping(world, "bound1", ISP, 1) and seen() == 0
    wait_for("the one that is not bound to get there", lambda: ping(world, "nat1", ISP, 5))
    assert seen() > 0
    wait_for("the card that it is bound to", lambda: ping(world, "bound1", world[1].address, 5))


def test_the_outside_sees_the_hosts_address_only_where_it_is_translated(world):
    """NET-18, NET-20"""
    _, b = world
    b.run(["nft", "-f", "-"], input="table ip seen { set from { type ipv4_addr; flags dynamic; }\n"
          "chain in { type filter hook input priority 0;\nicmp type echo-request update @from { ip saddr }; }\n}\n")
    for source in ("nat1", "routed1", "bound1"):
        wait_for(f"{source} to reach b", lambda source=source: ping(world, source, b.address, 5))
    seen = set(re.findall(r"\d+\.\d+\.\d+\.\d+", b.run(["nft", "list", "set", "ip", "seen", "from"]).stdout))
    assert seen == {world[0].address, address(world, "routed1")}
    b.run(["nft", "delete", "table", "ip", "seen"])
