"""A guest boots from images made and converted here, writes to them, and we read what it wrote (IMG-26, IMG-36)."""

import hashlib
import os
import socket
import subprocess

import pytest

from img_tools import failing, fill, needs_stock, ours, run, stock
from lab import guest, payload
from waiting import wait_for

pytestmark = needs_stock

QEMU = "qemu-system-x86_64"
KINDS = {
    "raw": ("raw", ""),
    "zlib": ("qcow2", "-c"),
    "zstd": ("qcow2", "-c compression_type=zstd"),
    "subclusters": ("qcow2", "extended_l2=on,cluster_size=128k"),
    "vmdk": ("vmdk", ""),
    "stream": ("vmdk", "subformat=streamOptimized"),
    "vdi": ("vdi", ""),
    "vpc": ("vpc", "force_size=on"),
    "vhdx": ("vhdx", ""),
}
# And these, which the guest only boots from.
BOOTED = KINDS | {
    "v2": ("qcow2", "compat=0.10,cluster_size=4k"),
    "locked": ("qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"),
    "luks": ("luks", "key-secret=s,iter-time=10"),
    "qcow": ("qcow", ""),
    "static": ("vdi", "static=on"),
    "flat": ("vmdk", "subformat=monolithicFlat"),
    "split": ("vmdk", "subformat=twoGbMaxExtentSparse"),
    "fixed": ("vpc", "force_size=on,subformat=fixed"),
    "vhdxfixed": ("vhdx", "subformat=fixed"),
    "parallels": ("parallels", ""),
}
SECRET = "secret,id=s,data=x"
WRITTEN = [name for name in KINDS if name != "stream"]  # a compressed vmdk is read only


def convert(raw, image, kind):
    format, words = BOOTED[kind]
    options = [word for word in words.split() if word != "-c"]
    ours("convert", *(["--object", SECRET] if "key-secret" in words else []), *(["-c"] if "-c" in words else []), "-f", "raw", "-O", format,
         *(["-o", options[0]] if options else []), raw, image)
    return format


def start(*arguments):
    return subprocess.Popen([QEMU, "-M", "pc", "-accel", "tcg", "-m", "160", "-display", "none", "-nodefaults",
                             *map(str, arguments)], stdin=subprocess.DEVNULL)


