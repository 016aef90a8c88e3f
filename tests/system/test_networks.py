"""Virtual networks on a lab host: made, found again, changed, gone without trace (NET-*)."""
import contextlib
import os
import re
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import libvirt
import procfs
import pytest
from packets import ruleset
from waiting import EventLoop, wait_for

from lab import domains
from lab.hosts import Lab
from lab.paths import PROGRAMS

VIRSH = ["virsh", "-q", "-c", "qemu:///system"]


@pytest.fixture(scope="module")
def host():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        host = lab.host("a")
        shell(host, "for f in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 0 > /proc/sys/net/$f; done")
        host.daemon = host.droverd({"default_network": 1})
        wait_for("the network 'default'", lambda: host.virsh("net-list", "--name").split() == ["default"])
        yield host
        if host.daemon.running:
            assert host.daemon.stop() == 0, host.daemon.tail()
        assert "Sanitizer" not in host.daemon.log.read_text(errors="replace"), host.daemon.tail()


@pytest.fixture()
def network(host, request):
    """Define networks from XML; all but 'default' are gone afterwards."""
    def define(name, inner, start=True):
        host.write_file(f"/root/{name}.xml", f"<network><name>{name}</name>{inner}</network>")
        host.virsh("net-define", f"/root/{name}.xml")
        if start:
            host.virsh("net-start", name)
        return name
    yield define
    for name in host.virsh("net-list", "--all", "--name").split():
        if name != "default":
            host.run([*VIRSH, "net-destroy", name], check=False)
            host.run([*VIRSH, "net-undefine", name], check=False)


