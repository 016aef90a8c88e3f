"""Guests that lean on other objects of their hosts move: volumes of pools, filters of interfaces."""
import re
import time

import pytest
from packets import dhcp, ruleset as rules, send
from test_migrate_options import moving
from test_migrate_refusals import TO_B, check_moved, guests_of, running, state_of
from waiting import wait_for

from lab.paths import LabError

VOLUME = ("<disk type='volume' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source pool='p' volume='v'/>"
          "<target dev='vdb' bus='virtio'/></disk>")
FILTER = "<filter name='still' chain='root'><rule action='drop' direction='in' priority='100'><mac/></rule></filter>"
CARD = ("<interface type='bridge'><mac address='52:54:00:00:00:07'/><source bridge='t0'/><model type='virtio'/>"
        "<filterref filter='still'/></interface>")


def make_pool(host):
    host.run(["mkdir", "-p", "/var/lib/pool"])
    host.virsh("pool-define-as", "p", "dir", "--target", "/var/lib/pool")
    host.virsh("pool-start", "p")
    host.virsh("vol-create-as", "p", "v", "8M", "--format", "qcow2")


def define_filter(host):
    host.write_file("/root/filter.xml", FILTER)
    host.virsh("nwfilter-define", "/root/filter.xml")


def bindings(host):
    """(device, filter)"""
    return re.findall(r"^ *(\S+) +(\S+)", host.virsh("nwfilter-binding-list"), re.M)


def in_force(host):
    """Bindings that the kernel's rules name too."""
    text = rules(host)
    return [device for device, _ in bindings(host) if f'"{device}"' in text]


