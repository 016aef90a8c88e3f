"""Changing and measuring a guest that runs on QEMU (CPU-10, ranks 93-96). It has no system: what counts is QEMU."""
import os
import pathlib
import shutil
import tempfile

import libvirt
import pytest
from droverd import Droverd
from mortal import processes

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("qemu-system-x86_64"),
                                reason="needs root and QEMU")


@pytest.fixture(scope="module")
def images():
    path = pathlib.Path(tempfile.mkdtemp(prefix="drover-test-"))
    path.chmod(0o755)
    for name in ("a.raw", "b.raw", "c.raw", "d.raw"):
        (path / name).write_bytes(bytes(1 << 20))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def daemon():
    d = Droverd()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def guest(daemon, images):
    conn = libvirt.open(daemon.uri(driver="qemu"))
    dom = conn.createXML(f"""
        <domain type='qemu'>
          <name>changing</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><iothreads>1</iothreads>
          <os><type arch='x86_64' machine='pc'>hvm</type></os>
          <features><acpi/></features>
          <devices>
            <disk type='file' device='disk'><source file='{images}/a.raw'/><target dev='vda' bus='virtio'/></disk>
            <disk type='file' device='cdrom'><source file='{images}/c.raw'/><target dev='hdc' bus='ide'/><readonly/></disk>
            <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
          </devices>
        </domain>""")
    yield dom
    dom.destroy()
    conn.close()


@pytest.fixture()
def monitor(daemon, guest):
    return lambda text: daemon.virsh("qemu-monitor-command", guest.name(), "--hmp", text, driver="qemu")


def affinity(tid):
    return sorted(os.sched_getaffinity(tid))


def test_statistics_come_from_qemu_and_the_kernel(guest):
    stats = guest.connect().domainListGetStats([guest])[0][1]
    assert stats["cpu.time"] > 0 and stats["vcpu.0.state"] == libvirt.VIR_VCPU_RUNNING
    assert stats["block.count"] == 2 and stats["block.0.capacity"] == 1 << 20
    assert stats["iothread.count"] == 1 and "iothread.1.poll-max-ns" in stats
    assert 0 < guest.memoryStats()["rss"] < 4 << 20


def test_pins_move_threads_at_once_CPU_10(guest, monitor):
    tid = int(monitor("info cpus").split("thread_id=")[1].split()[0])
    guest.pinVcpu(0, (True,))
    assert affinity(tid) == [0]
    guest.pinEmulator((True,), LIVE)
    assert affinity(processes(guest.UUIDString())[0]) == [0]
    iothread = int(monitor("info iothreads").split("thread_id=")[1].split()[0])
    assert affinity(iothread) == sorted(os.sched_getaffinity(0))
    guest.pinIOThread(1, (True,), LIVE)
    assert affinity(iothread) == [0]


def test_limits_of_a_disk_reach_qemu(guest, monitor):
    guest.setBlockIoTune("vda", {"total_bytes_sec": 100000}, LIVE)
    assert "bps=100000" in monitor("info block")
    guest.setBlockIoTune("vda", {"total_bytes_sec": 0}, LIVE)
    assert "bps=100000" not in monitor("info block")


def test_iothreads_come_and_go(guest, monitor):
    guest.addIOThread(7, LIVE)
    assert "iothread7" in monitor("info iothreads")
    guest.setIOThreadParams(7, {"poll_max_ns": 5000}, LIVE)
    assert "poll-max-ns=5000" in monitor("info iothreads")
    guest.setIOThreadParams(7, {"poll_max_ns": 6000, "poll_grow": 3, "poll_shrink": 2}, LIVE)
    said = monitor("info iothreads")
    assert "poll-max-ns=6000" in said and "poll-grow=3" in said and "poll-shrink=2" in said
    guest.delIOThread(7, LIVE)
    assert "iothread7" not in monitor("info iothreads")


def test_a_disk_is_plugged_in(guest, monitor, images):
    guest.attachDeviceFlags(f"<disk type='file' device='disk'><source file='{images}/b.raw'/>"
                            "<target dev='vdb' bus='virtio'/></disk>", LIVE)
    assert f"{images}/b.raw" in monitor("info block")
    assert guest.XMLDesc(0).count("<address type='pci'") >= 3


def test_an_interface_is_plugged_in(guest, monitor):
    guest.attachDeviceFlags("<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/>"
                            "</interface>", LIVE)
    assert "macaddr=52:54:00:00:00:02" in monitor("info network")


def test_a_device_that_qemu_refuses_leaves_nothing_behind(guest, monitor):
    before, xml = monitor("info block"), guest.XMLDesc(0)
    with pytest.raises(libvirt.libvirtError, match="/nowhere/x.raw"):
        guest.attachDeviceFlags("<disk type='file' device='disk'><source file='/nowhere/x.raw'/>"
                                "<target dev='vdx' bus='virtio'/></disk>", LIVE)
    assert monitor("info block") == before and guest.XMLDesc(0) == xml


def test_a_medium_is_changed_and_ejected(daemon, guest, monitor, images):
    daemon.virsh("change-media", guest.name(), "hdc", f"{images}/d.raw", "--update", "--live", driver="qemu")
    assert f"{images}/d.raw" in monitor("info block") and f"{images}/c.raw" not in monitor("info block")
    daemon.virsh("change-media", guest.name(), "hdc", "--eject", "--live", driver="qemu")
    assert "[not inserted]" in monitor("info block")


def test_a_link_goes_down(daemon, guest):
    daemon.virsh("domif-setlink", guest.name(), "52:54:00:00:00:01", "down", driver="qemu")
    assert "<link state='down'/>" in guest.XMLDesc(0)


def test_memory_and_shares(daemon, guest):
    guest.setMemory(32 * 1024)
    if not any(pathlib.Path("/sys/fs/cgroup").glob("*")):
        pytest.skip("this host has no control groups")
    guest.setSchedulerParametersFlags({"cpu_shares": 2048}, LIVE)
    assert guest.schedulerParametersFlags(LIVE)["cpu_shares"] == 2048


def test_capabilities_name_what_can_be_run(daemon):
    out = daemon.virsh("capabilities", driver="qemu")
    assert "<domain type='qemu'/>" in out and "<machine" in out
    assert "<domainCapabilities>" in daemon.virsh("domcapabilities", driver="qemu")
    assert "qemu64" in daemon.virsh("cpu-models", "x86_64", driver="qemu")


def test_a_definition_is_renamed_on_disk(daemon):
    conn = libvirt.open(daemon.uri(driver="qemu"))
    dom = conn.defineXML("<domain type='qemu'><name>old</name><memory>65536</memory><os><type>hvm</type></os></domain>")
    dom.setAutostart(1)
    dom.rename("new")
    under = daemon.base / "etc" / "qemu"
    assert not (under / "old.xml").exists() and (under / "autostart" / "new.xml").resolve() == under / "new.xml"
    conn.lookupByName("new").undefine()
    assert not list(under.glob("**/*.xml"))
    conn.close()
