"""Pools that are volume groups of LVM, in the lab machine (STO-03, STO-09)."""
import json
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest
from droverd import find_program
from inside import MIB, Inside, disks, figures, names

from lab.machine import Machine

pytestmark = pytest.mark.limit(600)  # a machine that is emulated, on one that may be busy
PACKAGES = ("lvm2", "libdevmapper1.02.1", "libdevmapper-event1.02.1", "libaio1")


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    with Machine(packages=PACKAGES, disks=disks(tmp_path_factory, [64, 32])) as machine:
        machine.run(["sh", "-c", "modprobe -a dm_mod dm_snapshot && head -c 8388608 /dev/urandom > /run/data"])
        yield Inside(machine)


def test_a_volume_group_is_a_pool(host):
    """STO-09, STO-17, STO-18: a group made from devices, a logical volume for each volume, its key the UUID."""
    _, built, again, _, _, key, sizes, xml, large, odd, there = host.ask(
        "pool-define-as vg logical --source-dev /dev/vda", "pool-build vg", "pool-build vg", "pool-start vg",
        "vol-create-as vg one 8M", "vol-key one vg", "pool-info vg --bytes", "vol-dumpxml one vg",
        "vol-create-as vg big 1G", "vol-create-as vg odd 8M --format qcow2", "vol-list vg")
    assert "error" not in built and "already holds LVM2_member" in again
    assert host.shell("lvs --noheadings -o lv_uuid vg/one").split() == key.split() and len(key.strip()) == 38
    assert figures(sizes) == {"Capacity": 60 * MIB, "Allocation": 8 * MIB, "Available": 52 * MIB}
    shown = ElementTree.fromstring(xml)
    assert shown.get("type") == "block" and shown.findtext("capacity") == str(8 * MIB)
    assert shown.find("source/device").get("path") == "/dev/vda"
    assert "insufficient free space" in large and "are raw" in odd
    assert names(there) == {"one"}


def test_a_logical_volume_by_name_path_and_key(host):
    """STO-17, STO-20, STO-21, STO-22: each from the others; the key is not the path here."""
    key = host.virsh("vol-key one vg").strip()
    said = host.ask(f"vol-name {key}", "vol-name /dev/vg/one", f"vol-path {key}", "vol-path --pool vg one",
                    "vol-key /dev/vg/one", "vol-key --pool vg one", f"vol-pool {key}", f"vol-info {key}")
    assert [words.strip() for words in said[:-1]] == ["one", "one", "/dev/vg/one", "/dev/vg/one", key, key, "vg"]
    assert said[-1].split()[:4] == ["Name:", "one", "Type:", "block"]


def test_logical_volumes_are_copied_resized_wiped_and_removed(host):
    """STO-14, STO-24, STO-25."""
    host.virsh("vol-upload one /run/data --pool vg", "vol-clone one two --pool vg", "vol-resize two 16M --pool vg")
    tags, size = host.shell("cmp /run/data /dev/vg/one && cmp -n 8388608 /run/data /dev/vg/two && "
                            "echo tags:$(lvs --noheadings -o lv_tags vg) && blockdev --getsize64 /dev/vg/two").split()
    assert (tags, size) == ("tags:", str(16 * MIB))
    refused, *_ = host.ask("vol-resize two 8M --pool vg", "vol-resize two 8M --pool vg --shrink", "vol-wipe two vg")
    assert "shrink" in refused
    host.shell("[ $(blockdev --getsize64 /dev/vg/two) = 8388608 ] && cmp -n 8388608 /dev/zero /dev/vg/two && virsh -q vol-delete two vg")


def test_a_guest_runs_on_a_logical_volume(host):
    """STO-14, STO-26, STO-27: the same definition as for a file; the device is given to QEMU and given back."""
    host.virsh("vol-create-as vg boot 4M")
    host.guest_owns("g", "vg", "boot")
    host.virsh("vol-delete boot vg")