def refused(host, *args):
    done = host.run([*VIRSH, *args], check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def shell(host, command):
    return host.run(["sh", "-c", command]).stdout


def links(host):
    return set(re.findall(r"^\d+: ([^:@]+)", shell(host, "ip -o link"), re.M))


def forwarding(host):
    return shell(host, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding").split()


def servers(host):
    return host.processes("dnsmasq")


def defined(host, name, *flags):
    return ET.fromstring(host.virsh("net-dumpxml", name, *flags))


def test_the_default_network_is_there_and_started(host):
    """NET-02, NET-05, NET-06, NET-07, NET-08; CON-19: the rules are of nftables, in one table of our own"""
    assert re.search(r"default +active +yes +yes", host.virsh("net-list", "--all"))
    bridge = shell(host, "ip -d address show virbr0")
    assert "192.168.122.1/24" in bridge and "stp_state 1" in bridge and ",UP" in bridge
    assert forwarding(host)[0] == "1" and len(servers(host)) == 1
    rules = ruleset(host)
    for needed in ("hook input", "hook forward", "hook output", "hook postrouting", "masquerade"):
        assert needed in rules
    assert host.virsh("net-info", "default").split()[-2:] == ["Bridge:", "virbr0"]


def test_a_stopped_network_leaves_nothing(host):
    """NET-13: switches, rules, bridge, server and files are as they were."""
    host.virsh("net-destroy", "default")
    assert "virbr0" not in links(host) and forwarding(host) == ["0", "0"] and servers(host) == []
    assert "drover" not in ruleset(host)
    assert os.listdir(host.path("/run/drover/network")) == ["autostarted"]
    assert defined(host, "default").findtext("name") == "default"
    host.virsh("net-start", "default")


def test_definitions_go_and_come_as_with_stock(host, network):
    """NET-04, NET-11 to NET-13, NET-15; NET-14: name and UUID lead to each other"""
    network("n", "<ip address='10.66.0.1' prefix='24'/>", start=False)
    assert "n  inactive  no  yes" in re.sub(" +", "  ", host.virsh("net-list", "--inactive"))
    uuid = host.virsh("net-uuid", "n").strip()
    assert host.virsh("net-name", uuid).strip() == "n"
    said = shell(host, "virsh -c qemu:///system net-autostart n; virsh -c qemu:///system net-autostart n --disable")
    assert said.split("\n\n")[:2] == ["Network n marked as autostarted", "Network n unmarked as autostarted"]
    host.virsh("net-start", "n")
    assert "already active" in refused(host, "net-start", "n")
    host.virsh("net-undefine", "n")
    assert "n  active  no  no" in re.sub(" +", "  ", host.virsh("net-list", "--all"))
    host.virsh("net-destroy", "n")
    assert "no network with matching name 'n'" in refused(host, "net-info", "n")
    host.virsh("net-create", "/root/n.xml", "--validate")
    assert "not active" in refused(host, "net-destroy", network("m", "", start=False))
    host.virsh("net-destroy", "n")
    assert "no network" in refused(host, "net-start", "n")


def test_the_guides_network_dumps_as_it_was_defined(host, network):
    """NET-10, CON-31"""
    network("vnet0", "<forward dev='eth0'/><bridge name='vnet0' stp='on' forwardDelay='0' />"
            "<ip address='192.168.100.1' netmask='255.255.255.0'><dhcp>"
            "<range start='192.168.100.128' end='192.168.100.254' /></dhcp></ip>")
    out = defined(host, "vnet0")
    assert out.find("bridge").attrib == {"name": "vnet0", "stp": "on", "delay": "0"}
    assert out.find("forward").get("dev") == "eth0" and out.find("ip/dhcp/range").get("end") == "192.168.100.254"
    assert 'oifname "eth0" masquerade' in ruleset(host)  # NET-19


def test_what_is_in_the_way_is_named(host, network):
    """A bridge's name, other networks, and what the host reaches elsewhere."""
    host.ip("link add br9 type bridge")
    network("x", "<bridge name='br9'/>", start=False)
    said = refused(host, "net-start", "x")
    assert "'br9' already in use" in said and "'x'" in said
    host.ip("link delete br9")
    host.virsh("net-start", "x")
    assert "bridge name 'virbr0' already in use by network 'default'" in define_refused(
        host, "<network><name>y</name><bridge name='virbr0'/></network>")
    network("y", "<ip address='192.168.122.77' prefix='30'/>", start=False)
    assert "overlaps with the active network 'default'" in refused(host, "net-start", "y")
    network("z", "<ip address='10.77.0.200' prefix='24'/>", start=False)
    assert "Network is already in use by interface br0" in refused(host, "net-start", "z")
    assert "virbr" not in "".join(links(host) - {"virbr0", "br9"})


def define_refused(host, xml):
    host.write_file("/root/refused.xml", xml)
    return refused(host, "net-define", "/root/refused.xml")


@pytest.mark.parametrize("inner, says", [
    ("<forward mode='nat'/>", "no IP address provided"),
    ("<ip address='10.1.2.1' prefix='24'><dhcp><range start='10.1.3.1' end='10.1.3.5'/></dhcp></ip>", "not entirely within"),
    ("<forward mode='bridge'/><bridge name='br0'/><ip address='10.1.2.1'/>", "Unsupported <ip> element"),
    ("<domain name='x&#10;conf-file=/etc/shadow'/>", "cannot be a name in DNS"),
])
def test_what_cannot_be_is_refused(host, inner, says):
    assert says in define_refused(host, f"<network><name>x</name>{inner}</network>")


def test_a_flushed_rule_set_is_put_back(host):
    """Others may flush everything; their own rules are left alone."""
    shell(host, "nft add table inet theirs; nft flush ruleset; nft add table inet theirs")
    wait_for("the rules", lambda: "masquerade" in ruleset(host))
    shell(host, "nft flush chain inet drover forward")
    wait_for("the chain", lambda: "vmap @from_guests" in ruleset(host))
    assert "table inet theirs" in ruleset(host)
    assert "changed or flushed by somebody else; they are put back" in host.daemon.log.read_text()
    shell(host, "nft delete table inet theirs")


@contextlib.contextmanager
def replaced(host, program, text):
    """A program of the host is this script meanwhile; it finds the real one as /run/PROGRAM."""
    host.run(["cp", f"/usr/sbin/{program}", f"/run/{program}"])
    host.write_file(f"/run/{program}.sh", f"#!/bin/sh\n{text}\n", 0o755)
    host.run(["mount", "--bind", f"/run/{program}.sh", f"/usr/sbin/{program}"])
    try:
        yield
    finally:
        host.run(["umount", "-l", f"/usr/sbin/{program}"])  # it may be run at this moment


def test_rules_that_cannot_be_put_back_are_tried_again(host):
    """Guests are without them meanwhile, and nobody else would come to it."""
    with replaced(host, "nft", "echo no room >&2; exit 1"):
        shell(host, "/run/nft flush ruleset")
        wait_for("a failure", lambda: "the packet filter's rules cannot be set: nft exited with status 1: no room" in host.daemon.log.read_text())
        assert "drover" not in shell(host, "/run/nft list tables")
    wait_for("the rules", lambda: "masquerade" in ruleset(host))


def test_a_server_that_refuses_a_change_serves_what_it_did(host, network):
    """A change that was refused is nowhere, and the network is served on."""
    others = set(servers(host))
    network("u", "<ip address='10.66.0.1' prefix='24'/>")
    conf = host.path(f"/run/drover/network/{host.virsh('net-uuid', 'u').strip()}/conf")
    before = conf.read_text()
    with replaced(host, "dnsmasq", "echo bad option at line 9 >&2; exit 1"):
        assert "bad option at line 9" in refused(host, "net-update", "u", "add", "dns-txt", "<txt name='t' value='v'/>", "--live", "--config")
        assert conf.read_text() == before and not set(servers(host)) - others
    wait_for("its server", lambda: set(servers(host)) - others)
    for flags in ([], ["--inactive"]):
        assert defined(host, "u", *flags).find("dns/txt") is None
    host.virsh("net-update", "u", "add", "dns-txt", "<txt name='t' value='v'/>", "--live")
    assert "txt-record=t" in conf.read_text()


def test_a_server_on_its_way_is_waited_for(host, network):
    """What changes meanwhile waits for nobody, and a network that ends has none left behind."""
    others = set(servers(host))
    network("w", "<ip address='10.66.0.1' prefix='24'><dhcp><range start='10.66.0.5' end='10.66.0.6'/></dhcp></ip>")
    first, = set(servers(host)) - others
    with replaced(host, "dnsmasq", 'until [ -e /run/go ]; do sleep 0.1; done; exec /run/dnsmasq "$@"'):
        os.kill(first, signal.SIGKILL)
        wait_for("another one to be on its way", lambda: "sh /usr/sbin/dnsmasq " in shell(host, "ps axww"))
        host.virsh("net-update", "w", "add", "dns-host", "<host ip='10.66.0.8'><hostname>eight</hostname></host>", "--live")
        end = host.popen([*VIRSH, "net-destroy", "w"])
        wait_for("the end to be asked for", lambda: end.poll() is not None or "phase stopping" in status_of(host, "w"))
        host.write_file("/run/go", "")
        assert end.wait(120) == 0
    assert set(servers(host)) == others
    os.unlink(host.path("/run/go"))


@pytest.mark.parametrize("room", ["remount,bind,ro", None])
def test_a_change_that_cannot_be_kept_is_not_in_force_either(host, network, room):
    """NET-10 and net-update: the call fails, and both definitions, the files of the server and what it answers are as before."""
    network("u", "<ip address='10.66.0.1' prefix='24'><dhcp><range start='10.66.0.5' end='10.66.0.6'/></dhcp></ip>")
    files, place = host.path(f"/run/drover/network/{host.virsh('net-uuid', 'u').strip()}"), "/etc/drover/network"
    before = [ET.tostring(defined(host, "u", *flags)) for flags in ([], ["--inactive"])]
    served = (files / "conf").read_text()
    if room:
        shell(host, f"mount --bind {place} {place} && mount -o {room} {place}")
    else:
        shell(host, f"cp -a {place} /run/kept && mount -t tmpfs -o size=64k full {place} && cp -a /run/kept/. {place}; rm -r /run/kept; "
              f"dd if=/dev/zero of={place}/fill bs=4k 2> /dev/null || :")
    try:
        for section, element in (("dns-txt", "<txt name='t' value='v'/>"), ("ip-dhcp-host", "<host mac='52:54:00:00:00:09' ip='10.66.0.9'/>")):
            said = refused(host, "net-update", "u", "add", section, element, "--live", "--config")
            assert ("Read-only file system" if room else "No space left") in said, said
            assert [ET.tostring(defined(host, "u", *flags)) for flags in ([], ["--inactive"])] == before
            assert (files / "conf").read_text() == served
            assert b"52:54:00:00:00:09" not in b"".join(map(procfs.read, procfs.files(files)))
        host.virsh("net-update", "u", "add", "dns-txt", "<txt name='t' value='v'/>", "--live")
    finally:
        host.run(["umount", place])
    host.virsh("net-update", "u", "add", "dns-txt", "<txt name='t' value='v'/>", "--config")
    assert all(defined(host, "u", *flags).find("dns/txt") is not None for flags in ([], ["--inactive"]))
    wait_for("two servers", lambda: len(servers(host)) == 2)


def test_a_network_of_the_hosts_functions_is_kept_and_not_started(host, network):
    """'hostdev named': defined, described and removed as any other; what it would take is said when it is to start."""
    network("functions", "<forward mode='hostdev' managed='yes'><address type='pci' domain='0' bus='1' slot='2' function='3'/></forward>", start=False)
    forward = defined(host, "functions").find("forward")
    assert forward.attrib == {"mode": "hostdev", "managed": "yes"} and forward.find("address").get("slot") == "0x02"
    assert "mode 'hostdev') cannot be started so far" in refused(host, "net-start", "functions")
    host.write_file("/root/functions.xml", "<network><name>f2</name><forward mode='hostdev'><pf dev='lo'/></forward></network>")
    assert "drover gives out no virtual functions" in refused(host, "net-create", "/root/functions.xml")
    assert "f2" not in host.virsh("net-list", "--all", "--name").split() and "inactive" in host.virsh("net-list", "--inactive")
    host.virsh("net-undefine", "functions")


def test_a_status_that_cannot_be_read_leaves_no_network_behind(host, network):
    """One that is defined goes on, with its server and rules; one that is not is removed with all that it had."""
    before, others = links(host), set(servers(host))
    network("kept", "<forward/><ip address='10.66.0.1' prefix='24'/>")
    host.write_file("/root/passing.xml", "<network><name>passing</name><forward/><ip address='10.67.0.1' prefix='24'/></network>")
    host.virsh("net-create", "/root/passing.xml")
    bridges = {name: defined(host, name).find("bridge").get("name") for name in ("kept", "passing")}
    assert links(host) == before | set(bridges.values())
    paths = [host.path(f"/run/drover/network/{host.virsh('net-uuid', name).strip()}.status") for name in bridges]
    host.daemon.stop(signal.SIGKILL)
    for path in paths:
        path.write_text("phase act")
    host.daemon.start()
    assert set(host.virsh("net-list", "--name").split()) == {"default", "kept"}
    wait_for("one bridge and one server", lambda: links(host) == before | {bridges["kept"]} and len(set(servers(host)) - others) == 1)
    wait_for("rules of one network", lambda: bridges["passing"] not in ruleset(host))
    assert bridges["kept"] in ruleset(host) and not paths[1].exists() and forwarding(host)[0] == "1"
    wait_for("a whole status", lambda: "phase active" in status_of(host, "kept"))
    host.daemon.stop(signal.SIGKILL)
    host.daemon.start()
    assert "kept" in host.virsh("net-list", "--name").split()
    host.virsh("net-destroy", "kept")
    assert links(host) == before and set(servers(host)) == others


def status_of(host, name):
    """Nothing once it is stopped."""
    return procfs.read(host.path(f"/run/drover/network/{host.virsh('net-uuid', name).strip()}.status")).decode()


def test_a_reload_writes_the_rules_anew(host):
    """CFG-21: SIGHUP, as after changes of the host's own network. A table that is made again has another handle."""
    def handle():
        said = host.run(["nft", "-a", "list", "table", "inet", "drover"], check=False).stdout  # nothing while it is changed
        return (re.search(r"table inet drover .*# handle (\d+)", said) or [None, None])[1]

    before = wait_for("the table", handle)
    os.kill(host.daemon.pid, signal.SIGHUP)
    wait_for("the rules are others", lambda: handle() not in (before, None))
    assert "masquerade" in ruleset(host)


def test_a_server_that_dies_comes_back_with_its_leases(host):
    leases = host.path(f"/var/lib/drover/network/{host.virsh('net-uuid', 'default').strip()}/leases")
    leases.write_text("0 52:54:00:aa:bb:cc 192.168.122.9 kept *\n")
    old = set(servers(host))
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for("another server", lambda: len(now := set(servers(host))) == 1 and not now & old)
    wait_for("its leases", lambda: "192.168.122.9/24" in host.virsh("net-dhcp-leases", "default"))
    assert "ended by itself; it is started again" in host.daemon.log.read_text()


def test_a_server_may_do_little(host):
    """It is another user, without new privileges, and the kernel refuses it what it has no business with."""
    host.virsh("net-destroy", "default")
    host.virsh("net-start", "default")  # it serves when this is answered
    status = Path(f"/proc/{servers(host)[0]}/status").read_text(encoding="ascii")
    assert re.search(r"NoNewPrivs:\s+1$", status, re.M) and re.search(r"Seccomp:\s+2$", status, re.M)
    assert not re.search(r"Uid:\s+0\s", status)


def test_a_lease_of_ipv6_tells_the_card(host, network):
    """By the client's identity where that has an address in it, else by whom the kernel has seen there."""
    network("six", "<bridge name='six0'/><ip family='ipv6' address='fd66::1' prefix='64'>"
            "<dhcp><range start='fd66::10' end='fd66::20'/></dhcp></ip>")
    leases = host.path(f"/var/lib/drover/network/{host.virsh('net-uuid', 'six').strip()}/leases")
    leases.write_text("duid 00:01:00:01:2c:00:00:00:02:00:00:00:00:01\n"
                      "0 100 fd66::11 plain 00:03:00:01:52:54:00:66:00:11\n"
                      "0 101 fd66::12 uuid 00:04:9b:1d:9a:a4:6b:ea:4c:a5:8e:5d:a6:cf:07:0d:29:d7\n"
                      "0 102 fd66::13 gone 00:04:9b:1d:9a:a4:6b:ea:4c:a5:8e:5d:a6:cf:07:0d:29:d8\n")
    host.ip("neigh replace fd66::12 lladdr 52:54:00:66:00:12 dev six0 nud permanent")
    text = host.virsh("net-dhcp-leases", "six")
    assert re.search(r"52:54:00:66:00:11 +ipv6 +fd66::11/64", text) and re.search(r"52:54:00:66:00:12 +ipv6 +fd66::12/64", text)
    assert re.search(r"\d +ipv6 +fd66::13/64", text)  # nobody knows; virsh 9.0 must not be told NULL
    assert "fd66::12" in host.virsh("net-dhcp-leases", "six", "--mac", "52:54:00:66:00:12")


def test_networks_outlive_the_daemon(host, network):
    """kill -9: they serve on, and the next daemon finds them, and what it was told of theirs."""
    network("t", "<ip address='10.66.0.1' prefix='24'><dhcp><range start='10.66.0.5' end='10.66.0.9'/></dhcp></ip>")
    host.virsh("net-undefine", "t")
    before = servers(host), links(host)
    host.daemon.stop(signal.SIGKILL)
    assert (servers(host), links(host)) == before and forwarding(host)[0] == "1"
    host.daemon.start()
    assert sorted(host.virsh("net-list", "--name").split()) == ["default", "t"]
    assert (servers(host), links(host)) == before
    host.virsh("net-destroy", "t")
    assert len(servers(host)) == 1 and "t" not in host.virsh("net-list", "--all", "--name").split()


def test_networks_start_once_per_boot(host, network):
    """NET-04, as libvirt does: what an administrator stopped stays stopped when the daemon is restarted."""
    network("marked", "<ip address='10.66.0.1' prefix='24'/>")
    uuid = host.virsh("net-uuid", "marked").strip()
    host.virsh("net-autostart", "marked")
    host.virsh("net-destroy", "marked")
    orphan = host.path("/run/drover/network/0f6cc6a5-8a0c-4b6c-9b59-0c9ad4a5f1c1")
    orphan.mkdir()
    (orphan / "conf").write_text("of a daemon before this one\n")
    host.daemon.stop(signal.SIGKILL)
    host.daemon.start()
    assert host.virsh("net-list", "--name").split() == ["default"] and not orphan.exists()
    host.daemon.stop()
    host.path("/run/drover/network/autostarted").unlink()  # the host boots again
    host.daemon.start()
    wait_for("it to be active", lambda: sorted(host.virsh("net-list", "--name").split()) == ["default", "marked"])
    host.daemon.stop(signal.SIGKILL)
    host.ip(f"link delete {defined_bridge(host, uuid)}")  # what was active and is gone is made again
    host.daemon.start()
    wait_for("it to be active", lambda: "marked" in host.virsh("net-list", "--name").split())
    host.virsh("net-autostart", "marked", "--disable")


def defined_bridge(host, uuid):
    return re.search("<bridge name='([^']+)'", host.read_file(f"/run/drover/network/{uuid}.status"))[1]


def test_a_server_that_was_dead_when_the_daemon_ended_comes_back(host, network):
    others = set(servers(host))
    network("sleepy", "<ip address='10.66.0.1' prefix='24'/>")
    status = host.path(f"/run/drover/network/{host.virsh('net-uuid', 'sleepy').strip()}.status")
    text = status.read_text()
    assert re.search(r"^server \d+ ", text, re.M)
    host.daemon.stop(signal.SIGKILL)
    for pid in set(servers(host)) - others:
        os.kill(pid, signal.SIGKILL)
    status.write_text(re.sub(r"^server .*\n", "", text, flags=re.M))  # as it is noted until another one runs
    host.daemon.start()
    wait_for("another server", lambda: re.search(r"^server \d+ ", status.read_text(), re.M))
    assert len(servers(host)) == 2


def test_an_isolated_port_stays_isolated(host, network):
    """NET-21, NET-29: whatever its guest's card does, and when the network comes back under it."""
    def card(source):
        return f"<interface type='network'><mac address='52:54:00:66:00:01'/><source network='{source}'/><model type='virtio'/></interface>"

    def port(bridge):
        return re.search(rf"master {bridge} .*?isolated (on|off)", shell(host, "bridge -d link"), re.S)[1]

    network("apart", "<bridge name='apart0'/><port isolated='yes'/>")
    network("plain", "<bridge name='plain0'/>")
    host.write_file("/root/g.xml", domains.bare("g", kind="qemu", devices=card("apart")))
    host.virsh("create", "/root/g.xml")
    assert port("apart0") == "on"
    host.virsh("net-destroy", "apart")
    host.virsh("net-start", "apart")
    wait_for("the guest to be there again", lambda: "master apart0" in shell(host, "bridge link"))
    wait_for("its port to be isolated", lambda: port("apart0") == "on")
    host.virsh("destroy", "g")
    host.write_file("/root/g.xml", domains.bare("g", kind="qemu", devices=card("plain")))
    host.virsh("create", "/root/g.xml")
    assert port("plain0") == "off"
    host.write_file("/root/card.xml", card("apart"))
    host.virsh("update-device", "g", "/root/card.xml")
    assert port("apart0") == "on"
    host.virsh("destroy", "g")
    host.write_file("/root/g.xml", domains.bare("g", kind="qemu", devices="<interface type='ethernet'><port isolated='yes'/></interface>"))
    assert "'port/@isolated' needs a bridge" in refused(host, "create", "/root/g.xml")


def test_what_is_noted_about_a_network_outlives_the_daemon(host, network):
    """What is in force and the definition are noted in one by one, and nothing of the machine is touched."""
    network("noted", "<ip address='10.66.0.1' prefix='24'/>")
    before = servers(host)
    for words in (["net-desc", "noted", "--live", "in", "force"], ["net-desc", "noted", "--config", "--title", "kept"],
                  ["net-metadata", "noted", "urn:x", "--key", "x", "--set", "<seen by='me'/>", "--live", "--config"]):
        host.run([PROGRAMS / "drover", "-c", "qemu:///system", *words])
    host.daemon.stop(signal.SIGKILL)
    host.daemon.start()
    live, config = defined(host, "noted"), defined(host, "noted", "--inactive")
    assert (live.findtext("description"), live.findtext("title")) == ("in force", None)
    assert (config.findtext("description"), config.findtext("title")) == (None, "kept")
    assert all(e.find("metadata/{urn:x}seen").get("by") == "me" for e in (live, config)) and servers(host) == before


def test_a_network_that_was_on_its_way_is_undone(host, network):
    """A daemon killed in the middle of a start: what there was of it is removed, and it can be started; other networks go on."""
    network("half", "<forward/><ip address='10.66.0.1' prefix='24'/>")
    uuid = host.virsh("net-uuid", "half").strip()
    status = host.path(f"/run/drover/network/{uuid}.status")
    host.daemon.stop(signal.SIGKILL)
    status.write_text(status.read_text().replace("phase active", "phase starting"))
    host.daemon.start()
    bridge = defined(host, "half").find("bridge").get("name")
    wait_for("nothing to be left", lambda: bridge not in links(host) and not status.exists() and len(servers(host)) == 1)
    assert forwarding(host)[0] == "1"
    host.virsh("net-start", "half")


@pytest.mark.parametrize("section, element, later", [
    ("ip-dhcp-host", "<host mac='52:54:00:00:00:09' name='nine' ip='10.66.0.9'/>", "52:54:00:00:00:09,nine,10.66.0.9"),
    ("ip-dhcp-range", "<range start='10.66.0.20' end='10.66.0.30'/>", "dhcp-range=10.66.0.20,10.66.0.30"),
    ("dns-host", "<host ip='10.66.0.8'><hostname>eight</hostname></host>", "10.66.0.8\teight"),
    ("dns-txt", "<txt name='t' value='some words'/>", 'txt-record=t,"some words"'),
    ("dns-srv", "<srv service='ldap' protocol='tcp' target='l' port='389'/>", "srv-host=_ldap._tcp,l,389"),
    ("portgroup", "<portgroup name='g'/>", None),
])
def test_sections_are_updated_live(host, network, section, element, later):
    network("u", "<ip address='10.66.0.1' prefix='24'><dhcp><range start='10.66.0.5' end='10.66.0.6'/></dhcp></ip>")
    for command, there in (("add-last", True), ("delete", False)):
        host.virsh("net-update", "u", command, section, element, "--live", "--config")
        tag = ET.fromstring(element).tag
        for flags in ([], ["--inactive"]):
            found = [e for e in defined(host, "u", *flags).iter(tag) if e.attrib == ET.fromstring(element).attrib]
            assert bool(found) == there
        uuid = host.virsh("net-uuid", "u").strip()
        files = b"".join(map(procfs.read, procfs.files(host.path(f"/run/drover/network/{uuid}")))).decode()
        assert later is None or (later in files) == there
    wait_for("two servers", lambda: len(servers(host)) == 2)
    assert "existing" in refused(host, "net-update", "u", "add", "ip-dhcp-range", "<range start='10.66.0.5' end='10.66.0.6'/>")
    assert "can't update 'bridge'" in refused(host, "net-update", "u", "add", "bridge", "<bridge/>")


# section: (where it is, three elements of it, the second one changed or None where only adding and deleting is possible)
SECTIONS = {
    "ip-dhcp-host": ("ip/dhcp/host", [f"<host mac='52:54:00:00:00:0{i}' name='g{i}' ip='10.66.0.1{i}'/>" for i in (1, 2, 3)],
                     "<host mac='52:54:00:00:00:02' name='g2' ip='10.66.0.20'/>"),
    "ip-dhcp-range": ("ip/dhcp/range", [f"<range start='10.66.0.{i}1' end='10.66.0.{i}5'/>" for i in (3, 4, 5)], None),
    "forward-interface": ("forward/interface", [f"<interface dev='upd{i}'/>" for i in (1, 2, 3)], None),
    "portgroup": ("portgroup", [f"<portgroup name='p{i}'/>" for i in (1, 2, 3)], "<portgroup name='p2' default='yes'/>"),
    "dns-host": ("dns/host", [f"<host ip='10.66.0.8{i}'><hostname>h{i}</hostname></host>" for i in (1, 2, 3)], None),
    "dns-txt": ("dns/txt", [f"<txt name='t{i}' value='v{i}'/>" for i in (1, 2, 3)], None),
    "dns-srv": ("dns/srv", [f"<srv service='s{i}' protocol='tcp' target='t' port='{i}'/>" for i in (1, 2, 3)], None),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_takes_every_command(host, network, section):
    """add-first, add-last, modify and delete, of what is in force and of what the next start uses."""
    where, (first, second, third), changed = SECTIONS[section]
    if section == "forward-interface":
        host.ip(*(f"link add upd{i} type bridge" for i in (0, 1, 2, 3)))
        network("m", "<forward mode='bridge'><interface dev='upd0'/></forward>")
    else:
        network("m", "<ip address='10.66.0.1' prefix='24'/>")

    def attributes(flags):
        return [e.attrib for e in defined(host, "m", *flags).findall(where) if e.get("dev") != "upd0"]

    def update(command, element):
        host.virsh("net-update", "m", command, section, element, "--live", "--config")

    def there(*elements):
        wanted = [{k: v for k, v in ET.fromstring(e).attrib.items()} for e in elements]
        for flags in ([], ["--inactive"]):
            have = attributes(flags)
            assert [{k: h.get(k) for k in w} for h, w in zip(have, wanted)] == wanted and len(have) == len(wanted), have

    update("add-last", second)
    update("add-last", third)
    update("add-first", first)
    if section == "forward-interface":
        assert defined(host, "m").findall(where)[0].get("dev") == "upd1"
    there(first, second, third)
    assert "existing" in refused(host, "net-update", "m", "add", section, second, "--live")
    if changed:
        update("modify", changed)
        there(first, changed, third)
    else:
        assert "only added or deleted" in refused(host, "net-update", "m", "modify", section, second, "--live", "--config")
    update("delete", changed or second)
    there(first, third)
    assert "couldn't locate" in refused(host, "net-update", "m", "delete", section, second, "--config")
    host.virsh("net-update", "m", "delete", section, third, "--config")
    assert len(attributes([])) == 2 and len(attributes(["--inactive"])) == 1
    if section == "forward-interface":
        host.ip(*(f"link delete upd{i}" for i in (0, 1, 2, 3)))


def test_an_update_goes_where_its_index_says(host, network):
    network("m", "<ip address='10.66.0.1' prefix='24'/><ip family='ipv6' address='fd66::1' prefix='64'/>")
    range6 = "<range start='fd66::10' end='fd66::20'/>"
    host.virsh("net-update", "m", "add", "ip-dhcp-range", range6, "--live", "--parent-index", "1")
    assert [ip.find("dhcp") is not None for ip in defined(host, "m").findall("ip")] == [False, True]
    assert "no <ip> element found at index 7" in refused(host, "net-update", "m", "delete", "ip-dhcp-range", range6, "--parent-index", "7")
    for section in ("bridge", "domain", "ip", "forward", "forward-pf"):
        element = section.replace("forward-", "")
        for command in ("add-first", "add-last", "modify", "delete"):
            assert f"can't update '{element}' section" in refused(host, "net-update", "m", command, section, f"<{element}/>")


def test_events_tell_what_happens(host):
    EventLoop.start()
    conn = libvirt.open(host.daemon.uri)
    seen = []
    conn.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE,
                                 lambda _conn, net, event, _detail, _opaque: seen.append((net.name(), event)), None)
    net = conn.networkDefineXML("<network><name>e</name></network>")
    for act in (net.create, net.destroy, net.undefine):
        act()
    wait_for("four events", lambda: len(seen) == 4)
    assert seen == [("e", event) for event in (libvirt.VIR_NETWORK_EVENT_DEFINED, libvirt.VIR_NETWORK_EVENT_STARTED,
                                               libvirt.VIR_NETWORK_EVENT_STOPPED, libvirt.VIR_NETWORK_EVENT_UNDEFINED)]
    conn.close()