def boots(path, log, format, more=""):
    """The payload runs off the disk."""
    log.unlink(missing_ok=True)
    machine = start("-object", SECRET, "-serial", f"file:{log}", "-drive", f"file={path},format={format},if=ide,snapshot=on{more}")
    try:
        wait_for("the guest beats", lambda: machine.poll() is not None or b"beat" in log.read_bytes()
                 if log.exists() else False)
        assert machine.poll() is None
    finally:
        machine.kill()
        machine.wait()


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A raw disk with the payload in its boot sector."""
    raw = fill(tmp_path_factory.mktemp("disk") / "disk.raw", 8 << 20)
    with open(raw, "r+b") as out:
        out.write(payload.build(4).read_bytes())
    return raw


@pytest.mark.parametrize("kind", BOOTED)
def test_a_guest_boots_from_the_image(tmp_path, disk, kind):
    image = tmp_path / "disk.img"
    format = convert(disk, image, kind)
    key = {"qcow2": ",encrypt.key-secret=s", "luks": ",key-secret=s"}[format] if "key-secret" in BOOTED[kind][1] else ""
    boots(image, tmp_path / "serial", format, key)


def test_a_guest_boots_through_what_lies_on_top_of_an_image(tmp_path, disk):
    """An overlay, one on top of that, a snapshot gone back to, a data file, and what was rebased and committed."""
    log, base, over, top = (tmp_path / name for name in ("serial", "base", "over", "top"))
    ours("convert", "-c", "-f", "raw", "-O", "qcow2", disk, base)
    ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", over)
    ours("create", "-q", "-f", "qcow2", "-b", over, "-F", "qcow2", "-o", "extended_l2=on,cluster_size=128k", top)
    boots(top, log, "qcow2")
    ours("snapshot", "-c", "s", over)
    run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 64k", over)
    ours("snapshot", "-a", "s", over)
    ours("rebase", "-b", base, "-F", "qcow2", top)
    boots(top, log, "qcow2")
    ours("commit", "-q", over)
    boots(base, log, "qcow2")
    ours("rebase", "-b", "", top)
    base.unlink()
    boots(top, log, "qcow2")
    ours("convert", "-O", "qcow2", "-o", f"data_file={tmp_path}/beside,data_file_raw=on", top, over)
    boots(over, log, "qcow2")
    boots(tmp_path / "beside", log, "raw")


class Shell:
    """The shell of the guest on a serial port."""

    def __init__(self, path):
        self.link = socket.socket(socket.AF_UNIX)
        wait_for("QEMU opens the port", lambda: self.link.connect_ex(str(path)) == 0)
        self.link.settimeout(0.5)
        self.said = b""

    def hear(self, text):
        def heard():
            try:
                self.said += self.link.recv(65536)
            except TimeoutError:
                self.link.sendall(b"\n")
            return text in self.said
        wait_for(f"the guest says {text}", heard)

    def run(self, command):
        """What the command prints, as lines."""
        self.said = b""
        self.link.sendall(f"{command}; echo do''ne\n".encode())
        self.hear(b"done\r\n")
        return self.said.decode(errors="replace").splitlines()


FAT = {"fat:": "1", "fat:32:": "1", "fat:floppy:": ""}  # and the partition that Linux shall mount


def directory(path):
    """Files whose names need every kind of entry, in directories; their sums by name."""
    files = {"PLAIN.TXT": b"plain\n", "lower.txt": b"lower\n", "A long name, with blanks.data": os.urandom(70001),
             "sub/twice-the-same-start-1": b"1", "sub/twice-the-same-start-2": b"22", "sub/deeper/empty": b"",
             "sub/deeper/one cluster": bytes(range(256)) * 32}
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    os.symlink("/etc/passwd", path / "left out")
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_linux_reads_and_writes_disks_of_every_format(tmp_path):
    raw, port = fill(tmp_path / "disk.raw", 5 << 20), tmp_path / "port"
    (tmp_path / "files").mkdir()
    files = directory(tmp_path / "files")
    image = guest.build()
    disks = []
    for kind in WRITTEN:
        format = convert(raw, tmp_path / kind, kind)
        disks += ["-drive", f"file={tmp_path / kind},format={format},if=virtio"]
    for i, name in enumerate(FAT):
        ours("convert", "-O", "qcow2", f"{name}{tmp_path}/files", tmp_path / f"fat{i}")
        disks += ["-drive", f"file={tmp_path}/fat{i},format=qcow2,if=virtio"]
    machine = start("-kernel", image.kernel, "-initrd", image.initrd, "-append", guest.command_line(shell="ttyS1"),
                    "-serial", "null", "-serial", f"unix:{port},server=on,wait=off", *disks)
    names = [f"/dev/vd{letter}" for letter in "abcdefghijklmnop"[:len(WRITTEN)]]
    try:
        shell = Shell(port)
        shell.hear(b"#")
        sums = [line.split()[0] for line in shell.run(f"sha256sum {' '.join(names)}") if "  /dev/vd" in line]
        assert sums == [hashlib.sha256(raw.read_bytes()).hexdigest()] * len(WRITTEN)
        shell.run("for m in fat vfat nls_cp437 nls_ascii; do insmod /modules/$m.ko; done")
        for i, partition in enumerate(FAT.values()):
            device = f"/dev/vd{chr(ord('a') + len(WRITTEN) + i)}{partition}"
            said = shell.run(f"mkdir -p /fat; mount -t vfat -o ro,iocharset=ascii {device} /fat; cd /fat; "
                             "find . -type f -exec sha256sum '{}' +; cd /; umount /fat")
            sums = dict(reversed(line.split("  ./", 1)) for line in said if len(line.split("  ./", 1)) == 2)
            assert sums == files, said
        shell.run(f"for d in {' '.join(names)}; do yes written | dd of=$d bs=4k seek=300 count=60 iflag=fullblock 2>/dev/null; done; sync")
        shell.link.sendall(b"poweroff -f\n")
        machine.wait(120)
    finally:
        machine.kill()
        machine.wait()
    expected = bytearray(raw.read_bytes())
    text = (b"written\n" * 256001)[:60 * 4096]
    expected[300 * 4096:300 * 4096 + len(text)] = text
    raw.write_bytes(expected)
    for kind in WRITTEN:
        format = KINDS[kind][0]
        if format != "raw":
            ours("check", "-q", "-f", format, tmp_path / kind)
        ours("compare", "-f", format, "-F", "raw", tmp_path / kind, raw)
        stock("compare", "-f", format, "-F", "raw", tmp_path / kind, raw)


def test_a_directory_that_cannot_be_a_disk_says_why(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "big").write_bytes(bytes(2 << 20))
    assert "do not fit" in failing("convert", "-O", "raw", f"fat:floppy:{files}", tmp_path / "a")
    assert "read only" in failing("convert", "-O", "raw", f"fat:rw:{files}", tmp_path / "a")
    assert "Not a directory" in failing("info", f"fat:{files}/big")
    options = f"driver=vvfat,dir={files},fat-type=32,label=MINE"
    ours("convert", "--image-opts", "-O", "raw", options, tmp_path / "a")
    assert (tmp_path / "a").read_bytes()[63 * 512 + 71:63 * 512 + 82] == b"MINE       "
    ours("compare", "--image-opts", options, f"driver=raw,file.filename={tmp_path}/a")
