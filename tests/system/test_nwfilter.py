"""Network filters on a lab host: defined, put into force on devices, changed, restored (NET-36 to NET-38)."""
import concurrent.futures
import os
import re
import signal
import subprocess

import libvirt
import pytest
from packets import arp, dhcp, forwards, frame, ip, ip6, pass_through, ruleset as rules, send, udp
from waiting import wait_for

from lab.hosts import Lab

VIRSH = ["virsh", "-q", "-c", "qemu:///system"]
MINE, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
STOCK = {"allow-arp", "allow-dhcp", "allow-dhcp-server", "allow-dhcpv6", "allow-dhcpv6-server", "allow-incoming-ipv4",
         "allow-incoming-ipv6", "allow-ipv4", "allow-ipv6", "clean-traffic", "clean-traffic-gateway",
         "no-arp-ip-spoofing", "no-arp-mac-spoofing", "no-arp-spoofing", "no-ip-multicast", "no-ip-spoofing",
         "no-ipv6-multicast", "no-ipv6-spoofing", "no-mac-broadcast", "no-mac-spoofing", "no-other-l2-traffic",
         "no-other-rarp-traffic", "qemu-announce-self", "qemu-announce-self-rarp"}


@pytest.fixture(scope="module")
def host():
    """A bridge with two ports: what is sent into g1 and g2 comes out of p1 and p2, as from two guests' taps."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        host = lab.host("a")
        host.ip("link add t0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        for n in (1, 2):
            host.run(["sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; ip link add p{n} type veth peer name g{n}"])
            host.run(["sh", "-c", f"ip link set p{n} master t0 up; ip link set g{n} up"])
        host.ip("link set t0 up")
        host.run(["sh", "-c", forwards("p1", "p2")])
        host.daemon = host.droverd()
        yield host
        if host.daemon.running:
            assert host.daemon.stop() == 0, host.daemon.tail()
        assert "Sanitizer" not in host.daemon.log.read_text(errors="replace"), host.daemon.tail()


def refused(host, *args):
    done = host.run([*VIRSH, *args], check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def define(host, name, rules, chain="root"):
    host.write_file(f"/root/{name}.xml", f"<filter name='{name}' chain='{chain}'>{rules}</filter>")
    return host.virsh("nwfilter-define", f"/root/{name}.xml")


@pytest.fixture()
def bind(host):
    """Put a filter into force on a device; everything is taken off afterwards."""
    def put(dev, name, parameters=(), mac=MINE):
        values = "".join(f"<parameter name='{n}' value='{v}'/>" for n, v in parameters)
        host.write_file("/root/binding.xml", f"<filterbinding><portdev name='{dev}'/><mac address='{mac}'/>"
                                             f"<filterref filter='{name}'>{values}</filterref></filterbinding>")
        return host.run([*VIRSH, "nwfilter-binding-create", "/root/binding.xml"], check=False)
    yield put
    for dev in re.findall(r"^ *(\S+)", host.virsh("nwfilter-binding-list"), re.M):
        host.virsh("nwfilter-binding-delete", dev)


def restart(host, how=signal.SIGTERM):
    host.daemon.stop(how)
    host.daemon = host.droverd()


def test_every_host_has_the_usual_filters(host):
    """NET-36: by stock clients and our own, and what is removed stays removed."""
    listed = host.virsh("nwfilter-list")
    assert {line.split()[1] for line in listed.splitlines() if line.strip()} >= STOCK
    xml = host.virsh("nwfilter-dumpxml", "clean-traffic")
    assert "<filter name='clean-traffic' chain='root'>" in xml and "<filterref filter='no-mac-spoofing'/>" in xml
    uuid = re.search("<uuid>(.*)</uuid>", xml)[1]
    assert host.virsh("nwfilter-dumpxml", uuid) == xml
    host.virsh("nwfilter-undefine", "no-ip-multicast")
    restart(host)
    assert "no-ip-multicast" not in host.virsh("nwfilter-list")
    assert host.virsh("nwfilter-dumpxml", "clean-traffic") == xml


def test_a_usual_filter_that_was_edited_by_hand_counts_as_it_was_edited(host):
    """NET-36: one that nobody touched is not even read before it is asked for; another is what its file says."""
    kept = host.read_file("/etc/drover/nwfilter/allow-ipv6.xml")
    uuid = re.search("<uuid>(.*)</uuid>", kept)[1]
    host.write_file("/etc/drover/nwfilter/allow-ipv6.xml", kept.replace("accept", "drop"))
    broken = host.read_file("/etc/drover/nwfilter/allow-ipv4.xml")
    host.write_file("/etc/drover/nwfilter/allow-ipv4.xml", broken.replace("</filter>", ""))
    try:
        restart(host)
        assert "allow-ipv4.xml" in host.daemon.log.read_text(), "what cannot be read is named at the start"
        assert "allow-ipv4 " not in host.virsh("nwfilter-list") + " "
        assert "action='drop'" in host.virsh("nwfilter-dumpxml", uuid)
    finally:
        host.write_file("/etc/drover/nwfilter/allow-ipv6.xml", kept)
        host.write_file("/etc/drover/nwfilter/allow-ipv4.xml", broken)
        restart(host)
    assert host.virsh("nwfilter-dumpxml", "allow-ipv6") == kept
    assert "is in use" in refused(host, "nwfilter-undefine", "no-mac-spoofing"), "others that are not read yet take it in"


def test_a_filter_is_defined_changed_and_removed(host):
    """NET-36, NET-38: identity stays, what is wrong is refused with its place, and what is in use stays."""
    define(host, "mine", "<rule action='drop' direction='in'><tcp dstportstart='22'/></rule>")
    first = host.virsh("nwfilter-dumpxml", "mine")
    assert "<tcp dstportstart='22'/>" in first
    define(host, "mine", "<filterref filter='no-mac-spoofing'/>")
    second = host.virsh("nwfilter-dumpxml", "mine")
    assert re.search("<uuid>.*", first)[0] == re.search("<uuid>.*", second)[0] and "tcp" not in second
    restart(host, signal.SIGKILL)
    assert host.virsh("nwfilter-dumpxml", "mine") == second
    assert "in use" in refused(host, "nwfilter-undefine", "no-mac-spoofing")
    host.write_file("/root/bad.xml", "<filter name='mine'>\n<rule action='drop' direction='in'><ip srcipaddr='1.2'/></rule></filter>")
    assert "line 2: <ip>: '@srcipaddr' cannot be '1.2'" in refused(host, "nwfilter-define", "/root/bad.xml")
    host.write_file("/root/bad.xml", "<filter name='no-mac-spoofing'><filterref filter='mine'/></filter>")
    assert "loop" in refused(host, "nwfilter-define", "/root/bad.xml")
    host.write_file("/root/bad.xml", f"<filter name='mine2'>{re.search('<uuid>.*', second)[0]}</filter>")
    assert "different name" in refused(host, "nwfilter-define", "/root/bad.xml")
    assert host.virsh("nwfilter-dumpxml", "mine") == second
    host.virsh("nwfilter-undefine", "mine")
    assert "no nwfilter with matching name 'mine'" in refused(host, "nwfilter-dumpxml", "mine")


HONEST = [arp(MINE, "10.9.0.5"), udp(MINE, "10.9.0.5"), dhcp(MINE, False, 1)]
SPOOFED = [arp(OTHER, "10.9.0.5"), udp(OTHER, "10.9.0.5"), udp(MINE, "10.9.0.6"), arp(MINE, "10.9.0.6"),
           arp(MINE, "10.9.0.5", sender=OTHER), ip6(MINE), frame(MINE, 0x88cc, bytes(40)),
           ip(MINE, "0.0.0.0", protocol=6), arp(MINE, "10.9.0.5", kind=0x8035, opcode=4)]


def test_clean_traffic_lets_the_honest_pass(host, bind):
    """NET-37: MAC, IP and ARP of somebody else are dropped, and so is what nobody allowed."""
    honest, sentinel = HONEST, udp(MINE, "10.9.0.5", payload=b"the last")
    assert pass_through(host, "g1", "g2", [*honest, *SPOOFED], sentinel) == list(range(len(honest) + len(SPOOFED)))
    done = bind("p1", "clean-traffic", [("IP", "10.9.0.5")])
    assert done.returncode == 0, done.stderr
    assert pass_through(host, "g1", "g2", [*honest, *SPOOFED], sentinel) == [0, 1, 2]
    # towards the guest: ARP and IPv4 only; others are not looked at
    assert pass_through(host, "g2", "g1", [arp(OTHER, "10.9.0.7"), frame(OTHER, 0x88cc, bytes(40))], udp(OTHER, "10.9.0.7")) == [0]
    described = host.virsh("nwfilter-binding-dumpxml", "p1")
    assert "<portdev name='p1'/>" in described and "<parameter name='IP' value='10.9.0.5'/>" in described
    assert "in use" in refused(host, "nwfilter-undefine", "no-arp-mac-spoofing")
    assert "already exists" in bind("p1", "allow-arp").stderr
    host.virsh("nwfilter-binding-delete", "p1")
    assert "drover_filters" not in rules(host)
    assert len(pass_through(host, "g1", "g2", SPOOFED, sentinel)) == len(SPOOFED)


def test_what_cannot_be_in_force_is_refused(host, bind):
    """A variable without a value, a missing filter; nothing stays behind."""
    define(host, "gateway", "<rule action='drop' direction='out'><mac dstmacaddr='$GATEWAY'/></rule>")
    assert "needs a value for the variable 'GATEWAY'" in bind("p1", "gateway").stderr
    assert "needs a value for the variable 'IP'" in bind("p1", "clean-traffic", [("CTRL_IP_LEARNING", "none")]).stderr
    assert "cannot be 'maybe'" in bind("p1", "clean-traffic", [("CTRL_IP_LEARNING", "maybe")]).stderr
    assert "the network filter 'nobody' is missing" in bind("p1", "nobody").stderr
    define(host, "sets", "<rule action='drop' direction='in'><tcp ipset='office' ipsetflags='src'/></rule>")
    assert "does not know the sets of ipset" in bind("p1", "sets").stderr
    assert host.virsh("nwfilter-binding-list").strip() == "" and "drover_filters" not in rules(host)
    for name in ("gateway", "sets"):
        host.virsh("nwfilter-undefine", name)


def test_a_changed_filter_is_in_force_at_once_or_not_at_all(host, bind):
    """Lists, ports and both directions; a definition that cannot be put into force leaves the old one."""
    frames = [udp(MINE, "10.9.0.5", to_port=port) for port in (53, 80, 443, 1000)]
    sentinel = udp(MINE, "10.9.0.5", to_port=9)
    define(host, "ports", "<rule action='drop' direction='out'><udp dstportstart='$PORTS'/></rule>")
    assert bind("p1", "ports", [("PORTS", "53"), ("PORTS", "443")]).returncode == 0
    assert pass_through(host, "g1", "g2", frames, sentinel) == [1, 3]
    define(host, "ports", "<rule action='drop' direction='out'><udp dstportstart='80' dstportend='443'/></rule>")
    assert pass_through(host, "g1", "g2", frames, sentinel) == [0, 3]
    before, xml = rules(host), host.virsh("nwfilter-dumpxml", "ports")
    host.write_file("/root/bad.xml", "<filter name='ports'><rule action='drop' direction='out'><udp dstportstart='$WHAT'/></rule></filter>")
    assert "'WHAT'" in refused(host, "nwfilter-define", "/root/bad.xml")
    assert host.virsh("nwfilter-dumpxml", "ports") == xml and pass_through(host, "g1", "g2", frames, sentinel) == [0, 3]
    wait_for("the same rules", lambda: rules(host) == before)
    host.run(["mkdir", "/etc/drover/nwfilter/ports.xml.new"])  # in the way of the file
    host.write_file("/root/other.xml", "<filter name='ports'><rule action='drop' direction='out'><udp dstportstart='1000'/></rule></filter>")
    refused(host, "nwfilter-define", "/root/other.xml")
    wait_for("the same rules", lambda: rules(host) == before)
    host.run(["rmdir", "/etc/drover/nwfilter/ports.xml.new"])
    define(host, "ports", "<rule action='drop' direction='inout'><ip dstipaddr='10.9.0.77'/></rule>")
    there, back = udp(MINE, "10.9.0.5", to="10.9.0.77"), udp(OTHER, "10.9.0.77")
    assert pass_through(host, "g1", "g2", [*frames, there], sentinel) == [0, 1, 2, 3]
    assert pass_through(host, "g2", "g1", [back, udp(OTHER, "10.9.0.78")], udp(OTHER, "10.9.0.79")) == [1]


def test_rules_are_put_back_and_found_again(host, bind):
    """Flushed by somebody else, once while the daemon did not run."""
    sentinel = udp(MINE, "10.9.0.5", payload=b"the last")
    assert bind("p1", "clean-traffic", [("IP", "10.9.0.5")]).returncode == 0
    whole = rules(host)
    host.run(["nft", "flush", "ruleset"])
    wait_for("the rules", lambda: rules(host) == whole)
    host.run(["nft", "delete", "table", "bridge", "drover_filters"])
    wait_for("the rules again", lambda: rules(host) == whole)
    host.daemon.stop(signal.SIGKILL)
    host.run(["nft", "flush", "ruleset"])
    host.daemon = host.droverd()
    wait_for("the rules after a restart", lambda: rules(host) == whole)
    assert pass_through(host, "g1", "g2", SPOOFED, sentinel) == []


def test_a_binding_stays_until_it_is_deleted_though_its_device_goes(host, bind):
    """As in libvirt 9.0: the next device of that name is under its rules, also after a restart of the daemon."""
    host.ip("tuntap add passing mode tap")
    assert bind("passing", "clean-traffic", [("IP", "10.9.0.5")]).returncode == 0
    host.ip("link delete passing")
    for how in (None, signal.SIGTERM, signal.SIGKILL):
        if how:
            restart(host, how)
        assert "passing" in host.virsh("nwfilter-binding-list")
        wait_for("its rules", lambda: "passing" in rules(host))
    host.ip("tuntap add passing mode tap")
    assert "already exists" in bind("passing", "clean-traffic", [("IP", "10.9.0.6")]).stderr
    host.virsh("nwfilter-binding-delete", "passing")
    host.ip("link delete passing")
    wait_for("it to be gone", lambda: "passing" not in host.virsh("nwfilter-binding-list") + rules(host))


def test_a_binding_is_made_before_its_device(host, bind):
    """As in libvirt 9.0; what it learns (NET-37) it learns of each device that has the name, one after the other."""
    noted = host.path("/run/drover/nwfilter/late.lease")
    assert bind("late", "clean-traffic").returncode == 0
    assert host.virsh("nwfilter-binding-list").split() == ["late", "clean-traffic"] and "late" in rules(host)

    def appear(address):
        def learns():
            send(host, "early", udp(MINE, address))
            return address in rules(host)
        host.ip("link add late type veth peer name early", "link set late master t0 up", "link set early up")
        wait_for("the address", learns)

    for how, address in ((None, "10.9.0.5"), (signal.SIGKILL, "10.9.0.6")):
        if how:
            restart(host, how)
        appear(address)
        restart(host, signal.SIGKILL)
        wait_for("the address after a restart", lambda address=address: address in rules(host))
        host.ip("link delete late")
        wait_for("it to be forgotten", lambda address=address: address not in rules(host) and not noted.exists())
    appear("10.9.0.7")
    host.ip("link set late down", "link set late name older")
    wait_for("it to be forgotten with the name", lambda: "10.9.0.7" not in rules(host) and not noted.exists())
    host.ip("link delete older")
    assert host.virsh("nwfilter-binding-list").split() == ["late", "clean-traffic"]
    host.virsh("nwfilter-binding-delete", "late")
    wait_for("no rules", lambda: "late" not in rules(host))


def test_a_daemon_killed_while_it_changes_rules_has_the_old_or_the_new(host, bind):
    """kill -9 between a filter's being asked for and its being kept: what is shown is what is in force."""
    versions = ["<filterref filter='clean-traffic'/>",
                "<filterref filter='clean-traffic'/><rule action='drop' direction='out' priority='-700'><mac dstmacaddr='52:54:00:00:00:07'/></rule>"]
    wholes = {}
    define(host, "again", versions[0])
    assert bind("p1", "again", [("IP", "10.9.0.5")]).returncode == 0
    for new in (1, 0):
        define(host, "again", versions[new])
        wholes[new] = rules(host)
    for new in (1, 0, 1):
        host.write_file("/root/again.xml", f"<filter name='again'>{versions[new]}</filter>")
        asking = host.popen([*VIRSH, "nwfilter-define", "/root/again.xml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        restart(host, signal.SIGKILL)
        asking.wait(120)
        shown = "52:54:00:00:00:07" in host.virsh("nwfilter-dumpxml", "again")
        wait_for("the rules of what is shown", lambda: rules(host) == wholes[shown])
    host.virsh("nwfilter-binding-delete", "p1")
    host.virsh("nwfilter-undefine", "again")


def test_an_address_is_learned_from_dhcp_only(host, bind):
    """NET-37: DHCP until there is a lease of a trusted server; the lease outlives the daemon, and ends when it is given back."""
    hello, request = udp(MINE, "10.9.0.5"), dhcp(MINE, False, 3)
    assert bind("p1", "clean-traffic", [("CTRL_IP_LEARNING", "dhcp"), ("DHCPSERVER", "10.9.0.1")]).returncode == 0
    assert pass_through(host, "g1", "g2", [hello, arp(MINE, "10.9.0.5"), dhcp(OTHER, False, 3)], request) == []
    # of others, and about others: not believed
    for lie in (dhcp(MINE, True, 5, "10.9.0.5", server="10.9.0.66"), dhcp(OTHER, True, 5, "10.9.0.5"), dhcp(MINE, True, 2, "10.9.0.5")):
        pass_through(host, "g2", "g1", [], lie)
    pass_through(host, "g1", "g2", [dhcp(MINE, True, 5, "10.9.0.5", sender=MINE)], request)  # from the guest itself
    assert pass_through(host, "g1", "g2", [hello], request) == [] and "10.9.0.5" not in rules(host)
    pass_through(host, "g2", "g1", [], dhcp(MINE, True, 5, "10.9.0.5"))
    wait_for("the lease", lambda: "10.9.0.5" in rules(host))
    assert pass_through(host, "g1", "g2", [udp(MINE, "10.9.0.6"), arp(MINE, "10.9.0.6")], hello) == []
    restart(host, signal.SIGKILL)
    wait_for("the lease after a restart", lambda: "10.9.0.5" in rules(host))
    assert pass_through(host, "g1", "g2", [udp(MINE, "10.9.0.6")], hello) == []
    pass_through(host, "g1", "g2", [], dhcp(MINE, False, 7, "10.9.0.5"))
    wait_for("the end of the lease", lambda: "10.9.0.5" not in rules(host))
    # taken and given back within the second in which the rules do not change again
    given = host.path("/run/drover/nwfilter/p1.lease")
    pass_through(host, "g2", "g1", [], dhcp(MINE, True, 5, "10.9.0.5"))
    wait_for("the lease to be noted", lambda: "10.9.0.5" in given.read_text())
    pass_through(host, "g1", "g2", [], dhcp(MINE, False, 7, "10.9.0.5"))
    wait_for("its end to be noted", lambda: "10.9.0.5" not in given.read_text())
    restart(host, signal.SIGKILL)
    wait_for("the rules without it", lambda: "p1" in rules(host) and "10.9.0.5" not in rules(host))
    assert pass_through(host, "g1", "g2", [hello], request) == []
    pass_through(host, "g2", "g1", [], dhcp(MINE, True, 5, "10.9.0.7", lease_s=8))
    wait_for("a short lease", lambda: "10.9.0.7" in rules(host))
    wait_for("its end", lambda: "10.9.0.7" not in rules(host))


def test_two_who_bind_a_device_at_once_leave_one_binding(host):
    """Whoever is refused leaves the file of the one that is there, which the next daemon has in force.

    One is refused for its filter, before another has its turn."""
    conn = libvirt.open(host.daemon.uri)
    noted = host.path("/run/drover/nwfilter/p1.xml")

    def create(name):
        try:
            conn.nwfilterBindingCreateXML(f"<filterbinding><portdev name='p1'/><mac address='{MINE}'/><filterref filter='{name}'/></filterbinding>")
        except libvirt.libvirtError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            made = list(pool.map(create, ["no-such-filter", "no-mac-spoofing", "no-mac-broadcast", "allow-arp"]))
            assert sum(made) == 1
            name = re.search(r"p1 +(\S+)", host.virsh("nwfilter-binding-list"))[1]
            wait_for("its note", lambda name=name: noted.exists() and name in noted.read_text())
            host.virsh("nwfilter-binding-delete", "p1")
            wait_for("no note", lambda: not noted.exists())
    conn.close()


FLOOD = """
import socket, sys
out = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for _ in range(2)]
for one, card in zip(out, ("g1", "g2")):
    one.bind((card, 0))
back, given = map(bytes.fromhex, sys.argv[1:])
for _ in range(400):
    out[1].send(given)
    out[0].send(back)
out[1].send(given)
"""


def test_a_guest_that_changes_its_address_all_the_time_keeps_nobody_busy(host, bind):
    """NET-37: what it has last is in force; its rules are not written for every one of them."""
    assert bind("p1", "clean-traffic", [("CTRL_IP_LEARNING", "dhcp")]).returncode == 0
    host.run(["cp", "/usr/sbin/nft", "/run/nft"])
    host.write_file("/run/counted", "#!/bin/sh\necho >> /run/nft-runs\nexec /run/nft \"$@\"\n", 0o755)
    host.run(["mount", "--bind", "/run/counted", "/usr/sbin/nft"])
    try:
        given, back = dhcp(MINE, True, 5, "10.9.0.5"), dhcp(MINE, False, 7, "10.9.0.5")
        host.run(["/usr/bin/python3", "-c", FLOOD, back.hex(), given.hex()])

        def is_in_force():  # the last frames of a flood may have found no room
            send(host, "g2", given)
            return "10.9.0.5" in host.run(["/run/nft", "list", "ruleset"], check=False).stdout
        wait_for("what it has last", is_in_force)
        host.virsh("nwfilter-binding-delete", "p1")  # behind everything that was still to be written
        assert len(host.read_file("/run/nft-runs")) < 50  # of up to 800 changes
    finally:
        host.run(["umount", "-l", "/usr/sbin/nft"])  # it may be run at this moment


def test_an_address_is_learned_from_what_is_sent(host, bind):
    """NET-37: the first address that comes from the guest's MAC address is its own, for good."""
    assert bind("p1", "clean-traffic").returncode == 0
    request = dhcp(MINE, False, 3)
    assert pass_through(host, "g1", "g2", [udp(OTHER, "10.9.0.8")], request) == []
    pass_through(host, "g1", "g2", [udp(MINE, "10.9.0.5")], request)
    wait_for("the address", lambda: "10.9.0.5" in rules(host))
    assert pass_through(host, "g1", "g2", [udp(MINE, "10.9.0.6"), arp(MINE, "10.9.0.6")], udp(MINE, "10.9.0.5")) == []
    restart(host)
    wait_for("the address after a restart", lambda: "10.9.0.5" in rules(host))
