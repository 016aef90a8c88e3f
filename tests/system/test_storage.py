"""Storage pools and volumes through stock virsh: directories of this machine (STO-01 to STO-25)."""
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import termios
import threading
import xml.etree.ElementTree as ElementTree

import libvirt
import procfs
import pytest

from droverd import Droverd
from loops import loop_device
from waiting import EventLoop, wait_for

SYS_PIDFD_GETFD = 438

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")


class Storage:
    """A droverd with a running directory pool called p."""

    def __init__(self, conf=""):
        self.daemon = Droverd(conf)
        self.dir = self.daemon.base / "images"
        self.virsh("pool-define-as", "p", "dir", "--target", self.dir)
        self.virsh("pool-build", "p")
        self.virsh("pool-start", "p")

    def virsh(self, *args, **more):
        return self.daemon.virsh(*args, driver="qemu", **more)

    def names(self):
        return {line.split()[0] for line in self.virsh("vol-list", "p").splitlines()[2:] if line.strip()}

    def volume(self, name):
        return ElementTree.fromstring(self.virsh("vol-dumpxml", name, "p"))

    def helpers(self):
        """Processes of drover-storage that this daemon started."""
        found = subprocess.run(["pgrep", "-P", str(self.daemon.process.pid), "drover-storage"], capture_output=True,
                               text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def watcher(self, directory=None):
        """The one that watches the pool, or another one."""
        target = f"<path>{directory or self.dir}</path>".encode()
        return next(pid for pid in self.helpers() if target in procfs.read(f"/proc/{pid}/fd/3"))


@pytest.fixture(name="storage")
def fixture_storage():
    storage = Storage("storage_timeout = 120\n")
    yield storage
    storage.daemon.stop()


@pytest.fixture(name="impatient")
def fixture_impatient():
    """It gives up one that does not answer within seconds, more than a busy machine lets anybody wait who does."""
    storage = Storage("storage_timeout = 10\n")
    yield storage
    storage.daemon.stop()


def test_a_directory_pool_through_its_whole_life(storage):
    """STO-01, STO-08, STO-13."""
    assert storage.virsh("pool-list", "--name").split() == ["p"]
    info = dict(line.split(":", 1) for line in storage.virsh("pool-info", "p", "--bytes").splitlines() if ":" in line)
    room = os.statvfs(storage.dir)
    assert int(info["Capacity"]) == room.f_blocks * room.f_frsize == int(info["Allocation"]) + int(info["Available"])
    assert info["State"].strip() == "running" and info["Persistent"].strip() == "yes"
    storage.virsh("pool-autostart", "p")
    assert "yes" in storage.virsh("pool-list", "--autostart").splitlines()[2]
    xml = ElementTree.fromstring(storage.virsh("pool-dumpxml", "p"))
    assert xml.get("type") == "dir" and xml.findtext("target/path") == str(storage.dir)
    assert "still active" in storage.virsh("pool-undefine", "p", check=False)
    storage.virsh("pool-destroy", "p")
    assert storage.virsh("pool-list", "--name").split() == []
    assert "is not active" in storage.virsh("vol-list", "p", check=False)
    storage.virsh("pool-delete", "p")
    assert not storage.dir.exists()
    assert "No such file or directory" in storage.virsh("pool-start", "p", check=False)
    storage.virsh("pool-undefine", "p")
    assert not storage.virsh("pool-list", "--all", "--name").split()


def test_definitions_that_clash_or_lack_something_are_refused(storage):
    assert "already defined with uuid" in storage.virsh(
        "pool-define-as", "q", "dir", "--target", "/x", check=False) + storage.virsh(
            "pool-define", write(storage, "<pool type='dir'><name>q</name><uuid>%s</uuid><target><path>/y</path></target>"
                                          "</pool>" % storage.virsh("pool-uuid", "p").strip()), check=False)
    assert "Storage source conflict with pool: 'p'" in storage.virsh(
        "pool-define-as", "r", "dir", "--target", f"{storage.dir}/", check=False)
    assert "Storage source conflict with pool: 'p'" in storage.virsh(
        "pool-define-as", "r", "dir", "--target", f"{storage.dir.parent}/./{storage.dir.name}/.", check=False)
    link = storage.dir.parent / "link"
    link.symlink_to(storage.dir)
    storage.virsh("pool-create-as", "linked", "dir", "--target", link)
    assert f"storage pools 'p' and 'linked' are one directory, '{storage.dir}' and '{link}'" in storage.daemon.said()
    assert "needs <target><path>" in storage.virsh("pool-define-as", "r", "dir", check=False)
    for form in ("auto", "nfs", "glusterfs", "cifs", "iscsi"):  # CON-50
        said = storage.virsh("pool-define-as", f"of-{form}", "netfs", "--source-host", "h", "--source-path", f"/{form}", "--target",
                             f"/srv/{form}", "--source-format", form, check=False)
        assert (f"Pool of-{form} defined" in said) == (form != "iscsi"), said
        assert ("unknown pool format type iscsi; known are auto nfs glusterfs cifs" in said) == (form == "iscsi"), said


def write(storage, text):
    path = storage.daemon.base / "definition.xml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["raw", "qcow2"])
def test_volumes_are_what_qemu_takes_them_for(storage, name):
    """STO-23."""
    storage.virsh("vol-create-as", "p", "v", "8M", "--format", name)
    shown = storage.volume("v")
    assert shown.find("target/format").get("type") == name
    assert shown.findtext("capacity") == str(8 << 20)
    image = subprocess.run(["qemu-img", "info", "-f", name, storage.dir / "v"], capture_output=True, text=True, check=True)
    assert f"file format: {name}" in image.stdout
    assert "exists already" in storage.virsh("vol-create-as", "p", "v", "1M", check=False)


@pytest.mark.parametrize("name", ["qcow", "qed", "vmdk", "vdi", "vpc", "vhdx", "parallels"])
def test_volumes_of_other_formats_are_made_where_they_can_be_and_described(storage, name):
    said = storage.virsh("vol-create-as", "p", "v", "8M", "--format", name, check=False)
    if "Vol v created" not in said:
        assert "does not support image creation" in said
        subprocess.run(["qemu-img", "create", "-q", "-f", name, storage.dir / "v", "8M"], check=True)
    wait_for("a new file is a volume", lambda: storage.names() == {"v"})
    assert storage.volume("v").find("target/format").get("type") == name
    assert abs(int(storage.volume("v").findtext("capacity")) - (8 << 20)) < 1 << 20


def test_a_volume_by_name_path_and_key(storage):
    """STO-15, STO-16, STO-17, STO-19 to STO-22: by name and pool, by path, by key; key and path of a file are one."""
    path = f"{storage.dir}/firstimage"
    storage.virsh("vol-create-as", "p", "firstimage", "20M")
    for ways in (["firstimage", "--pool", "p"], [path]):
        assert storage.virsh("vol-key", *ways).strip() == path
        assert storage.virsh("vol-path", *ways).strip() == path
    assert storage.virsh("vol-name", path).strip() == "firstimage"
    assert storage.virsh("vol-pool", path).strip() == "p"
    lines = [line.split(":")[0] for line in storage.virsh("vol-info", "--pool", "p", "firstimage").splitlines() if line]
    assert lines == ["Name", "Type", "Capacity", "Allocation"]
    with open(path, "r+b") as file:
        file.write(b"x" * 136 * 1024)
        file.flush()
        os.fsync(file.fileno())
    assert "136.00 KiB" in storage.virsh("vol-info", path)
    assert "no storage vol with matching path" in storage.virsh("vol-info", "/nowhere", check=False)


def test_what_a_volume_is_stands_in_its_four_lines(storage):
    """STO-15: a device or a volume of a server is told in the tests of those."""
    for name, how, kind in (("f", "raw", "file"), ("d", "dir", "dir")):
        storage.virsh("vol-create-as", "p", name, "1M", "--format", how)
        lines = [line.split(":", 1) for line in storage.virsh("vol-info", "--pool", "p", name).splitlines() if line]
        assert [line[0] for line in lines] == ["Name", "Type", "Capacity", "Allocation"]
        assert [line[1].strip() for line in lines[:2]] == [name, kind]


SAMPLE = """<pool type='iscsi'><name>virtimages</name><source><host name='virtlab22.example.com.'/>
  <device path='iqn.2004-04.com.example:images'/></source><target><path>/dev/disk/by-path</path></target></pool>"""


def test_the_sample_of_an_iscsi_pool_is_taken_as_it_stands(storage):
    """STO-10: with the root's dot behind the host's name; that there is no such host is said when it is started."""
    storage.virsh("pool-define", write(storage, SAMPLE))
    shown = ElementTree.fromstring(storage.virsh("pool-dumpxml", "virtimages"))
    assert shown.find("source/host").get("name") == "virtlab22.example.com."
    assert shown.find("source/device").get("path") == "iqn.2004-04.com.example:images"
    assert shown.findtext("target/path") == "/dev/disk/by-path"
    storage.virsh("pool-undefine", "virtimages")


@pytest.mark.parametrize(("name", "below"), [("qcow2", "raw"), ("qcow", "raw"), ("vmdk", "vmdk")])
def test_volumes_with_a_backing_store_show_what_stands_below(storage, name, below):
    """STO-23: in every format that has them and is made; a copy of one stands on the same."""
    subprocess.run(["qemu-img", "create", "-q", "-f", below, storage.dir / "base", "4M"], check=True)
    subprocess.run(["qemu-io", "-f", below, "-c", "write -P 7 1M 64k", storage.dir / "base"], check=True, capture_output=True)
    storage.virsh("pool-refresh", "p")
    storage.virsh("vol-create-as", "p", "top", "4M", "--format", name, "--backing-vol", "base", "--backing-vol-format", below)
    storage.virsh("vol-clone", "top", "copy", "--pool", "p")
    for volume in ("top", "copy"):
        shown = storage.volume(volume)
        assert shown.findtext("backingStore/path") == f"{storage.dir}/base" and shown.find("target/format").get("type") == name
        subprocess.run(["qemu-img", "compare", "-f", name, "-F", below, storage.dir / volume, storage.dir / "base"], check=True,
                       capture_output=True)


def test_what_a_format_cannot_stand_on_is_refused(storage):
    """STO-23: QEMU would not open it; nothing is left of it."""
    storage.virsh("vol-create-as", "p", "base", "4M", "--format", "raw")
    said = storage.virsh("vol-create-as", "p", "top", "4M", "--format", "vmdk", "--backing-vol", "base", "--backing-vol-format", "raw",
                         check=False)
    assert "Invalid backing file format: raw. Must be vmdk" in said and os.listdir(storage.dir) == ["base"]


def test_tables_are_laid_out_in_advance_where_that_is_asked_for(storage):
    """STO-23: the guest's clusters have their places before it writes to them."""
    storage.virsh("vol-create-as", "p", "laid", "64M", "--format", "qcow2", "--prealloc-metadata")
    mapped = subprocess.run(["qemu-img", "map", "--output=json", storage.dir / "laid"], capture_output=True, text=True, check=True)
    assert sum(piece["length"] for piece in json.loads(mapped.stdout) if "offset" in piece) == 64 << 20


def test_sparse_and_preallocated_volumes_are_told_apart(storage):
    """STO-28."""
    storage.virsh("vol-create-as", "p", "sparse", "4M", "--allocation", "0")
    storage.virsh("vol-create-as", "p", "full", "4M", "--allocation", "4M")
    sizes = {name: (storage.volume(name).findtext("capacity"), int(storage.volume(name).findtext("allocation")))
             for name in ("sparse", "full")}
    assert sizes["sparse"][0] == sizes["full"][0] == str(4 << 20)
    assert sizes["sparse"][1] == 0 and sizes["full"][1] >= 4 << 20


def test_clones_hold_the_same_and_keep_their_backing_store(storage):
    """STO-24."""
    base, top, copy = (storage.dir / name for name in ("base", "top", "copy"))
    storage.virsh("vol-create-as", "p", "base", "4M", "--format", "raw")
    base.write_bytes(os.urandom(4 << 20))
    storage.virsh("vol-create-as", "p", "top", "4M", "--format", "qcow2", "--backing-vol", base,
                  "--backing-vol-format", "raw")
    subprocess.run(["qemu-io", "-c", "write -P 7 1M 64k", "-f", "qcow2", top], check=True, capture_output=True)
    storage.virsh("vol-clone", "top", "copy", "--pool", "p")
    assert storage.volume("copy").findtext("backingStore/path") == str(base)
    assert storage.virsh("vol-key", "copy", "p").strip() == str(copy) != storage.virsh("vol-key", "top", "p").strip()
    subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", top, copy], check=True, capture_output=True)
    assert copy.stat().st_blocks * 512 < 1 << 20  # what stands below was not copied
    made = "<volume><name>flat</name><capacity>1</capacity><target><format type='raw'/></target></volume>"
    storage.virsh("vol-create-from", "p", write(storage, made), "top", "--inputpool", "p")
    subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", top, storage.dir / "flat"], check=True,
                   capture_output=True)


