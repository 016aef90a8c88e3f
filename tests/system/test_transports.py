"""Stock virsh and python3-libvirt reach droverd over UNIX socket, TCP and SSH, from another host (MIG-10, REM rows)."""
import contextlib
import os
import pty
import subprocess

import libvirt
import pytest
from cli import DROVER
from droverd import find_program
from waiting import PATIENCE_S, wait_for

from lab.paths import LabError
from lab.services import Droverd

from lab.paths import PROGRAMS

REMOTE = ["test+unix:///default", "test+tcp://{}/default", "test+ssh://{}/default"]


@pytest.mark.parametrize("uri", REMOTE)
def test_virsh_lists_and_names_the_host(pair, uri):
    """REM-02, REM-32: over UNIX socket, TCP and SSH."""
    there = "a" if "unix" in uri else "b"
    uri = uri.format(there)
    assert "running" in pair.a.virsh("list", "--all", uri=uri)
    assert pair.a.virsh("hostname", uri=uri).strip() == there
    assert "MiB" in pair.a.virsh("nodeinfo", uri=uri) or "KiB" in pair.a.virsh("nodeinfo", uri=uri)
    assert pair.a.run([PROGRAMS / "drover", "-c", uri, "hostname"]).stdout.strip() == there


def test_a_program_of_ones_own_makes_the_connection(droverd, tmp_path):
    """REM-04, REM-10: ext; its standard input and output carry the calls. REM-13: name is what is opened, whatever the URI says."""
    reach = tmp_path / "reach"
    reach.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/called\nexec nc -U {droverd.socket()}\n")
    reach.chmod(0o755)
    for program in ("virsh", DROVER):
        for uri in (f"test+ext:///default?command={reach}", f"nonsense+ext:///nowhere?command={reach}&name=test:///default&foo=1",
                    f"nonsense+unix:///nowhere?socket={droverd.socket()}&name=test:///default"):
            done = subprocess.run([program, "-c", uri, "list", "--name"], capture_output=True, text=True, check=False, timeout=120)
            assert done.stdout.split() == ["test"], done
        done = subprocess.run([program, "-c", "test+ext:///default", "list"], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 1 and "command" in done.stderr
    assert len((tmp_path / "called").read_text().splitlines()) == 4


@pytest.mark.parametrize("mode", ["auto", "netcat"])
def test_ssh_by_either_remote_side(pair, mode):
    assert pair.a.virsh("hostname", uri=f"test+ssh://b/default?proxy={mode}").strip() == "b"


PASSWORD = "correct horse"


def asked(host, words, password):
    """What a client says on its terminal, where the password is typed when it asks for one, and its status."""
    near, far = pty.openpty()
    client = host.popen(["setsid", "-cw", *words], stdin=far, stdout=far, stderr=far)
    os.close(far)
    seen = b""
    try:
        with contextlib.suppress(OSError):  # the terminal's end
            while data := os.read(near, 4096):
                seen += data
                if password and b"password:" in seen:
                    os.write(near, password.encode() + b"\n")
                    password = None
    finally:
        os.close(near)
    return client.wait(PATIENCE_S), seen.decode()


def test_ssh_asks_for_a_password_unless_it_is_told_not_to(pair):
    """MIG-10, REM-08, REM-18: by stock virsh and by drover, to whom the other host knows no key."""
    config = pair.b.read_file("/etc/ssh/lab_config").replace("PasswordAuthentication no", "PasswordAuthentication yes")
    pair.b.write_file("/etc/ssh/password_config", config.replace("Port 22", "Port 222"))
    shadow = pair.b.read_file("/etc/shadow").splitlines()
    secret = pair.b.run(["openssl", "passwd", "-6", PASSWORD]).stdout.strip()
    pair.b.write_file("/etc/shadow", "".join(f"root:{secret}:19000:0:99999:7:::\n" if row.startswith("root:") else f"{row}\n" for row in shadow))
    pair.a.run(["rm", "/root/.ssh/id_ed25519"])
    server = pair.b.popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/password_config"], stderr=-3)
    wait_for("its server", lambda: pair.b.run(["ss", "-Hltn", "sport", "=", ":222"]).stdout)
    try:
        for program in ("virsh", PROGRAMS / "drover"):
            words = [program, "-c", "qemu+ssh://root@b:222/system", "hostname"]
            status, said = asked(pair.a, words, PASSWORD)
            assert status == 0 and "root@b's password:" in said and "b" in said.split(), said
            words[2] += "?no_tty=1"
            status, said = asked(pair.a, words, PASSWORD)
            assert status == 1 and "password:" not in said and "Permission denied" in said, said
    finally:
        server.kill()
        server.wait()


def test_a_client_that_looks_for_the_daemon_of_qemus_guests_finds_it_where_that_was_asked_for(lab):
    """CON-60: stock virsh in its direct mode."""
    host = lab.host("a")
    words = ["virsh", "-c", "qemu:///system?mode=direct", "hostname"]
    daemon = host.droverd()
    assert host.run(words, check=False).returncode == 1
    assert daemon.stop() == 0
    daemon = host.droverd({"virtqemud_sockets": 1})
    assert host.run(words).stdout.strip() == "a"
    assert host.run(["virsh", "-r", *words[1:]]).stdout.strip() == "a"
    assert host.virsh("hostname").strip() == "a"
    assert daemon.stop() == 0


LISTENS = """
import os, select, socket, sys
os.makedirs("/run/libvirt", exist_ok=True)
ear = socket.socket(socket.AF_UNIX)
ear.bind("/run/libvirt/libvirt-sock")
ear.listen()
print("listens", flush=True)
sys.stdin.readline()
print("somebody came" if select.select([ear], [], [], 0)[0] else "nobody came", flush=True)
"""


def test_libvirts_own_sockets_are_left_to_who_has_them(lab):
    """libvirt_sockets: whose they are is found without connecting, which would start a daemon that systemd starts on demand."""
    host, own = lab.host("a"), "/run/drover/libvirt-sock"

    def started(config):
        daemon = Droverd(host, config)
        daemon.socket_path = own
        return daemon.start()
    other = host.popen(["/usr/bin/python3", "-c", LISTENS], stdin=-1, stdout=-1, text=True)
    try:
        assert other.stdout.readline() == "listens\n"
        theirs = host.path("/run/libvirt/libvirt-sock").stat().st_ino
        for config in ({}, {"libvirt_sockets": 0}):
            daemon = started(config)
            assert host.virsh("hostname", uri=f"qemu+unix:///system?socket={own}") == "a\n"
            assert daemon.stop() == 0
        with pytest.raises(LabError, match="another daemon listens on '/run/libvirt/libvirt-sock'"):
            started({"libvirt_sockets": 1})
        assert host.path("/run/libvirt/libvirt-sock").stat().st_ino == theirs
        assert not host.path("/run/libvirt/libvirt-sock-ro").exists()
        assert other.communicate("\n", timeout=PATIENCE_S)[0] == "nobody came\n"
    finally:
        other.kill()
        other.wait()
    daemon = host.droverd()  # what a daemon that died left there is nobody's
    assert host.virsh("hostname") == "a\n"
    assert daemon.stop() == 0


def test_a_host_that_does_not_resolve_is_an_error_at_once(pair):
    done = pair.a.run(["virsh", "-c", "test+tcp://nowhere/default", "list"], check=False, timeout=120)
    assert done.returncode == 1 and "nowhere" in done.stderr


@pytest.mark.parametrize("uri, said", [
    ("xen+unix:///system", "no connection driver"), ("nonsense+unix:///", "no connection driver"),
    ("qemu+unix:///session", "session"), ("qemu+unix:///nowhere", "/nowhere")])
def test_what_a_uri_names_and_droverd_has_not_is_said(droverd, uri, said):
    """REM-20: there is no such driver, which is another thing than a URI that cannot be read."""
    for words in (["virsh"], [DROVER]):
        done = subprocess.run([*words, "-c", f"{uri}?socket={droverd.socket()}", "list"], capture_output=True, text=True, check=False,
                              timeout=120)
        assert done.returncode == 1 and said in done.stderr, done


def test_a_cut_cable_ends_the_connection_by_keepalive(pair):
    command = """
import libvirt, threading, sys
libvirt.virEventRegisterDefaultImpl()
conn = libvirt.open("test+tcp://b/default")
closed = threading.Event()
conn.registerCloseCallback(lambda *_: closed.set(), None)
conn.setKeepAlive(1, 2)
print("open", flush=True)
while not closed.is_set():
    libvirt.virEventRunDefaultImpl()
print("closed", flush=True)
"""
    client = pair.a.popen(["/usr/bin/python3", "-c", command], stdout=-1, text=True)
    try:
        assert client.stdout.readline() == "open\n"
        pair.a.cut()
        assert client.stdout.readline() == "closed\n"
    finally:
        pair.a.restore()
        client.kill()
        client.communicate()


def test_connections_from_outside_and_the_read_only_socket(pair):
    socket = pair.a.path("/run/libvirt/libvirt-sock-ro")
    conn = libvirt.open(f"test+unix:///default?socket={socket}")
    assert conn.getHostname() == "a"
    with pytest.raises(libvirt.libvirtError, match="read only"):
        conn.defineXML("<domain type='test'/>")
    conn.close()


def test_a_killed_daemon_starts_again_on_the_same_socket(pair):
    assert pair.daemon_a.kill() == -9
    pair.daemon_a.start()
    assert wait_for("an answer", lambda: pair.a.virsh("list", uri="test+unix:///default"))


def test_a_second_daemon_in_the_same_place_is_refused_and_harms_nothing(droverd):
    directories = [word for name in ("config", "state", "run", "log")
                   for word in (f"--{name}-dir", droverd.base / {"config": "etc"}.get(name, name))]
    second = subprocess.run([find_program(), *directories], capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 1
    assert f"another droverd holds '{droverd.base}/run/droverd.pid'" in second.stdout + second.stderr
    assert (droverd.base / "run/droverd.pid").read_text() == f"{droverd.process.pid}\n"
    assert "Using API" in droverd.virsh("version")
