"""Devices, metadata, names and statistics of guests through stock clients (ranks 93-97, 113-117)."""
import threading
import xml.etree.ElementTree as ET

import libvirt
import pytest
from droverd import running_guest

GUEST = """
<domain type='test'>
  <name>guest</name><uuid>11111111-2222-3333-4444-555555555503</uuid>
  <memory unit='MiB'>512</memory><currentMemory unit='MiB'>256</currentMemory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='/a.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/a.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><target dev='hv0'/><model type='virtio'/></interface>
  </devices>
</domain>
"""
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
BOTH = LIVE | CONFIG
INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE


@pytest.fixture()
def guest(conn):
    yield from running_guest(conn, GUEST)


class Events:
    """What arrives for one guest, until wait() has seen enough of it."""

    def __init__(self, conn, dom, *ids):
        self.conn, self.seen = conn, []
        self.callbacks = [conn.domainEventRegisterAny(dom, i, self.make(i), None) for i in ids]

    def make(self, event_id):
        return lambda _conn, _dom, *details: self.seen.append((event_id, *details[:-1]))

    def wait(self, n):
        timer = threading.Timer(60, lambda: None)
        timer.start()
        while len(self.seen) < n and timer.is_alive():
            wake = libvirt.virEventAddTimeout(100, lambda *_: None, None)
            libvirt.virEventRunDefaultImpl()
            libvirt.virEventRemoveTimeout(wake)
        timer.cancel()
        for c in self.callbacks:
            self.conn.domainEventDeregisterAny(c)
        return self.seen


def devices(dom, kind, flags=0):
    return ET.fromstring(dom.XMLDesc(flags)).findall(f"devices/{kind}")


def test_a_device_is_attached_and_detached_with_events(conn, guest):
    events = Events(conn, guest, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED)
    xml = "<disk type='file' device='disk'><source file='/b.img'/><target dev='vdb' bus='virtio'/></disk>"
    guest.attachDeviceFlags(xml, BOTH)
    assert len(devices(guest, "disk")) == len(devices(guest, "disk", INACTIVE)) == 3
    alias = next(d.find("alias").get("name") for d in devices(guest, "disk") if d.find("target").get("dev") == "vdb")
    with pytest.raises(libvirt.libvirtError, match="target vdb already exists"):
        guest.attachDevice(xml)
    guest.detachDeviceFlags(xml, BOTH)
    assert len(devices(guest, "disk")) == len(devices(guest, "disk", INACTIVE)) == 2
    assert events.wait(2) == [(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, alias),
                              (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, alias)]


def test_an_interface_gets_one_address_for_both(guest):
    guest.attachDeviceFlags("<interface type='user'><model type='virtio'/></interface>", BOTH)
    macs = [[i.find("mac").get("address") for i in devices(guest, "interface", f)] for f in (0, INACTIVE)]
    assert macs[0] == macs[1] and len(set(macs[0])) == 2 and macs[0][1].startswith("52:54:00:")


def test_a_device_is_detached_by_alias(guest):
    alias = devices(guest, "interface")[0].find("alias").get("name")
    guest.detachDeviceAlias(alias, LIVE)
    assert not devices(guest, "interface") and devices(guest, "interface", INACTIVE)
    with pytest.raises(libvirt.libvirtError) as e:
        guest.detachDeviceAlias(alias, LIVE)
    assert e.value.get_error_code() == libvirt.VIR_ERR_DEVICE_MISSING


def test_media_change_and_links_go_down(daemon, guest):
    daemon.virsh("change-media", "guest", "sda", "/b.iso", "--update", "--live")
    assert devices(guest, "disk")[1].find("source").get("file") == "/b.iso"
    assert devices(guest, "disk", INACTIVE)[1].find("source").get("file") == "/a.iso"
    daemon.virsh("domif-setlink", "guest", "hv0", "down")
    assert "down" in daemon.virsh("domif-getlink", "guest", "hv0")


def test_what_is_fixed_while_running_cannot_be_updated(guest):
    xml = ET.tostring(devices(guest, "interface")[0], encoding="unicode").replace("virtio", "e1000")
    with pytest.raises(libvirt.libvirtError, match="cannot change while it runs"):
        guest.updateDeviceFlags(xml, LIVE)
    guest.updateDeviceFlags(xml, CONFIG)
    assert devices(guest, "interface", INACTIVE)[0].find("model").get("type") == "e1000"


def test_foreign_xml_is_refused(guest):
    for xml, text in (("<toaster/>", "is not a device"), ("<disk", "XML error"), ("", "XML error")):
        with pytest.raises(libvirt.libvirtError, match=text):
            guest.attachDevice(xml)


