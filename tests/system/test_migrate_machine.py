"""Moves that need what this machine's kernel lacks, in the lab machine: disks of an iSCSI target by the names that udev and
multipath give them (MIG-30), and memory that is sent without a copy of it, by a QEMU that may lock so much.

Two daemons in one machine: the second has device nodes, control groups and directories of its own.
"""
import re

import pytest
from droverd import BARE
from inside import CALL_S, MIB, Inside, beats, disks, until

from lab import payload
from lab.machine import Machine
from lab.paths import PROGRAMS

pytestmark = pytest.mark.limit(600)  # a machine that is emulated, on one that may be busy
PACKAGES = ("dmsetup", "libdevmapper1.02.1", "open-iscsi", "libisns0", "libopeniscsiusr", "libkmod2", "tgt", "libibverbs1",
            "librdmacm1", "libnl-3-200", "libnl-route-3-200", "udev")
TARGET = "iqn.2004-04.test:disks"
BY_PATH = f"/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-{TARGET}-lun-1"
MULTIPATH = "/dev/mapper/mpatha"
B = "qemu+unix:///system?socket=/run/b/libvirt-sock"
UNITS = f"""set -e
modprobe -a iscsi_tcp dm_multipath dm_round_robin
/lib/systemd/systemd-udevd --daemon
mkdir -p /etc/iscsi /var/lib/iscsi
tgtd
{until('tgtadm --lld iscsi --op show --mode system > /dev/null 2>&1')}
tgtadm --lld iscsi --op new --mode target --tid 1 -T {TARGET}
for lun in 1 2 3; do
        truncate -s 4M /run/lun$lun
        tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun $lun -b /run/lun$lun
done
tgtadm --lld iscsi --op bind --mode target --tid 1 -I ALL
echo InitiatorName=iqn.2004-04.test:host > /etc/iscsi/initiatorname.iscsi
touch /etc/iscsi/iscsid.conf
iscsid
iscsiadm -m discovery -t sendtargets -p 127.0.0.1 > /dev/null
iscsiadm -m node -T {TARGET} -p 127.0.0.1 --login > /dev/null
{until('ls /dev/disk/by-path/*-lun-3 > /dev/null 2>&1')}
udevadm settle
unit() {{ readlink -f /dev/disk/by-path/*-lun-$1; }}
env -u DM_DISABLE_UDEV dmsetup create mpatha --uuid mpath-3600a --table "0 8192 multipath 0 0 1 1 round-robin 0 1 0 $(unit 3)"
[ -L {MULTIPATH} ]
for link in /dev/disk/by-id/scsi-*; do [ $(readlink -f $link) != $(unit 2) ] || echo $link; done | head -n 1
"""
# Its own nodes of the same devices, as another host has them: what one daemon does to an owner is not seen by the other.
SECOND = f"""set -e
mkdir -p /run/b/etc /run/b/dev
cat > /run/b/etc/droverd.conf
cp -ax /dev/. /run/b/dev
: > /run/b/said
unshare -m sh -c 'mount --bind /run/b/dev /dev && mount -t devpts devpts /dev/pts && umount /sys/fs/cgroup &&
        exec setsid {PROGRAMS}/droverd --config-dir /run/b/etc --state-dir /run/b/lib --run-dir /run/b --log-dir /run/b/log' \\
        >> /run/b/said 2>&1 < /dev/null &
{until('grep -q is.ready /run/b/said')} || {{ cat /run/b/said >&2; exit 1; }}
"""
GUEST_MIB = 56  # of which 40 take long to be sent at 1 MiB/s
TARGETS = ("vdb", "vdc", "vdd")
GUEST = """<domain type='qemu'><name>g</name><memory unit='MiB'>56</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/><serial type='file'><source path='/run/g.beat'/></serial>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/run/payload'/><target dev='vda' bus='virtio'/>
      <readonly/></disk>{disks}
  </devices></domain>"""
DISK = ("<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='{path}'/>"
        "<target dev='{target}' bus='virtio'/></disk>")
LOCKED = (GUEST_MIB + 64) * MIB  # what its QEMU may lock while its memory is sent without a copy
MOVE = f"""set -e
virsh -q migrate --live g qemu+tcp://127.0.0.1:16510/system
virsh -q list --name
echo @
virsh -q -c '{B}' dumpxml g
echo @
{until('[ "$(stat -L -c %U $DISKS | sort -u)" = root ]')} || :
stat -L -c %U $DISKS
"""
BACK = f"""set -e
on_b() {{ virsh -q -c '{B}' "$@"; }}
: > /run/g.beat
{beats('g')}
{PROGRAMS}/drover -c '{B}' migrate --live --parallel --zerocopy --bandwidth 1 g qemu+tcp://127.0.0.1:16509/system \\
        > /run/moved 2>&1 &
move=$!
may_lock() {{ for pid in $(pidof qemu-system-x86_64); do grep -s 'Max locked memory *{LOCKED} ' /proc/$pid/limits && return; done; return 1; }}
{until('may_lock || ! kill -0 $move')}
on_b migrate-setspeed g 0 || :
wait $move || {{ cat /run/moved >&2; exit 1; }}
echo @
on_b list --name
echo @
virsh -q list --name
: > /run/g.beat
{beats('g')}
"""


def settings(uuid, port, first, last):
    """Of a daemon that is one of two on the same addresses."""
    return (f'listen_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{port}"\nhost_uuid = "{uuid}"\n'
            f'migration_host = "127.0.0.1"\nmigration_port_min = {first}\nmigration_port_max = {last}\n')


@pytest.fixture(scope="module", name="two")
def fixture_two(tmp_path_factory):
    """Host a is the machine, host b a part of it; `paths` lead both to the same three disks."""
    with Machine(packages=PACKAGES, disks=disks(tmp_path_factory, [])) as machine:
        by_id = machine.run(["sh", "-c", UNITS], timeout=CALL_S).stdout.strip()
        two = Inside(machine, settings=settings("6695eb01-f6a4-8304-79aa-97f2502e193f", 16509, 49152, 49160))
        two.paths = [BY_PATH, by_id, MULTIPATH]
        two.shell(SECOND, stdin=f"libvirt_sockets = 0\n{BARE}" + settings("d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11", 16510, 49200, 49208))
        yield two


def test_disks_keep_the_names_that_both_hosts_know(two):
    """MIG-30: by path, by id and by multipath, without --unsafe; and back again, its memory sent without a copy (--zerocopy)."""
    assert two.paths[1].startswith("/dev/disk/by-id/scsi-")
    xml = GUEST.format(disks="".join(DISK.format(path=path, target=target) for path, target in zip(two.paths, TARGETS)))
    two.shell(f"set -e; cat > /run/g.xml; cp {payload.build(40, 0, 10, random=True)} /run/payload; chmod 644 /run/payload; "
              f"virsh -q create /run/g.xml; {beats('g')}", stdin=xml)
    on_a, there, owners = two.shell(f"DISKS='{' '.join(two.paths)}'\n{MOVE}").split("@\n")
    assert on_a.strip() == "" and re.findall("<source dev='(.*?)'", there) == two.paths
    assert owners.split() == ["root"] * 3, "a has given its nodes back"
    locked, on_b, on_a = two.shell(BACK).split("@\n")
    assert str(LOCKED) in locked
    assert on_b.strip() == "" and on_a.split() == ["g"]
    two.virsh("destroy g")
