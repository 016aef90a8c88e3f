"""droverd.conf as an administrator uses it (CFG rows): stock files load, and what is set is what can be seen."""
import grp
import os
import pathlib
import re
import select
import signal
import socket
import stat
import subprocess
import threading

import frames
import libvirt
import procfs
import pytest
from droverd import BARE, Droverd, find_program, free_port, networks_of
from frames import OK, Wire, string
from procfs import descriptors
from waiting import wait_for

from lab import debs

SYS_POLL = 7  # of x86-64
OPERATING = pathlib.Path(__file__).resolve().parents[2] / "docs/operating.md"
EARLY = "max_clients = 20\nmin_workers = 5\nmax_workers = 20\nprio_workers = 5\nmax_requests = 20\nmax_client_requests = 5\n"
LATER = "max_clients = 5000\nmax_queued_clients = 1000\nmax_anonymous_clients = 20\nmin_workers = 5\nmax_workers = 20\nprio_workers = 5\n"
ADMIN = "".join(f"admin_{key} = 5\n" for key in ("min_workers", "max_workers", "max_clients", "max_queued_clients", "max_client_requests"))
OTHERS = """listen_addr = "127.0.0.1"
tcp_min_ssf = 112
auth_unix_ro = "none"
auth_unix_rw = "none"
auth_tcp = "none"
auth_tls = "none"
access_drivers = [ "polkit" ]
key_file = "/k"
cert_file = "/c"
ca_file = "/a"
crl_file = "/r"
tls_no_sanity_certificate = 1
tls_no_verify_certificate = 1
tls_allowed_dn_list = ["DN1", "DN2"]
tls_priority = "NORMAL"
sasl_allowed_username_list = [ "joe@EXAMPLE.COM" ]
log_level = 2
log_filters = "1:qemu"
log_outputs = "3:stderr"
audit_level = 1
audit_logging = 1
host_uuid = "8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a"
host_uuid_source = "smbios"
keepalive_interval = 5
keepalive_count = 5
keepalive_required = 1
"""


@pytest.fixture()
def start():
    running = []

    def begin(conf, kind=Droverd):
        running.append(kind(conf))
        return running[-1]

    yield begin
    for daemon in running:
        daemon.stop()


