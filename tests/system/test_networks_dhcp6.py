"""Addresses of IPv6 that a network gives, to a real client: Debian's dhclient on a host that stands for a guest (NET-16, NET-17)."""
import contextlib
import os
import re

import pytest
from waiting import wait_for

from lab import debs, domains
from lab.hosts import Lab
from lab.paths import run

MACS = {"any": "52:54:00:66:00:13", "fixed": "52:54:00:66:00:12"}
SIX = """<network><name>six</name><bridge name='six0' stp='off' delay='0'/><domain name='six.test'/>
  <ip family='ipv6' address='fd66::1' prefix='64'><dhcp><range start='fd66::100' end='fd66::1ff'/>
  <host id='00:03:00:01:52:54:00:66:00:12' name='twelve' ip='fd66::12'/></dhcp></ip></network>"""
ON_LEASE = """#!/bin/sh
case $reason in BOUND6|RENEW6|REBIND6) ip -6 address replace $new_ip6_address/$new_ip6_prefixlen dev $interface nodad;; esac
"""


@pytest.fixture(scope="module", name="hosts")
def fixture_hosts():
    """Host a with the network, and g with a card of each kind on its bridge, as a guest would have them."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    client = debs.unpack("isc-dhcp-client") / "sbin/dhclient"
    with Lab() as lab:
        a, g = lab.host("a"), lab.host("g")
        a.daemon = a.droverd()
        a.write_file("/root/six.xml", SIX)
        a.virsh("net-create", "/root/six.xml")
        g.write_file("/root/on-lease", ON_LEASE, mode=0o755)
        g.client = domains.inside(client)
        for card, mac in MACS.items():
            run(["nsenter", "-t", a.pid, "-n", *f"ip link add {card} type veth peer name {card} netns {g.pid}".split()])
            a.ip(f"link set {card} master six0 up")
            # a client needs an address of the link at once
            g.run(["sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{card}/accept_dad"])
            g.ip(f"link set {card} address {mac} up")
        yield a, g
        assert a.daemon.stop() == 0, a.daemon.tail()
        assert "Sanitizer" not in a.daemon.log.read_text(errors="replace"), a.daemon.tail()


@contextlib.contextmanager
def asking(host, card):
    """A client asks for an address of the card; it is given."""
    argv = [host.client, "-6", "-d", "-D", "LL", "-cf", "/dev/null", "-lf", f"/root/{card}.leases", "-pf", f"/root/{card}.pid",
            "-sf", "/root/on-lease", card]
    with open(host.lab.home / f"{card}.log", "wb") as log:
        client = host.popen(argv, stdout=log, stderr=log)
    try:
        yield wait_for("an address", lambda: client.poll() is None and re.search(
            r"inet6 (fd66::\S+)/128", host.run(["ip", "-6", "address", "show", "dev", card]).stdout))[1]
    finally:
        client.kill()
        client.wait()


@pytest.mark.limit(180)
def test_a_guest_gets_an_address_of_ipv6(hosts):
    """NET-16, NET-17: of the range, or the one that is kept for it; the lease says whose it is, and its name leads there."""
    a, g = hosts
    with asking(g, "any") as address:
        assert re.fullmatch("fd66::1[0-9a-f]{2}", address)
        # dnsmasq notes a lease of IPv6 after it has told the client
        wait_for("the lease", lambda: re.search(rf"{MACS['any']} +ipv6 +{address}/64", a.virsh("net-dhcp-leases", "six")))
        # the network says that it is its own link, so the guest reaches it
        wait_for("the network's host", lambda: g.run(["busybox", "ping", "-6", "-c", "1", "-W", "2", "fd66::1"], check=False).returncode == 0)
    with asking(g, "fixed") as address:
        assert address == "fd66::12"
        row = wait_for("the lease", lambda: re.search(rf"{MACS['fixed']} +ipv6 +fd66::12/64 +twelve", a.virsh("net-dhcp-leases", "six")))
        assert row and MACS["any"] not in a.virsh("net-dhcp-leases", "six", "--mac", MACS["fixed"])
    found = g.run(["busybox", "nslookup", "-type=aaaa", "twelve.six.test", "fd66::1"], check=False).stdout
    assert "fd66::12" in found
