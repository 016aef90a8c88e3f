"""Tuning guests through stock clients: limits, processors, memory (CPU-09 to CPU-12, DOM-06)."""
import struct

import frames
import libvirt
import pytest
from droverd import running_guest

GUEST = """
<domain type='test'>
  <name>tuned</name><uuid>11111111-2222-3333-4444-555555555501</uuid>
  <memory unit='MiB'>512</memory><currentMemory unit='MiB'>256</currentMemory>
  <vcpu current='2'>4</vcpu>
  <iothreads>2</iothreads>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><driver iothread='2'/><source file='/a.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><target dev='hv0'/><model type='virtio'/></interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
BOTH = LIVE | CONFIG


@pytest.fixture()
def guest(conn):
    yield from running_guest(conn, GUEST)



def both(setter, *args):
    """One call after the other: the binding asks for the parameters' types first, and can ask about one state only."""
    setter(*args, LIVE)
    setter(*args, CONFIG)


def test_scheduler_live_and_configured_are_apart(guest):
    assert guest.schedulerType() == ("posix", 9)
    guest.setSchedulerParametersFlags({"cpu_shares": 2048, "vcpu_quota": 50000}, LIVE)
    assert guest.schedulerParametersFlags(LIVE)["cpu_shares"] == 2048
    assert guest.schedulerParametersFlags(CONFIG)["cpu_shares"] == 0
    both(guest.setSchedulerParametersFlags, {"vcpu_quota": -1})
    assert guest.schedulerParametersFlags(CONFIG)["vcpu_quota"] == -1


def test_scheduler_of_old_calls(guest):
    guest.setSchedulerParameters({"cpu_shares": 512})
    assert guest.schedulerParameters()["cpu_shares"] == 512


def test_a_parameter_out_of_range_changes_nothing(guest):
    with pytest.raises(libvirt.libvirtError, match="vcpu_period: 5 is out of range") as e:
        guest.setSchedulerParametersFlags({"cpu_shares": 4096, "vcpu_period": 5}, LIVE)
    assert e.value.get_error_code() == libvirt.VIR_ERR_INVALID_ARG
    assert guest.schedulerParametersFlags(LIVE)["cpu_shares"] == 1024


def test_memory_limits(guest, daemon):
    both(guest.setMemoryParameters, {"hard_limit": 1000000})
    assert guest.memoryParameters(CONFIG)["hard_limit"] == 1000000
    assert "unlimited" in daemon.virsh("memtune", "tuned", "--soft-limit", "-1") + daemon.virsh("memtune", "tuned")
    with pytest.raises(libvirt.libvirtError, match="cannot be above swap_hard_limit"):
        guest.setMemoryParameters({"swap_hard_limit": 10}, LIVE)


def test_numa_nodes_change_in_strict_mode_only(guest):
    both(guest.setNumaParameters, {"numa_nodeset": "0"})
    assert guest.numaParameters(LIVE) == {"numa_mode": 0, "numa_nodeset": "0"}
    with pytest.raises(libvirt.libvirtError, match="mode of a running domain"):
        guest.setNumaParameters({"numa_mode": 1}, LIVE)
    guest.setNumaParameters({"numa_mode": 1}, CONFIG)
    assert guest.numaParameters(CONFIG)["numa_mode"] == 1


def test_share_of_io_by_device(guest):
    both(guest.setBlkioParameters, {"weight": 500, "device_weight": "/dev/vda,300,/dev/vdb,200"})
    both(guest.setBlkioParameters, {"device_weight": "/dev/vdb,0"})
    params = guest.blkioParameters(CONFIG)
    assert params["weight"] == 500 and params["device_weight"] == "/dev/vda,300"
    with pytest.raises(libvirt.libvirtError, match="not a list PATH,VALUE"):
        guest.setBlkioParameters({"device_weight": "/dev/vda"}, LIVE)
    with pytest.raises(libvirt.libvirtError, match="at most 256 devices"):
        guest.setBlkioParameters({"device_weight": ",".join(f"/dev/{i},300" for i in range(100_000))}, LIVE)