def test_content_goes_up_and_comes_down_with_its_holes(storage):
    storage.virsh("vol-create-as", "p", "v", "16M")
    data, back = storage.daemon.base / "data", storage.daemon.base / "back"
    with open(data, "wb") as file:
        file.write(os.urandom(3 << 20))
        file.seek(9 << 20)
        file.write(os.urandom(1 << 20))
        file.truncate(16 << 20)
    (storage.dir / "v").write_bytes(b"\xff" * (16 << 20))
    storage.virsh("vol-upload", "v", data, "--pool", "p", "--sparse")
    assert (storage.dir / "v").read_bytes() == data.read_bytes()
    assert (storage.dir / "v").stat().st_blocks * 512 < 8 << 20
    storage.virsh("vol-download", "v", back, "--pool", "p", "--sparse")
    assert back.read_bytes() == data.read_bytes() and back.stat().st_blocks * 512 < 8 << 20
    storage.virsh("vol-upload", "v", data, "--pool", "p", "--offset", "4096", "--length", str(1 << 20), check=False)
    back.unlink()
    storage.virsh("vol-download", "v", back, "--pool", "p", "--offset", str(9 << 20), "--length", "65536")
    assert back.read_bytes() == data.read_bytes()[9 << 20:][:65536]


@pytest.mark.parametrize("algorithm", ["zero", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "random", "trim"])
def test_wiped_volumes_hold_nothing_of_what_was_there(storage, algorithm):
    """STO-25."""
    storage.virsh("vol-create-as", "p", "v", "1M")
    (storage.dir / "v").write_bytes(b"secret!!" * (1 << 17))
    storage.virsh("vol-wipe", "v", "p", "--algorithm", algorithm)
    left = (storage.dir / "v").read_bytes()
    assert len(left) == 1 << 20 and b"secret!!" not in left
    if algorithm in ("zero", "nnsa", "trim"):
        assert not left.strip(b"\0")