@pytest.mark.limit(240)
def test_a_guest_on_a_volume_moves(pair):
    """MIG-41 and MIG-19 for type='volume': each host finds the image in its own pool; a missing pool or volume is named."""
    make_pool(pair.a)
    pair.a.run(["qemu-io", "-c", "write -P 3 1M 2M", "/var/lib/pool/v"])
    with running(pair, devices=VOLUME) as pulse:
        with pytest.raises(LabError, match=r"disk 'vdb' \(/var/lib/pool/v\) is not on shared storage"):
            pair.a.virsh("migrate", "--live", "g", TO_B)
        with pytest.raises(LabError, match="error: .*pool.*'p'"):
            pair.a.virsh("migrate", "--live", "--copy-storage-all", "g", TO_B)
        make_pool(pair.b)
        pair.b.virsh("vol-delete", "v", "--pool", "p")
        with pytest.raises(LabError, match="error: .*'v'"):
            pair.a.virsh("migrate", "--live", "--copy-storage-all", "g", TO_B)
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        pair.b.virsh("vol-create-as", "p", "v", "8M", "--format", "qcow2")
        pair.a.virsh("migrate", "--live", "--copy-storage-all", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
        assert "disk 'vdb' (/var/lib/pool/v) is in pool 'p'" in pair.daemon_b.log.read_text(), "MIG-69"
        assert "disk 'vda' (" in pair.daemon_b.log.read_text() and "in no storage pool" in pair.daemon_b.log.read_text()
        xml = pair.b.virsh("dumpxml", "g")
        assert "type='volume'" in xml and "pool='p'" in xml and "volume='v'" in xml
        pair.b.virsh("destroy", "g")
    pair.b.run(["qemu-io", "-r", "-c", "read -P 3 1M 2M", "/var/lib/pool/v"])
    pair.b.run(["qemu-img", "check", "-q", "/var/lib/pool/v"])


@pytest.mark.limit(180)
def test_all_objects_that_are_missing_there_are_named_at_once(pair):
    """MIG-21, MIG-23: pool, network and filter in one sentence, before anything is touched."""
    make_pool(pair.a)
    define_filter(pair.a)
    pair.a.ip("link add t0 type bridge", "link set t0 up")
    pair.a.write_file("/root/net.xml", "<network><name>n</name><bridge name='t0'/><forward mode='bridge'/></network>")
    pair.a.virsh("net-define", "/root/net.xml")
    pair.a.virsh("net-start", "n")
    on_network = CARD.replace("type='bridge'", "type='network'").replace("bridge='t0'", "network='n'")
    with running(pair, devices=VOLUME + on_network):
        with pytest.raises(LabError, match="error: .*no network 'n' here; .*no network filter 'still' here; .*pool.*'p'"):
            pair.a.virsh("migrate", "--live", "--copy-storage-all", "g", TO_B)
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        pair.b.write_file("/root/net.xml", pair.a.read_file("/root/net.xml"))
        pair.b.virsh("net-define", "/root/net.xml")
        with pytest.raises(LabError, match="network 'n' is not active here; .*'still'.*'p'"):
            pair.a.virsh("migrate", "--live", "--copy-storage-all", "g", TO_B)


@pytest.mark.limit(240)
def test_the_filter_of_an_interface_moves_along(pair):
    """In force there before the guest is, gone here after it; a filter that is missing there is named, and nothing moves."""
    for host in (pair.a, pair.b):
        host.ip("link add t0 type bridge", "link set t0 up")
    define_filter(pair.a)
    with running(pair, devices=CARD, touch_mib=64) as pulse:
        here = in_force(pair.a)
        assert [name for _, name in bindings(pair.a)] == ["still"] and len(here) == 1
        with pytest.raises(LabError, match="error: .*'still'"):
            pair.a.virsh("migrate", "--live", "g", TO_B)
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        assert in_force(pair.a) == here and bindings(pair.b) == []
        define_filter(pair.b)
        with moving(pair):
            assert len(in_force(pair.b)) == 1, "before the guest runs there"
            assert in_force(pair.a) == here, "for as long as it runs here"
        check_moved(pair, pulse)
        wait_for("a is rid of it", lambda: bindings(pair.a) == [] and here[0] not in rules(pair.a))
        assert len(in_force(pair.b)) == 1


LEASED = CARD.replace("<filterref filter='still'/>", "<filterref filter='clean-traffic'>"
                      "<parameter name='CTRL_IP_LEARNING' value='dhcp'/></filterref>")


def leases(host):
    """(address, seconds until it ends), as the host's daemon tells its next one."""
    return [(address, int(until) - time.time()) for path in host.path("/run/drover/nwfilter").glob("*.lease")
            for address, until in [path.read_text().split()]]


def make_wires(pair):
    """Bridges for guests whose addresses are learned, and a way to answer them on a, as a server of theirs would: g1."""
    for host in (pair.a, pair.b):
        host.ip("link add t0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set t0 up")
    pair.a.ip("link add p1 type veth peer name g1", "link set p1 master t0 up", "link set g1 up")


def lease(host, address):
    """The guest on this host has this address from DHCP, and its filter has seen that."""
    wait_for("the lease", lambda: send(host, "g1", dhcp("52:54:00:00:00:07", True, 5, address)) or address in rules(host))


@pytest.mark.limit(240)
@pytest.mark.parametrize("options", [[], ["--p2p"], ["--p2p", "--tunnelled"]], ids=["managed", "p2p", "tunnelled"])
def test_an_address_that_is_learned_while_the_memory_moves_is_kept(pair, options):
    """NET-37: what the source's filter learned after the move began comes with the word that all was sent."""
    make_wires(pair)
    with running(pair, devices=LEASED, touch_mib=96) as pulse:  # which takes long at first
        with moving(pair, *options):
            assert len(bindings(pair.b)) == 1, "the guest is prepared there"
            lease(pair.a, "10.9.0.6")
            assert "10.9.0.6" not in rules(pair.b), "nobody there can know"
        wait_for("the lease on the other host", lambda: "10.9.0.6" in rules(pair.b), 60)
        check_moved(pair, pulse)
        wait_for("its end", lambda: [address for address, _ in leases(pair.b)] == ["10.9.0.6"])


@pytest.mark.limit(240)
def test_an_address_that_a_filter_learned_moves_along(pair):
    """NET-37: a guest that has its address from DHCP is not cut off on the host that it moves to, which never saw the lease."""
    make_wires(pair)
    with running(pair, devices=LEASED, touch_mib=64) as pulse:
        assert "10.9.0.5" not in rules(pair.a)
        lease(pair.a, "10.9.0.5")
        with moving(pair):
            wait_for("the lease on the other host", lambda: "10.9.0.5" in rules(pair.b))
            assert state_of(pair.a, "g") == "running", "before the guest runs there"
        check_moved(pair, pulse)
        pair.daemon_b.kill()
        pair.daemon_b.start()
        (address, left), = wait_for("its end", lambda: leases(pair.b))
        assert address == "10.9.0.5" and 0 < left <= 3600
        wait_for("a to be rid of it", lambda: leases(pair.a) == [])
        pair.b.virsh("migrate", "--live", "--p2p", "g", "qemu+tcp://a/system", timeout=120)
        wait_for("the lease back here", lambda: "10.9.0.5" in rules(pair.a))
        (address, left), = wait_for("its end", lambda: leases(pair.a))
        assert address == "10.9.0.5" and 0 < left <= 3600
        right, line = pulse.verify()
        assert right, line
