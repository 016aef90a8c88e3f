"""Pools on a GlusterFS volume, in the lab machine: a real glusterd with one brick, mounted, and without a mount (STO-04, STO-11)."""
import xml.etree.ElementTree as ElementTree

import pytest
from inside import MIB, Inside, disks, names, until

from lab import payload
from lab.machine import Machine

pytestmark = pytest.mark.limit(600)  # a machine that is emulated, on one that may be busy
PACKAGES = ("glusterfs-server", "glusterfs-client", "glusterfs-common", "glusterfs-cli", "libgfxdr0", "libglusterfs0", "libgfrpc0",
            "libglusterd0", "libgfapi0", "libgfchangelog0", "liburcu8", "attr")
BRICK, TARGET = "/srv/brick/images", "/srv/images"
SERVER = f"""set -e
exec > /run/server.log 2>&1
modprobe ext4
mkdir -p /srv/brick {TARGET} /var/log/glusterfs/bricks /run/gluster /var/lib/glusterd
mkfs.ext4 -q /dev/vda
mount /dev/vda /srv/brick
mkdir -m 711 {BRICK}
glusterd
{until("gluster --mode=script volume list")}
gluster --mode=script volume create images lab-machine:{BRICK} force
gluster --mode=script volume start images
head -c 1048576 /dev/urandom > /run/data
"""
NO_CLIENTS = until("! pidof glusterfs > /run/clients")  # which are other programs than glusterd and the brick's glusterfsd


@pytest.fixture(scope="module", name="host")
def fixture_host(tmp_path_factory):
    with Machine(packages=PACKAGES, disks=disks(tmp_path_factory, [128])) as machine:
        machine.run(["sh", "-c", SERVER])
        yield Inside(machine, storage_timeout=30)


def test_a_volume_is_mounted_and_its_files_are_volumes(host):
    """STO-04, STO-11: found, mounted, unmounted; what the server does not have is told in mount's words."""
    found, _, said, *_ = host.ask(
        "find-storage-pool-sources-as netfs lab-machine",
        f"pool-define-as bad netfs --source-host lab-machine --source-path /nothing --target {TARGET} --source-format glusterfs",
        "pool-start bad", "pool-undefine bad",
        f"pool-define-as n netfs --source-host lab-machine --source-path /images --target {TARGET} --source-format glusterfs",
        "pool-start n", "vol-create-as n one 4M --format qcow2", "vol-clone one two --pool n", "vol-resize two 8M --pool n",
        "vol-create-as n raw 1M", "vol-upload raw /run/data --pool n", "vol-download raw /run/back --pool n")
    sources = [(source.find("dir").get("path"), source.find("format").get("type")) for source in ElementTree.fromstring(found)]
    assert sources == [("/images", "glusterfs")]
    assert "error: internal error: mount: " in said, said
    mounts, _, there = host.shell(f"cmp /run/data /run/back && cmp /run/data {BRICK}/raw && cat /proc/mounts; echo @; ls -A {BRICK}").partition("@\n")
    assert f"lab-machine:/images {TARGET} fuse.glusterfs" in mounts
    assert {name for name in there.split() if not name.startswith(".glusterfs")} == {"one", "two", "raw"}
    listed, xml, *_ = host.ask("vol-list n", "vol-dumpxml two n", "vol-wipe raw n", "vol-delete one n", "vol-delete two n")
    assert names(listed) == {"one", "two", "raw"} and ElementTree.fromstring(xml).findtext("capacity") == str(8 * MIB)
    host.shell(f"cmp -n 1048576 /dev/zero {BRICK}/raw && [ ! -e {BRICK}/one ]")