@pytest.mark.parametrize("algorithm", ["zero", "random"])
def test_a_sparse_volume_is_wiped_where_it_holds_something(storage, algorithm):
    """STO-25: it is larger than its file system, which wiping does not fill."""
    small = storage.daemon.base / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        storage.virsh("pool-create-as", "s", "dir", "--target", small)
        storage.virsh("vol-create-as", "s", "v", "1G", "--allocation", "0")
        with open(small / "v", "r+b") as file:
            for at in (0, 100 << 20, (1 << 30) - 65536):
                file.seek(at)
                file.write(b"secret!!" * 8192)
        storage.virsh("vol-wipe", "v", "s", "--algorithm", algorithm)
        assert (small / "v").stat().st_size == 1 << 30 and (small / "v").stat().st_blocks * 512 == 3 * 65536
        with open(small / "v", "rb") as file:
            for at in (0, 100 << 20, (1 << 30) - 65536):
                file.seek(at)
                assert b"secret!!" not in file.read(65536)
        storage.virsh("pool-destroy", "s")
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_volume_is_overwritten_before_it_is_deleted_where_that_is_asked_for(storage):
    """STO-25: what another name of the file shows; a pool is not, and says so."""
    storage.virsh("vol-create-as", "p", "v", "1M")
    storage.virsh("vol-create-as", "p", "d", "1M", "--format", "dir")
    (storage.dir / "v").write_bytes(b"secret!!" * (1 << 17))
    other = storage.daemon.base / "other-name"
    os.link(storage.dir / "v", other)
    connection = libvirt.open(storage.daemon.uri(driver="qemu"))
    pool = connection.storagePoolLookupByName("p")
    pool.storageVolLookupByName("v").delete(libvirt.VIR_STORAGE_VOL_DELETE_ZEROED)
    assert other.read_bytes() == bytes(1 << 20) and storage.names() == {"d"}
    with pytest.raises(libvirt.libvirtError):
        pool.storageVolLookupByName("d").delete(libvirt.VIR_STORAGE_VOL_DELETE_ZEROED)
    pool.storageVolLookupByName("d").delete()
    pool.destroy()
    with pytest.raises(libvirt.libvirtError, match="unsupported flags"):
        pool.delete(libvirt.VIR_STORAGE_POOL_DELETE_ZEROED)
    pool.delete()
    connection.close()


