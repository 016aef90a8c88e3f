"""What the guides say about images and devices of this host, against running guests (STO-26 to STO-30, STO-40)."""
import os
import pathlib
import subprocess
import uuid

import procfs
import pytest
from loops import loop_device

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")

GUEST = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices><controller type='usb' model='none'/><memballoon model='none'/><disk type='file' device='disk'>
    <driver name='qemu' type='raw'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"""


def define(daemon, place, name):
    image = place / f"{name}.img"
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    (place / "guest.xml").write_text(GUEST.format(name=name, uuid=uuid.uuid4(), path=image))
    daemon.virsh("define", place / "guest.xml")


def test_sizes_of_what_dd_makes(live_daemon, place):
    """STO-16, STO-28, CON-21: 4096 blocks of 1 MiB are 4 GiB; a sparse file has that capacity, and holds nothing."""
    subprocess.run(["dd", "if=/dev/zero", f"of={place}/sparse.img", "bs=1M", "seek=4096", "count=0"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["dd", "if=/dev/zero", f"of={place}/full.img", "bs=1M", "count=4"], check=True, stderr=subprocess.DEVNULL)
    live_daemon.virsh("pool-create-as", "dd", "dir", "--target", place)
    for name, capacity in (("sparse.img", 4294967296), ("full.img", 4 << 20)):
        said = live_daemon.virsh("vol-info", place / name, "--bytes").splitlines()
        figures = {key: value.split()[0] for key, value in (line.split(":") for line in said if ":" in line)}
        assert int(figures["Capacity"]) == capacity
        assert int(figures["Allocation"]) == (place / name).stat().st_blocks * 512
    assert (place / "sparse.img").stat().st_blocks == 0
    live_daemon.virsh("pool-destroy", "dd")


@pytest.fixture(name="device")
def fixture_device(place):
    with loop_device(place / "device", 4) as device:
        yield device


def test_a_block_device_is_added_to_a_guest_both_ways(live_daemon, place, device):
    """STO-26, STO-29, STO-30, DOM-22: attached while it runs, and in the definition for the next start."""
    define(live_daemon, place, "both")
    live_daemon.virsh("start", "both", "--paused")
    live_daemon.virsh("attach-disk", "both", device, "vdb", "--sourcetype", "block", "--subdriver", "raw", "--live")
    assert device in live_daemon.virsh("domblklist", "both")
    live_daemon.virsh("destroy", "both")
    assert device not in live_daemon.virsh("domblklist", "both", "--inactive")
    live_daemon.virsh("attach-disk", "both", device, "vdb", "--sourcetype", "block", "--subdriver", "raw", "--config")
    live_daemon.virsh("start", "both", "--paused")
    said = live_daemon.virsh("domblklist", "both", "--details").split()
    assert said[said.index("vdb") - 2:][:4] == ["block", "disk", "vdb", device]
    live_daemon.virsh("destroy", "both")
    live_daemon.virsh("detach-disk", "both", "vdb", "--config")
    live_daemon.virsh("attach-disk", "both", device, "hdc", "--type", "cdrom", "--sourcetype", "block", "--subdriver", "raw", "--config")
    live_daemon.virsh("start", "both", "--paused")
    said = live_daemon.virsh("domblklist", "both", "--details").split()
    assert said[said.index("hdc") - 2:][:4] == ["block", "cdrom", "hdc", device]
    live_daemon.virsh("destroy", "both")
    live_daemon.virsh("undefine", "both")


def test_images_take_no_loop_devices(live_daemon, place):
    """STO-40: twenty guests on files at once, and not one of this host's few loop devices is used for them."""
    names = [f"file{i}" for i in range(20)]
    for name in names:
        define(live_daemon, place, name)
        live_daemon.virsh("start", name, "--paused")
    assert set(names) <= set(live_daemon.virsh("list", "--name").split())
    behind = [procfs.read(file) for file in pathlib.Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [path for path in behind if str(place).encode() in path]
    for name in names:
        live_daemon.virsh("destroy", name)
        live_daemon.virsh("undefine", name)