def refused(tmp_path, text, rest=BARE):
    """What a daemon with this file says, which does not start."""
    for name in ("etc", "state", "run", "log"):
        (tmp_path / name).mkdir(exist_ok=True)
    file = tmp_path / "etc" / "droverd.conf"
    file.write_text(text + rest)  # should it begin after all
    done = subprocess.run([find_program(), *(f"--{word}-dir={tmp_path / {'config': 'etc'}.get(word, word)}" for word in
                                             ("config", "state", "run", "log"))],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and networks_of(tmp_path) == [], done
    return (done.stdout + done.stderr).replace(str(file), "FILE")


def warnings(daemon):
    return re.findall(r"warning: \S+droverd\.conf:(\d+): (.*)", daemon.said())


def test_the_file_of_a_stock_daemon_loads(start):
    """CFG-01: as Debian ships it."""
    text = (debs.unpack("libvirt-daemon-system") / "etc/libvirt/libvirtd.conf").read_text()
    assert len(re.findall(r"^#\w+ = ", text, re.M)) > 40
    daemon = start(text)
    assert warnings(daemon) == []
    conn = libvirt.open(daemon.uri())
    assert conn.getHostname()
    conn.close()


def test_all_keys_of_todays_file_are_known(start):
    """CFG-19: what has no effect here is a warning with its line, never a failure; nothing is unknown."""
    daemon = start(OTHERS + ADMIN)
    said = warnings(daemon)
    assert said and all("is accepted, but this version does not act upon it" in text for _, text in said), said
    lines = (BARE + OTHERS + ADMIN).splitlines()
    assert all(text.split()[0] == lines[int(number) - 1].split()[0] for number, text in said)
    assert {"access_drivers", "log_filters", "keepalive_required"} < {text.split()[0] for _, text in said}


@pytest.mark.parametrize("text", [EARLY, LATER], ids=["early", "later"])
def test_the_limits_of_both_guides_are_taken(start, text):
    """CON-01, CFG-12: the early guide's set and the later one's."""
    assert {line.split(" are ")[0] for _, line in warnings(start(text))} <= {"migrations at a time"}  # MIG-64


@pytest.mark.parametrize("text, said", [
    ("max_clients = \"many\"\n", "FILE:1: max_clients takes a number, not a string"),
    ("# all\n\nmin_workers = 30\n", "FILE:3: min_workers (30) is over max_workers (20)"),
    ("mac_prefix = \"01:00:5e\"\n", "FILE:1: mac_prefix cannot be \"01:00:5e\""),
    ("listen_tls = 1\n", "FILE:1: listen_tls = 1 is not supported by this version"),
    ("\nlisten_tcp = 1\n", "FILE:2: listen_tcp = 1 opens this host"),
    ("auth_unix_rw = \"sasl\"\n", "FILE:1: auth_unix_rw = \"sasl\" is not supported by this version"),
    ("unix_sock_group = \"no-such-group\"\n", "no-such-group"),
    ("unix_sock_rw_perms = \"rwx\"\n", "unix_sock_rw_perms"),
])
def test_what_is_wrong_is_an_error_with_its_line(tmp_path, text, said):
    """CFG-01, CFG-07, CFG-16: the daemon does not start, and says where."""
    assert said in refused(tmp_path, text)


@pytest.mark.parametrize("text", [
    "unix_sock_group = \"no-such-group\"\n", "unix_sock_ro_perms = \"rwx\"\n", "unix_sock_dir = \"/proc/nowhere\"\n",
    "listen_tcp = 1\nauth_tcp = \"none\"\nlisten_addr = \"nowhere\"\n"])
def test_a_daemon_that_cannot_listen_makes_and_starts_nothing(tmp_path, text):
    """CFG-18: the sockets have their places before any state is loaded; none of their files stays behind."""
    refused(tmp_path, text, "default_network = 0\ndefault_pool = 1\n")
    left = [path for word in ("etc", "state", "run") for path in (tmp_path / word).rglob("*") if not path.is_dir()]
    assert {path.name for path in left} <= {"droverd.conf", "droverd.pid"}, left


def test_a_socket_that_a_killed_daemons_child_still_has_is_waited_for(start):
    """A child that was forked and has not run yet keeps the sockets of the daemon that forked it for a moment."""
    daemon = start("")
    before = daemon.process
    before.kill()
    before.wait()
    os.unlink(daemon.socket())
    child = socket.socket(socket.AF_UNIX)
    child.bind(daemon.socket())
    starting = threading.Thread(target=daemon.start)
    starting.start()
    wait_for("another daemon", lambda: daemon.process is not before)
    waits = lambda: procfs.read(f"/proc/{daemon.process.pid}/syscall").startswith(f"{SYS_POLL} ".encode())
    wait_for("it waits, or gives up", lambda: waits() or daemon.process.poll() is not None)
    child.close()
    starting.join()
    assert libvirt.open(daemon.uri()).isAlive()


def test_changes_apply_after_a_restart(start):
    """CFG-01, CFG-05 (CON-67): the file is read at the start; min_workers is taken and reported, and the daemon serves."""
    daemon = start("min_workers = 7\nhost_uuid = \"8510f1bb-0a3c-4c1c-9f3a-6f1e2d3c4b5a\"\n")
    file = daemon.base / "etc" / "droverd.conf"
    file.write_text(file.read_text().replace("8510f1bb", "9510f1bb"))
    assert "8510f1bb-0a3c" in daemon.virsh("capabilities")
    daemon.process.send_signal(signal.SIGUSR1)
    wait_for("its report", lambda: "limits: 5000 clients, 20 of them not authenticated; 7 to 20 workers, and 5 for urgent calls" in daemon.said())
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(120) == 0
    daemon.start()
    assert "9510f1bb-0a3c" in daemon.virsh("capabilities")


def sockets(daemon):
    """(mode, group) of both."""
    found = [os.stat(daemon.base / "run" / name) for name in ("libvirt-sock", "libvirt-sock-ro")]
    return [(stat.S_IMODE(s.st_mode), grp.getgrgid(s.st_gid).gr_name) for s in found]


def test_what_a_bare_daemon_does_not_need_is_not_loaded(start):
    """The XML library comes with the first definition that is read, the driver for tests with its first client."""
    daemon = start("")
    maps = pathlib.Path(f"/proc/{daemon.process.pid}/maps")
    assert "allow-arp" in daemon.virsh("nwfilter-list", driver="qemu")
    assert "libxml2" not in maps.read_text()
    assert daemon.virsh("list", "--name").split() == ["test"]
    assert "libxml2" in maps.read_text()


def test_sockets_have_the_modes_and_the_group_that_are_set(start, tmp_path):
    """CFG-18, REM-24: a group of this host's may manage guests without being root."""
    daemon = start('unix_sock_group = "daemon"\nunix_sock_ro_perms = "0750"\nunix_sock_rw_perms = "0770"\n')
    assert sockets(daemon) == [(0o770, "daemon"), (0o750, "daemon")]
    daemon = start("")
    libvirt_group = any(group.gr_name == "libvirt" for group in grp.getgrall())
    assert sockets(daemon)[0] == ((0o770, "libvirt") if libvirt_group else (0o700, "root"))
    assert sockets(daemon)[1][0] == 0o777
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    daemon = start(f'unix_sock_dir = "{elsewhere}"\n')
    assert stat.S_ISSOCK((elsewhere / "libvirt-sock").stat().st_mode)


def test_members_of_the_group_manage_guests_and_others_look_at_them(start):
    """REM-24, CON-64, LIFE-07: neither is root."""
    if os.geteuid() != 0:
        pytest.skip("needs to become others")
    daemon = start('unix_sock_group = "daemon"\n')
    daemon.base.chmod(0o755)

    def virsh(group, uri, *words):
        env = {name: value for name, value in os.environ.items() if not name.startswith("LIBVIRT_")}  # a log it may not reach
        return subprocess.run(["setpriv", "--reuid", "65534", "--regid", group, "--clear-groups", "virsh", "-c", uri, *words],
                              capture_output=True, text=True, check=False, timeout=120, env={**env, "HOME": "/nonexistent"})
    assert virsh("daemon", daemon.uri(), "suspend", "test").returncode == 0
    assert "paused" in virsh("nogroup", daemon.uri(readonly=True), "-r", "domstate", "test").stdout
    refused = virsh("nogroup", daemon.uri(), "resume", "test")
    assert refused.returncode == 1 and "Permission denied" in refused.stderr
    assert "paused" in daemon.virsh("domstate", "test")


def test_only_root_runs_the_daemon(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs to become another")
    tmp_path.chmod(0o777)
    places = [f"--{what}-dir={tmp_path}/{what}" for what in ("config", "state", "run", "log")]
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", find_program(), *places], capture_output=True, text=True,
                          check=False, timeout=120)
    assert done.returncode == 1 and "droverd runs the guests of the whole system and needs root" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text, prefix", [("", "52:54:00"), ("mac_prefix = \"00:16:3e\"\n", "00:16:3e")])