def test_limits_of_a_disk(guest, daemon):
    both(guest.setBlockIoTune, "vda", {"total_bytes_sec": 1000, "total_bytes_sec_max": 2000})
    assert guest.blockIoTune("/a.img", LIVE)["total_bytes_sec_max"] == 2000
    with pytest.raises(libvirt.libvirtError, match="total and read or write limits"):
        guest.setBlockIoTune("vda", {"read_bytes_sec": 1000}, LIVE)
    with pytest.raises(libvirt.libvirtError, match="needs read_iops_sec to be set"):
        guest.setBlockIoTune("vda", {"read_iops_sec_max": 1000}, LIVE)
    with pytest.raises(libvirt.libvirtError, match="has no disk 'sdz'"):
        guest.blockIoTune("sdz")
    assert "total_bytes_sec: 1000" in daemon.virsh("blkdeviotune", "tuned", "vda")


def test_limits_of_an_interface(guest, daemon):
    daemon.virsh("domiftune", "tuned", "hv0", "--inbound", "100,200,300", "--live", "--config")
    assert guest.interfaceParameters("52:54:00:00:00:01", CONFIG)["inbound.peak"] == 200
    daemon.virsh("domiftune", "tuned", "hv0", "--inbound", "0", "--live")
    assert guest.interfaceParameters("hv0", LIVE)["inbound.peak"] == 0
    assert "<bandwidth>" not in guest.XMLDesc(0) and "<bandwidth>" in guest.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


