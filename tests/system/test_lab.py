"""The lab itself: a test bed that lies is worse than none."""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from waiting import wait_for

from lab import guest, native, payload, probe, pulse, raw
from lab.hosts import Lab
from lab.paths import LabError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def links():
    return sorted(path.name for path in pathlib.Path("/sys/class/net").iterdir())


def groups(identity):
    """Those of a lab; os.walk() passes over what others remove meanwhile."""
    return [f"{path}/{name}" for path, names, _ in os.walk("/sys/fs/cgroup") for name in names
            if name.startswith(f"drover-lab-{identity}-")]


def test_hosts_have_names_addresses_and_identities_of_their_own(lab):
    a, b = lab.host("a"), lab.host("b")
    assert [host.run(["hostname"]).stdout.strip() for host in (a, b)] == ["a", "b"]
    assert a.read_file("/etc/machine-id") != b.read_file("/etc/machine-id")
    assert b.address in a.run(["getent", "hosts", "b"]).stdout
    a.write_file("/etc/only-here", "a")
    assert not b.path("/etc/only-here").exists() and not pathlib.Path("/etc/only-here").exists()


def test_a_hosts_first_process_reaps_what_others_leave(lab):
    host = lab.host("a")
    orphan = host.run(["sh", "-c", "sleep 600 > /dev/null 2>&1 & echo $!"]).stdout.strip()
    assert host.run(["cut", "-d", " ", "-f", "4", f"/proc/{orphan}/stat"]).stdout == "1\n"
    host.run(["kill", orphan])
    wait_for("it to be reaped", lambda: host.run(["test", "-e", f"/proc/{orphan}"], check=False).returncode == 1)


def test_hosts_reach_each_other_until_the_cable_is_cut(lab):
    a, b = lab.host("a"), lab.host("b")
    b.sshd()
    a.sshd()
    reach = ["ssh", "b", "hostname"]
    assert a.run(reach).stdout == "b\n"
    a.cut()
    assert a.run(["ssh", "-o", "ConnectTimeout=1", "b", "hostname"], check=False).returncode == 255
    a.restore()
    assert a.run(reach).stdout == "b\n"


LATE_LOOP = """
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

void g_main_loop_run(void *loop)
{
        void (*run)(void *) = dlsym(RTLD_NEXT, "g_main_loop_run");
        Dl_info caller;

        if (dladdr(__builtin_return_address(0), &caller) && !strstr(caller.dli_fname, ".so"))
                usleep(500000);
        run(loop);
}
"""


def test_virsh_ends_when_the_answer_comes_before_it_waits_for_it(daemon, tmp_path, monkeypatch):
    """Its own thread's end is not lost (native/virsh-loop.c), here with a main thread that comes late for certain."""
    source = tmp_path / "late.c"
    source.write_text(LATE_LOOP)
    usual = native.environment(["virsh"])["LD_PRELOAD"]
    late = f"{usual}:{native.compiled(source, '-shared', '-fPIC')}"
    monkeypatch.setattr(native, "environment", lambda _argv: {"LD_PRELOAD": late})
    guest_xml = "<domain type='test'><name>slow</name><memory>8192</memory><os><type>hvm</type></os></domain>"
    (tmp_path / "guest.xml").write_text(guest_xml)
    daemon.virsh("define", tmp_path / "guest.xml")
    for words in (["save", "slow", tmp_path / "image"], ["dump", "slow", tmp_path / "image"], ["managedsave", "slow"],
                  ["migrate", "--p2p", "slow", "test+ssh://x/default"]):
        assert "error: " in daemon.virsh(*words, check=False)
    daemon.virsh("undefine", "slow")


PROBE = """
import socket, sys, time
server = len(sys.argv) == 1
link = socket.create_server(("", 5000)).accept()[0] if server else None
if server:
    while block := link.recv(1 << 16):
        if block == b"?":
            link.send(b"!")
    sys.exit()
while not link:
    try:
        link = socket.create_connection((sys.argv[1], 5000))
    except OSError:
        time.sleep(0.02)
times = []
while len(times) < 10 or min(times) > float(sys.argv[2]):  # on a busy machine most are late
    began = time.perf_counter()
    link.send(b"?")
    link.recv(1)
    times.append(time.perf_counter() - began)
began = time.perf_counter()
link.sendall(bytes(8 << 20))
link.shutdown(socket.SHUT_WR)
link.recv(1)
print(min(times), (8 << 20) / (time.perf_counter() - began))
"""