def test_addresses_of_interfaces_begin_as_is_set(start, text, prefix):
    """CON-24, CLN-02: in a new definition, and of an interface that is added to one."""
    daemon = start(text)
    file = daemon.base / "guest.xml"
    file.write_text("<domain type='test'><name>m</name><memory>65536</memory><os><type>hvm</type></os><devices>"
                    "<interface type='network'><source network='default'/></interface></devices></domain>")
    daemon.virsh("define", file)
    daemon.virsh("attach-interface", "m", "network", "default", "--config")
    found = re.findall(r"<mac address='([0-9a-f:]{17})'/>", daemon.virsh("dumpxml", "m"))
    assert len(set(found)) == 2 and all(address.startswith(f"{prefix}:") for address in found)


def listening(pid):
    """Ports that a process listens on."""
    inodes = set(descriptors(pid).values())
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


def test_no_port_is_open_until_it_is_asked_for(start):
    """CFG-15, REM-11: and then it is the one that was set, and that nobody is kept out there is in the log."""
    assert listening(start("").process.pid) == set()
    port = free_port()
    daemon = start(f'listen_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{port}"\n')
    assert listening(daemon.process.pid) == {port}
    assert f"warning: listening on 127.0.0.1 port {port} without encryption or authentication" in daemon.said()
    conn = libvirt.open(f"test+tcp://127.0.0.1:{port}/default")
    assert conn.getHostname()
    conn.close()


