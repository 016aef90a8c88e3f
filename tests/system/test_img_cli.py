"""drover-img as scripts call qemu-img: exit codes, output, locks, bad input (IMG-01, IMG-11, IMG-23, IMG-38, IMG-39)."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess

import pytest

from img_tools import OURS, failing, fill, info, io, needs_stock, ours, stock, within
from nbd_server import Serving
from waiting import wait_for

pytestmark = needs_stock


@pytest.mark.parametrize("text, size", [("1K", 1024), ("1.5k", 1536), ("1M", 1 << 20), ("2g", 2 << 30), ("1T", 1 << 40),
                                        ("4096", 4096), ("1440K", 1474560), ("1b", 512)])
def test_sizes_with_suffixes(tmp_path, text, size):
    ours("create", "-q", tmp_path / "a", text)
    assert os.stat(tmp_path / "a").st_size == size


@pytest.mark.parametrize("text", ["1kB", "1KiB", "x", "-1", "0x10", "9E", "1.5.5"])
def test_sizes_that_are_none(tmp_path, text):
    assert failing("create", "-q", "--", tmp_path / "a", text).startswith("drover-img: ")
    assert not os.path.exists(tmp_path / "a")


def test_options_may_stand_behind_the_names(tmp_path):  # IMG-39
    ours("create", tmp_path / "a", "1M", "-f", "qcow2", "-q")
    assert info(tmp_path / "a")["format"] == "qcow2"


def test_check_says_what_it_found_with_its_exit_status(tmp_path):  # IMG-01
    ours("create", "-q", tmp_path / "raw", "1M")
    ours("check", "-f", "raw", tmp_path / "raw", code=63)
    ours("check", tmp_path / "gone", code=1)


def test_compare_says_it_with_its_exit_status(tmp_path):
    a, b = fill(tmp_path / "a", 1 << 20), fill(tmp_path / "b", 1 << 20)
    assert "identical" in ours("compare", "-f", "raw", "-F", "raw", a, b)
    with open(b, "r+b") as f:
        f.seek(777777)
        byte = f.read(1)
        f.seek(777777)
        f.write(bytes([byte[0] ^ 1]))
    assert ours("compare", "-f", "raw", "-F", "raw", a, b, code=1) == "Content mismatch at offset 777728!\n"
    ours("compare", a, tmp_path / "gone", code=2)


@pytest.mark.parametrize("options", ["", "cluster_size=512", "cluster_size=2M", "extended_l2=on"])
def test_differences_are_found_wherever_they_stand(tmp_path, options):
    """What is compared stands in large pieces and small ones, over a backing file, and behind the end of a file that is cut off."""
    raw, image = fill(tmp_path / "raw", 9 << 20), tmp_path / "a"
    stock("convert", "-f", "raw", "-O", "qcow2", *(["-o", options] if options else []), raw, image)
    top, short, cut = tmp_path / "top", tmp_path / "short", tmp_path / "cut"
    ours("create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", top)
    io(top, "write -P 7 3M 1000k", "write -z 6M 100k")
    shutil.copy(image, short)
    os.truncate(short, short.stat().st_size - 300000)
    cases = [(image, raw), (top, tmp_path / "view")]
    if "512" not in options:  # else tables stand there too
        cases.append((short, cut))
    for source, against in cases:
        if against != raw:
            stock("convert", "-O", "raw", source, against)
        assert "identical" in ours("compare", "-f", "qcow2", "-F", "raw", source, against)
        content = bytearray(against.read_bytes())
        for at in (0, 4095, (3 << 19) - 1, 3 << 19, (3 << 20) + 1, (6 << 20) + 5, len(content) - 1):
            content[at] ^= 1
            (tmp_path / "other").write_bytes(content)
            content[at] ^= 1
            for names in ((source, tmp_path / "other"), (tmp_path / "other", source)):
                formats = [word for name, option in zip(names, ("-f", "-F")) for word in (option, "qcow2" if name == source else "raw")]
                assert ours("compare", *formats, *names, code=1) == f"Content mismatch at offset {at // 512 * 512}!\n"


def test_what_stands_under_the_temporary_name_is_no_part_of_the_image(tmp_path):
    """In a directory that others write in it may lead to any file of the host."""
    other = fill(tmp_path / "other", 1 << 20)
    before = other.read_bytes()
    subprocess.run(["sh", "-c", f"ln -s other new.$$.part && exec {OURS} create -q -f raw new 2M"], cwd=tmp_path, check=True)
    assert not (tmp_path / "new").is_symlink() and (tmp_path / "new").stat().st_size == 2 << 20
    assert other.read_bytes() == before


def test_a_snapshot_with_a_name_that_does_not_fit_is_refused(tmp_path):
    image = tmp_path / "image"
    ours("create", "-q", "-f", "qcow2", image, "1M")
    assert "at most 255 bytes" in failing("snapshot", "-c", "x" * 66000, image)
    ours("snapshot", "-c", "x" * 255, image)
    assert info(image)["snapshots"][0]["name"] == "x" * 255


def test_a_backing_file_that_others_read_is_not_committed_to(tmp_path):
    base, image, sibling = (tmp_path / name for name in ("base", "image", "sibling"))
    ours("create", "-q", "-f", "qcow2", base, "1M")
    for overlay in (image, sibling):
        ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
    io(image, "write -P 1 0 64k")
    with Serving(tmp_path, sibling, format="qcow2"):
        assert "lock" in failing("commit", "-f", "qcow2", image)
    ours("commit", "-q", "-f", "qcow2", image)
    io(base, "read -P 1 0 64k")


def test_map_and_measure_agree_with_stock(tmp_path):
    base, image = fill(tmp_path / "base.raw", 10 << 20), tmp_path / "a.qcow2"
    stock("create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", image, "12M")
    io(image, "write -P 1 0 100k", "write -z 1M 1M", "discard 3M 64k", "write -P 2 11M 1M")
    assert json.loads(ours("map", "--output=json", image)) == json.loads(stock("map", "--output=json", image))
    assert ours("map", image) == stock("map", image)
    for options in ([], ["-o", "cluster_size=4k"], ["-o", "refcount_bits=64,extended_l2=on"]):
        theirs = json.loads(stock("measure", "--output=json", "-O", "qcow2", *options, base))
        mine = json.loads(ours("measure", "--output=json", "-O", "qcow2", *options, base))
        assert {key: theirs[key] for key in mine} == mine


def test_an_image_that_qemu_has_open_is_refused_and_the_reverse(tmp_path):
    image = tmp_path / "a.qcow2"
    ours("create", "-q", "-f", "qcow2", image, "1M")
    holder = subprocess.Popen(["qemu-io", "-f", "qcow2", str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdin.write(b"read 0 512\n")
        holder.stdin.flush()
        holder.stdout.readline()
        assert "Is another process using the image" in failing("snapshot", "-c", "s", image)
        assert "Is another process using the image" in failing("info", image)
        ours("info", "-U", image)
    finally:
        holder.stdin.close()
        holder.wait()
    ours("snapshot", "-c", "s", image)


def test_a_full_disk_leaves_no_half_image_and_keeps_the_old_one(tmp_path):
    raw, image = fill(tmp_path / "a.raw", 8 << 20), tmp_path / "a.qcow2"
    image.write_bytes(b"what was there")
    before = raw.read_bytes()

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run([OURS, "convert", "-f", "raw", "-O", "qcow2", raw, image], preexec_fn=limit, capture_output=True,
                          text=True)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert image.read_bytes() == b"what was there"
    assert sorted(os.listdir(tmp_path)) == ["a.qcow2", "a.raw"]
    assert raw.read_bytes() == before


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    raw = fill(tmp_path / "a.raw", 64 << 20)
    child = subprocess.Popen([OURS, "convert", "-r", "1M", "-f", "raw", "-O", "qcow2", raw, tmp_path / "a.qcow2"],
                             stderr=subprocess.PIPE)

    def copied():  # more than the tables of an empty image
        return sum(os.stat(path).st_blocks for path in tmp_path.iterdir() if path != raw) > 1024

    wait_for("it has begun to copy", copied)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=120) == 1
    assert b"interrupted" in child.stderr.read()
    assert os.listdir(tmp_path) == ["a.raw"]


def test_a_hostile_header_takes_little_time_and_memory(tmp_path):
    image = tmp_path / "a.qcow2"
    ours("create", "-q", "-f", "qcow2", image, "1M")
    for at, value in ((36, b"\x00\x40\x00\x00"), (56, b"\x00\x00\x00\x80"), (60, b"\x00\x01\x00\x00"),
                      (24, b"\x7f" * 8), (8, b"\x00" * 7 + b"\x70")):
        bad = tmp_path / "bad.qcow2"
        bad.write_bytes(image.read_bytes())
        with open(bad, "r+b") as f:
            f.seek(at)
            f.write(value)
        done = subprocess.run([OURS, "info", "-f", "qcow2", bad], capture_output=True, text=True, **within(512, seconds=2))
        assert done.returncode in (0, 1)


def test_describe_opens_nothing_the_image_names(tmp_path):
    image = tmp_path / "a.qcow2"
    stock("create", "-q", "-u", "-f", "qcow2", "-b", "/nowhere/base", "-F", "raw", image, "1M")
    said = json.loads(ours("describe", "-f", "qcow2", image))
    assert said["backing-file"] == "/nowhere/base" and said["backing-format"] == "raw"
    assert "names another file" in failing("info", "--untrusted", "--backing-chain", image)
    assert "needs -f" in failing("describe", image)


def test_a_chain_that_root_may_not_read_is_told_as_far_as_it_can_be_seen(place):
    """As on a server that takes root for nobody: it is no error, because QEMU's user may get in."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    program, image = place / "drover-img", place / "a.qcow2"
    shutil.copy(OURS, program)
    stock("create", "-q", "-f", "qcow2", image, "1M")
    image.chmod(0o600)

    def chain(user):
        done = subprocess.run([program, "describe", "--chain", "qcow2", image, "raw", place / "none"], user=user,
                              capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]
    for user, size in ((0, 1 << 20), (65534, 0)):
        seen, missing = chain(user)
        layer, = seen["layers"]
        assert layer["virtual-size"] == size and layer["closed"] == (user != 0) and "error" not in seen
        assert layer["inode"] == image.stat().st_ino
        assert "does not exist" in missing["error"]


