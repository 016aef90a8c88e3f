"""The daemon is killed with -9 at every act of a change of network filters (see kill-point.c).

The rules in force are the old ones or the new ones, never something between, also while no daemon is there; and what the
next one shows is what it puts into force.
"""
import os
import re
import uuid
import xml.etree.ElementTree as ET

import pytest
from alone import AloneDaemon
from mortal import definition, sweep
from waiting import wait_for

MAC = "52:54:00:88:00:01"
INNER = "<filter name='inner' chain='root'><rule action='drop' direction='out'><udp dstportstart='{}'/></rule></filter>"
OUTER = "<filter name='outer' chain='root'><filterref filter='inner'/></filter>"
OTHER = "<filter name='other' chain='root'><rule action='drop' direction='out'><tcp dstportstart='25'/></rule></filter>"
CARD = "<interface type='bridge'><mac address='{}'/><source bridge='t0'/><model type='virtio'/><filterref filter='{}'/></interface>"
BINDING = "<filterbinding><portdev name='p1'/><mac address='52:54:00:88:00:02'/><filterref filter='other'/></filterbinding>"
ALIVE = "it was not killed"


class Filtered:
    """A guest that runs with a filter, and what must hold of its rules whatever happened."""

    def __init__(self, daemon, directory):
        self.daemon, self.directory, self.seen = daemon, directory, []
        for link in ("t0 type bridge", "p1 type veth peer name g1"):
            daemon.inside("ip", "link", "add", *link.split())
        daemon.inside("ip", "link", "set", "t0", "up")
        for xml in (INNER.format(1000), OUTER, OTHER):
            self.define(xml)
        guest = definition("k", uuid.uuid4()).replace("</devices>", CARD.format(MAC, "outer") + "</devices>")
        daemon.virsh("create", self.file("k.xml", guest))

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def virsh(self, *words, check=False):
        return self.daemon.virsh(*words, check=check)

    def define(self, xml):
        self.virsh("nwfilter-define", self.file("filter.xml", xml), check=True)

    def rules(self):
        """All of them; nft says nothing when they change while it reads, and the guest always has some."""
        return wait_for("rules", lambda: self.daemon.inside("nft", "list", "ruleset"))

    def act(self, *words):
        """Do it, and see what is in force before the next daemon comes."""
        self.virsh(*words)
        self.seen = [self.rules()]

    def settles(self, wholes, shown):
        """What was in force was the old or the new, what is in force is what is shown, and the guest runs."""
        assert self.seen[0] in wholes.values()
        wait_for("the rules of what is shown", lambda: self.rules() == wholes[shown()])
        assert self.virsh("domstate", "k").strip() == "running" and "vnet0" in self.virsh("nwfilter-binding-list")

    def filters(self):
        return self.virsh("nwfilter-list", check=True)

    def port(self):
        return int(re.search(r"dstportstart='(\d+)'", self.virsh("nwfilter-dumpxml", "inner", check=True))[1])

    def filter_of_guest(self):
        return ET.fromstring(self.virsh("dumpxml", "k", check=True)).find(".//filterref").get("filter")


@pytest.fixture(scope="module", name="filtered")
def fixture_filtered(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("filters need root")
    daemon = AloneDaemon()
    yield Filtered(daemon, tmp_path_factory.mktemp("filtered"))
    daemon.arm(0)
    daemon.stop()


def test_a_change_of_a_filter_that_a_guest_has(filtered):
    """NET-36: through the filter that takes it in."""
    wholes, wanted = {}, []
    for port in (1000, 2000):
        filtered.define(INNER.format(port))
        wholes[port] = filtered.rules()
    assert wholes[1000] != wholes[2000]

    def prepare():
        wanted[:] = [3000 - filtered.port()]
        filtered.file("filter.xml", INNER.format(wanted[0]))

    def check(where):
        filtered.settles(wholes, filtered.port)
        assert filtered.port() == wanted[0] or where != ALIVE
    assert sweep(filtered, prepare, lambda: filtered.act("nwfilter-define", filtered.directory / "filter.xml"), check) > 2


def test_another_filter_for_a_guest_that_runs(filtered):
    wholes, wanted = {}, []

    def update(name):
        return ("update-device", "k", filtered.file("card.xml", CARD.format(MAC, name)), "--live")
    for name in ("other", "outer"):
        filtered.virsh(*update(name), check=True)
        wholes[name] = filtered.rules()
    assert wholes["other"] != wholes["outer"]

    def prepare():
        wanted[:] = ["other" if filtered.filter_of_guest() == "outer" else "outer"]

    def check(where):
        filtered.settles(wholes, filtered.filter_of_guest)
        assert filtered.filter_of_guest() == wanted[0] or where != ALIVE
        assert re.search(rf"vnet0 +{filtered.filter_of_guest()}", filtered.virsh("nwfilter-binding-list"))
    assert sweep(filtered, prepare, lambda: filtered.act(*update(wanted[0])), check) > 2


def test_a_filter_comes_and_goes(filtered):
    """One that nothing uses: it is there or it is not, and its file says the same."""
    fresh = filtered.daemon.base / "etc/nwfilter/fresh.xml"
    file = filtered.file("fresh.xml", OTHER.replace("'other'", "'fresh'"))
    whole = {None: filtered.rules()}

    def be(there):
        if ("fresh" in filtered.filters()) != there:
            filtered.virsh(*(("nwfilter-define", file) if there else ("nwfilter-undefine", "fresh")), check=True)

    def check_for(there):
        def check(where):
            filtered.settles(whole, lambda: None)
            assert ("fresh" in filtered.filters()) == fresh.exists()
            assert fresh.exists() == there or where != ALIVE
            assert not fresh.exists() or "dstportstart='25'" in filtered.virsh("nwfilter-dumpxml", "fresh", check=True)
        return check
    assert sweep(filtered, lambda: be(False), lambda: filtered.act("nwfilter-define", file), check_for(True)) > 0
    assert sweep(filtered, lambda: be(True), lambda: filtered.act("nwfilter-undefine", "fresh"), check_for(False)) > 0


def test_a_binding_comes_and_goes(filtered):
    file = filtered.file("binding.xml", BINDING)
    bound = lambda: "p1" in filtered.virsh("nwfilter-binding-list")
    wholes = {}

    def be(there):
        if bound() != there:
            filtered.virsh(*(("nwfilter-binding-create", file) if there else ("nwfilter-binding-delete", "p1")), check=True)
    for there in (False, True):
        be(there)
        wait_for("its rules", lambda there=there: ('"p1"' in filtered.rules()) == there)
        wholes[there] = filtered.rules()

    def check_for(there):
        def check(where):
            filtered.settles(wholes, bound)
            assert bound() == there or where != ALIVE
        return check
    assert sweep(filtered, lambda: be(False), lambda: filtered.act("nwfilter-binding-create", file), check_for(True)) > 2
    assert sweep(filtered, lambda: be(True), lambda: filtered.act("nwfilter-binding-delete", "p1"), check_for(False)) > 2
    be(False)
