"""Devices of the host, and the kinds of objects of which there are none (ranks 49-51, 77-79, 91-92, 98-109)."""
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET

import libvirt
import pytest
from waiting import wait_for

UUID = "11111111-2222-3333-4444-555555555501"


@pytest.mark.parametrize("command", ["secret-list",
                                     "nwfilter-list", "nwfilter-binding-list"])
def test_lists_are_empty(daemon, command):
    assert len(daemon.virsh(*command.split()).strip().splitlines()) == 2


def kernel_links():
    return {n for n in os.listdir("/sys/class/net") if os.path.isdir(f"/sys/class/net/{n}")}


def test_interfaces_are_those_of_the_kernel(daemon, conn):
    def agree():
        """Others make and remove links meanwhile."""
        alone = {n for n in kernel_links() if not os.path.exists(f"/sys/class/net/{n}/master")}
        return ({i.name() for i in conn.listAllInterfaces()} == alone
                and set(conn.listInterfaces()) | set(conn.listDefinedInterfaces()) == alone
                and conn.numOfInterfaces() + conn.numOfDefinedInterfaces() == len(alone))

    wait_for("the lists and the kernel agree", agree)
    lo = conn.interfaceLookupByName("lo")
    described = ET.fromstring(lo.XMLDesc(0))
    assert (described.get("type"), described.get("name"), described.find("mtu").get("size")) == ("ethernet", "lo", "65536")
    assert lo.isActive() == 0 and conn.interfaceLookupByMACString(lo.MACString()).name() == "lo"
    assert ["lo", "inactive", "00:00:00:00:00:00"] in [r.split() for r in daemon.virsh("iface-list", "--all").splitlines()]


def test_the_test_driver_has_a_network(daemon, conn):
    assert daemon.virsh("net-list", "--all").split()[-4:] == ["default", "active", "yes", "yes"]
    net = conn.networkLookupByName("default")
    assert net.UUIDString() == "dd8fe884-6c02-601e-7551-cca97df1c5df" and net.bridgeName() == "virbr0"
    assert "<forward mode='nat'/>" in net.XMLDesc(0) and net.isPersistent() and net.autostart()
    for act in (net.destroy, net.create):
        act()
    made = conn.networkCreateXML("<network><name>t</name></network>")
    assert made.isActive() and not made.isPersistent() and made.bridgeName() == "virbr1"
    assert (conn.numOfNetworks(), sorted(conn.listNetworks()), conn.listDefinedNetworks()) == (2, ["default", "t"], [])
    made.destroy()
    assert [n.name() for n in conn.listAllNetworks()] == ["default"]


def test_old_lists_and_numbers_are_empty(conn):
    for what in ("Secrets",):
        assert getattr(conn, "numOf" + what)() == 0 and getattr(conn, "list" + what)() == [], what
    assert conn.numOfNWFilters() == 0 and conn.listNWFilters() == []


@pytest.mark.parametrize("look_up, key, code", [
    ("networkLookupByName", "x", libvirt.VIR_ERR_NO_NETWORK),
    ("networkLookupByUUIDString", UUID, libvirt.VIR_ERR_NO_NETWORK),
    ("storagePoolLookupByName", "x", libvirt.VIR_ERR_NO_STORAGE_POOL),
    ("storagePoolLookupByUUIDString", UUID, libvirt.VIR_ERR_NO_STORAGE_POOL),
    ("storagePoolLookupByTargetPath", "/x", libvirt.VIR_ERR_NO_STORAGE_POOL),
    ("storageVolLookupByPath", "/x", libvirt.VIR_ERR_NO_STORAGE_VOL),
    ("storageVolLookupByKey", "x", libvirt.VIR_ERR_NO_STORAGE_VOL),
    ("interfaceLookupByName", "x", libvirt.VIR_ERR_NO_INTERFACE),
    ("interfaceLookupByMACString", "52:54:00:00:00:01", libvirt.VIR_ERR_NO_INTERFACE),
    ("secretLookupByUUIDString", UUID, libvirt.VIR_ERR_NO_SECRET),
    ("nwfilterLookupByName", "x", libvirt.VIR_ERR_NO_NWFILTER),
    ("nwfilterLookupByUUIDString", UUID, libvirt.VIR_ERR_NO_NWFILTER),
    ("nodeDeviceLookupByName", "x", libvirt.VIR_ERR_NO_NODE_DEVICE),
])
def test_look_ups_say_what_is_missing(conn, look_up, key, code):
    with pytest.raises(libvirt.libvirtError) as e:
        getattr(conn, look_up)(key)
    assert e.value.get_error_code() == code and key in str(e.value)


