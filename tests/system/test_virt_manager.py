"""Stock virt-manager on a virtual display: it connects, lists, and its dialogs make a network, a pool and a volume."""
import contextlib
import os
import shutil
import subprocess
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import virtinst
from waiting import wait_for

from lab import debs
from lab.hosts import Lab
from lab.paths import TOP

DRIVE = Path(__file__).with_name("virt-manager-drive.py")
PROGRAMS = ("virt-manager", "Xvfb", "dbus-run-session")
SESSION = """mkdir -p -m 700 $XDG_RUNTIME_DIR
Xvfb :7 -screen 0 1280x1024x24 -nolisten tcp -displayfd 3 3> /tmp/display > /dev/null 2>&1 &
server=$!
until [ -s /tmp/display ]; do kill -0 $server || exit 1; sleep 0.05; done
$5 --debug --connect $4 $1 > /root/virt-manager.log 2>&1 &
manager=$!
timeout 240 /usr/bin/python3 $2 $3
status=$?
kill $manager
wait $manager
kill $server
exit $status
"""


@pytest.fixture(scope="module")
def host():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    if not all(map(shutil.which, PROGRAMS)) or subprocess.run(
            ["/usr/bin/python3", "-c", "import gi; gi.require_version('Atspi', '2.0')"], capture_output=True, check=False).returncode:
        pytest.skip("virt-manager, xvfb, dbus or gir1.2-atspi-2.0 is not installed")
    with Lab() as lab:
        host = lab.host("a", kvm=True)
        host.run(["systemd-tmpfiles", "--create", str(TOP / "packaging/drover.tmpfiles")])
        host.daemon = host.droverd({"default_network": 1})
        virtinst.put_payload(host, "/srv/disks/one.img")
        console, done = virtinst.install(lab, host, "one", "--import", "--disk", "/srv/disks/one.img,format=raw", "--network", "network=default")
        assert done.returncode == 0, done.stderr
        host.write_file("/root/session.sh", SESSION)
        yield host
        console.close()
        host.virsh("destroy", "one")
        assert host.daemon.stop() == 0, host.daemon.tail()
        assert "Sanitizer" not in host.daemon.log.read_text(errors="replace"), host.daemon.tail()


def drive(host, window, steps, uri="qemu:///system", program="virt-manager --no-fork", libraries=""):
    """Run virt-manager, or another program that is called like it, and do the steps in it. What they printed; its log may hold no error."""
    env = {**os.environ, "DISPLAY": ":7", "HOME": "/root", "XDG_RUNTIME_DIR": "/run/user-0", "LANG": "C.UTF-8", "NO_AT_BRIDGE": "0",
           "LD_LIBRARY_PATH": libraries}
    host.run(["rm", "-f", "/tmp/display"])
    done = host.run(["dbus-run-session", "--", "sh", "/root/session.sh", window, DRIVE, steps, uri, program], env=env, check=False, timeout=280)
    log = host.read_file("/root/virt-manager.log")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{log[-4000:]}"
    for bad in ("Traceback", "ERROR", "not supported by the connection driver", "unsupported"):
        assert bad not in log, log[log.index(bad) - 2000:][:4000]
    return [line for line in done.stdout.splitlines() if "registry" not in line.lower()]


@pytest.mark.limit(400)
def test_networks_pools_and_volumes_are_made_by_its_dialogs(host):
    assert drive(host, "--show-host-summary", "storage_and_networks") == ["network made", "pool made", "volume made"]
    assert {"default", "byhand"} == set(host.virsh("net-list", "--name").split())
    assert ET.fromstring(host.virsh("net-dumpxml", "byhand")).find("forward").get("mode") == "nat"
    assert {"default", "disks", "byhand"} == set(host.virsh("pool-list", "--name").split())
    pools = [pool for pool in ("default", "byhand") if "made.qcow2" in host.virsh("vol-list", pool)]
    assert len(pools) == 1 and "qcow2" in host.virsh("vol-dumpxml", "made.qcow2", "--pool", pools[0])


@pytest.mark.limit(400)
def test_a_guests_window_and_its_hardware_open(host):
    assert drive(host, "--show-domain-editor one", "a_guests_hardware") == ["hardware shown"]


SCREEN = """<domain type='qemu'><name>screen</name><uuid>{}</uuid><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type>
  </os><devices><graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/><video><model type='vga'/></video></devices></domain>"""


@pytest.mark.limit(400)
def test_a_guests_screen_is_seen_in_its_window(host):
    """REM-32: its VNC console, which listens on the host's own address only; the picture is the guest's, pixel by pixel."""
    with screen(host):
        assert drive(host, "--show-domain-console screen", "a_guests_screen") == ["screen shown"]


@pytest.mark.limit(400)
def test_a_guests_screen_is_seen_from_another_host_through_ssh(host):
    """REM-23: its VNC console listens on 127.0.0.1 only, so what is seen elsewhere came the way the connection came."""
    other = host.lab.host("b")
    for each in (host, other):
        each.sshd()
    other.write_file("/root/session.sh", SESSION)
    with screen(host):
        listening = [line.split()[3] for line in host.run(["ss", "-Hltn"]).stdout.splitlines()]
        assert [at for at in listening if ":59" in at] == ["127.0.0.1:5900"]
        other.path("/root/screen.ppm").write_bytes(host.path("/root/screen.ppm").read_bytes())
        assert drive(other, "--show-domain-console screen", "a_guests_screen", "qemu+ssh://root@a/system") == ["screen shown"]


# with what of its libraries a machine need not have
VIEWER = ("virt-viewer libspice-client-glib-2.0-8 libspice-client-gtk-3.0-5 libjson-glib-1.0-0 libphodav-3.0-0 libusbredirhost1 libva-x11-2 libva2 "
          "libsoup-3.0-0 libcacard0").split()


@pytest.mark.limit(400)
def test_a_guests_screen_is_seen_in_virt_viewer(host):
    """REM-32: the stock viewer finds where the screen is by itself."""
    trees = [debs.unpack(package) for package in VIEWER]
    with screen(host):
        assert drive(host, "screen", "a_picture", program=trees[0] / "usr/bin/virt-viewer",
                     libraries=":".join(str(tree / "usr/lib/x86_64-linux-gnu") for tree in trees)) == ["screen shown"]


@contextlib.contextmanager
def screen(host):
    """A guest with a screen that shows no more than its firmware's last words; the picture is in /root/screen.ppm."""
    host.write_file("/root/screen.xml", SCREEN.format(uuid.uuid4()))
    host.virsh("create", "/root/screen.xml")
    wait_for("the firmware's last words", lambda: b"No bootable device" in text(host))
    host.virsh("screenshot", "screen", "/root/screen.ppm")
    yield
    assert "screen" in host.virsh("list", "--name").split()
    host.virsh("destroy", "screen")


def text(host):
    """The characters in the memory of the guest's screen."""
    said = host.virsh("qemu-monitor-command", "screen", "--hmp", "xp /4000xb 0xb8000")
    return bytes(int(value, 16) for line in said.splitlines() for value in line.partition(":")[2].split())[::2]