def test_progress_rises_to_the_end(tmp_path):  # IMG-04
    raw = fill(tmp_path / "a.raw", 8 << 20)
    out = ours("convert", "-p", "-f", "raw", "-O", "qcow2", raw, tmp_path / "b.qcow2")
    steps = [float(step) for step in re.findall(r"\((\d+\.\d+)/100%\)", out)]
    assert steps == sorted(steps) and steps[-1] == 100


def test_compression_needs_a_format_that_can(tmp_path):  # IMG-06
    raw = fill(tmp_path / "a.raw", 1 << 20)
    assert "Compression not supported" in failing("convert", "-c", "-f", "raw", "-O", "raw", raw, tmp_path / "b.raw")
    assert os.listdir(tmp_path) == ["a.raw"]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing")
@pytest.mark.parametrize("command", ["info --backing-chain", "check", "map", "measure -O qcow2", "compare", "convert -O raw", "dd",
                                     "rebase -b ''", "commit", "resize", "bench -c 1", "bitmap --add"])
@pytest.mark.parametrize("kind", ["backing", "data", "extent"])
def test_what_an_untrusted_image_names_is_never_opened(tmp_path, command, kind):
    image, named, new = tmp_path / "a", tmp_path / "secret-of-the-host", tmp_path / "new"
    named.write_bytes(bytes(1 << 20))
    if kind == "backing":
        ours("create", "-q", "-f", "qcow2", "-b", named, "-F", "raw", image)
    elif kind == "data":
        ours("create", "-q", "-f", "qcow2", "-o", f"data_file={named}", image, "1M")
    else:
        ours("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", image, "1M")
        image.write_text(image.read_text().replace("a-flat.vmdk", str(named)))
    words = ["" if word == "''" else word for word in command.split()]
    more = {"compare": [image], "convert": [new], "resize": ["2M"], "bitmap": ["b"]}.get(words[0], [])
    images = [f"if={image}", f"of={new}"] if words[0] == "dd" else [image]
    seen = tmp_path / "trace"
    done = subprocess.run(["strace", "-f", "-o", seen, "-e", "trace=open,openat,connect,execve", OURS, words[0], "--untrusted", *words[1:],
                           *images, *more], capture_output=True, text=True, timeout=120,
                          env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"})
    opened = seen.read_text()
    assert f'"{image}"' in opened and "secret-of-the-host" not in opened.split("\n", 1)[1]
    # What looks at the image's own tables only needs no other file.
    if kind == "backing" and words[0] in ("check", "bitmap"):
        assert done.returncode == 0
    else:
        assert done.returncode in (1, 2) and "names another file" in done.stderr, done.stderr


def test_foreign_names_cannot_write_to_the_terminal(tmp_path):
    """What an image names is shown with its control characters made visible, and told exactly in JSON."""
    image, evil = tmp_path / "a", "evil\x1b[2J\x9b1m\u009b\nfile format raw\x7f"
    ours("create", "-q", "-u", "-f", "qcow2", "-b", evil, "-F", "raw", image, "1M")
    ours("snapshot", "--untrusted", "-c", evil, image)
    ours("bitmap", "--add", image, evil)
    extent = "b\x1b[1m\x07.vmdk"
    (tmp_path / extent).write_bytes(bytes(1 << 20))
    (tmp_path / "b").write_text('# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n'
                                f'createType="monolithicFlat"\nRW 2048 FLAT "{extent}" 0\n')

    def shown(*words):
        done = subprocess.run([OURS, *map(str, words)], capture_output=True, timeout=120)
        text = (done.stdout + done.stderr).decode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), text
        return done.returncode, text

    visible = r"evil\x1b[2J\xc2\x9b1m\xc2\x9b\x0afile format raw\x7f"
    assert shown("info", image)[1].count(visible) == 4  # its name, its path, the snapshot, the bitmap
    assert shown("snapshot", "--untrusted", "-l", image)[1].count(visible) == 1
    code, text = shown("info", "--backing-chain", image)
    assert code == 1 and r"evil\x1b[2J" in text
    assert r"b\x1b[1m\x07.vmdk" in shown("info", tmp_path / "b")[1]
    assert r"b\x1b[1m\x07.vmdk" in shown("map", tmp_path / "b")[1]
    about = info(image)
    assert about["backing-filename"] == about["snapshots"][0]["name"] == evil
    assert about["format-specific"]["data"]["bitmaps"][0]["name"] == evil


