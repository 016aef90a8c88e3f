"""Limits and pins of a definition hold from the start of the guest: read back from the kernel (CPU-09 to CPU-12)."""
import contextlib
import os
import pathlib
import uuid

import pytest

from live import LiveDaemon
from mortal import processes
from waiting import wait_for

CGROUPS = pathlib.Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def create(daemon, tmp_path):
    """Start a guest with these elements; its QEMU's pid, or what virsh said."""
    names = []

    def create(elements, vcpu="<vcpu>2</vcpu>"):
        name, identity = f"t{len(names)}", str(uuid.uuid4())
        file = tmp_path / "guest.xml"
        file.write_text(f"<domain type='qemu'><name>{name}</name><uuid>{identity}</uuid><memory unit='MiB'>16</memory>{vcpu}"
                        f"{elements}<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
                        "<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>")
        said = daemon.virsh("create", file, "--paused", check=False)
        if "created" not in said:
            return said
        names.append(name)
        return next(int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                    if (words := read(path).split("\0"))[0].endswith("qemu-system-x86_64") and identity in words)
    yield create
    for name in names:
        daemon.virsh("destroy", name, check=False)


def read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def setting(pid, controller, v1, v2):
    """A file of its control group, in whichever hierarchy the controller is."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            for mount in (controllers, controller):
                file = CGROUPS / mount / path.lstrip("/") / v1
                if file.exists():
                    return file.read_text().strip()
        if not controllers and (CGROUPS / path.lstrip("/") / v2).exists():
            return (CGROUPS / path.lstrip("/") / v2).read_text().strip()
    return pytest.skip(f"this machine has no {controller} controller")


def affinity(pid):
    """Name of each thread and the CPUs it may use."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # QEMU's helper threads end when they have nothing to do
            found[read(task / "comm").strip()] = os.sched_getaffinity(int(task.name))
    return found


def test_shares_and_quota(create):
    pid = create("<cputune><shares>2048</shares><period>50000</period><quota>20000</quota></cputune>")
    assert setting(pid, "cpu", "cpu.shares", "cpu.weight") in ("2048", "79", "200")
    assert setting(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "40000"  # for both processors together


def test_memory(create):
    pid = create("<memtune><hard_limit unit='MiB'>900</hard_limit><soft_limit unit='MiB'>700</soft_limit></memtune>")
    assert setting(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(900 << 20)
    assert setting(pid, "memory", "memory.soft_limit_in_bytes", "memory.high") == str(700 << 20)


def test_weight_of_its_disks(create):
    pid = create("<blkiotune><weight>700</weight></blkiotune>")
    assert "700" in setting(pid, "blkio", "blkio.bfq.weight", "io.bfq.weight")


def test_what_a_call_sets_is_in_the_guests_own_group(create, daemon):
    """MEM-09: schedinfo, memtune and blkiotune of one guest change its files and nobody else's."""
    pid, other = create(""), create("")
    before = [setting(other, "cpu", "cpu.shares", "cpu.weight"), setting(other, "memory", "memory.limit_in_bytes", "memory.max")]
    daemon.virsh("schedinfo", "t0", "--live", "cpu_shares=2048")
    daemon.virsh("memtune", "t0", "--live", "--hard-limit", "900M")
    assert setting(pid, "cpu", "cpu.shares", "cpu.weight") in ("2048", "79", "200")
    assert setting(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(900 << 20)
    assert before == [setting(other, "cpu", "cpu.shares", "cpu.weight"),
                      setting(other, "memory", "memory.limit_in_bytes", "memory.max")]
    daemon.virsh("blkiotune", "t0", "--live", "--weight", "700")
    assert "700" in setting(pid, "blkio", "blkio.bfq.weight", "io.bfq.weight")


def test_nodes_of_the_host(create):
    pid = create("<numatune><memory mode='strict' nodeset='0'/></numatune>")
    assert setting(pid, "cpuset", "cpuset.mems", "cpuset.mems") == "0"


def test_pins_of_each_kind_of_thread(create):
    if os.cpu_count() < 2:
        pytest.skip("one CPU")
    pid = create("<iothreads>1</iothreads><cputune><vcpupin vcpu='0' cpuset='1'/><emulatorpin cpuset='0'/>"
                 "<iothreadpin iothread='1' cpuset='1'/></cputune>")
    threads = affinity(pid)
    assert threads["CPU 0/TCG"] == {1}
    assert len(threads["CPU 1/TCG"]) > 1
    assert threads["IO iothread1"] == {1}
    assert os.sched_getaffinity(pid) == {0}


@pytest.mark.parametrize("cpuset", ["1", "0-1,^0"])
def test_the_guests_own_cpus(create, cpuset):
    """DOM-13."""
    if os.cpu_count() < 2:
        pytest.skip("one CPU")
    pid = create("", f"<vcpu cpuset='{cpuset}'>2</vcpu>")
    threads = affinity(pid)
    assert {"CPU 0/TCG", "CPU 1/TCG"} <= set(threads) and set.union(*threads.values()) == {1}


def test_what_cannot_be_set_fails_the_start_and_says_so(create, daemon):
    said = create("<cputune><vcpupin vcpu='0' cpuset='999'/></cputune>")
    assert isinstance(said, str) and "999" in said
    said = create("<cputune><emulator_period>100000</emulator_period><emulator_quota>50000</emulator_quota></cputune>")
    assert isinstance(said, str) and "emulator" in said
    wait_for("nothing of it to be left", lambda: not os.listdir(daemon.base / "run/guests"))


def test_guests_of_one_uuid_under_two_daemons_have_limits_of_their_own(daemon, tmp_path):
    """Else what one daemon sets holds for the other's guest as well."""
    identity, pids, second = str(uuid.uuid4()), [], LiveDaemon()
    file = tmp_path / "guest.xml"
    try:
        for number, owner in enumerate([daemon, second], 2):
            file.write_text(f"<domain type='qemu'><name>twin</name><uuid>{identity}</uuid><memory unit='MiB'>16</memory>"
                            f"<cputune><shares>{number}00</shares></cputune><os><type arch='x86_64' machine='pc'>hvm</type></os>"
                            "</domain>")
            owner.virsh("create", file, "--paused")
            pids += set(processes(identity)) - set(pids)
        assert len(pids) == 2
        shares = [setting(pid, "cpu", "cpu.shares", "cpu.weight") for pid in pids]
        assert len(set(shares)) == 2, shares
        second.virsh("destroy", "twin")
        assert daemon.virsh("domstate", "twin").strip() == "paused" and processes(identity) == pids[:1]
    finally:
        daemon.virsh("destroy", "twin", check=False)
        second.stop()