def test_a_guest_runs_on_it_and_a_daemon_that_is_killed_finds_it_again(host):
    """STO-14: as on any other directory; the mount is not made anew."""
    host.virsh("vol-create-as n boot 1M", f"vol-upload boot {payload.build(4, 1, 10)} --pool n")
    host.guest("g", "n", "boot")
    before = host.shell("pidof glusterfs")
    host.restart()
    refused, listed, _, _ = host.ask("vol-delete boot n", "vol-list n", "destroy g", "vol-delete raw n")
    assert "is disk 'vda' of the running guest 'g'" in refused and names(listed) == {"boot", "raw"}
    assert host.shell("pidof glusterfs") == before
    host.virsh("pool-destroy n")
    assert TARGET + " " not in host.shell(f"{NO_CLIENTS}; cat /proc/mounts")


def test_a_pool_of_the_volume_itself_leaves_no_mount_and_no_process(host):
    """Its files are network volumes; the mount through which they are seen is nobody else's, and goes with who looks."""
    spec = "<source><host name='lab-machine'/></source>"
    host.shell("cat > /run/spec.xml", stdin=spec)
    found, _, _, listed, path, info, refused, deleted = host.ask(
        "find-storage-pool-sources gluster /run/spec.xml",
        "pool-define-as g gluster --source-host lab-machine --source-name images --source-path /", "pool-start g", "vol-list g",
        "vol-path boot g", "vol-info boot g", "vol-create-as g new 1M", "vol-delete boot g")
    assert [source.findtext("name") for source in ElementTree.fromstring(found)] == ["images"]
    assert names(listed) == {"boot"} and path.strip() == "images/boot" and info.split()[:4] == ["Name:", "boot", "Type:", "network"]
    assert "are not made" in refused and "error" not in deleted
    there = "[ $(pidof glusterfs | wc -w) = 1 ]"
    mounts = host.shell(f"[ ! -e {BRICK}/boot ] && {until(there)}; grep glusterfs /proc/mounts || :")
    assert mounts == ""
    host.kill()
    host.shell(NO_CLIENTS)
    host.start()
    assert "boot" not in host.virsh("vol-list g")
    host.virsh("pool-destroy g")
    host.shell(NO_CLIENTS)


def test_a_server_that_hangs_holds_up_its_own_pools_only(host):
    """Mounted or not: names are still known, other pools and guests go on, the next daemon starts, and both come back with it."""
    host.virsh("pool-start n", "vol-create-as n kept 1M", "pool-start g", "pool-create-as d dir --target /srv/other --build",
               "vol-create-as d boot 1M", f"vol-upload boot {payload.build(4, 1, 10)} --pool d")
    asks = "(virsh pool-refresh {0} > /run/said.{0} 2>&1; echo over >> /run/said.{0}) < /dev/null > /dev/null 2>&1 &"
    host.shell("kill -STOP $(pidof glusterfsd) && " + " ".join(asks.format(pool) for pool in "ng"))
    there, also, *_ = host.ask("vol-list n", "vol-list g", "vol-path kept n")
    assert names(there) == names(also) == {"kept"}
    host.guest("o", "d", "boot")
    host.virsh("destroy o", "pool-refresh d", "vol-delete boot d", "pool-destroy d", "pool-list")
    said = host.shell(" && ".join(until(f"grep -qs over /run/said.{pool}") for pool in "ng") + "; cat /run/said.n /run/said.g")
    assert all(f"storage pool '{pool}' is not responding" in said for pool in "ng"), said
    host.restart()
    host.shell(" && ".join(until(f"grep -q \"storage pool '{pool}' is not responding\" /run/droverd.log") for pool in "ng"))
    assert {"n", "g"} <= set(host.virsh("pool-list --name").split())
    host.shell("kill -CONT $(pidof glusterfsd); " + " && ".join(until(f"virsh -q pool-refresh {pool} > /run/said 2>&1") for pool in "ng"))
    host.virsh("vol-info kept n", "vol-info kept g", "vol-delete kept n", "pool-destroy n", "pool-destroy g")
    assert TARGET + " " not in host.shell(f"{NO_CLIENTS}; cat /proc/mounts")