def test_volumes_change_their_size(storage):
    storage.virsh("vol-create-as", "p", "v", "4M", "--format", "qcow2")
    storage.virsh("vol-resize", "v", "6M", "--pool", "p")
    storage.virsh("vol-resize", "v", "2M", "--pool", "p", "--delta")
    assert storage.volume("v").findtext("capacity") == str(8 << 20)
    assert "shrink" in storage.virsh("vol-resize", "v", "4M", "--pool", "p", check=False)
    storage.virsh("vol-resize", "v", "4M", "--pool", "p", "--shrink")
    assert storage.volume("v").findtext("capacity") == str(4 << 20)


def test_files_that_others_make_and_remove_are_seen_without_a_refresh(storage):
    (storage.dir / "theirs").write_bytes(b"x")
    wait_for("a new file is a volume", lambda: storage.names() == {"theirs"})
    (storage.dir / "theirs").rename(storage.dir / "other")
    wait_for("a renamed file is another volume", lambda: storage.names() == {"other"})
    storage.virsh("vol-delete", "other", "p")
    assert storage.names() == set() and not list(storage.dir.iterdir())


def unread_events(pid):
    """Bytes of events that a process has not taken from its inotify queue."""
    fd = next(entry.name for entry, file in procfs.descriptors(pid).items() if "inotify" in file)
    pidfd = os.pidfd_open(pid)
    copy = ctypes.CDLL(None).syscall(SYS_PIDFD_GETFD, pidfd, int(fd), 0)
    n = ctypes.c_int()
    fcntl.ioctl(copy, termios.FIONREAD, n)
    os.close(copy)
    os.close(pidfd)
    return n.value