def test_a_data_file_that_others_read_is_not_committed_to(tmp_path):
    base, image, data = (tmp_path / name for name in ("base", "image", "data"))
    ours("create", "-q", "-f", "qcow2", "-o", f"data_file={data}", base, "1M")
    ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", image)
    io(image, "write -P 1 0 64k")
    before = data.read_bytes()
    with Serving(tmp_path, data, "-r"):
        assert "lock" in failing("commit", "-f", "qcow2", image)
        assert data.read_bytes() == before
    ours("commit", "-q", "-f", "qcow2", image)
    io(base, "read -P 1 0 64k")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("command", ["create", "convert", "dd"])
def test_a_target_that_is_a_link_stays_one(tmp_path, command, there):
    """As with stock: the image is where the link leads, which need not be there yet."""
    raw, link, place = fill(tmp_path / "raw", 1 << 20), tmp_path / "link", tmp_path / "elsewhere"
    place.mkdir()
    (tmp_path / "between").symlink_to("elsewhere/image")
    link.symlink_to("between")
    if there:
        (place / "image").write_bytes(b"was there")
        (place / "image").chmod(0o640)
    words = {"create": ("create", "-q", "-f", "qcow2", link, "1M"), "convert": ("convert", "-f", "raw", "-O", "qcow2", raw, link),
             "dd": ("dd", "-f", "raw", "-O", "qcow2", f"if={raw}", f"of={link}")}[command]
    ours(*words)
    assert link.is_symlink() and (tmp_path / "between").is_symlink() and os.listdir(place) == ["image"]
    assert sorted(os.listdir(tmp_path)) == ["between", "elsewhere", "link", "raw"]
    assert info(link)["format"] == "qcow2" and (not there or (place / "image").stat().st_mode & 0o777 == 0o640)
    if command != "create":
        stock("compare", "-f", "raw", "-F", "qcow2", raw, place / "image")