@pytest.mark.parametrize("kind", ["network", "storagePool", "nodeDevice", "secret"])
def test_events_of_other_objects_can_be_registered(conn, kind):
    register, deregister = getattr(conn, kind + "EventRegisterAny"), getattr(conn, kind + "EventDeregisterAny")
    deregister(register(None, 0, lambda *_: None, None))


def test_events_that_do_not_exist_are_refused(daemon):
    assert "error:" in daemon.virsh("net-event", "nonsense", check=False)


def test_devices_form_a_tree(conn):
    def tree():
        """Of devices that are there from beginning to end: others make and remove some meanwhile."""
        devices = {d.name(): d for d in conn.listAllDevices(0)}
        if set(devices) != set(conn.listDevices(None)) or len(devices) != conn.numOfDevices(None):
            return None
        try:
            return {name: (device.parent(), ET.fromstring(device.XMLDesc(0))) for name, device in devices.items()}
        except libvirt.libvirtError as error:
            assert error.get_error_code() == libvirt.VIR_ERR_NO_NODE_DEVICE
            return None

    found = wait_for("lists that agree", tree)
    assert found["computer"][0] is None and conn.nodeDeviceLookupByName("computer").listCaps() == ["system"]
    for name, (parent, described) in found.items():
        assert described.findtext("name") == name
        assert name == "computer" or parent in found
    gone = [path for _, described in found.values() if (path := described.findtext("path")) and not os.path.isdir(path)]
    assert not [d for d in conn.listAllDevices(0) if ET.fromstring(xml_of(d)).findtext("path") in gone]


def xml_of(device):
    try:
        return device.XMLDesc(0)
    except libvirt.libvirtError:  # it has gone
        return "<device/>"


def test_links_and_pci_functions_agree_with_the_kernel(conn):
    def links():
        try:
            return {ET.fromstring(d.XMLDesc(0)).findtext("capability/interface") for d in
                    conn.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET)}
        except libvirt.libvirtError as error:  # others make and remove links meanwhile
            assert error.get_error_code() == libvirt.VIR_ERR_NO_NODE_DEVICE
            return None

    wait_for("the devices and the kernel agree", lambda: links() == kernel_links())
    for device in conn.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV):
        described = ET.fromstring(device.XMLDesc(0))
        with open(described.findtext("path") + "/vendor", encoding="ascii") as file:
            assert described.find("capability/vendor").get("id") == file.read().strip()


def test_devices_are_active_and_not_kept(daemon):
    out = daemon.virsh("nodedev-info", "computer")
    assert "Active:         yes" in out and "Persistent:     no" in out
    assert "computer" in daemon.virsh("nodedev-list", "--tree")
    assert daemon.virsh("nodedev-list", "--inactive").strip() == ""


def test_every_device_is_valid_by_the_schema(conn, tmp_path):
    if not shutil.which("virt-xml-validate"):
        pytest.skip("virt-xml-validate is not installed")
    for number, device in enumerate(conn.listAllDevices(0)):
        path = tmp_path / f"{number}.xml"
        try:
            path.write_text(device.XMLDesc(0))
        except libvirt.libvirtError as error:  # others make and remove links meanwhile
            assert error.get_error_code() == libvirt.VIR_ERR_NO_NODE_DEVICE
            continue
        done = subprocess.run(["virt-xml-validate", path, "nodedev"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, path.read_text() + done.stdout + done.stderr