def test_number_of_processors(guest):
    guest.setVcpusFlags(3, LIVE)
    assert (guest.vcpusFlags(LIVE), guest.vcpusFlags(CONFIG), guest.maxVcpus()) == (3, 2, 4)
    with pytest.raises(libvirt.libvirtError, match="greater than max allowable"):
        guest.setVcpusFlags(5, LIVE)
    guest.setVcpusFlags(6, CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    assert guest.vcpusFlags(CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM) == 6
    guest.setVcpus(1)
    assert guest.info()[3] == 1
    with pytest.raises(libvirt.libvirtError, match="must not be zero"):
        guest.setVcpus(0)


def test_single_processors(guest):
    guest.setVcpu("3", 1, LIVE)
    assert guest.vcpusFlags(LIVE) == 3
    guest.setVcpu("1", 0, LIVE)
    assert [v[0] for v in guest.vcpus()[0]] == [0, 3]
    with pytest.raises(libvirt.libvirtError, match="virtual CPU 0 cannot be unplugged"):
        guest.setVcpu("0", 0, LIVE)


def test_pins_CPU_10_CPU_11_CPU_12(guest, conn, daemon):
    host = conn.getCPUMap()[1]
    one = (True,) + (False,) * (len(host) - 1)
    assert guest.vcpuPinInfo(LIVE) == [tuple(host)] * 2
    guest.pinVcpu(1, one)
    assert guest.vcpuPinInfo(LIVE)[1] == one and guest.vcpuPinInfo(CONFIG)[1] == tuple(host)
    guest.pinVcpuFlags(0, one, CONFIG)
    assert "<vcpupin vcpu='0' cpuset='0'/>" in guest.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    guest.pinVcpuFlags(0, tuple(host), CONFIG)
    assert "<vcpupin" not in guest.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    guest.pinEmulator(one, BOTH)
    assert guest.emulatorPinInfo(CONFIG) == one
    assert "0: " in daemon.virsh("emulatorpin", "tuned").replace("*", "0")
    with pytest.raises(libvirt.libvirtError, match="has no virtual CPU 9"):
        guest.pinVcpu(9, one)


def test_vcpuinfo_shows_affinity_CPU_09(guest, daemon, conn):
    out = daemon.virsh("vcpuinfo", "tuned")
    assert out.count("VCPU:") == 2
    assert f"CPU Affinity:   {'y' * len(conn.getCPUMap()[1])}" in out


def test_iothreads(guest):
    assert [t[0] for t in guest.ioThreadInfo(LIVE)] == [1, 2]
    guest.addIOThread(4, BOTH)
    guest.delIOThread(1, LIVE)
    assert [t[0] for t in guest.ioThreadInfo(LIVE)] == [2, 4]
    assert [t[0] for t in guest.ioThreadInfo(CONFIG)] == [1, 2, 4]
    guest.pinIOThread(4, (True,), LIVE)
    assert guest.ioThreadInfo(LIVE)[1][1][0] is True
    with pytest.raises(libvirt.libvirtError, match="disk 'vda' of 'tuned' uses I/O thread 2"):
        guest.delIOThread(2, CONFIG)
    guest.setIOThreadParams(4, {"poll_max_ns": 1000}, LIVE)
    with pytest.raises(libvirt.libvirtError, match="on a running guest only"):
        guest.setIOThreadParams(4, {"poll_max_ns": 1000}, CONFIG)


def test_memory(guest):
    guest.setMemory(100 * 1024)
    assert guest.info()[2] == 100 * 1024
    with pytest.raises(libvirt.libvirtError, match="higher than max memory"):
        guest.setMemory(1024 * 1024)
    with pytest.raises(libvirt.libvirtError, match="of a running guest cannot be changed"):
        guest.setMaxMemory(1024 * 1024)
    guest.setMemoryFlags(1024 * 1024, CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM)
    guest.setMemoryFlags(768 * 1024, CONFIG)
    guest.setMemoryStatsPeriod(5, BOTH)
    guest.destroy()
    assert guest.info()[1:3] == [1024 * 1024, 768 * 1024]
    guest.setMaxMemory(2048 * 1024)
    assert guest.maxMemory() == 2048 * 1024
    assert "<stats period='5'/>" in guest.XMLDesc(0)


def test_what_no_later_daemon_could_read_is_not_kept(guest, conn, daemon):
    """The file of a guest that is left out at the next start would be all that is left of it."""
    before = guest.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    wire, set_memory_flags = frames.Wire(daemon.socket(), "test:///default"), 204  # stock clients look at the size themselves
    refused = wire.call(set_memory_flags, frames.string("tuned") + guest.UUID() +
                        struct.pack(">iQI", guest.ID(), 2**62, CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM))
    assert "'tuned' could not be defined like that: " in refused.error()[2]
    assert guest.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) == before
    cells = "<cpu><numa><cell id='0' cpus='0-3' memory='512' unit='MiB'/></numa></cpu>"
    conn.defineXML(GUEST.replace("<devices>", f"{cells}<devices>", 1))
    with pytest.raises(libvirt.libvirtError, match="cell 0: the guest has no CPU 2"):
        guest.setVcpusFlags(2, CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    assert "current='2'>4</vcpu>" in guest.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


def test_processors_that_are_listed_grow_and_shrink(guest):
    guest.setVcpu("2", 1, CONFIG)
    guest.setVcpusFlags(6, CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    guest.setVcpusFlags(6, CONFIG)
    assert guest.vcpusFlags(CONFIG) == 6
    assert guest.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).count("enabled='yes'") == 6
    guest.setVcpusFlags(3, CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    assert guest.vcpusFlags(CONFIG) == guest.vcpusFlags(CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM) == 3


def test_a_guest_that_is_off_has_nothing_live(guest):
    guest.destroy()
    with pytest.raises(libvirt.libvirtError, match="is not running"):
        guest.setVcpus(2)
    with pytest.raises(libvirt.libvirtError, match="is not running"):
        guest.schedulerParametersFlags(LIVE)


def test_a_transient_guest_has_no_configuration(conn):
    dom = conn.createXML(GUEST.replace("tuned", "transient").replace("5501", "5502"))
    try:
        with pytest.raises(libvirt.libvirtError, match="is transient"):
            dom.setVcpusFlags(1, CONFIG)
        with pytest.raises(libvirt.libvirtError, match="is transient"):
            dom.setMemoryFlags(1024, BOTH)
    finally:
        dom.destroy()


def test_readonly_clients_cannot_tune(daemon, guest):
    with libvirt.openReadOnly(daemon.uri(readonly=True)) as conn:
        dom = conn.lookupByName("tuned")
        assert dom.schedulerParameters()["cpu_shares"] == 1024
        with pytest.raises(libvirt.libvirtError) as e:
            dom.setMemory(1024)
        assert e.value.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED
