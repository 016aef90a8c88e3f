"""Calls about the host, through stock clients (LIFE-30, CPU-05 to CPU-07)."""
import os
import platform
import xml.etree.ElementTree as ET

import libvirt
import pytest
from droverd import Droverd


@pytest.fixture(scope="module")
def daemon():
    d = Droverd(conf='host_uuid = "8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a"\n')
    yield d
    d.stop()


def words_after(text, label):
    return next(line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith(label))


def meminfo(name):
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def test_nodeinfo_agrees_with_the_kernel(daemon):
    out = daemon.virsh("nodeinfo")
    assert [line.partition(":")[0] for line in out.splitlines() if line] == [
        "CPU model", "CPU(s)", "CPU frequency", "CPU socket(s)", "Core(s) per socket", "Thread(s) per core", "NUMA cell(s)", "Memory size"]
    assert words_after(out, "CPU model") == [platform.machine()]
    assert int(words_after(out, "CPU(s)")[0]) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert int(words_after(out, "Memory size")[0]) == meminfo("MemTotal")


def test_the_numbers_of_nodeinfo_multiply_to_the_cpus(conn):
    _model, _memory, cpus, _mhz, cells, sockets, cores, threads = conn.getInfo()
    assert cells * sockets * cores * threads == cpus


def test_cpu_map_has_every_cpu(daemon, conn):
    present, bits, online = conn.getCPUMap()
    assert len(bits) == present and sum(bits) == online == os.sysconf("SC_NPROCESSORS_ONLN")
    assert f"CPUs present:   {present}" in daemon.virsh("nodecpumap")


def test_free_memory_is_of_this_machine(daemon, conn):
    assert 0 < conn.getFreeMemory() <= meminfo("MemTotal") * 1024
    cells = conn.getCellsFreeMemory(0, 1)
    assert len(cells) == 1 and cells[0] > 0
    assert "Total:" in daemon.virsh("freecell", "--all")


def test_a_cell_that_is_not_there_is_refused(conn):
    with pytest.raises(libvirt.libvirtError, match="start cell 4095 is out of range"):
        conn.getCellsFreeMemory(4095, 1)


def test_free_pages_by_cell_and_in_all(daemon, conn):
    size = os.sysconf("SC_PAGESIZE") // 1024
    assert conn.getFreePages([size], 0, 1)[0][size] > 0
    assert f"{size}KiB:" in daemon.virsh("freepages", "--all")
    with pytest.raises(libvirt.libvirtError, match="no pages of 3 KiB"):
        conn.getFreePages([3], 0, 1)


def test_base_pages_cannot_be_made(daemon):
    assert "the number of base pages cannot be set" in daemon.virsh("allocpages", "4K", "10", check=False)


def test_huge_pages_are_set_to_what_they_are(daemon):
    path = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
    if not os.path.exists(path):
        pytest.skip("this kernel has no 2 MiB pages")
    with open(path, encoding="ascii") as file:
        now = int(file.read())
    daemon.virsh("allocpages", "2M", now, "--cellno", "0")
    daemon.virsh("allocpages", "2M", 0, "--cellno", "0", "--add")
    with open(path, encoding="ascii") as file:
        assert int(file.read()) == now


def test_cpu_statistics_grow(conn):
    before = conn.getCPUStats(-1)
    assert set(before) == {"kernel", "user", "idle", "iowait"}
    after = conn.getCPUStats(-1)
    assert sum(after.values()) >= sum(before.values())
    assert sum(conn.getCPUStats(0).values()) <= sum(after.values()) + 10**9


def test_statistics_of_a_cpu_that_is_not_there(daemon):
    assert "this host has no CPU 4000" in daemon.virsh("nodecpustats", "4000", check=False)


def test_memory_statistics(conn):
    stats = conn.getMemoryStats(-1)
    assert stats["total"] == meminfo("MemTotal") and 0 < stats["free"] <= stats["total"]
    assert {"buffers", "cached"} < set(stats)
    assert set(conn.getMemoryStats(0)) == {"total", "free"}


@pytest.mark.skipif(not os.path.exists("/sys/kernel/mm/ksm/run"), reason="this kernel has no KSM")
def test_memory_parameters_are_read_and_written_back(daemon, conn):
    params = conn.getMemoryParameters()
    assert params["shm_pages_to_scan"] > 0
    conn.setMemoryParameters({"shm_sleep_millisecs": params["shm_sleep_millisecs"]})
    assert f"shm_sleep_millisecs {params['shm_sleep_millisecs']}" in daemon.virsh("node-memory-tune")


def test_security_model_is_none(conn):
    assert conn.getSecurityModel() == ["none", "0"]


def test_sysinfo_is_the_firmwares_or_a_clear_error(daemon):
    out = daemon.virsh("sysinfo", check=False)
    if os.path.exists("/sys/class/dmi/id"):
        assert ET.fromstring(out).get("type") == "smbios"
    else:
        assert "the firmware of this host gives no SMBIOS information" in out


def test_capabilities_describe_the_host(conn):
    caps = ET.fromstring(conn.getCapabilities())
    assert caps.findtext("host/uuid") == "8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a"
    assert caps.findtext("host/cpu/arch") == platform.machine()
    cells = caps.find("host/topology/cells")
    assert int(cells.get("num")) == len(cells)
    assert sum(int(c.find("cpus").get("num")) for c in cells) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert caps.find("guest/arch/domain").get("type") == "test"


def test_max_vcpus(conn):
    assert conn.getMaxVcpus(None) > 0


def test_readonly_clients_read_but_do_not_write(daemon):
    assert "CPU(s)" in daemon.virsh("nodeinfo", readonly=True)
    assert "read only access prevents" in daemon.virsh("allocpages", "2M", 0, check=False, readonly=True)


SMALL = "<cpu><arch>x86_64</arch><model>qemu64</model></cpu>"
LARGE = "<cpu><arch>x86_64</arch><model>qemu64</model><feature name='avx512f' policy='require'/></cpu>"


def test_cpus_are_compared_with_the_host(conn):
    with open("/proc/cpuinfo", encoding="ascii") as file:
        has_avx512 = " avx512f " in file.read()
    assert conn.compareCPU("<cpu match='minimum'><model>qemu64</model></cpu>") in (
        libvirt.VIR_CPU_COMPARE_IDENTICAL, libvirt.VIR_CPU_COMPARE_SUPERSET, libvirt.VIR_CPU_COMPARE_INCOMPATIBLE)
    if not has_avx512:
        assert conn.compareCPU(LARGE) == libvirt.VIR_CPU_COMPARE_INCOMPATIBLE
        with pytest.raises(libvirt.libvirtError) as e:
            conn.compareCPU(LARGE, libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)
        assert e.value.get_error_code() == libvirt.VIR_ERR_CPU_INCOMPATIBLE
    with pytest.raises(libvirt.libvirtError, match="NoSuchModel"):
        conn.compareCPU("<cpu><model>NoSuchModel</model></cpu>")


def test_a_baseline_runs_on_all(conn):
    cpu = ET.fromstring(conn.baselineCPU([SMALL, LARGE], 0))
    assert "avx512f" not in [f.get("name") for f in cpu.findall("feature") if f.get("policy") != "disable"]
    with pytest.raises(libvirt.libvirtError, match="CPU 2"):
        conn.baselineCPU([SMALL, "<cpu"], 0)
    assert conn.compareHypervisorCPU(None, None, None, None, SMALL, 0) is not None
    assert ET.fromstring(conn.baselineHypervisorCPU(None, None, None, None, [SMALL], 0)).tag == "cpu"