def test_title_and_description(conn, guest, daemon):
    events = Events(conn, guest, libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE)
    daemon.virsh("desc", "guest", "--title", "a title", "--live", "--config")
    guest.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, "two\nlines", None, None, CONFIG)
    assert guest.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None, CONFIG) == "a title"
    assert guest.metadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, None, CONFIG) == "two\nlines"
    with pytest.raises(libvirt.libvirtError) as e:
        guest.metadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, None, LIVE)
    assert e.value.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA
    assert [s[1] for s in events.wait(2)] == [1, 0]


def test_elements_of_applications(guest):
    uri = "http://example.org/app"
    guest.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<note a='1'>x</note>", "app", uri, BOTH)
    for flags in (LIVE, CONFIG):
        element = ET.fromstring(guest.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, uri, flags))
        assert (element.tag, element.get("a"), element.text) == ("note", "1", "x")
    guest.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, None, uri, BOTH)
    with pytest.raises(libvirt.libvirtError):
        guest.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, uri, LIVE)


def test_rename(conn, daemon, guest):
    with pytest.raises(libvirt.libvirtError, match="already running"):
        guest.rename("other")
    guest.destroy()
    events = Events(conn, guest, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE)
    daemon.virsh("domrename", "guest", "other")
    assert conn.lookupByName("other").UUIDString() == guest.UUIDString()
    with pytest.raises(libvirt.libvirtError):
        conn.lookupByName("guest")
    with pytest.raises(libvirt.libvirtError, match="a domain named 'test' already"):
        conn.lookupByName("other").rename("test")
    with pytest.raises(libvirt.libvirtError, match="cannot hold"):
        conn.lookupByName("other").rename("../x")
    conn.lookupByName("other").rename("guest")
    renamed = (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED)
    named = (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_RENAMED)
    assert [s[1:] for s in events.wait(4)] == [renamed, named, renamed, named]


def test_what_nobody_knows_is_a_message(conn):
    dom = conn.defineXML(GUEST.replace("guest", "odd").replace("5503", "5504").replace("<os>", "<frobnicate/><os>"))
    try:
        assert any("/domain/frobnicate is not known" in m for m in dom.messages())
    finally:
        dom.undefine()


def test_what_nobody_knows_is_an_error_under_validation(conn):
    """It says where it is, and nothing is defined or started."""
    odd = GUEST.replace("guest", "odd").replace("5503", "5504")
    unknown = odd.replace("<os>", "<frobnicate/><os>")
    for define in (lambda: conn.defineXMLFlags(unknown, libvirt.VIR_DOMAIN_DEFINE_VALIDATE),
                   lambda: conn.createXML(unknown, libvirt.VIR_DOMAIN_START_VALIDATE)):
        with pytest.raises(libvirt.libvirtError, match="line 6: .*/domain/frobnicate is not known"):
            define()
        assert "odd" not in [dom.name() for dom in conn.listAllDomains()]
    conn.defineXMLFlags(odd, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).undefine()


def test_one_name_and_one_uuid_for_one_guest(conn, guest):
    """DOM-09."""
    before, known = guest.XMLDesc(INACTIVE), {dom.name() for dom in conn.listAllDomains()}
    for xml, said in ((GUEST.replace("5503", "5506"), "domain 'guest' already exists with uuid 11111111-2222-3333-4444-555555555503"),
                      (GUEST.replace("guest", "twin"), "domain 'guest' is already defined with uuid 11111111-2222-3333-4444-555555555503")):
        for make in conn.defineXML, conn.createXML:
            with pytest.raises(libvirt.libvirtError, match=said):
                make(xml)
    assert guest.XMLDesc(INACTIVE) == before and {dom.name() for dom in conn.listAllDomains()} == known


def test_on_shutdown_is_not_on_poweroff(conn):
    """CON-28"""
    dom = conn.defineXML(GUEST.replace("guest", "odd").replace("5503", "5504").replace(
        "<os>", "<on_shutdown>restart</on_shutdown><on_poweroff>restart</on_poweroff><os>"))
    try:
        assert any("/domain/on_shutdown is not known" in m for m in dom.messages())
        assert "<on_poweroff>restart</on_poweroff>" in dom.XMLDesc() and "on_shutdown" not in dom.XMLDesc()
    finally:
        dom.undefine()


def test_dominfo_is_whole(daemon, guest):
    out = daemon.virsh("dominfo", "guest")
    assert "Security model: none" in out and "Used memory:    262144 KiB" in out
    assert guest.securityLabel() == ["", False] and guest.securityLabelList() == [["", False]]


