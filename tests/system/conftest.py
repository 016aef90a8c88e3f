"""Daemons and lab hosts for the system tests (lab/), and ways to wait for things instead of sleeping.

`lab` is a fresh set of hosts for one test; `pair` two of them with droverd and sshd running. When a test fails, the last
lines of every daemon's and guest's log are in its report. Tests that need root or namespaces are skipped where there
are none.
"""
import os
import pathlib
import shutil
import sys
import tempfile
import types

import libvirt
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import procfs  # noqa: E402  (the path comes first)
from droverd import Droverd, free_port  # noqa: E402  (the path comes first)
from lab.hosts import Lab  # noqa: E402
from live import LiveDaemon  # noqa: E402
from mortal import MortalDaemon, Subject  # noqa: E402
from waiting import EventLoop  # noqa: E402

TAIL_BYTES = 3000


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Temporary directories of this run's own: each pytest that starts closes the directory that all share to QEMU's user."""
    if not config.option.basetemp:
        config.drover_temporary = tempfile.mkdtemp(prefix="drover-pytest-")
        os.chmod(config.drover_temporary, 0o755)
        config.option.basetemp = os.path.join(config.drover_temporary, "t")


def pytest_unconfigure(config):
    if hasattr(config, "drover_temporary"):
        shutil.rmtree(config.drover_temporary, ignore_errors=True)


@pytest.fixture
def droverd():
    """A daemon on this machine, on sockets of its own and, as `port`, on TCP."""
    port = free_port()
    daemon = Droverd(f'listen_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{port}"\n'
                     "libvirt_sockets = 0\n")
    daemon.port = port
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def daemon():
    """A daemon for all tests of a file, which see its test driver; a file with guests of QEMU's takes live_daemon."""
    libvirt.virEventRegisterDefaultImpl()
    daemon = Droverd()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def live_daemon():
    """A daemon whose guests really run, for all tests of a file; libvirt's event loop turns."""
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    EventLoop.start()
    daemon = LiveDaemon()
    yield daemon
    daemon.stop()


@pytest.fixture()
def conn(daemon):
    conn = libvirt.open(daemon.uri())
    yield conn
    conn.close()


@pytest.fixture()
def dom(conn):
    """The guest that a file's daemon runs, by the name that all of them give it."""
    return conn.lookupByName("g")


@pytest.fixture()
def place(tmp_path):
    """A directory that QEMU's user can reach."""
    for directory in [tmp_path, *tmp_path.parents]:
        if directory.stat().st_uid == os.getuid() and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="module")
def mortal_daemon():
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    daemon = MortalDaemon()
    yield daemon
    daemon.arm(0)
    daemon.stop()


@pytest.fixture()
def subject(mortal_daemon, tmp_path):
    """The guest of a daemon that is killed at any of its acts."""
    tmp_path.chmod(0o755)
    subject = Subject(mortal_daemon, tmp_path)
    yield subject
    subject.be("shut off")
    subject.virsh("undefine", "k", "--managed-save")


@pytest.fixture()
def lab(logs_of):
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as hosts:
        yield hosts
        logs_of(hosts)


@pytest.fixture()
def logs_of(request):
    """Called with a lab when a test has ended: if it failed, the lab's logs are in its report."""
    def note(hosts):
        report = getattr(request.node, "failed_report", None)
        if report is not None:
            add_logs(report, hosts)
    return note


@pytest.fixture()
def pair(lab):
    """Two hosts, a and b, each with droverd on all transports and sshd."""
    hosts = [lab.host(name, kvm=True) for name in ("a", "b")]
    for host in hosts:
        host.sshd()
    daemons = [host.droverd({"listen_tcp": 1, "auth_tcp": "none"}) for host in hosts]
    yield types.SimpleNamespace(lab=lab, a=hosts[0], b=hosts[1], daemon_a=daemons[0], daemon_b=daemons[1])
    for daemon in daemons:
        if daemon.running:
            assert daemon.stop() == 0, f"droverd ended badly:\n{daemon.tail()}"
        assert "Sanitizer" not in daemon.log.read_text(errors="replace"), daemon.tail()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        item.failed_report = report
        for daemon in Droverd.alive:
            for log in daemon.logs():
                add_log(report, log.name, log)


def add_logs(report, hosts):
    logs = [*hosts.home.glob("*.log")]
    for host in hosts.hosts.values():
        for directory in ("/var/log/drover", "/var/log/libvirt/qemu"):
            logs += procfs.files(host.path(directory))
    for log in logs:
        add_log(report, str(log).partition("/root/")[2] or log.name, log)


def add_log(report, name, log):
    report.sections.append((f"log {name}", procfs.read(log)[-TAIL_BYTES:].decode(errors="replace")))
