"""What an administrator is told about the host and the size of its guests (CPU, MEM and CLK rows)."""
import os
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest

import cli
from live import LiveDaemon
from mortal import definition, processes
from waiting import wait_for

KIB = {line.split(":")[0]: int(line.split()[1]) for line in pathlib.Path("/proc/meminfo").read_text().splitlines()}
CPUS = len(os.sched_getaffinity(0))
NAMES = {"chronyd": "chronyd", "ntpd": "ntpd", "systemd-timesyn": "systemd-timesyncd", "openntpd": "openntpd"}


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def paused(daemon):
    """Start guests at their first instruction; they are gone afterwards."""
    names = []

    def start(name, **sizes):
        file = daemon.base / f"{name}.xml"
        file.write_text(sized(name, **sizes))
        daemon.virsh("create", file, "--paused")
        names.append(name)
    yield start
    for name in names:
        daemon.virsh("destroy", name, check=False)


def sized(name, vcpus=1, memory_mib=16, head=""):
    identity = f"5d0c0000-0000-4000-8000-{int.from_bytes(name.encode(), 'big'):012x}"
    return definition(name, identity, memory_mib).replace("<vcpu>1</vcpu>", f"<vcpu>{vcpus}</vcpu>{head}")


def check(daemon, *options):
    return cli.as_json(daemon.uri(), ["host-check", *options])


def test_the_processor_and_its_clock(daemon):
    """CPU-01, CLK-16: as /proc/cpuinfo has it. CLK-17: what to do without a constant TSC is said only there."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().split("flags\t")[1].splitlines()[0].split()
    said = check(daemon)
    wanted = "AMD-V (svm)" if "svm" in flags else "Intel VT-x (vmx)" if "vmx" in flags else "absent"
    assert said["virtualization"] == wanted
    assert said["constant_tsc"] == ("present" if "constant_tsc" in flags else "absent")
    assert any("processor.max_cstate=1" in line for line in said["advice"]) == ("constant_tsc" not in flags)


def test_kvm_and_its_module(daemon):
    """CPU-02: as the kernel has it, and as /dev/kvm can be opened."""
    said = check(daemon)
    modules = [name for name in ("kvm_intel", "kvm_amd", "kvm") if os.path.isdir(f"/sys/module/{name}")]
    assert said["kvm_module"] == (modules[0] if modules else "none")
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
        usable = True
    except OSError:
        usable = False
    assert said["kvm"] == ("usable" if usable else "not usable")


def test_the_time_service(daemon):
    """CLK-18: who keeps the host's clock right."""
    runs = set()
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            runs.add(comm.read_text().strip())
        except OSError:
            pass
    said = check(daemon)
    assert said["time_service"] in {NAMES[name] for name in runs & set(NAMES)} or {"none"}
    assert any("run chrony" in line for line in said["advice"]) == (said["time_service"] == "none")


@pytest.mark.parametrize("options, gib", [([], 16), (["--overcommit", "0.5"], 16), (["--overcommit", "1"], 24)])
def test_the_swap_that_a_host_should_have(daemon, options, gib):
    """MEM-01: half the memory, and the memory by the ratio of overcommit."""
    assert check(daemon, "--memory", "16G", *options)["recommended_swap_kib"] == gib << 20


def test_a_ratio_that_is_none(daemon):
    said = cli.drover(daemon.uri(), ["host-check", "--overcommit", "much"])
    assert said.status == 1 and "'much' is no ratio" in said.err


def test_more_virtual_cpus_than_the_host_can_serve(daemon, paused):
    """CPU-15, CON-29: five for each CPU of the host are well. CPU-16: one guest with more than the host has is warned of."""
    before = check(daemon)
    assert not any("5 virtual CPUs" in line for line in before["advice"])
    paused("many", vcpus=5 * CPUS + 1)
    said = check(daemon)
    assert float(said["vcpus_per_cpu"]) > 5
    assert any("more than 5 virtual CPUs" in line for line in said["advice"])
    assert f"it has {5 * CPUS + 1} virtual CPUs and this host" in daemon.virsh("dominfo", "many")


def test_what_is_swapped_out_of_a_guest(daemon, paused):
    """MEM-05: as the kernel counts it for QEMU."""
    paused("s")
    pid, = processes(daemon.virsh("domuuid", "s").strip())

    def agree():
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        return f"balloon.swapped={status['VmSwap'].split()[0]}\n" in daemon.virsh("domstats", "s", "--balloon")
    wait_for("both to say the same", agree)
    assert "swapped_of_guests_kib" in check(daemon)


def test_more_memory_than_the_host_has(daemon, paused):
    """MEM-04, MEM-02, CON-35: with and without swap. Nothing of it is touched, so nobody else suffers."""
    half = (KIB["MemTotal"] + KIB["SwapTotal"]) * 6 // 10 // 1024
    paused("one", memory_mib=half)
    assert not any("guests have more memory" in line for line in check(daemon)["advice"])
    paused("two", memory_mib=half)
    said = check(daemon)
    assert said["memory_of_guests_kib"] == 2 * half << 10
    told = [line for line in said["advice"] if "guests have more memory" in line]
    assert len(told) == 1 and ("no swap" in told[0]) == (KIB["SwapTotal"] == 0)
    assert "RAM and swap: when they use it the kernel kills one" in daemon.said()


def test_a_start_that_would_overcommit_is_refused_where_that_was_wanted():
    """MEM-02: by the policy memory_overcommit."""
    half = (KIB["MemTotal"] + KIB["SwapTotal"]) * 6 // 10 // 1024
    daemon = LiveDaemon('memory_overcommit = "refuse"\n')
    try:
        for name in ("one", "two"):
            (daemon.base / name).write_text(sized(name, memory_mib=half))
        daemon.virsh("create", daemon.base / "one", "--paused")
        assert "guests would have" in daemon.virsh("create", daemon.base / "two", "--paused", check=False)
        assert daemon.virsh("list", "--all", "--name").split() == ["one"]
    finally:
        daemon.stop()


def test_a_guest_is_placed_on_the_cell_that_fits(daemon, paused):
    """CPU-08: placement='auto'; this machine may have one cell only. What fits into none is said in the log, and runs."""
    auto = sized("auto").replace("<vcpu>1</vcpu>", "<vcpu placement='auto'>1</vcpu>")
    (daemon.base / "auto.xml").write_text(auto)
    daemon.virsh("create", daemon.base / "auto.xml", "--paused")
    vcpu = ElementTree.fromstring(daemon.virsh("dumpxml", "auto")).find("vcpu")
    nodes = {node.name[4:]: (node / "cpulist").read_text().strip() for node in pathlib.Path("/sys/devices/system/node").glob("node*")}
    assert vcpu.get("cpuset") in nodes.values()
    daemon.virsh("destroy", "auto")
    wide = sized("wide", vcpus=CPUS * 64).replace("<vcpu>", "<vcpu placement='auto'>")
    (daemon.base / "wide.xml").write_text(wide)
    daemon.virsh("create", daemon.base / "wide.xml", "--paused")
    assert "fits into no NUMA cell" in daemon.said()
    daemon.virsh("destroy", "wide")
