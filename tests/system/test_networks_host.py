"""What the host must be like for its networks, and who says so (NET-*)."""
import json
import os
import re
import xml.etree.ElementTree as ET

import pytest
from waiting import wait_for

from lab.hosts import Lab
from lab.paths import PROGRAMS, TOP

NAT = "<network><name>out</name><forward/><bridge name='out0'/><ip address='10.68.0.1' prefix='24'/></network>"
ALONE = "<network><name>alone</name><bridge name='alone0'/><ip address='10.69.0.1' prefix='24'/></network>"


@pytest.fixture(scope="module")
def hosts():
    """Host a with droverd, and b on the same wire."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        a, b = lab.host("a", kvm=True), lab.host("b")
        a.daemon = a.droverd()
        yield a, b
        assert a.daemon.stop() == 0, a.daemon.tail()
        assert "Sanitizer" not in a.daemon.log.read_text(errors="replace"), a.daemon.tail()


@pytest.fixture()
def networks(hosts):
    """Start networks from XML; all are gone afterwards."""
    host, names = hosts[0], []

    def start(*xmls):
        for xml in xmls:
            host.write_file("/root/net.xml", xml)
            host.virsh("net-create", "/root/net.xml")
            names.append(ET.fromstring(xml).findtext("name"))
    yield start
    for name in names:
        host.run(["virsh", "-c", "qemu:///system", "net-destroy", name], check=False)


def check(host, *options):
    """(status, {(what, result): details, one a line})"""
    done = host.run([PROGRAMS / "drover", "-c", "qemu:///system", "-o", "json", "net-check", *options], check=False)
    found = {}
    for row in json.loads(done.stdout):
        found.setdefault((row["check"], row["result"]), []).append(row["details"])
    return done.returncode, {key: "\n".join(details) for key, details in found.items()}


def switch(host, name, value=None):
    path = f"/proc/sys/net/{name}"
    if value is not None:
        host.run(["sh", "-c", f"echo {value} > {path}"])
    return host.run(["cat", path]).stdout.strip()


def test_a_host_in_order_has_no_problem(hosts, networks):
    host, _ = hosts
    networks(NAT, ALONE)
    for name in ("iptables", "ip6tables", "arptables"):
        switch(host, f"bridge/bridge-nf-call-{name}", 0)
    status, found = check(host)
    assert status == 0 and {result for _, result in found} == {"ok"}
    assert "dnsmasq is /" in found["programs", "ok"] and "only guests are in the bridge 'alone0'" in found["members", "ok"]
    assert "ip_forward is 1, as network 'out' needs it" in found["forwarding", "ok"] and "alone" not in found["forwarding", "ok"]
    assert check(host, "--problems") == (0, {})
    text = host.run([PROGRAMS / "drover", "-c", "qemu:///system", "net-check"]).stdout
    assert re.search(r"^ Check +Result +Details", text)


def test_forwarding_that_somebody_switched_off_is_a_problem(hosts, networks):
    """NET-08: 1 while a network forwards, left alone by isolated ones, and missed when it is 0 later."""
    host, _ = hosts
    switch(host, "ipv4/ip_forward", 0)
    networks(ALONE)
    assert switch(host, "ipv4/ip_forward") == "0"
    networks(NAT)
    assert switch(host, "ipv4/ip_forward") == "1"
    switch(host, "ipv4/ip_forward", 0)
    status, found = check(host)
    assert status == 1 and "guests of network 'out' do not get beyond this host" in found["forwarding", "problem"]
    assert "/etc/sysctl.d" in found["forwarding", "problem"] and "alone" not in found["forwarding", "problem"]
    switch(host, "ipv4/ip_forward", 1)
    assert check(host)[0] == 0


def test_a_way_out_in_the_bridge_of_a_network_is_warned_of(hosts, networks):
    """NET-33, NET-06"""
    host, _ = hosts
    networks(NAT)
    host.ip("tuntap add tap7 mode tap", "link add ve0 type veth peer name ve1", "link set tap7 master out0", "link set ve0 master out0")
    assert "only guests are in the bridge 'out0'" in check(host)[1]["members", "ok"]
    host.ip("link add link br0 name mv0 type macvlan", "link set mv0 master out0")
    status, found = check(host)
    assert status == 0 and "'mv0', which leads out of this host, is in the bridge 'out0'" in found["members", "warning"]
    host.ip("link delete mv0", "link delete tap7", "link delete ve0")


def test_chains_of_others_that_drop_are_named(hosts):
    host, _ = hosts
    host.run(["sh", "-c", "nft add table ip theirs; nft add chain ip theirs FORWARD '{ type filter hook forward priority 0; policy drop; }';"
                          "nft add chain ip theirs in '{ type filter hook input priority 0; policy drop; }';"
                          "nft add chain ip theirs fine '{ type filter hook output priority 0; policy drop; }'"])
    found = check(host)[1]["packet filter", "warning"]
    host.run(["nft", "delete", "table", "ip", "theirs"])
    assert "chain 'FORWARD' of table 'ip theirs' drops" in found and "chain 'in' of" in found and "fine" not in found
    assert "no chain of nft drops" in check(host)[1]["packet filter", "ok"]


def test_a_network_that_does_not_start_says_what_the_host_lacks(hosts):
    """A daemon that finds neither of its programs says so beside what failed."""
    host, _ = hosts
    host.daemon.stop()
    host.run(["sh", "-c", "mkdir /run/few && for p in /usr/bin/* /usr/sbin/*; do case $p in */nft|*/dnsmasq);; *) ln -s $p /run/few/;; esac; done"])
    hidden = host.run(["sh", "-c", "mkdir /run/none && mount --bind /run/few /usr/sbin"], check=False)
    assert hidden.returncode == 0, hidden
    try:
        host.daemon.start()
        host.write_file("/root/net.xml", NAT)
        said = host.run(["virsh", "-c", "qemu:///system", "net-create", "/root/net.xml"], check=False).stderr
        assert "on this host: the program 'nft' is not there" in said and "install the package nftables" in said
    finally:
        host.run(["umount", "/usr/sbin"])
        host.daemon.stop()
        host.daemon.start()


def test_what_the_docs_give_for_commands_of_old_guides_works(hosts):
    """NET-28, NET-34, CON-59: each row of the table, on a bridge that there is; what has no counterpart is said."""
    host, _ = hosts
    text = (TOP / "docs/networks.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `brctl ")]
    assert [old.strip(" `").split()[1] for old, _ in rows] == ["show", "showmacs", "showstp"]
    for _, today in rows:
        for command in re.findall("`([^`]+)`", today):
            program, *words = command.split()
            said = host.run([PROGRAMS / program if program == "drover" else program, *words]).stdout
            assert "br0" in said or "eth0" in said, command
    assert "(network-script /bin/true)" in text


def recipe():
    """Files of systemd-networkd as docs/networks.md gives them, in columns, for a card ve0 and a bridge lan0."""
    lines = (TOP / "docs/networks.md").read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if "# br0.netdev" in line)
    starts = [match.start() for match in re.finditer("#", lines[first])]
    block = lines[first:first + lines[first:].index("")]
    columns = [[line[at:end].strip() for line in block] for at, end in zip(starts, [*starts[1:], None])]
    return {words[0][2:]: "\n".join(filter(None, words[1:])).replace("br0", "lan0").replace("eth0", "ve0") for words in columns}


@pytest.mark.limit(120)
def test_the_bridge_of_the_docs_is_one_that_guests_can_be_on(hosts):
    """NET-25, NET-27, CON-20: networkd makes it of the lines that the docs have; no ifcfg files, no NM_CONTROLLED=no."""
    host, _ = hosts
    files = recipe()
    assert len(files) == 3
    for name, text in files.items():
        host.write_file(f"/etc/systemd/network/{name.replace('br0', 'lan0').replace('eth0', 've0')}", text + "\n")
    host.ip("link add ve0 type veth peer name ve1", "link set ve1 up")
    with open(host.lab.home / "networkd.log", "wb") as log:
        alone = "mount -o remount,bind,ro /sys && exec /lib/systemd/systemd-networkd"  # no udev says here when a link is ready
        networkd = host.popen(["unshare", "-m", "sh", "-c", alone], stdout=log, stderr=log)
    try:
        def made():
            said = host.run(["ip", "-d", "link", "show", "master", "lan0"], check=False).stdout
            return networkd.poll() is None and " ve0@" in said and "mtu 9000" in host.run(["ip", "link", "show", "lan0"]).stdout
        wait_for("the bridge", made)
        networks = [PROGRAMS / "drover", "-c", "qemu:///system", "-o", "json", "iface-bridges"]
        assert {"lan0": "ve0"}.items() <= {row["name"]: row["members"] for row in json.loads(host.run(networks).stdout)}.items()
    finally:
        networkd.kill()
        networkd.wait()
        host.run(["ip", "link", "delete", "lan0"], check=False)
        host.run(["ip", "link", "delete", "ve0"], check=False)


def test_the_host_is_looked_at_without_a_daemon_and_only_here(hosts):
    host, _ = hosts
    host.daemon.stop()
    try:
        found = check(host)[1]
        assert "not looked at" in found["networks", "warning"] and ("programs", "ok") in found
    finally:
        host.daemon.start()
    said = host.run([PROGRAMS / "drover", "-c", "qemu+ssh://elsewhere/system", "net-check"], check=False)
    assert said.returncode == 1 and "'elsewhere' is another one" in said.stderr
