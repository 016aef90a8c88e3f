"""Pools of what an NFS server exports, in the lab machine: kernel server and kernel client (STO-04, STO-11, STO-12)."""
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest
from droverd import BARE
from inside import MIB, Inside, names, until

from lab import payload
from lab.machine import Machine
from lab.paths import PROGRAMS

pytestmark = pytest.mark.limit(600)  # a machine that is emulated, on one that may be busy
PACKAGES = ("nfs-kernel-server", "nfs-common", "rpcbind", "libevent-core-2.1-7", "libtirpc3", "libwrap0", "libnfsidmap1",
            "keyutils", "libkeyutils1", "libdevmapper1.02.1")
IMAGES = "/var/lib/libvirt/images"
EXPORT = f"{IMAGES} 127.0.0.1(rw,no_root_squash,sync,fsid=1,no_subtree_check)"
SERVERS = f"""set -e
modprobe -a nfsd nfs nfsv4 nf_tables
mkdir -p /srv/nfs /var/lib/nfs/v4recovery /run/rpcbind {IMAGES} /srv/other
mount -t tmpfs -o size=64m tmpfs /srv/nfs
mkdir -p -m 711 /srv/nfs{IMAGES}
echo '_rpc:x:399:65534::/run/rpcbind:/usr/sbin/nologin' >> /etc/passwd
printf '[exports]\\nrootdir=/srv/nfs\\n' > /etc/nfs.conf
echo '{EXPORT}' > /etc/exports
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
mount -t nfsd nfsd /proc/fs/nfsd
exec > /run/servers.log 2>&1
rpcbind -w
exportfs -ra
rpc.nfsd 4
rpc.mountd
echo Y > /proc/fs/nfsd/v4_end_grace
"""
SILENCE = "nft 'add table inet hang; add chain inet hang in { type filter hook input priority 0; }; add rule inet hang in tcp dport 2049 drop'"


@pytest.fixture(scope="module", name="host")
def fixture_host():
    with Machine(packages=PACKAGES) as machine:
        machine.run(["sh", "-c", SERVERS])
        yield Inside(machine, storage_timeout=30)


def test_an_export_is_a_pool_at_the_same_path(host):
    """STO-04, STO-11, STO-32, STO-33: found, mounted, unmounted; what the server refuses is told in mount's words."""
    found, _, said, *_ = host.ask(
        "find-storage-pool-sources-as netfs 127.0.0.1",
        "pool-define-as bad netfs --source-host 127.0.0.1 --source-path /srv/nowhere --target /srv/other --source-format nfs",
        "pool-start bad", "pool-undefine bad",
        f"pool-define-as n netfs --source-host 127.0.0.1 --source-path {IMAGES} --target {IMAGES} --source-format nfs",
        "pool-start n", "vol-create-as n one 4M --format qcow2", "vol-clone one two --pool n",
        "vol-resize two 8M --pool n", "vol-wipe one n", "vol-create-as n one.raw 1M")
    sources = [(source.find("dir").get("path"), source.find("format").get("type")) for source in ElementTree.fromstring(found)]
    assert sources == [(IMAGES, "nfs")]
    assert "mount.nfs: " in said and "mounting 127.0.0.1:/srv/nowhere" in said
    mounts, _, there = host.shell(f"cat /proc/mounts; echo @; ls -A /srv/nfs{IMAGES}").partition("@\n")
    assert f"127.0.0.1:{IMAGES} {IMAGES} nfs4" in mounts
    listed, xml, *_ = host.ask("vol-list n", "vol-dumpxml two n", "vol-delete one n", "vol-delete two n", "vol-delete one.raw n",
                               "pool-destroy n")
    assert names(listed) == {"one", "two", "one.raw"} == set(there.split())
    assert ElementTree.fromstring(xml).findtext("capacity") == str(8 * MIB)
    left = host.shell(f"cat /proc/mounts; touch /srv/nfs{IMAGES}/.drover-part-half; virsh -q pool-start n; echo @; ls -A /srv/nfs{IMAGES}")
    assert IMAGES + " " not in left and left.endswith("@\n")


