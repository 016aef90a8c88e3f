"""Running guests on disks in pools, and stock virt-install (STO-14, STO-25)."""
import os
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from live import LiveDaemon, linux, start
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")

DISK = ("<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='default' volume='{}'/>"
        "<target dev='{}' bus='virtio'/></disk>")


@pytest.fixture(name="daemon")
def fixture_daemon():
    daemon = LiveDaemon()
    (daemon.base / "images").mkdir(mode=0o711)
    daemon.virsh("pool-create-as", "default", "dir", "--target", daemon.base / "images")
    yield daemon
    daemon.stop()


def test_a_guest_runs_on_a_volume_and_another_is_plugged(daemon, tmp_path):
    """STO-14, STO-26, STO-29: resolved at the start and at hotplug; the definition keeps pool and volume; the daemon may restart."""
    for name in ("base", "two"):
        daemon.virsh("vol-create-as", "default", name, "8M", "--format", "qcow2")
    daemon.virsh("vol-create-as", "default", "one", "8M", "--format", "qcow2", "--backing-vol", "base", "--backing-vol-format", "qcow2")
    start(daemon, tmp_path, linux("v", DISK.format("one", "vda")))
    source = ElementTree.fromstring(daemon.virsh("dumpxml", "v")).find("devices/disk/source")
    assert (source.get("pool"), source.get("volume"), source.get("file")) == ("default", "one", None)
    device = tmp_path / "disk.xml"
    device.write_text(DISK.format("two", "vdb"))
    daemon.virsh("attach-device", "v", device)
    opened = daemon.virsh("qemu-monitor-command", "v", '{"execute": "query-named-block-nodes"}')
    for name in ("one", "two"):
        assert f"{daemon.base}/images/{name}" in opened
        assert "is disk" in daemon.virsh("vol-delete", name, "default", check=False)
        assert "blockresize" in daemon.virsh("vol-resize", name, "16M", "default", check=False)
    for act in (["vol-delete", "base", "default"], ["vol-wipe", "base", "default"], ["vol-resize", "base", "16M", "default"]):
        assert "is what disk 'vda' of the running guest 'v' stands on" in daemon.virsh(*act, check=False)
    daemon.virsh("blockresize", "v", "vda", "16M")
    assert "16.00 MiB" in daemon.virsh("vol-info", "one", "default")
    daemon.process.kill()
    daemon.process.wait()
    daemon.output.truncate(0)
    daemon.start()
    wait_for("the guest is found again", lambda: "running" in daemon.virsh("domstate", "v", check=False))
    assert "is disk 'vda' of the running guest 'v'" in daemon.virsh("vol-wipe", "one", "default", check=False)
    daemon.virsh("destroy", "v")
    daemon.virsh("vol-delete", "one", "default")
    daemon.virsh("vol-delete", "base", "default")


def test_a_guest_starts_while_a_restarted_daemon_goes_through_its_pool(daemon, tmp_path):
    """STO-14: a large pool, or a slow one, keeps no guest from its disk."""
    daemon.virsh("vol-create-as", "default", "one", "8M", "--format", "qcow2")
    for i in range(3000):
        (daemon.base / "images" / f"n{i}").touch()
    daemon.virsh("pool-refresh", "default")
    file = tmp_path / "guest.xml"
    file.write_text(linux("v", DISK.format("one", "vda")))
    daemon.virsh("define", file)
    daemon.process.kill()
    daemon.process.wait()
    daemon.output.truncate(0)
    daemon.start()
    daemon.virsh("start", "v")
    assert "running" in daemon.virsh("domstate", "v")


def test_what_is_missing_is_said_by_name(daemon, tmp_path):
    file = tmp_path / "guest.xml"
    file.write_text(linux("v", DISK.format("nothing", "vda")))
    assert "no storage vol with matching name 'nothing' in pool 'default'" in daemon.virsh("create", file, check=False)
    file.write_text(linux("v", DISK.format("x", "vda").replace("'default'", "'nowhere'")))
    assert "no storage pool with matching name 'nowhere'" in daemon.virsh("create", file, check=False)
    assert not daemon.virsh("list", "--all", "--name").split()


def test_virt_install_makes_a_disk_in_the_default_pool(daemon):
    """STO-02: a pool called default elsewhere is where it makes its disks."""
    common = ["virt-install", "--connect", daemon.uri(), "--memory", "64", "--virt-type", "qemu", "--network", "none",
              "--osinfo", "generic", "--graphics", "none", "--noautoconsole", "--import"]
    for name, disk in (("sized", "size=1"), ("named", "vol=default/sized-2.qcow2")):
        if name == "named":
            daemon.virsh("vol-create-as", "default", "sized-2.qcow2", "1M", "--format", "qcow2")
        done = subprocess.run([*common, "--name", name, "--disk", disk], capture_output=True, text=True, timeout=120,
                              check=False, env={**os.environ, "HOME": str(daemon.base)})
        assert done.returncode == 0, done.stdout + done.stderr
        assert daemon.virsh("domstate", name).strip() == "running"
    assert "1.00 GiB" in daemon.virsh("vol-info", "sized.qcow2", "default")
    daemon.virsh("destroy", "sized")
    daemon.virsh("undefine", "sized", "--remove-all-storage")
    assert not (daemon.base / "images" / "sized.qcow2").exists()
