"""Guests whose interfaces have network filters: start, plug, update, restart, end (NET-36, NET-37)."""
import os
import re
import signal

import pytest
from packets import ruleset as rules
from test_networks_guest import Console
from waiting import wait_for

from lab import domains
from lab.hosts import Lab

VIRSH = ["virsh", "-q", "-c", "qemu:///system"]


def card(mac, filterref=""):
    return (f"<interface type='bridge'><mac address='52:54:00:00:00:0{mac}'/><source bridge='t0'/>"
            f"<model type='virtio'/>{filterref}</interface>")


def clean(**values):
    return "<filterref filter='clean-traffic'>" + "".join(f"<parameter name='{n}' value='{v}'/>" for n, v in values.items()) + "</filterref>"


@pytest.fixture(scope="module")
def host():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        host = lab.host("a", kvm=True)
        host.ip("link add t0 type bridge stp_state 0 forward_delay 0")
        host.ip("address add 10.9.0.1/24 dev t0")
        host.ip("link set t0 up")
        host.daemon = host.droverd()
        host.inside, outside = lab.socket("console")
        host.console = Console(outside)
        yield host
        host.console.close()
        assert host.daemon.stop() == 0, host.daemon.tail()
        assert "Sanitizer" not in host.daemon.log.read_text(errors="replace"), host.daemon.tail()


def bindings(host):
    return re.findall(r"^ *(\S+) +(\S+)", host.virsh("nwfilter-binding-list"), re.M)


def try_card(host, xml):
    """What virsh says of a guest with this card that does not start."""
    host.write_file("/root/no.xml", domains.bare("no", devices=xml))
    done = host.run([*VIRSH, "create", "/root/no.xml"], check=False)
    assert done.returncode != 0
    return done.stderr


def test_a_guest_whose_filter_cannot_be_in_force_does_not_start(host):
    assert "needs a value for the variable 'IP'" in try_card(host, card(1, clean(CTRL_IP_LEARNING="none")))
    assert "the network filter 'nobody' is missing" in try_card(host, card(1, "<filterref filter='nobody'/>"))
    host.write_file("/root/f.xml", "<filter name='sets'><rule action='drop' direction='in'><tcp ipset='x' ipsetflags='src'/></rule></filter>")
    host.virsh("nwfilter-define", "/root/f.xml")
    assert "does not know the sets of ipset" in try_card(host, card(2, clean(IP="10.9.0.5")) + card(1, "<filterref filter='sets'/>"))
    assert bindings(host) == []
    wait_for("the end of the rules", lambda: "drover_filters" not in rules(host))
    wait_for("the end of the taps", lambda: "vnet" not in host.run(["ip", "-o", "link"]).stdout)


def reaches(host, seconds=2):
    return host.console.run(f"ping -c 1 -W {seconds} 10.9.0.1")[0] == 0


def address(host, ip):
    host.console.run(f"ip address flush dev eth0; ip address add {ip}/24 dev eth0; ip link set eth0 up")


@pytest.mark.limit(90)
def test_a_guest_cannot_pretend_to_be_another(host):
    """Its own address passes, another's IP or MAC address does not; also after the daemon was killed."""
    host.write_file("/root/g.xml", domains.linux("g", port=host.inside, devices=card(1, clean(IP="10.9.0.5")), shell="ttyS0", beat=0))
    host.virsh("create", "/root/g.xml")
    host.console.wait("^ready", 90)
    assert bindings(host) == [("vnet0", "clean-traffic")]
    assert "<name>g</name>" in host.virsh("nwfilter-binding-dumpxml", "vnet0")
    address(host, "10.9.0.5")
    wait_for("the host", lambda: reaches(host))
    address(host, "10.9.0.6")
    assert not reaches(host)
    address(host, "10.9.0.5")
    host.console.run("ip link set eth0 down; ip link set eth0 address 52:54:00:00:00:07; ip link set eth0 up")
    assert not reaches(host)
    host.console.run("ip link set eth0 down; ip link set eth0 address 52:54:00:00:00:01; ip link set eth0 up")
    wait_for("the host again", lambda: reaches(host))
    whole = rules(host)
    host.daemon.stop(signal.SIGKILL)
    host.run(["nft", "flush", "ruleset"])
    host.daemon = host.droverd()
    wait_for("the rules", lambda: rules(host) == whole)
    assert bindings(host) == [("vnet0", "clean-traffic")]


@pytest.mark.limit(60)
def test_an_interface_gets_another_filter_or_none_while_its_guest_runs(host):
    address(host, "10.9.0.6")
    host.write_file("/root/c.xml", card(1))
    host.virsh("update-device", "g", "/root/c.xml")
    assert bindings(host) == [] and "drover_filters" not in rules(host)  # the rules are gone when that is answered
    wait_for("the host with any address", lambda: reaches(host))
    host.write_file("/root/c.xml", card(1, clean(IP="10.9.0.7")))
    host.virsh("update-device", "g", "/root/c.xml")
    assert bindings(host) == [("vnet0", "clean-traffic")] and not reaches(host)
    host.write_file("/root/c.xml", card(1, "<filterref filter='sets'/>"))
    done = host.run([*VIRSH, "update-device", "g", "/root/c.xml"], check=False)
    assert done.returncode != 0 and "ipset" in done.stderr and "10.9.0.7" in rules(host)
    host.write_file("/root/c.xml", card(1, clean(IP="10.9.0.6")))
    host.virsh("update-device", "g", "/root/c.xml")
    wait_for("the host", lambda: reaches(host))


@pytest.mark.limit(60)
def test_a_plugged_interface_has_its_filter_and_takes_it_along(host):
    host.write_file("/root/c.xml", card(3, "<filterref filter='sets'/>"))
    done = host.run([*VIRSH, "attach-device", "g", "/root/c.xml"], check=False)
    assert done.returncode != 0 and "ipset" in done.stderr and len(bindings(host)) == 1
    host.write_file("/root/c.xml", card(3, clean()))
    host.virsh("attach-device", "g", "/root/c.xml")
    assert sorted(bindings(host)) == [("vnet0", "clean-traffic"), ("vnet1", "clean-traffic")]
    assert "in use" in host.run([*VIRSH, "nwfilter-undefine", "clean-traffic"], check=False).stderr
    host.virsh("destroy", "g")
    assert bindings(host) == []
    wait_for("the end of the rules", lambda: "drover_filters" not in rules(host))