def test_the_docs_say_which_server_is_for_how_many_guests():
    """STO-34: and both kinds of pools are tried with real servers."""
    text = (pathlib.Path(__file__).parents[2] / "docs/storage.md").read_text(encoding="utf-8")
    assert "NFS is for few guests, iSCSI for many" in text
    tried = {words[1].strip(): words[4] for words in (line.split("|") for line in text.splitlines()) if len(words) == 6}
    assert "really" in tried["netfs"] and "really" in tried["iscsi"]


def test_an_export_with_async_is_advised_against(host):
    """STO-32: where this host is the server; the one with sync is not named."""
    said = host.shell(f"exportfs -o rw,async,fsid=2,no_subtree_check 127.0.0.1:/var; {PROGRAMS}/drover -c qemu:///system host-check; "
                      "exportfs -u 127.0.0.1:/var")
    assert "advice: '/var' is exported with async" in said and f"'{IMAGES}'" not in said


def test_two_hosts_with_one_definition_see_the_same_volumes(host):
    """STO-12: what one makes the other has after a refresh."""
    other = "virsh -q -c 'qemu+unix:///system?socket=/run/b/libvirt-sock'"
    host.shell("mkdir -p /etc/b /var/lib/b /run/b /var/log/b && cat > /etc/b/droverd.conf && virsh -q pool-destroy n && "
               f"(setsid unshare -m {PROGRAMS}/droverd --config-dir /etc/b --state-dir /var/lib/b --run-dir /run/b "
               "--log-dir /var/log/b > /run/b.log 2>&1 < /dev/null & echo $! > /run/b.pid); "
               f"{until('grep -q is.ready /run/b.log')}; virsh -q pool-start n; "
               f"virsh -q pool-dumpxml n --inactive > /run/n.xml; {other} pool-create /run/n.xml",
               stdin="libvirt_sockets = 0\n" + BARE)
    said = host.shell(f"virsh -q vol-create-as n shared 2M --format qcow2; {other} 'pool-refresh n; vol-key shared n; pool-uuid n; "
                      "pool-destroy n'; virsh -q 'pool-uuid n; vol-info shared n; vol-delete shared n'; kill $(cat /run/b.pid)")
    key, theirs, ours = said.split()[:3]
    assert key == f"{IMAGES}/shared" and theirs == ours and "shared" in said.split("Name:")[1]


def test_a_guest_runs_on_an_export(host):
    """STO-14, STO-31."""
    host.virsh("vol-create-as n boot 1M", f"vol-upload boot {payload.build(4, 1, 10)} --pool n")
    host.guest("g", "n", "boot")
    refused, _ = host.ask("vol-delete boot n", "destroy g")
    assert "is disk 'vda' of the running guest 'g'" in refused


def test_a_server_that_hangs_holds_up_its_own_pool_only(host):
    """Its names are still known; other pools and guests go on; when it answers again, so does the pool."""
    host.shell(f"{SILENCE}; (virsh pool-refresh n > /run/said 2>&1; echo over >> /run/said) < /dev/null > /dev/null 2>&1 &")
    there, *_ = host.ask("vol-list n", "pool-create-as d dir --target /srv/other", "vol-create-as d boot 1M",
                         f"vol-upload boot {payload.build(4, 1, 10)} --pool d")
    assert names(there) == {"boot"}
    host.guest("o", "d", "boot")
    host.virsh("destroy o", "pool-refresh d", "vol-delete boot d", "pool-destroy d", "pool-list")
    assert "storage pool 'n' is not responding" in host.shell("until grep -q over /run/said; do sleep 0.2; done; cat /run/said")
    # the next daemon waits for its server no longer, and does not take it for stopped
    host.restart()
    host.shell(until("grep -q \"storage pool 'n' is not responding\" /run/droverd.log"))
    assert "n" in host.virsh("pool-list --name").split()
    # a connection that was silent for long is tried again seldom: it is ended, and a new one is made at once
    host.shell("nft delete table inet hang; ss -K dport = 2049 > /dev/null; until virsh -q pool-refresh n > /run/said 2>&1; do sleep 1; done")
    host.virsh("vol-info boot n", "vol-delete boot n", "pool-destroy n")
    assert IMAGES + " " not in host.shell("cat /proc/mounts")
