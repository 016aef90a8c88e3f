"""A daemon killed while a server makes mount wait: the next one finds what became of it, and mounts nothing a second time (STO-11, STO-19)."""
import os
import pathlib
import signal
import subprocess

import procfs
import pytest
from waiting import wait_for

from lab.hosts import Lab

VIRSH = ["virsh", "-q", "-c", "qemu:///system"]
WHAT, TARGET = "nfs.example:/srv/images", "/srv/images"
SLOW = f"""#!/bin/sh
echo "$@" >> /run/mounts
until [ -e /run/go ]; do sleep 0.1; done
[ $(cat /run/go) = yes ] || {{ echo mount: access denied >&2; exit 32; }}
exec /run/mount.real -t tmpfs {WHAT} {TARGET}
"""
LATE = """#!/bin/sh
until [ -e /run/let-go ]; do sleep 0.1; done
exec /run/umount.real "$@"
"""
POOL = f"""<pool type='netfs'><name>n</name><source><host name='nfs.example'/><dir path='/srv/images'/><format type='nfs'/></source>
  <target><path>{TARGET}</path></target></pool>"""


@pytest.fixture(scope="module", name="host")
def fixture_host():
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root")
    with Lab() as lab:
        host = lab.host("a")
        host.run(["sh", "-c", f"mkdir -p {TARGET} /srv/other && cp /usr/bin/mount /run/mount.real"])
        host.write_file("/run/mount.sh", SLOW, 0o755)
        host.write_file("/run/umount.sh", LATE, 0o755)
        host.write_file("/root/n.xml", POOL)
        host.run(["mount", "--bind", "/run/mount.sh", "/usr/bin/mount"])
        host.daemon = host.droverd({"storage_timeout": 8})
        yield host
        if host.daemon.running:
            assert host.daemon.stop() == 0, host.daemon.tail()
        assert "Sanitizer" not in host.daemon.log.read_text(errors="replace"), host.daemon.tail()


@pytest.fixture(name="killed", params=["pool-start n", "pool-create /root/n.xml"])
def fixture_killed(host, request):
    """Killed in the middle of the start of a pool that is defined, and of one that is not; with the next daemon there."""
    if "start" in request.param:
        host.virsh("pool-define", "/root/n.xml")
    client = host.popen([*VIRSH, *request.param.split()])
    wait_for("mount to be run", lambda: host.path("/run/mounts").exists())
    host.daemon.stop(signal.SIGKILL)
    assert client.wait(120) != 0
    host.daemon.start()
    yield host
    for words in (["pool-destroy", "n"], ["pool-undefine", "n"]):
        host.run([*VIRSH, *words], check=False)
    for name in ("go", "mounts"):
        if host.path(f"/run/{name}").exists():
            os.unlink(host.path(f"/run/{name}"))
    assert mounts(host) == [] and names(host, "--all") == []


def mounts(host):
    return [line for line in host.run(["cat", "/proc/mounts"]).stdout.splitlines() if line.startswith(f"{WHAT} {TARGET} ")]


def names(host, *flags):
    return host.virsh("pool-list", "--name", *flags).split()