def test_those_who_wait_are_queued_by_the_kernel(start):
    """CFG-03: one more than the queue holds is told to try again; the daemon serves those who are in."""
    daemon = start("max_clients = 1\nmax_queued_clients = 2\n")
    known = Wire(daemon.socket(), "test:///default")
    waiting, refusals = [], 0
    for _ in range(8):
        late = frames.socket.socket(frames.socket.AF_UNIX)
        late.setblocking(False)
        try:
            late.connect(daemon.socket())
            waiting.append(late)
        except BlockingIOError:
            refusals += 1
            late.close()
        assert known.call(frames.GET_HOSTNAME).status == OK
    assert len(waiting) == 3 and refusals == 5  # the kernel's queue holds one more than it is told
    known.socket.close()
    first = waiting[0]
    first.setblocking(True)
    first.sendall(frames.frame(frames.AUTH_LIST, serial=1))
    assert first.recv(4)
    for late in waiting:
        late.close()


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


class Measured(Droverd):
    """What it frees is free, also under a sanitizer."""

    def environment(self):
        return {**os.environ, "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=0:allocator_release_to_os_interval_ms=0"}


def test_a_flood_of_large_calls_takes_little_memory(start):
    """CFG-10 (CON-68): clients that each send many large calls and read no answer."""
    daemon = start("max_requests = 20\nmax_client_requests = 5\n", Measured)
    name = string("x" * (250 << 10))
    before = resident_kib(daemon.process.pid)
    clients = [Wire(daemon.socket(), "test:///default") for _ in range(20)]
    calls = b"".join(frames.frame(23, name, serial=n) for n in range(40))
    for client in clients:
        client.socket.setblocking(False)
        rest = memoryview(calls)
        try:
            while rest:
                rest = rest[client.socket.send(rest):]
        except BlockingIOError:
            pass
    other = Wire(daemon.socket(), "test:///default")
    assert other.call(frames.GET_HOSTNAME).status == OK
    grown = resident_kib(daemon.process.pid) - before
    assert grown < 64 << 10


def test_who_does_not_answer_for_long_is_let_go(start):
    """keepalive_interval and keepalive_count: asked are those who said that they know how to answer."""
    daemon = start("keepalive_interval = 1\nkeepalive_count = 1\n")
    silent, old = (Wire(daemon.socket(), "test:///default") for _ in range(2))
    assert silent.call(frames.SUPPORTS_FEATURE, frames.struct.pack(">i", 10)).status == OK
    ping = silent.answer()
    assert (ping.program, ping.proc, ping.kind, ping.serial, ping.payload) == (frames.KEEPALIVE, 1, frames.MESSAGE, 0, b"")
    assert silent.answer() is None
    assert old.lives() and not answers(old)


