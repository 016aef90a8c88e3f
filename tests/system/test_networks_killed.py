"""The daemon is killed with -9 at every act of a network's start, stop and change (see kill-point.c), and its dnsmasq during one.

A network serves or it is not there: bridge, rules, server and forwarding agree with what the next daemon says of it.
"""
import os
import signal
import xml.etree.ElementTree as ET

import procfs
import pytest
from alone import AloneDaemon
from mortal import sweep
from waiting import wait_for

XML = """<network><name>k</name><forward/><bridge name='kill0' stp='off'/><ip address='10.88.0.1' prefix='24'>
  <dhcp><range start='10.88.0.5' end='10.88.0.9'/></dhcp></ip></network>"""


class Net:
    """The network under test, and what must hold of it whatever happened."""

    def __init__(self, daemon, directory):
        self.daemon = daemon
        self.file = directory / "k.xml"
        self.file.write_text(XML)
        daemon.virsh("net-define", self.file)

    def is_active(self):
        return "k" in self.daemon.virsh("net-list", "--name").split()

    def be(self, active):
        if self.is_active() != active:
            self.daemon.virsh("net-start" if active else "net-destroy", "k")

    def traces(self):
        """What there is of it on the machine."""
        inside = self.daemon.inside
        return ("kill0" in inside("ip", "-o", "link"), len(self.daemon.servers()), "kill0" in inside("nft", "list", "ruleset"),
                inside("cat", "/proc/sys/net/ipv4/ip_forward").strip(),
                len([*(self.daemon.base / "run/network").glob("*.status")]), len([*(self.daemon.base / "run/network").glob("*/")]))

    def settled(self):
        """Whether it is active, once everything there says the same."""
        def agrees():
            active = self.is_active()
            return (active,) if self.traces() == ((True, 1, True, "1", 1, 1) if active else (False, 0, False, "0", 0, 0)) else None
        try:
            return wait_for("the network to be wholly there or gone", agrees)[0]
        except AssertionError as late:
            raise AssertionError(f"{late}: active {self.is_active()}, {self.traces()}") from late

    def hosts(self):
        return {host.get("mac") for host in ET.fromstring(self.daemon.virsh("net-dumpxml", "k")).iter("host")}

    def served(self):
        """What its server was told of hosts."""
        return b"".join(map(procfs.read, procfs.files(self.daemon.base / "run/network"))).decode()

    def server(self):
        """The PID of the one that serves: one that is on its way has not noted its own yet, and may be two."""
        noted = [procfs.read(path).split() for path in (self.daemon.base / "run/network").glob("*/pid")]
        running = self.daemon.servers()
        return running[0] if len(running) == 1 and [str(running[0]).encode()] in noted else None


@pytest.fixture(scope="module", name="daemon")
def fixture_daemon():
    if os.geteuid() != 0:
        pytest.skip("networks need root")
    daemon = AloneDaemon()
    yield daemon
    daemon.stop()


@pytest.fixture(name="net")
def fixture_net(daemon, tmp_path):
    net = Net(daemon, tmp_path)
    yield net
    net.be(False)
    assert net.settled() is False
    daemon.virsh("net-undefine", "k")


def host(number):
    return f"<host mac='52:54:00:88:00:{number:02x}' ip='10.88.0.{number}'/>"


@pytest.mark.limit(300)
def test_a_start(net):
    def check(where):
        assert net.settled() or where != "it was not killed"
    points = sweep(net, lambda: net.be(False), lambda: net.daemon.virsh("net-start", "k", check=False), check)
    assert points > 10


@pytest.mark.limit(300)
def test_a_stop(net):
    def check(where):
        assert not net.settled() or where != "it was not killed"
    assert sweep(net, lambda: net.be(True), lambda: net.daemon.virsh("net-destroy", "k", check=False), check) > 4


@pytest.mark.limit(300)
def test_a_change(net):
    """It is in force and served, or neither; and the network serves on."""
    number = iter(range(16, 200))
    now = []

    def prepare():
        net.be(True)
        now[:] = [next(number)]

    def check(where):
        mac = f"52:54:00:88:00:{now[0]:02x}"
        assert net.settled()
        assert (mac in net.hosts()) or where != "it was not killed"
        if mac in net.hosts():
            assert mac in net.served()
        net.daemon.virsh("net-destroy", "k")
        net.daemon.virsh("net-start", "k")
        assert (mac in net.hosts()) == (mac in net.served())
    sweep(net, prepare, lambda: net.daemon.virsh("net-update", "k", "add", "ip-dhcp-host", host(now[0]), "--live", "--config", check=False), check)


@pytest.mark.limit(120)
def test_a_server_that_is_killed_during_a_change_comes_back_with_it(net):
    """NET-17: the change is served by the next one, which is told of leases too."""
    net.be(True)
    lease = next((net.daemon.base / "state/network").glob("*/leases"))
    lease.write_text("0 52:54:00:88:00:01 10.88.0.7 kept *\n")
    for number in range(20, 24):
        victim = wait_for("its server", net.server)
        os.kill(victim, signal.SIGKILL)
        net.daemon.virsh("net-update", "k", "add", "ip-dhcp-host", host(number), "--live")
        wait_for("another server", lambda old=victim: net.server() not in (None, old))
        assert f"52:54:00:88:00:{number:02x}" in net.served() and net.settled()
    assert "10.88.0.7/24" in net.daemon.virsh("net-dhcp-leases", "k")