def test_files_beside_an_image_behind_a_link_are_where_it_is_looked_for(tmp_path):
    raw, place = fill(tmp_path / "raw", 1 << 20), tmp_path / "elsewhere"
    place.mkdir()
    (tmp_path / "link.vmdk").symlink_to("elsewhere/image.vmdk")
    ours("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", raw, tmp_path / "link.vmdk")
    assert os.listdir(place) == ["image.vmdk"] and (tmp_path / "link-flat.vmdk").exists()
    stock("compare", "-f", "raw", "-F", "vmdk", raw, tmp_path / "link.vmdk")
    # The same with a backing file named from there.
    (tmp_path / "top").symlink_to("elsewhere/top")
    (tmp_path / "copy").symlink_to("elsewhere/copy")
    ours("create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", tmp_path / "top")
    io(tmp_path / "top", "write -P 5 0 64k")
    ours("convert", "-O", "qcow2", "-B", "raw", "-F", "raw", tmp_path / "top", tmp_path / "copy")
    stock("compare", tmp_path / "top", tmp_path / "copy")


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing")
@pytest.mark.parametrize("format, options", [("raw", ""), ("qcow2", ""), ("qcow2", "data_file={}/data"), ("vmdk", ""),
                                             ("vmdk", "subformat=twoGbMaxExtentFlat"), ("vdi", ""), ("vpc", ""), ("vhdx", ""),
                                             ("parallels", ""), ("qcow", "")])