def measure(a, b, quickest=60):
    """The shortest round trip, of as many as it takes to see one of at most so many seconds, and the rate."""
    server = b.popen(["/usr/bin/python3", "-c", PROBE])
    try:
        trip, rate = a.run(["/usr/bin/python3", "-c", PROBE, b.name, quickest]).stdout.split()
    finally:
        server.kill()
        server.wait()
    return float(trip), float(rate)


def test_a_delay_is_felt_both_ways(lab):
    trip, _ = measure(lab.host("a", delay_ms=5), lab.host("b", delay_ms=10), 0.059)
    assert trip >= 0.030


def test_a_rate_is_kept(lab):
    _, rate = measure(lab.host("a", rate_mbit=200), lab.host("b"))
    assert rate < 27e6
    limits = [space.run(["tc", "qdisc", "show"]).stdout.count(" rate 200Mbit ") for space in (lab.hosts["a"], lab._switch)]
    assert limits == [1, 1]


def test_nothing_stays_behind():
    with Lab() as lab:
        identity, home = lab.id, lab.home
        host = lab.host("a")
        cable = host.link
        host.run(["sh", "-c", "sleep 600 & mkdir /sys/fs/cgroup/*/below; setsid sleep 600 & echo"], check=False)
        victims = wait_for("both run", lambda: len(host.processes("sleep")) == 2 and host.processes("sleep"))
        assert groups(identity)
    wait_for("nothing to be left", lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in victims)
             and not groups(identity) and not home.exists() and cable not in links())


