"""Our client and the stock one reach droverd over every transport (REM-01 to REM-20)."""
import os
import pathlib
import pwd
import shutil
import subprocess
import time

import pytest

from droverd import find_program, free_port

LIVELY = {"open test:///default", "guest test", "suspend well", "resume well", "missing 42"}


def probe(uri, *args):
    program = pathlib.Path(find_program()).parent / "tests/system/wire-probe"
    done = subprocess.run([program, uri, *args], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


def virsh(uri, *args):
    return subprocess.run(["virsh", "-c", uri, *args], capture_output=True, text=True, timeout=60)


@pytest.fixture
def sshd(tmp_path):
    """A real sshd on its own port with its own keys; gives the URI parts that reach it."""
    home = tmp_path / "ssh"
    home.mkdir(mode=0o700)
    for name in "host", "user":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    shutil.copy(home / "user.pub", home / "authorized")
    port = free_port()
    os.makedirs("/run/sshd", exist_ok=True)
    (home / "sshd.conf").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\nStrictModes no\n"
        f"PidFile none\nUsePAM no\nPermitRootLogin yes\n")
    (home / "client.conf").write_text(f"UserKnownHostsFile {home}/known\nIdentityFile {home}/user\nIdentitiesOnly yes\n")
    program = home / "ssh"
    program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {home}/client.conf "$@"\n')
    program.chmod(0o755)
    daemon = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", home / "sshd.conf"], stderr=open(home / "log", "wb"))
    end = time.monotonic() + 10
    while b"listening on" not in (home / "log").read_bytes():
        assert daemon.poll() is None and time.monotonic() < end, (home / "log").read_text()
        time.sleep(0.02)
    yield f"{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{port}", f"command={program}&no_verify=1&no_tty=1"
    daemon.terminate()
    daemon.wait()


def uris(droverd):
    helper = droverd.base / "reach"
    helper.write_text(f"#!/bin/sh\nexec nc -U {droverd.socket()}\n")
    helper.chmod(0o755)
    return [droverd.uri(), f"test+tcp://127.0.0.1:{droverd.port}/default", f"test+tcp://localhost:{droverd.port}/default",
            f"test+ext:///default?command={helper}"]


def test_our_client_reaches_droverd_over_sockets_tcp_and_ext(droverd):
    for uri in uris(droverd):
        status, said = probe(uri)
        assert status == 0 and set(said) >= LIVELY, (uri, said)
        assert [line for line in said if line.startswith("event")] == ["event test 3", "event test 4"], uri


def test_our_client_reaches_droverd_over_ssh(droverd, sshd):
    host, parameters = sshd
    status, said = probe(f"test+ssh://{host}/default?socket={droverd.socket()}&{parameters}")
    assert status == 0 and set(said) >= LIVELY, said


def test_stock_virsh_reaches_droverd_over_ssh(droverd, sshd):
    host, parameters = sshd
    done = virsh(f"test+ssh://{host}/default?socket={droverd.socket()}&{parameters}", "list", "--name")
    assert (done.returncode, done.stdout.split()) == (0, ["test"]), done.stderr


def test_a_lost_ssh_says_what_ssh_said(droverd, sshd):
    host, parameters = sshd
    status, said = probe(f"test+ssh://{host}/default?socket={droverd.base}/none&{parameters}")
    assert status == 1 and "No such file or directory" in said[0] and "the connection through" in said[0]
    status, said = probe(f"test+ssh://127.0.0.1:{free_port()}/default?{parameters}")
    assert status == 1 and "Connection refused" in said[0]


def test_the_read_only_socket_opens_read_only(droverd):
    assert probe(droverd.uri(readonly=True), "ro") == (0, ["open test:///default"])
    status, said = probe(droverd.uri(readonly=True))
    assert [line for line in said if line.startswith("suspend")] != ["suspend well"]
    assert any("read only" in line for line in said), said


def test_what_cannot_be_reached_is_told(droverd):
    for uri, complaint in [("test+tls://localhost/default", "TLS connections are not built in yet"),
                           (f"test+tcp://127.0.0.1:{free_port()}/default", "is the daemon running?"),
                           ("test+tcp://no-such-host.invalid/default", "cannot be resolved"),
                           (f"nosuch+unix:///x?socket={droverd.socket()}", "nosuch")]:
        status, said = probe(uri)
        assert status == 1 and complaint in said[-1], said
