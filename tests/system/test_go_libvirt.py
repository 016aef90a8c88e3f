"""A client in Go: digitalocean/go-libvirt of Debian, which speaks the wire protocol by itself."""
import pathlib
import socket
import subprocess

import pytest

from lab import golang
from live import linux
from waiting import PATIENCE_S

SOURCE = pathlib.Path(__file__).with_name("go-client.go")
LIBRARY = "golang-github-digitalocean-go-libvirt-dev"


@pytest.fixture(scope="module")
def client():
    return golang.program(SOURCE, LIBRARY)


def test_a_guest_lives_its_life_by_a_client_in_go(live_daemon, client, place):
    """REM-32: it connects, defines, lists, starts, hears events, reads the console, talks to the monitor, and ends the guest."""
    file = place / "g.xml"
    file.write_text(linux("in-go", beat=100))
    done = subprocess.run([client, live_daemon.socket(), file, "beat "], capture_output=True, text=True, check=False,
                          timeout=4 * PATIENCE_S)
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [
        f"host {socket.gethostname()}", "event 0", "list in-go", "event 2", "state 1", "console heard", "monitor true",
        "event 3", "state 3", "event 4", "monitor event RESET true", "event 5", "console ended", "event 1", "gone true", "done"]
    assert "in-go" not in live_daemon.virsh("list", "--all", "--name").split()


def test_the_read_only_socket_refuses_it(live_daemon, client, place):
    """REM-07"""
    file = place / "g.xml"
    file.write_text(linux("refused"))
    done = subprocess.run([client, live_daemon.socket(readonly=True), file, "beat "], capture_output=True, text=True, check=False,
                          timeout=PATIENCE_S)
    assert done.returncode == 1 and "define: operation forbidden: read only access prevents" in done.stdout, done