def refused(host, *words):
    done = host.run([*VIRSH, *words], check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_it_runs_when_mount_comes_through(killed):
    """Nobody else waits for it meanwhile."""
    assert names(killed) == ["n"] and "already active" in refused(killed, "pool-create", "/root/n.xml")
    killed.virsh("pool-create-as", "d", "dir", "--target", "/srv/other")
    killed.virsh("pool-destroy", "d")
    assert "storage pool 'n' is not responding" in refused(killed, "pool-refresh", "n") and mounts(killed) == []
    killed.write_file("/run/go", "yes")
    wait_for("the pool to answer", lambda: killed.run([*VIRSH, "pool-refresh", "n"], check=False).returncode == 0)
    killed.virsh("vol-create-as", "n", "v", "1M")
    assert len(mounts(killed)) == 1 and killed.read_file("/run/mounts").count("\n") == 1
    killed.virsh("pool-destroy", "n")
    assert mounts(killed) == []


def test_it_is_inactive_when_mount_fails(killed):
    killed.write_file("/run/go", "no")
    wait_for("the pool to be inactive", lambda: names(killed) == [])
    assert mounts(killed) == [] and killed.read_file("/run/mounts").count("\n") == 1
    if names(killed, "--all"):
        assert "mount: access denied" in refused(killed, "pool-start", "n")
        killed.write_file("/run/go", "yes")
        killed.virsh("pool-start", "n")
        assert len(mounts(killed)) == 1


def tools(host):
    """The mounts and unmounts under way; those of the tests are scripts, whose children are they too until they are another program."""
    found = host.processes("dash")
    return [pid for pid in found if procfs.parent(pid) not in found]


def test_a_mount_that_never_ends_is_ended_with_its_pool(killed):
    """Stopping it does not wait for ever, nor does anybody else."""
    assert len(tools(killed)) == 1
    end = killed.popen([*VIRSH, "pool-destroy", "n"])
    killed.virsh("pool-create-as", "d", "dir", "--target", "/srv/other")
    killed.virsh("vol-create-as", "d", "v", "1M")
    killed.virsh("vol-delete", "v", "d")
    killed.virsh("pool-destroy", "d")
    assert end.wait(120) == 0 and tools(killed) == [] and mounts(killed) == []
    killed.write_file("/run/go", "yes")
    killed.virsh("pool-create", "/root/n.xml")
    assert len(mounts(killed)) == 1 and killed.read_file("/run/mounts").count("\n") == 2


def test_a_pool_that_is_defined_is_started_by_its_description(host):
    host.write_file("/root/d.xml", "<pool type='dir'><name>d</name><target><path>/srv/other</path></target></pool>")
    host.virsh("pool-define", "/root/d.xml")
    host.virsh("pool-create", "/root/d.xml")
    assert names(host, "--persistent") == ["d"]
    host.virsh("pool-destroy", "d")
    assert names(host, "--all") == ["d"]
    host.virsh("pool-create", "/root/d.xml", "--build")
    host.virsh("pool-destroy", "d")
    host.virsh("pool-undefine", "d")


def test_a_start_that_takes_too_long_mounts_nothing_later(host):
    host.virsh("pool-define", "/root/n.xml")
    assert "storage pool 'n' is not responding" in refused(host, "pool-start", "n")
    assert tools(host) == [] and names(host) == []
    host.write_file("/run/go", "yes")
    host.virsh("pool-start", "n")
    assert len(mounts(host)) == 1
    host.virsh("pool-destroy", "n")
    host.virsh("pool-undefine", "n")
    for name in ("go", "mounts"):
        os.unlink(host.path(f"/run/{name}"))


def test_a_daemon_that_ends_while_it_gives_up_a_mount_leaves_that_to_the_next(host):
    """A mount that is still under way is its pool's, which is known: nothing is mounted that nobody asks for."""
    def gives_up():
        return any(b"give-up" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in host.processes("drover-storage"))
    host.virsh("pool-define", "/root/n.xml")
    start = host.popen([*VIRSH, "pool-start", "n"], stderr=subprocess.DEVNULL)
    wait_for("the mount to be given up", lambda: gives_up() or start.poll() is not None)
    assert host.daemon.stop() == 0, host.daemon.tail()
    assert start.wait(120) != 0
    host.daemon.start()
    assert names(host) == ["n"] or tools(host) == []
    host.write_file("/run/go", "no")
    wait_for("the pool to be inactive", lambda: names(host) == [])
    assert mounts(host) == [] and tools(host) == []
    host.virsh("pool-undefine", "n")
    for name in ("go", "mounts"):
        os.unlink(host.path(f"/run/{name}"))


def test_a_server_that_does_not_let_go_holds_up_its_own_pool_only(host):
    host.write_file("/run/go", "yes")
    host.virsh("pool-create", "/root/n.xml")
    host.run(["sh", "-c", "cp /usr/bin/umount /run/umount.real && /run/mount.real --bind /run/umount.sh /usr/bin/umount"])
    end = host.popen([*VIRSH, "pool-destroy", "n"], stderr=subprocess.PIPE, text=True)
    wait_for("umount to be run", lambda: tools(host))
    host.virsh("pool-create-as", "d", "dir", "--target", "/srv/other")
    host.virsh("pool-destroy", "d")
    said = end.communicate(timeout=120)[1]
    assert end.returncode != 0 and "storage pool 'n' is not responding, and was not stopped" in said
    assert names(host) == ["n"] and len(mounts(host)) == 1
    host.write_file("/run/let-go", "")
    wait_for("the pool to be inactive", lambda: names(host) == [] or host.run([*VIRSH, "pool-destroy", "n"], check=False).returncode == 0)
    assert mounts(host) == [] and tools(host) == []
    host.run(["sh", "-c", "/run/umount.real -l /usr/bin/umount; rm /run/go /run/mounts /run/let-go"])


def test_what_is_stopped_before_mount_has_ended_is_not_mounted_later(killed):
    end = killed.popen([*VIRSH, "pool-destroy", "n"])
    wait_for("the end to be asked for", lambda: names(killed) == [])
    assert end.poll() is None
    killed.write_file("/run/go", "yes")
    assert end.wait(120) == 0 and mounts(killed) == []