def test_a_flood_of_changes_that_cannot_be_gone_through_forgets_nothing(storage):
    """The kernel dropped events, and the directory is away for a moment: what was known stays known."""
    storage.virsh("vol-create-as", "p", "v", "1M")
    watcher, away = storage.watcher(), storage.dir.with_name("away")
    status = pathlib.Path(f"/proc/{watcher}/stat")
    os.kill(watcher, signal.SIGSTOP)
    wait_for("it stands still", lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
    for i in range(int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // 2 + 1):
        (storage.dir / f"n{i}").touch()
        (storage.dir / f"n{i}").unlink()
    storage.dir.rename(away)
    os.kill(watcher, signal.SIGCONT)
    wait_for("it has read what there was", lambda: not unread_events(watcher))
    wait_for("and waits again", lambda: status.read_text().rpartition(")")[2].split()[0] == "S")
    away.rename(storage.dir)
    (storage.dir / "w").touch()
    wait_for("what comes then is a volume", lambda: "w" in storage.names())
    storage.virsh("vol-create-as", "p", "x", "1M")
    assert storage.names() == {"v", "w", "x"}


def test_a_restarted_daemon_finds_what_ran_and_what_was_being_made_is_gone(storage):
    """A half-created volume leaves nothing behind, and a running pool goes on."""
    storage.virsh("vol-create-as", "p", "kept", "1M")
    storage.virsh("pool-create-as", "t", "dir", "--target", storage.daemon.base / "run")
    big = subprocess.Popen(["virsh", "-c", storage.daemon.uri(driver="qemu"), "vol-create-as", "p", "half", "64M",
                            "--allocation", "64M", "--format", "raw"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    storage.daemon.process.send_signal(signal.SIGKILL)
    storage.daemon.process.wait()
    big.wait()
    storage.daemon.output.truncate(0)
    storage.daemon.start()
    assert storage.virsh("pool-list", "--name").split() in (["p", "t"], ["t", "p"])
    assert "kept" in storage.names() <= {"kept", "half"}
    for name in os.listdir(storage.dir):
        assert name == "kept" or (storage.dir / name).stat().st_size == 64 << 20, name


def test_a_volume_is_found_by_its_path_while_a_restarted_daemon_goes_through_its_pool(storage):
    """STO-17, STO-19: it is as it was, and is not said to be no volume because the daemon does not know it yet."""
    for i in range(3000):
        (storage.dir / f"n{i}").touch()
    storage.virsh("pool-refresh", "p")
    storage.daemon.process.kill()
    storage.daemon.process.wait()
    storage.daemon.output.truncate(0)
    storage.daemon.start()
    conn = libvirt.open(storage.daemon.uri(driver="qemu"))
    assert conn.storageVolLookupByPath(f"{storage.dir}/n2999").name() == "n2999"
    assert conn.storageVolLookupByKey(f"{storage.dir}/n0").name() == "n0"
    with pytest.raises(libvirt.libvirtError, match="no storage vol with matching path"):
        conn.storageVolLookupByPath(f"{storage.dir}/nowhere")
    conn.close()


def test_a_pool_that_hangs_holds_up_nobody_else(impatient):
    """A server that does not answer: here, whoever watches the pool is stopped."""
    storage = impatient
    storage.virsh("vol-create-as", "p", "v", "1M")
    other = storage.daemon.base / "other"
    storage.virsh("pool-create-as", "q", "dir", "--target", other, "--build")
    watcher = storage.watcher()
    os.kill(watcher, signal.SIGSTOP)
    try:
        begun = subprocess.Popen(["virsh", "-c", storage.daemon.uri(driver="qemu"), "vol-info", "v", "p"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert storage.names() == {"v"}  # what is known is still said, and nobody goes through the pool for it
        assert storage.virsh("vol-path", "v", "--pool", "p").strip() == storage.virsh("vol-key", f"{storage.dir}/v").strip() == f"{storage.dir}/v"
        storage.virsh("vol-create-as", "q", "w", "1M")
        assert "w" in storage.virsh("vol-list", "q")
        assert "storage pool 'p' is not responding" in begun.communicate(timeout=120)[1]
    finally:
        os.kill(watcher, signal.SIGCONT)
    wait_for("the pool answers again", lambda: "1.00 MiB" in storage.virsh("vol-info", "v", "p", check=False))


def test_a_watcher_that_dies_is_replaced_and_one_that_dies_again_and_again_is_not(storage):
    """The pool goes on and is current; else it is inactive, which is told, and can be started."""
    EventLoop.start()
    connection = libvirt.open(storage.daemon.uri(driver="qemu"))
    heard = []
    connection.storagePoolEventRegisterAny(None, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
                                           lambda _c, pool, event, _detail, _o: heard.append((pool.name(), event)), None)
    first = storage.watcher()
    os.kill(first, signal.SIGKILL)
    wait_for("another one", lambda: any(pid != first for pid in storage.helpers()))
    (storage.dir / "theirs").touch()
    wait_for("what came meanwhile is a volume", lambda: "theirs" in storage.virsh("vol-list", "p", check=False))
    assert "another process watches it from now on" in storage.daemon.said() and not heard

    def lost():
        for pid in storage.helpers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return storage.virsh("pool-list", "--name").split() == []
    wait_for("the pool is inactive", lost)
    wait_for("that is told", lambda: heard == [("p", libvirt.VIR_STORAGE_POOL_EVENT_STOPPED)])
    assert not [*(storage.daemon.base / "run" / "storage").glob("*.xml")]
    storage.virsh("pool-start", "p")
    assert storage.names() == {"theirs"}
    connection.close()


@pytest.mark.parametrize("name", ["a&#10;b", "a&#127;", ".drover-part-a", ".drover-undo-a", "..", "../a"])
def test_names_that_no_volume_can_have_are_refused_and_leave_nothing(storage, name):
    """What a scan passes over, or takes for what a crash left behind, is not made either."""
    made = write(storage, f"<volume><name>{name}</name><capacity>1048576</capacity></volume>")
    said = storage.virsh("vol-create", "p", made, check=False)
    assert "error: Failed to create vol" in said and "gone already" not in said
    assert not list(storage.dir.iterdir()) and not (storage.dir.parent / "a").exists()


def test_a_file_whose_name_ends_in_a_blank_is_not_taken_for_another(storage):
    (storage.dir / "a ").write_bytes(b"x")
    (storage.dir / "b").write_bytes(b"x")
    storage.virsh("pool-refresh", "p")
    assert storage.names() == {"b"}


def test_what_is_copied_stays_as_it_is_meanwhile(storage):
    """STO-24, STO-25: neither it nor its pool goes before the copy is there; others may read it too."""
    storage.virsh("pool-create-as", "q", "dir", "--target", storage.daemon.base / "q", "--build")
    storage.virsh("vol-create-as", "p", "v", "1M")
    made = write(storage, "<volume><name>copy</name><capacity>1048576</capacity></volume>")
    q = storage.watcher(storage.daemon.base / "q")
    os.kill(q, signal.SIGSTOP)  # the copy is not answered before its pool knows of it
    try:
        begun = subprocess.Popen(["virsh", "-c", storage.daemon.uri(driver="qemu"), "vol-create-from", "q", made, "v", "--inputpool",
                                  "p"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for("the copy has a name", (storage.daemon.base / "q" / "copy").exists)
        for act in (["vol-delete", "v", "p"], ["vol-wipe", "v", "p"], ["vol-resize", "v", "2M", "p"]):
            assert "volume 'v' is still in use" in storage.virsh(*act, check=False)
        assert "asynchronous jobs running" in storage.virsh("pool-destroy", "p", check=False)
        storage.virsh("vol-clone", "v", "second", "--pool", "p")
        storage.virsh("vol-download", "v", storage.daemon.base / "down", "--pool", "p")
    finally:
        os.kill(q, signal.SIGCONT)
    assert "Vol copy created" in begun.communicate(timeout=120)[0]
    storage.virsh("vol-delete", "v", "p")
    storage.virsh("pool-destroy", "q")


def test_a_volume_is_free_when_its_upload_is_answered(storage):
    """STO-25: who hears that it ended well may remove it at once, also when its pool is slow to say what is there now."""
    storage.virsh("vol-create-as", "p", "v", "1M")
    connection = libvirt.open(storage.daemon.uri(driver="qemu"))
    volume = connection.storagePoolLookupByName("p").storageVolLookupByName("v")
    watcher, said = storage.watcher(), []
    stream = connection.newStream()
    volume.upload(stream, 0, 0)
    stream.send(b"n" * 65536)

    def end():
        try:
            stream.finish()
            volume.delete()
        except libvirt.libvirtError as error:
            said.append(str(error))

    os.kill(watcher, signal.SIGSTOP)
    try:
        ends = threading.Thread(target=end)
        ends.start()
        wait_for("all of it is written", lambda: storage.helpers() == [watcher])
    finally:
        os.kill(watcher, signal.SIGCONT)
    ends.join()
    connection.close()
    assert not said and not list(storage.dir.iterdir())


def test_a_full_disk_says_so_and_leaves_nothing(storage):
    """Upload and clone into a file system without room."""
    small = storage.daemon.base / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=True)
    try:
        storage.virsh("pool-create-as", "s", "dir", "--target", small)
        storage.virsh("vol-create-as", "p", "big", "8M")
        (storage.dir / "big").write_bytes(os.urandom(8 << 20))
        assert "No space left on device" in storage.virsh("vol-create-as", "s", "a", "8M", "--allocation", "8M", check=False)
        made = write(storage, "<volume><name>copy</name><capacity>8388608</capacity></volume>")
        assert "No space left on device" in storage.virsh("vol-create-from", "s", made, "big", "--inputpool", "p",
                                                          check=False)
        assert not list(small.iterdir())
        storage.virsh("vol-create-as", "s", "v", "8M")
        with open(small / "v", "r+b") as file:
            file.write(b"before")
        assert "No space left on device" in storage.virsh("vol-upload", "v", storage.dir / "big", "--pool", "s",
                                                          check=False)
        assert os.listdir(small) == ["v"] and (small / "v").stat().st_size == 8 << 20
        assert (small / "v").read_bytes().rstrip(b"\0") == b"before"
        storage.virsh("vol-delete", "v", "s")
        storage.virsh("pool-destroy", "s")
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.fixture(name="device")
def fixture_device(tmp_path):
    with loop_device(tmp_path / "device", 32) as device:
        yield device


def test_a_pool_on_a_partition_is_made_mounted_and_unmounted(storage, device):
    """STO-07: build makes the file system, and not over another one; start mounts, destroy unmounts."""
    target = storage.daemon.base / "mounted"
    storage.virsh("pool-define-as", "f", "fs", "--source-dev", device, "--source-format", "ext4", "--target", target)
    storage.virsh("pool-build", "f", "--overwrite")
    assert "already holds ext4" in storage.virsh("pool-build", "f", "--no-overwrite", check=False)
    storage.virsh("pool-start", "f")
    assert os.path.ismount(target)
    storage.virsh("vol-create-as", "f", "v", "1M")
    assert (target / "v").stat().st_size == 1 << 20
    with open(target / "v", "rb"):
        assert "busy" in storage.virsh("pool-destroy", "f", check=False)
        assert storage.virsh("pool-info", "f").split()[5] == "running" and "v" in storage.virsh("vol-list", "f")
    storage.virsh("pool-destroy", "f")
    assert not os.path.ismount(target) and not list(target.iterdir())


def test_the_test_driver_has_a_pool_and_volumes_in_it(storage):
    daemon = storage.daemon
    assert daemon.virsh("pool-list", "--name").split() == ["default-pool"]
    daemon.virsh("vol-create-as", "default-pool", "v", "1G")
    assert daemon.virsh("vol-path", "v", "--pool", "default-pool").strip() == "/default-pool/v"
    daemon.virsh("vol-resize", "v", "2G", "--pool", "default-pool")
    assert "2.00 GiB" in daemon.virsh("vol-info", "v", "--pool", "default-pool")
    daemon.virsh("vol-delete", "v", "--pool", "default-pool")
    assert not pathlib.Path("/default-pool").exists()


def test_events_tell_what_happens_to_a_pool(storage):
    EventLoop.start()
    connection = libvirt.open(storage.daemon.uri(driver="qemu"))
    heard = []
    connection.storagePoolEventRegisterAny(None, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
                                           lambda _c, pool, event, _detail, _o: heard.append((pool.name(), event)), None)
    connection.storagePoolEventRegisterAny(None, libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH,
                                           lambda _c, pool, _o: heard.append((pool.name(), "refresh")), None)
    for act in (["pool-refresh", "p"], ["pool-destroy", "p"], ["pool-undefine", "p"],
                ["pool-define-as", "p", "dir", "--target", storage.dir], ["pool-start", "p"]):
        storage.virsh(*act)
    expected = ["refresh", libvirt.VIR_STORAGE_POOL_EVENT_STOPPED, libvirt.VIR_STORAGE_POOL_EVENT_UNDEFINED,
                libvirt.VIR_STORAGE_POOL_EVENT_DEFINED, libvirt.VIR_STORAGE_POOL_EVENT_STARTED]
    wait_for("five events in their order", lambda: heard == [("p", event) for event in expected])
    connection.close()
