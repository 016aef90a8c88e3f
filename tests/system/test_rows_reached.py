"""Procedures that no command of virsh and no other test makes a stock client call, each called by libvirt-python."""
import os
import tempfile

import libvirt
import libvirt_qemu
import pytest

GUEST = ("<domain type='qemu'><name>r</name><memory unit='MiB'>16</memory><os>"
         "<type arch='x86_64' machine='pc'>hvm</type></os></domain>")
UUID = "8ae0a1d9-7b6d-4a5e-9d0e-00000000000{}"
NETWORK = f"<network><name>n</name><uuid>{UUID.format(1)}</uuid></network>"
POOL = "<pool type='dir'><name>p</name><uuid>%s</uuid><target><path>{}</path></target></pool>" % UUID.format(2)
FILTER = f"<filter name='f'><uuid>{UUID.format(3)}</uuid></filter>"


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def dom(conn):
    dom = conn.defineXML(GUEST)
    yield dom
    if dom.isActive():
        dom.destroy()
    if dom.hasManagedSaveImage():
        dom.managedSaveRemove()
    dom.undefine()


def test_guests_are_counted_in_the_old_way(conn, dom):
    assert conn.isSecure()
    assert (conn.numOfDomains(), conn.listDomainsID(), conn.numOfDefinedDomains()) == (0, [], 1)
    assert conn.listDefinedDomains() == ["r"]
    dom.create()
    assert (conn.numOfDomains(), conn.listDomainsID(), conn.numOfDefinedDomains()) == (1, [dom.ID()], 0)
    assert conn.lookupByUUID(dom.UUID()).name() == conn.lookupByID(dom.ID()).name() == "r"


def test_a_change_of_what_runs_is_noted(dom):
    dom.create()
    assert not dom.isUpdated()
    dom.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "changed", None, None, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    assert dom.isUpdated()


def test_a_save_takes_flags_and_another_definition(conn, dom, place):
    dom.create()
    image = place / "image"
    other = dom.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE).replace("<memory", "<title>other</title><memory", 1)
    dom.saveFlags(str(image), other, libvirt.VIR_DOMAIN_SAVE_PAUSED)
    assert not dom.isActive()
    conn.restoreParams({libvirt.VIR_DOMAIN_SAVE_PARAM_FILE: str(image)}, libvirt.VIR_DOMAIN_SAVE_RUNNING)
    assert dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING and "<title>other</title>" in dom.XMLDesc()
    dom.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)
    assert not dom.isActive()


def test_the_definition_in_a_managed_save_is_changed(dom):
    dom.create()
    dom.managedSave()
    dom.managedSaveDefineXML(dom.managedSaveGetXMLDesc().replace("<memory", "<title>later</title><memory", 1),
                             libvirt.VIR_DOMAIN_SAVE_PAUSED)
    dom.create()
    assert dom.state()[0] == libvirt.VIR_DOMAIN_PAUSED and "<title>later</title>" in dom.XMLDesc()


def test_a_job_that_is_not_there_is_not_aborted(dom):
    dom.create()
    with pytest.raises(libvirt.libvirtError, match="no job is active"):
        dom.abortJobFlags(0)
    with pytest.raises(libvirt.libvirtError):
        dom.abortJobFlags(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY)
    assert dom.isActive()


def test_a_descriptor_goes_to_qemu_with_a_command(dom):
    dom.create()
    with tempfile.TemporaryFile() as file:
        said, files = libvirt_qemu.qemuMonitorCommandWithFiles(
            dom, '{"execute":"add-fd","arguments":{"opaque":"ours"}}', [file.fileno()])
    assert '"fdset-id"' in said and files == []
    assert "ours" in libvirt_qemu.qemuMonitorCommand(dom, '{"execute":"query-fdsets"}', 0)


def test_an_identity_is_taken(conn):
    conn.setIdentity({libvirt.VIR_CONNECT_IDENTITY_USER_NAME: "somebody"})
    assert conn.getHostname()


def test_networks_are_checked_counted_and_found(conn):
    with pytest.raises(libvirt.libvirtError, match="nonsense"):
        conn.networkDefineXMLFlags(NETWORK.replace("</network", "<nonsense/></network"), libvirt.VIR_NETWORK_DEFINE_VALIDATE)
    with pytest.raises(libvirt.libvirtError, match="nonsense"):
        conn.networkCreateXMLFlags(NETWORK.replace("</network", "<nonsense/></network"), libvirt.VIR_NETWORK_CREATE_VALIDATE)
    assert conn.numOfDefinedNetworks() == 0
    net = conn.networkDefineXMLFlags(NETWORK, libvirt.VIR_NETWORK_DEFINE_VALIDATE)
    assert conn.numOfDefinedNetworks() == 1 and conn.listDefinedNetworks() == ["n"] and conn.networkLookupByUUID(net.UUID()).name() == "n"
    net.setAutostart(1)
    assert net.autostart() == 1
    net.undefine()


def test_pools_are_counted_and_found(conn, place):
    pool = conn.storagePoolDefineXML(POOL.format(place))
    assert (conn.numOfStoragePools(), conn.numOfDefinedStoragePools(), conn.listDefinedStoragePools()) == (0, 1, ["p"])
    assert conn.storagePoolLookupByUUID(pool.UUID()).name() == "p"
    pool.create()
    assert (conn.numOfStoragePools(), conn.numOfDefinedStoragePools(), conn.listStoragePools()) == (1, 0, ["p"])
    assert conn.storagePoolLookupByTargetPath(str(place)).name() == "p"
    (place / "v").write_bytes(os.urandom(65536))
    pool.refresh()
    assert (pool.numOfVolumes(), pool.listVolumes()) == (1, ["v"])
    volume = pool.storageVolLookupByName("v")
    assert volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[1:] == [65536, 65536]
    volume.wipe()
    assert (place / "v").read_bytes() == bytes(65536)
    pool.destroy()
    pool.undefine()


def test_a_filter_is_checked_and_found(conn):
    with pytest.raises(libvirt.libvirtError, match="nonsense"):
        conn.nwfilterDefineXMLFlags(FILTER.replace("</filter", "<nonsense/></filter"), libvirt.VIR_NWFILTER_DEFINE_VALIDATE)
    made = conn.nwfilterDefineXMLFlags(FILTER, libvirt.VIR_NWFILTER_DEFINE_VALIDATE)
    assert conn.nwfilterLookupByUUID(made.UUID()).name() == "f" and "f" in conn.listNWFilters()
    made.undefine()


def test_a_device_of_the_host_counts_what_it_can(conn):
    device = conn.nodeDeviceLookupByName("computer")
    assert device.numOfCaps() == len(device.listCaps()) >= 1
