"""Pools of SCSI disks: iSCSI, a SCSI host, multipath, in the lab machine (STO-04, STO-10, STO-35, STO-36)."""
import xml.etree.ElementTree as ElementTree

import pytest
from inside import MIB, Inside, disks, figures, names

from lab.machine import Machine

pytestmark = pytest.mark.limit(600)  # a machine that is emulated, on one that may be busy
PACKAGES = ("dmsetup", "libdevmapper1.02.1", "open-iscsi", "libisns0", "libopeniscsiusr", "libkmod2", "tgt", "libibverbs1",
            "librdmacm1", "libnl-3-200", "libnl-route-3-200", "udev")
TARGET, GUARDED = "iqn.2004-04.test:disk", "iqn.2004-04.test:guarded"
SERVERS = f"""set -e
modprobe -a iscsi_tcp dm_multipath dm_round_robin
/lib/systemd/systemd-udevd --daemon
head -c 16777216 /dev/urandom > /run/lun
mkdir -p /etc/iscsi /var/lib/iscsi
tgtd
n=0; until tgtadm --lld iscsi --op show --mode system > /dev/null 2>&1 || [ $n = 100 ]; do sleep 0.1; n=$((n + 1)); done
tgtadm --lld iscsi --op new --mode target --tid 1 -T {TARGET}
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b /run/lun
tgtadm --lld iscsi --op bind --mode target --tid 1 -I ALL
truncate -s 8M /run/guarded
tgtadm --lld iscsi --op new --mode target --tid 2 -T {GUARDED}
tgtadm --lld iscsi --op new --mode logicalunit --tid 2 --lun 1 -b /run/guarded
tgtadm --lld iscsi --op bind --mode target --tid 2 -I ALL
tgtadm --lld iscsi --op new --mode account --user me --password twelve-chars
tgtadm --lld iscsi --op bind --mode account --tid 2 --user me
echo InitiatorName=iqn.2004-04.test:host > /etc/iscsi/initiatorname.iscsi
touch /etc/iscsi/iscsid.conf
iscsid
"""


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    with Machine(packages=PACKAGES, disks=disks(tmp_path_factory, [8])) as machine:
        machine.run(["sh", "-c", SERVERS])
        yield Inside(machine)


def test_the_units_of_an_iscsi_target_are_volumes(host):
    """STO-10, STO-35, CON-32: found, logged in, listed by path with the unit's own name as the key; and logged out."""
    found, _, _, _, xml, refused = host.ask(
        "find-storage-pool-sources-as iscsi 127.0.0.1",
        f"pool-define-as i iscsi --source-host 127.0.0.1 --source-dev {TARGET} --target /dev/disk/by-path",
        "pool-start i", "vol-download unit:0:0:1 /run/got --pool i", "vol-dumpxml unit:0:0:1 i", "vol-create-as i x 1M")
    sources = ElementTree.fromstring(found)
    assert sorted(source.find("device").get("path") for source in sources) == [TARGET, GUARDED]
    unit = ElementTree.fromstring(xml)
    assert unit.findtext("target/path") == f"/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-{TARGET}-lun-1"
    assert unit.findtext("capacity") == str(16 * MIB)
    serial = host.shell("cmp /run/got /run/lun && /lib/udev/scsi_id --whitelisted --device /dev/sda").strip()
    assert unit.findtext("key") == serial != ""
    assert "are not made" in refused
    host.restart()
    assert names(host.virsh("vol-list i")) == {"unit:0:0:1"}


def test_a_guest_runs_on_a_unit_of_an_iscsi_target(host):
    """STO-14, STO-27, STO-31: as on a file; the device is given to QEMU and given back."""
    host.guest_owns("g", "i", "unit:0:0:1")


def test_a_scsi_host_and_multipath_devices_are_pools(host):
    """STO-04, STO-36: the host that the session made, and a multipath device over its disk, by its alias."""
    number = host.shell("dmsetup create oramp1 --uuid mpath-3600a --table '0 32768 multipath 0 0 1 1 round-robin 0 1 0 /dev/sda'; "
                        "ls /sys/class/iscsi_host").strip()
    _, _, path, sizes, _ = host.ask("pool-define-as m mpath", "pool-start m", "vol-path oramp1 --pool m", "pool-info m --bytes",
                                    "pool-destroy m")
    assert path.strip() == "/dev/mapper/oramp1" and figures(sizes)["Capacity"] == 16 * MIB
    host.shell("dmsetup remove oramp1")
    _, _, path, _, _ = host.ask(f"pool-define-as s scsi --adapter-name {number} --target /dev", "pool-start s",
                                "vol-path unit:0:0:1 --pool s", "pool-destroy s", "pool-destroy i")
    assert path.strip() == "/dev/sda"
    assert host.shell("ls /sys/class/iscsi_session; ls /var/lib/iscsi/nodes 2>/dev/null || :").strip() == ""
    assert "there is no SCSI host" in host.virsh("pool-start s", check=False)


def test_a_target_that_wants_a_password_is_logged_in_at_with_a_secret(host):
    """STO-10: by CHAP; the records, one with the password and one with our name, go with the pool."""
    host.shell("cat > /run/secret.xml; printf not-the-right-one > /run/wrong; printf twelve-chars > /run/right",
               stdin="<secret private='yes'><uuid>d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11</uuid>"
                     "<usage type='iscsi'><target>guarded</target></usage></secret>")
    value = "secret-set-value d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11 --plain --file"
    _, none, _, _, wrong, _, right, there, sizes = host.ask(
        f"pool-define-as g iscsi --source-host 127.0.0.1 --source-dev {GUARDED} --target /dev/disk/by-path "
        "--auth-type chap --auth-username me --secret-usage guarded --source-initiator iqn.2004-04.test:us",
        "pool-start g", "secret-define /run/secret.xml", f"{value} /run/wrong", "pool-start g", f"{value} /run/right",
        "pool-start g", "vol-list g", "pool-info g --bytes")
    assert "no secret with matching usage 'guarded'" in none and "Could not login" in wrong and "error" not in right
    assert names(there) == {"unit:0:0:1"} and figures(sizes)["Capacity"] == 8 * MIB
    left = host.shell("cat /etc/iscsi/ifaces/drover-*; virsh -q pool-destroy g; echo @; "
                      "find /etc/iscsi/ifaces /var/lib/iscsi/nodes -type f 2>/dev/null; "
                      "grep -rl twelve-chars /var/lib/iscsi /etc/iscsi /etc/drover/storage 2>/dev/null || :")
    record, _, left = left.partition("@\n")
    assert "iqn.2004-04.test:us" in record and left == ""
