"""`drover -o json` of every command about networks, their filters and the host's interfaces: one document each, of these fields."""
import json
import os
import subprocess
import xml.etree.ElementTree as ET

import pytest
from waiting import wait_for

from lab.hosts import Lab
from lab.paths import PROGRAMS

DROVER = [PROGRAMS / "drover", "-c", "qemu:///system", "-o", "json"]
UUID = "11111111-2222-3333-4444-555555555577"
PORT = "11111111-2222-3333-4444-555555555588"
MADE = f"""<network><name>made</name><uuid>{UUID}</uuid><bridge name='made0' stp='off' delay='0'/><mac address='52:54:00:66:00:01'/>
  <ip address='10.66.0.1' prefix='24'><dhcp><range start='10.66.0.5' end='10.66.0.9'/></dhcp></ip></network>"""
PASSING = "<network><name>passing</name></network>"
PLACE = (f"<networkport><uuid>{PORT}</uuid><owner><name>o</name><uuid>{PORT}</uuid></owner><mac address='52:54:00:66:00:09'/></networkport>")
FILTER = "<filter name='mine' chain='root'><rule action='drop' direction='in'><tcp dstportstart='22'/></rule></filter>"
BINDING = "<filterbinding><portdev name='p1'/><mac address='52:54:00:66:00:02'/><filterref filter='mine'/></filterbinding>"
LEASE = "0 52:54:00:66:00:07 10.66.0.7 seven 01:52:54:00:66:00:07\n"
PREFIXES = ("net-", "nwfilter-", "iface-")


class Speaker:
    """drover on a host; it notes which commands it was asked for."""

    def __init__(self, host):
        self.host = host
        self.asked = set()

    def __call__(self, *words, status=0, env=None):
        self.asked.add(words[0])
        done = self.host.run([*DROVER, *words], check=False, env=env)
        assert done.returncode in (status if isinstance(status, tuple) else (status,)), done
        return json.loads(done.stdout)

    def says(self, message, *words, **options):
        """A command that does something, and confirms it."""
        assert self(*words, **options) == {"message": message}

    def file(self, name, text):
        self.host.write_file(f"/root/{name}", text)
        return f"/root/{name}"


@pytest.fixture(scope="module", name="drover")
def fixture_drover():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        host = lab.host("a")
        host.daemon = host.droverd()
        host.ip("link add p1 type veth peer name g1", "link set p1 up")
        host.write_file("/root/editor", "#!/bin/sh\nsed -i s/10.66.0.9/10.66.0.8/ $1\nsed -i 's/start=.22./start=\"23\"/' $1\n", mode=0o755)
        yield Speaker(host)
        assert host.daemon.stop() == 0, host.daemon.tail()
        assert "Sanitizer" not in host.daemon.log.read_text(errors="replace"), host.daemon.tail()


def test_networks(drover):
    assert drover("net-list", "--all") == [] and drover("net-list", "--all", "--name") == [] and drover("net-list", "--uuid") == []
    file = drover.file("made.xml", MADE)
    drover.says(f"Network made defined from {file}", "net-define", file)
    row = {"name": "made", "state": "inactive", "autostart": False, "persistent": True}
    assert drover("net-list", "--inactive") == [row] and drover("net-list") == []
    drover.says("Network made started", "net-start", "made")
    drover.says("Network made marked as autostarted", "net-autostart", "made")
    assert drover("net-list") == [{**row, "state": "active", "autostart": True}]
    drover.says("Network made unmarked as autostarted", "net-autostart", "made", "--disable")
    assert drover("net-list", "--name") == [{"name": "made"}] and drover("net-list", "--uuid") == [{"uuid": UUID}]
    assert drover("net-info", "made") == {"name": "made", "uuid": UUID, "active": True, "persistent": True, "autostart": False,
                                          "bridge": "made0"}
    assert drover("net-name", UUID) == {"name": "made"} and drover("net-uuid", "made") == {"uuid": UUID}
    drover.says("Updated network made persistent config and live state", "net-update", "made", "add", "ip-dhcp-host",
                "<host mac='52:54:00:66:00:07' ip='10.66.0.7'/>", "--live", "--config")
    drover.says("Network made XML configuration edited.", "net-edit", "made", env={"VISUAL": "/root/editor"})
    kept = drover("net-dumpxml", "made", "--inactive")
    assert list(kept) == ["xml"] and ET.fromstring(kept["xml"]).find(".//range").get("end") == "10.66.0.8"
    assert "made0" in drover("net-dumpxml", "made", "--xpath", "//bridge")["found"]
    passing = drover.file("passing.xml", PASSING)
    drover.says(f"Network passing created from {passing}", "net-create", passing)
    drover.says("Network passing destroyed", "net-destroy", "passing")
    broken = drover.host.run([*DROVER, "net-info", "passing"], check=False)
    assert broken.returncode == 1 and broken.stdout == "" and "passing" in broken.stderr