def test_nothing_stays_behind_when_the_driver_is_killed():
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent("""
            import signal, sys
            sys.path.append("tests/system")
            from lab.hosts import Lab
            from waiting import wait_for
            lab = Lab()
            host = lab.host("a", delay_ms=1)
            host.run(["sh", "-c", "setsid sleep 600 & echo"])
            print(lab.id, host.pid, *wait_for("it runs", lambda: host.processes("sleep")), flush=True)
            signal.pause()
        """)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    identity, *pids = driver.stdout.readline().split()
    assert len(pids) == 2 and groups(identity)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    wait_for("the hosts end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    wait_for("the control groups go", lambda: not groups(identity))


def test_a_program_that_ends_badly_is_reported_with_its_words(lab):
    host = lab.host("a")
    with pytest.raises(LabError, match="(?s)ended with 3.*too bad"):
        host.run(["sh", "-c", "echo too bad >&2; exit 3"])
    with pytest.raises(LabError, match="did not end in 0.2 s"):
        host.run(["sleep", "60"], timeout=0.2)


class FakeQemu:
    """The side of a serial port that QEMU has, without a guest."""

    def __init__(self, reader):
        self._link = socket.socket(socket.AF_UNIX)
        self._link.settimeout(120)
        self._link.connect(reader.path)
        self._heard = b""

    def says(self, text):
        self._link.sendall(text.encode())

    def hears(self, line):
        while not self._heard.endswith(line.encode()):
            block = self._link.recv(100)
            assert block, f"the port ended after {self._heard}"
            self._heard += block
        assert self._heard.decode() == line

    def heard_nothing(self):
        self._link.setblocking(False)
        with pytest.raises(BlockingIOError):
            self._link.recv(1)

    def ends(self):
        self._link.shutdown(socket.SHUT_WR)
        assert self._link.recv(1) == b"", "the other side has seen it and closed too"
        self._link.close()


@pytest.fixture()
def reader(tmp_path):
    with pulse.Pulse(tmp_path / "port") as port:
        yield port


def test_a_line_may_begin_at_the_source_and_end_at_the_destination(reader):
    """QEMU stops between any two bytes; what it sent before that comes before what the other one says."""
    source = FakeQemu(reader)
    source.says("beat 1\nbea")
    target = FakeQemu(reader)
    source.says("t 2")
    target.says("3\nbeat 24\n")
    source.ends()
    reader.wait("^beat 24$", 60)
    assert [(line.connection, line.text) for line in reader.lines()] == [(1, "beat 1"), (2, "beat 23"), (2, "beat 24")]


def test_a_line_that_a_guest_never_ended_is_not_the_next_guests(reader):
    first = FakeQemu(reader)
    first.says("beat 1\nbea")
    reader.wait("^beat 1$", 60)
    first.ends()
    second = FakeQemu(reader)
    second.says("beat 0\n")
    reader.wait("^beat 0$", 60)


def test_a_guest_that_has_not_spoken_since_it_moved_hears_what_it_is_told(reader):
    source, target = FakeQemu(reader), FakeQemu(reader)
    source.says("beat 1\n")
    reader.wait("^beat 1$", 60)
    source.ends()
    reader.send("verify\n")
    target.hears("verify\n")


def test_of_two_qemus_the_one_that_speaks_is_told(reader):
    source, target = FakeQemu(reader), FakeQemu(reader)
    source.says("beat 1\n")
    reader.wait("^beat 1$", 60)
    reader.send("verify\n")
    target.says("beat 2\n")
    target.hears("verify\n")
    source.heard_nothing()


@pytest.fixture()
def beating(tmp_path):
    """Start a guest directly under QEMU, its serial port on a Pulse."""
    started = []

    def start(accelerator, memory_mib, *arguments):
        reader = pulse.Pulse(tmp_path / "beat")
        started.append(reader)
        port = ["-chardev", f"socket,id=port,path={reader.path}", "-serial", "chardev:port"]
        started.append(raw.RawQemu(accelerator, memory_mib, [*port, *arguments]))
        return reader, started[-1]

    yield start
    for item in reversed(started):
        item.__exit__()


def linux_arguments(**settings):
    image = guest.build()
    return ["-kernel", image.kernel, "-initrd", image.initrd, "-append", guest.command_line(**settings)]


def payload_arguments(touch_mib, rate):
    return ["-drive", f"file={payload.build(touch_mib, rate)},format=raw,if=virtio,readonly=on"]


def test_the_tiny_guest_beats_every_millisecond_and_obeys_the_power_button(beating):
    reader, qemu = beating(probe.accelerators()["linux"], 128, *linux_arguments(beat=1, touch=16, dirty=20))
    reader.wait("^touched 4096 pages", 60)
    mark = len(reader.beats())
    wait_for("a thousand beats", lambda: len(reader.beats()) >= mark + 1000)
    numbers, clock = zip(*(map(int, pulse.BEAT.match(line.text).groups()[:2]) for line in reader.beats()[mark:mark + 1000]))
    assert list(numbers) == list(range(numbers[0], numbers[0] + 1000))
    gaps_us = [after - before for before, after in zip(clock, clock[1:])]
    assert min(gaps_us) < 2000, "where the machine lets it, it keeps up with its period"
    right, line = reader.verify()
    assert right, line
    qemu.qmp("system_powerdown")
    reader.wait("^power off", 60)


def test_a_stop_is_seen_as_a_pause_by_the_hosts_clock(beating):
    reader, qemu = beating(probe.accelerators()["payload"], 48, *payload_arguments(8, 1))
    reader.wait("^beat 00000100", 60)
    qemu.qmp("stop")
    reader.wait_silence(1.5)  # the pause itself
    mark, last = reader.mark(), reader.beats()[-1]
    qemu.qmp("cont")
    after = reader.wait("^beat", 60, mark)
    gap = reader.pause(last.at)
    assert gap.before == last and gap.after == after and 0.4 < gap.seconds


def corrupt(qemu, address):
    """Change one byte of a guest's memory behind its back, through QEMU's debugger port."""
    path = qemu.home / "gdb"
    qemu.qmp("human-monitor-command", command_line=f"gdbserver unix:{path},server=on,wait=off")
    with raw.Debugger(path) as debugger:
        debugger.write(address, b"\xa5")


def test_a_lost_page_is_found_by_the_payload(beating):
    reader, qemu = beating(probe.accelerators()["payload"], 48, *payload_arguments(8, 0))
    reader.wait("^beat 00000010", 60)
    assert reader.verify()[0]
    corrupt(qemu, (2 << 20) + 7 * 4096)
    right, line = reader.verify()
    assert not right and line.endswith("lost 00000001")


def first_word(page):
    """The first word of a page that was filled and never dirtied (lab/guest/sweep.c)."""
    mask = (1 << 64) - 1
    word = ((page + 1) * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) & mask
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
    word ^= word >> 27
    return ((word * 6364136223846793005 + 1442695040888963407) & mask).to_bytes(8, "little")


def test_a_lost_page_is_found_by_the_tiny_guest(beating):
    memory_mib = 128
    reader, qemu = beating(probe.accelerators()["linux"], memory_mib, *linux_arguments(beat=50, touch=16))
    reader.wait("^touched", 60)
    assert reader.verify()[0]
    image = qemu.home / "memory"
    qemu.qmp("pmemsave", val=0, size=memory_mib << 20, filename=str(image))
    corrupt(qemu, image.read_bytes().index(first_word(page=77)) + 3000)
    right, line = reader.verify()
    assert not right and line.startswith("verify LOST 1 of 4096 pages, first 77:")