@pytest.mark.parametrize("command", ["create", "convert -t writeback", "convert", "dd"])
def test_an_image_is_on_the_disk_before_it_has_its_name(tmp_path, command, format, options):
    """Unless the cache mode is unsafe, as convert's is when none is given, like stock's."""
    raw, new, seen = fill(tmp_path / "raw", 1 << 20), tmp_path / "new", tmp_path / "trace"
    words = command.split()
    if words[0] == "dd" and options:
        pytest.skip("dd takes no options")
    more = ["-o", options.format(tmp_path)] if options else []
    words += {"create": ["-q", "-f", format, *more, new, "1M"], "convert": ["-f", "raw", "-O", format, *more, raw, new],
              "dd": ["-f", "raw", "-O", format, f"if={raw}", f"of={new}"]}[words[0]]
    subprocess.run(["strace", "-f", "-y", "-s", "1", "-o", seen, "-e",
                    "trace=pwrite64,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2",
                    OURS, *map(str, words)], check=True, timeout=120, env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"})
    unflushed, unnamed, renamed = set(), set(), 0
    for line in seen.read_text(errors="replace").splitlines():
        call = re.search(r"(\w+)\((?:\d+<([^>]*)>)?(.*)", line)
        if not call or "= -1" in line:
            continue
        name, path, rest = call.groups()
        if name in ("pwrite64", "ftruncate", "fallocate"):
            unflushed.add(path)
        elif name == "fdatasync" or name == "fsync" and path != str(tmp_path):
            unflushed.discard(path)
        elif name.startswith("rename"):
            old, final = re.findall(r'"([^"]*)"', rest)
            assert command == "convert" or old not in unflushed, (old, seen.read_text(errors="replace"))
            unnamed.add(final)
            renamed += 1
        elif name == "fsync":
            unnamed.clear()
    assert renamed == (2 if options else 1)
    assert bool(unnamed) == (command == "convert")