def test_what_is_said_of_a_network(drover):
    drover.says("Network description updated successfully", "net-desc", "made", "of", "words", "--live")
    assert drover("net-desc", "made") == {"description": "of words"}
    drover.says("Metadata modified", "net-metadata", "made", "urn:x", "--key", "x", "--set", "<a/>")
    assert drover("net-metadata", "made", "urn:x") == {"metadata": "<a/>\n"}
    assert drover("net-event", "--list") == ["lifecycle", "metadata-change"]
    waiting = drover.host.popen([*DROVER, "net-event", "--network", "made", "--event", "metadata-change", "--timeout", "900"],
                                stdout=subprocess.PIPE, text=True)

    def told():
        drover("net-desc", "made", "--live", "--title", "t")
        return waiting.poll() is not None
    try:
        wait_for("the event", told)
        first = json.loads(waiting.stdout.readline())
    finally:
        waiting.kill()
        waiting.wait()
        waiting.stdout.close()
    assert (first["event"], first["network"], first["what"]) == ("metadata-change", "made", "type title, uri N/A")
    found = drover("net-check", status=(0, 1))  # 1: it has found a problem
    assert found and all(set(row) == {"check", "result", "details"} for row in found)


def test_who_is_on_a_network(drover):
    assert drover("net-dhcp-leases", "made") == []
    drover.host.path(f"/var/lib/drover/network/{UUID}/leases").write_text(LEASE)
    assert drover("net-dhcp-leases", "made") == [{
        "expiry_time": None, "mac_address": "52:54:00:66:00:07", "protocol": "ipv4", "ip_address": "10.66.0.7/24",
        "hostname": "seven", "client_id_or_duid": "01:52:54:00:66:00:07"}]
    assert drover("net-port-list", "made") == drover("net-port-list", "made", "--uuid") == []
    file = drover.file("port.xml", PLACE)
    drover.says(f"Network port {PORT} created from {file}", "net-port-create", "made", file)
    assert drover("net-port-list", "made") == [{"uuid": PORT}] and drover("net-port-list", "made", "--uuid") == [{"uuid": PORT}]
    assert ET.fromstring(drover("net-port-dumpxml", "made", PORT)["xml"]).findtext("owner/name") == "o"
    drover.says(f"Network port {PORT} deleted", "net-port-delete", "made", PORT)


def test_interfaces_of_the_host(drover):
    rows = {row["name"]: row for row in drover("iface-list", "--all")}
    assert rows["br0"]["state"] == "active"
    assert rows["made0"] == {"name": "made0", "state": "inactive", "mac_address": "52:54:00:66:00:01"}  # nobody is on it
    assert drover("iface-mac", "made0") == {"mac": "52:54:00:66:00:01"} and drover("iface-name", "52:54:00:66:00:01") == {"name": "made0"}
    assert {"name": "made0", "bridge_id": "8000.525400660001", "stp": "off", "members": None} in drover("iface-bridges")
    assert ET.fromstring(drover("iface-dumpxml", "made0")["xml"]).get("name") == "made0"


def test_filters(drover):
    file = drover.file("mine.xml", FILTER)
    drover.says(f"Network filter mine defined from {file}", "nwfilter-define", file)
    mine, = [row for row in drover("nwfilter-list") if row["name"] == "mine"]
    assert list(mine) == ["uuid", "name"] and f"<uuid>{mine['uuid']}</uuid>" in drover("nwfilter-dumpxml", "mine")["xml"]
    drover.says("Network filter mine XML configuration edited.", "nwfilter-edit", "mine", env={"VISUAL": "/root/editor"})
    assert "dstportstart='23'" in drover("nwfilter-dumpxml", mine["uuid"])["xml"]
    assert drover("nwfilter-binding-list") == []
    binding = drover.file("binding.xml", BINDING)
    drover.says(f"Network filter binding on p1 created from {binding}", "nwfilter-binding-create", binding)
    assert drover("nwfilter-binding-list") == [{"port_dev": "p1", "filter": "mine"}]
    assert "<portdev name='p1'/>" in drover("nwfilter-binding-dumpxml", "p1")["xml"]
    drover.says("Network filter binding on p1 deleted", "nwfilter-binding-delete", "p1")
    drover.says("Network filter mine undefined", "nwfilter-undefine", "mine")


def test_a_network_goes_and_no_command_was_left_out(drover):
    drover.says("Network made destroyed", "net-destroy", "made")
    drover.says("Network made has been undefined", "net-undefine", "made")
    there = {command["name"] for command in drover("help") if command["name"].startswith(PREFIXES)}
    assert there - drover.asked == set()