def test_statistics_of_all(conn, guest):
    stats = {d.name(): s for d, s in conn.getAllDomainStats(0)}
    mine = stats["guest"]
    assert mine["state.state"] == libvirt.VIR_DOMAIN_RUNNING
    assert mine["balloon.current"] == 256 * 1024 and mine["balloon.maximum"] == 512 * 1024
    assert mine["vcpu.current"] == 2 and {"vcpu.0.time", "vcpu.1.state"} < set(mine)
    assert mine["block.count"] == 2 and mine["block.0.name"] == "vda" and "block.0.rd.reqs" in mine
    assert mine["net.count"] == 1 and mine["net.0.name"] == "hv0"
    assert "test" in stats


def test_statistics_of_more_guests_than_are_written_in_one_turn(conn):
    names = [f"many-{n}" for n in range(1234)]
    doms = [conn.defineXML(f"<domain type='test'><name>{name}</name><memory>{1024 * (n + 1)}</memory><os><type>hvm</type></os></domain>")
            for n, name in enumerate(names)]
    try:
        stats = [(d.name(), s["balloon.maximum"]) for d, s in conn.getAllDomainStats(0) if d.name().startswith("many-")]
        assert sorted(stats) == sorted((name, 1024 * (n + 1)) for n, name in enumerate(names))
        some = conn.domainListGetStats(doms[:700], libvirt.VIR_DOMAIN_STATS_STATE)
        assert [d.name() for d, _ in some] == names[:700]
    finally:
        for dom in doms:
            dom.undefine()


def test_statistics_of_some_groups_and_states(conn, guest):
    guest.destroy()
    only = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE)
    assert [(d.name(), s) for d, s in only] == [("guest", {"state.state": 5, "state.reason": 2})]
    named = conn.domainListGetStats([guest], libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_BLOCK)
    assert named[0][1]["vcpu.maximum"] == 2 and named[0][1]["block.1.path"] == "/a.iso"
    with pytest.raises(libvirt.libvirtError) as e:
        conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_PERF, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS)
    assert e.value.get_error_code() == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED


def test_statistics_of_parts(guest, daemon):
    assert guest.memoryStats()["actual"] == 256 * 1024
    assert guest.interfaceStats("hv0") == (0,) * 8
    with pytest.raises(libvirt.libvirtError, match="has no interface 'hv9'"):
        guest.interfaceStats("hv9")
    assert "cpu_time" in daemon.virsh("cpu-stats", "guest", "--total")
    guest.destroy()
    with pytest.raises(libvirt.libvirtError, match="is not running"):
        guest.memoryStats()


def test_a_guest_ends_with_the_client_that_started_it(daemon, conn):
    dom = conn.defineXML(GUEST.replace("guest", "owned").replace("5503", "5505"))
    events = Events(conn, dom, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE)
    owner = libvirt.open(daemon.uri())
    owner.lookupByName("owned").createWithFlags(libvirt.VIR_DOMAIN_START_AUTODESTROY)
    owner.close()
    assert [s[1] for s in events.wait(2)] == [libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STOPPED]
    assert not dom.isActive()
    dom.undefine()


def test_other_clients_leave_without_harm(daemon, conn, guest):
    other = libvirt.open(daemon.uri())
    other.lookupByName("guest").info()
    other.close()
    assert guest.isActive()


def test_guests_defined_without_a_uuid_get_one_each(conn):
    """DOM-09, DOM-26."""
    guests = [conn.defineXML(f"<domain type='test'><name>anonymous{i}</name><memory>8192</memory><os><type>hvm</type></os>"
                             "<devices><interface type='user'/></devices></domain>") for i in range(3)]
    try:
        assert len({guest.UUIDString() for guest in guests}) == 3
        macs = {ET.fromstring(guest.XMLDesc()).find("devices/interface/mac").get("address") for guest in guests}
        assert len(macs) == 3 and all(mac.startswith("52:54:00:") for mac in macs)
    finally:
        for guest in guests:
            guest.undefine()


@pytest.mark.parametrize("command", ["migrate-compcache guest", "migrate-compcache guest --size 65536", "migrate-getspeed guest",
                                     "migrate-getspeed guest --postcopy", "migrate-setspeed guest 3", "migrate-setmaxdowntime guest 3",
                                     "migrate-postcopy guest", "domdirtyrate-calc guest", "migrate guest {uri}",
                                     "migrate --live --p2p guest qemu+tcp://x/system",
                                     "migrate --offline --persistent guest {uri}"])
def test_a_guest_without_qemu_is_not_moved(guest, daemon, command):
    """It is said so, by a daemon that goes on."""
    with pytest.raises(AssertionError, match="error: .*(?:not supported|not being migrated|failed to connect|cannot be migrated)"):
        daemon.virsh(*command.format(uri=daemon.uri()).split())
    assert guest.info()[0] == libvirt.VIR_DOMAIN_RUNNING