class Activated(Droverd):
    """Its sockets are those of systemd, as far as it can tell; they block, unless NonBlocking= of the service says otherwise."""

    PASS = """
import fcntl, os, socket, sys
ears = []
for path in sys.argv[1:3]:
    if os.path.exists(path):
        os.unlink(path)
    ear = socket.socket(socket.AF_UNIX)
    ear.bind(path)
    ear.listen()
    ears.append(fcntl.fcntl(ear, fcntl.F_DUPFD, 100))
    ear.detach()
for fd, ear in enumerate(ears, 3):
    os.dup2(ear, fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="libvirt-sock:libvirt-sock-ro")
os.execv(sys.argv[3], sys.argv[3:])
"""

    def around(self):
        return ["/usr/bin/python3", "-c", self.PASS, self.socket(), self.socket(readonly=True)]

    def socket(self, readonly=False):
        return str(self.base / ("for-all" if readonly else "for-few"))


def test_sockets_that_systemd_holds_are_served(start):
    """Socket activation: no socket of its own, the name says which one only reads, and both outlive the daemon."""
    daemon = start("", Activated)
    assert not [path for path in (daemon.base / "run").rglob("*") if path.is_socket()]
    assert "running" in daemon.virsh("domstate", "test", readonly=True)
    daemon.virsh("suspend", "test")
    assert "read only" in daemon.virsh("resume", "test", readonly=True, check=False)
    assert "paused" in daemon.virsh("domstate", "test")
    daemon.process.terminate()
    assert daemon.process.wait(120) == 0
    assert all(pathlib.Path(daemon.socket(readonly)).is_socket() for readonly in (False, True))


def answers(wire):
    """Is there an answer, once the daemon has turned to others?"""
    return bool(select.select([wire.socket], [], [], 0)[0])


def asks(address):
    """One more connection, whose first call waits for its answer."""
    wire = Wire(address)
    wire.send(frames.frame(frames.AUTH_LIST, serial=1))
    return wire


def test_clients_of_all_sockets_are_counted_together(start):
    """CFG-02: one over the limit is not served until another leaves, whichever socket either came by."""
    port = free_port()
    daemon = start(f'max_clients = 3\nlisten_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{port}"\n')
    places = [daemon.socket(), daemon.socket(readonly=True), ("127.0.0.1", port)]
    inside = [Wire(place, "test:///default") for place in places]
    for place in places:
        late = asks(place)
        for _ in range(3):
            assert all(wire.lives() for wire in inside)
        assert not answers(late)
        inside.pop(0).socket.close()
        assert late.answer().status == OK
        assert late.call(frames.OPEN, frames.struct.pack(">I", 1) + string("test:///default") + bytes(4)).status == OK
        inside.append(late)


def test_those_who_say_nothing_keep_out_nobody_who_is_in(start):
    """CFG-04, CFG-13: with two strangers a third waits outside; whoever is known is served as ever."""
    daemon = start("max_anonymous_clients = 2\n")
    known = [Wire(daemon.socket(), "test:///default") for _ in range(5)]
    strangers = [Wire(daemon.socket()) for _ in range(2)]
    late = [asks(daemon.socket()) for _ in range(20)]
    for wire in known * 3:
        assert wire.lives()
    assert not any(answers(wire) for wire in late)
    strangers[0].socket.close()
    for wire in late:  # one place is enough for all of them: each has it until it is known
        assert wire.answer().status == OK
    strangers[1].socket.close()
    assert all(wire.lives() for wire in known)


def test_the_sample_of_the_file_advises_on_limits():
    """CFG-13: more clients are more exposure, and another key bounds it. CFG-12: the early guide's set is there to be taken."""
    sample = pathlib.Path(find_program()).parent / "gen/daemon/droverd.conf"
    said = " ".join(line.lstrip("# ") for line in sample.read_text().splitlines())
    advice = said[:said.index("max_clients = 5000")].rpartition("Client connections over all sockets")[2]
    assert "denial of service" in advice and "max_anonymous_clients" in advice
    assert EARLY.replace("\n", " ").strip() in " ".join(OPERATING.read_text().split())