def test_an_encrypted_logical_volume_has_room_for_its_header(host):
    """STO-09, STO-23: the guest sees as much as was asked for."""
    host.shell("cat > /run/secret.xml; printf correct-horse > /run/value",
               stdin="<secret><uuid>d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11</uuid><usage type='volume'><volume>k</volume></usage></secret>")
    host.shell("cat > /run/volume.xml", stdin="<volume><name>hidden</name><capacity unit='MiB'>8</capacity><target>"
                                              "<encryption format='luks'><secret type='passphrase' usage='k'/></encryption>"
                                              "</target></volume>")
    xml = host.ask("secret-define /run/secret.xml",
                   "secret-set-value d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11 --file /run/value --plain",
                   "vol-create vg /run/volume.xml", "vol-dumpxml hidden vg")[-1]
    assert ElementTree.fromstring(xml).find("target/encryption").get("format") == "luks"
    header = host.shell("qemu-img info --output=json -f luks /dev/vg/hidden; virsh -q vol-delete hidden vg > /dev/null")
    assert json.loads(header)["virtual-size"] >= 8 * MIB


def test_snapshots_and_sparse_logical_volumes_say_what_they_are(host):
    _, _, snap, thin, refused = host.ask(
        "vol-create-as vg snap 8M --backing-vol /dev/vg/one", "vol-create-as vg thin 32M --allocation 4M",
        "vol-dumpxml snap vg", "vol-dumpxml thin vg", "vol-wipe thin vg")
    host.shell("cmp /run/data /dev/vg/snap && virsh -q 'vol-delete snap vg; vol-delete thin vg'")
    assert ElementTree.fromstring(snap).findtext("backingStore/path") == "/dev/vg/one"
    thin = ElementTree.fromstring(thin)
    assert (thin.findtext("capacity"), thin.findtext("allocation")) == (str(32 * MIB), str(4 * MIB))
    assert "sparse" in refused


def test_a_copy_that_a_crash_cut_off_is_removed_and_the_pool_goes_on(host):
    """STO-19: the restarted daemon takes what carries the tag away; volumes that were there keep their keys."""
    host.shell("lvcreate -y -q --addtag drover_part -L 8M -n half vg")
    _, there, key = host.ask("pool-refresh vg", "vol-list vg", "vol-key one vg")
    assert names(there) == {"one"}
    host.restart()
    there, same = host.ask("vol-list vg", "vol-key one vg")
    assert names(there) == {"one"} and same == key
    assert host.shell("lvs --noheadings -o lv_name vg").split() == ["one"]


def test_a_daemon_killed_at_each_act_leaves_volumes_whole_or_not_there(host):
    """STO-09: made, copied, removed; in the list and in the group, or in neither."""
    here = pathlib.Path(__file__).parent
    said = host.machine.run(["env", f"DROVERD={find_program()}", f"PYTHONPATH={here}:{here.parents[1]}", "/usr/bin/python3", "-B",
                             here / "lvm_sweep.py", "/dev/vdb"], timeout=480).stdout
    acts = json.loads(said)
    assert set(acts) == {"make", "copy", "delete"} and min(acts.values()) > 1, said


def test_groups_are_found_stopped_and_deleted(host):
    """A build that was killed between its two steps goes on."""
    found, _ = host.ask("find-storage-pool-sources logical", "pool-destroy vg")
    sources = ElementTree.fromstring(found)
    assert [(s.findtext("name"), s.find("device").get("path")) for s in sources] == [("vg", "/dev/vda")]
    assert host.shell("ls -d /dev/vg 2>/dev/null || echo none; virsh -q pool-delete vg; pvcreate -q /dev/vda").split()[0] == "none"
    _, _, there, _, _, gone = host.ask("pool-build vg --no-overwrite", "pool-start vg", "vol-list vg", "pool-destroy vg",
                                       "pool-delete vg", "pool-start vg")
    assert names(there) == set() and "not found" in gone
