"""Pools that are volume groups of LVM, in the lab machine (STO-03, STO-09)."""
import json
import xml.etree.ElementTree as ElementTree

import pytest

from inside import MIB, Inside, disks
from lab.machine import Machine

pytestmark = pytest.mark.limit(400)  # a machine that is emulated, on one that may be busy
PACKAGES = ("lvm2", "libdevmapper1.02.1", "libdevmapper-event1.02.1", "libaio1")


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    with Machine(packages=PACKAGES, disks=disks(tmp_path_factory, [64])) as machine:
        machine.run(["modprobe", "-a", "dm_mod", "dm_snapshot"])
        machine.run(["sh", "-c", "head -c 8388608 /dev/urandom > /run/data"])
        yield Inside(machine)


def test_a_volume_group_is_a_pool(host):
    """STO-09, STO-18: a group made from devices, a logical volume for each volume, its key the UUID."""
    host.virsh("pool-define-as vg logical --source-dev /dev/vda", "pool-build vg")
    assert "already holds LVM2_member" in host.virsh("pool-build vg", check=False)
    host.virsh("pool-start vg", "vol-create-as vg one 8M")
    key = host.shell("lvs --noheadings -o lv_uuid vg/one").strip()
    assert host.virsh("vol-key one vg", f"vol-path {key}").split() == [key, "/dev/vg/one"]
    assert host.figures("vg") == {"Capacity": 60 * MIB, "Allocation": 8 * MIB, "Available": 52 * MIB}
    shown = host.volume("vg", "one")
    assert shown.get("type") == "block" and shown.findtext("capacity") == str(8 * MIB)
    assert shown.find("source/device").get("path") == "/dev/vda"
    assert "insufficient free space" in host.virsh("vol-create-as vg big 1G", check=False)
    assert "are raw" in host.virsh("vol-create-as vg odd 8M --format qcow2", check=False)
    assert host.names("vg") == {"one"}


def test_logical_volumes_are_copied_resized_wiped_and_removed(host):
    """STO-14, STO-24, STO-25."""
    host.virsh("vol-upload one /run/data --pool vg", "vol-clone one two --pool vg", "vol-resize two 16M --pool vg")
    host.shell("cmp /run/data /dev/vg/one && cmp -n 8388608 /run/data /dev/vg/two")
    assert host.shell("lvs --noheadings -o lv_tags vg").strip() == ""
    assert host.shell("blockdev --getsize64 /dev/vg/two").strip() == str(16 * MIB)
    assert "shrink" in host.virsh("vol-resize two 8M --pool vg", check=False)
    host.virsh("vol-resize two 8M --pool vg --shrink", "vol-wipe two vg")
    host.shell("cmp -n 8388608 /dev/zero /dev/vg/two")
    host.virsh("vol-delete two vg")


def test_a_guest_runs_on_a_logical_volume(host):
    """STO-14, STO-26, STO-27: the same definition as for a file; the device is given to QEMU and given back."""
    host.virsh("vol-create-as vg boot 4M")
    host.guest_owns("g", "vg", "boot")
    host.virsh("vol-delete boot vg")


def test_an_encrypted_logical_volume_has_room_for_its_header(host):
    """STO-09, STO-23: the guest sees as much as was asked for."""
    host.shell("cat > /run/secret.xml", stdin="<secret><uuid>d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11</uuid>"
                                              "<usage type='volume'><volume>k</volume></usage></secret>")
    host.shell("printf correct-horse > /run/value")
    host.shell("cat > /run/volume.xml", stdin="<volume><name>hidden</name><capacity unit='MiB'>8</capacity><target>"
                                              "<encryption format='luks'><secret type='passphrase' usage='k'/></encryption>"
                                              "</target></volume>")
    host.virsh("secret-define /run/secret.xml",
               "secret-set-value d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11 --file /run/value --plain",
               "vol-create vg /run/volume.xml")
    assert host.volume("vg", "hidden").find("target/encryption").get("format") == "luks"
    header = host.shell("qemu-img info --output=json -f luks /dev/vg/hidden")
    assert json.loads(header)["virtual-size"] >= 8 * MIB
    host.virsh("vol-delete hidden vg")


def test_snapshots_and_sparse_logical_volumes_say_what_they_are(host):
    host.virsh("vol-create-as vg snap 8M --backing-vol /dev/vg/one",
               "vol-create-as vg thin 32M --allocation 4M")
    host.shell("cmp /run/data /dev/vg/snap")
    assert host.volume("vg", "snap").findtext("backingStore/path") == "/dev/vg/one"
    thin = host.volume("vg", "thin")
    assert (thin.findtext("capacity"), thin.findtext("allocation")) == (str(32 * MIB), str(4 * MIB))
    assert "sparse" in host.virsh("vol-wipe thin vg", check=False)
    host.virsh("vol-delete snap vg", "vol-delete thin vg")


def test_a_copy_that_a_crash_cut_off_is_removed_and_the_pool_goes_on(host):
    """STO-19: the restarted daemon takes what carries the tag away; volumes that were there keep their keys."""
    key = host.virsh("vol-key one vg")
    host.shell("lvcreate -y -q --addtag drover_part -L 8M -n half vg")
    host.virsh("pool-refresh vg")
    assert host.names("vg") == {"one"}
    host.kill()
    host.start()
    assert host.names("vg") == {"one"} and host.virsh("vol-key one vg") == key
    assert host.shell("lvs --noheadings -o lv_name vg").split() == ["one"]


def test_groups_are_found_stopped_and_deleted(host):
    """A build that was killed between its two steps goes on."""
    sources = ElementTree.fromstring(host.virsh("find-storage-pool-sources logical"))
    assert [(s.findtext("name"), s.find("device").get("path")) for s in sources] == [("vg", "/dev/vda")]
    host.virsh("pool-destroy vg")
    assert host.shell("ls -d /dev/vg 2>/dev/null || echo none").strip() == "none"
    host.virsh("pool-delete vg")
    host.shell("pvcreate -q /dev/vda")
    host.virsh("pool-build vg --no-overwrite", "pool-start vg")
    assert host.names("vg") == set()
    host.virsh("pool-destroy vg", "pool-delete vg")
    assert "not found" in host.virsh("pool-start vg", check=False)
