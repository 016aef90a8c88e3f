"""qcow2 in both directions between drover-img and stock qemu-img (IMG-02 to IMG-24, IMG-31)."""

import os
import random
import struct

import pytest

from img_tools import clean, failing, fill, info, io, needs_stock, ours, same, stock

pytestmark = needs_stock

OPTIONS = [
    "",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=2M,refcount_bits=64",
    "cluster_size=16k,extended_l2=on",
    "compression_type=zstd",
    "lazy_refcounts=on",
    "preallocation=metadata",
    "preallocation=falloc,extended_l2=on",
    "preallocation=full,cluster_size=8k",
]


def with_options(options):
    return ["-o", options] if options else []


@pytest.mark.parametrize("options", OPTIONS)
def test_what_we_create_stock_tools_take_and_write(tmp_path, options):
    image, raw = tmp_path / "a.qcow2", tmp_path / "a.raw"
    ours("create", "-q", "-f", "qcow2", *with_options(options), image, "20M")
    clean(image)
    io(image, "write -P 5 1000 3M", "write -P 9 19M 1M", "write -z 2M 64k", "discard 1M 128k")
    clean(image)
    ours("convert", "-O", "raw", image, raw)
    same(image, raw)


@pytest.mark.parametrize("options", OPTIONS)
def test_what_stock_tools_create_we_take(tmp_path, options):
    image, raw, copy = tmp_path / "a.qcow2", tmp_path / "a.raw", tmp_path / "b.qcow2"
    stock("create", "-q", "-f", "qcow2", *with_options(options), image, "20M")
    io(image, "write -P 5 1000 3M", "write -P 9 19M 1M", "write -z 2M 64k", "discard 1M 128k")
    ours("check", image)
    ours("convert", "-O", "raw", image, raw)
    stock("compare", image, raw)
    ours("convert", "-O", "qcow2", *with_options(options), image, copy)
    clean(copy)
    same(copy, raw)
    a, b = info(image), info(image, "qemu-img")
    for key in b:
        assert a[key] == b[key], key


@pytest.mark.parametrize("options", ["", "compression_type=zstd", "cluster_size=4k", "cluster_size=2M",
                                     "cluster_size=64k,extended_l2=on", "cluster_size=512"])
@pytest.mark.parametrize("best", [False, True])
def test_compressed_images_are_read_alike(tmp_path, options, best):
    raw = fill(tmp_path / "a.raw", 9 << 20)
    image, theirs = tmp_path / "a.qcow2", tmp_path / "b.qcow2"
    ours("convert", "-c", *(["--compress-best"] if best else []), "-O", "qcow2", *with_options(options), raw, image)
    clean(image)
    same(raw, image)
    stock("convert", "-c", "-O", "qcow2", *with_options(options), raw, theirs)
    same(raw, theirs)
    # IMG-07: a compressed cluster that is written becomes a plain one
    before = info(image)["actual-size"]
    io(image, "write -P 1 0 9M")
    clean(image)
    assert "100.00% allocated, 0.00% fragmented, 0.00% compressed" in ours("check", image) or before


def test_the_same_input_gives_the_same_image(tmp_path):
    raw = fill(tmp_path / "a.raw", 30 << 20, seed=4)
    made = []
    for threads in (1, 2, 7):
        image = tmp_path / f"{threads}.qcow2"
        ours("convert", "-c", "-m", threads, "-O", "qcow2", raw, image)
        made.append(image.read_bytes())
    assert made[0] == made[1] == made[2]


def test_zeros_make_holes_as_asked(tmp_path):
    raw, image = tmp_path / "a.raw", tmp_path / "b.raw"
    with open(raw, "wb") as out:
        out.write(b"x" * 4096 + bytes(8192) + b"y" * 4096 + bytes(1 << 20))
    ours("convert", "-O", "raw", "-S", "4k", raw, image)
    assert os.stat(image).st_blocks * 512 <= 8192
    ours("convert", "-O", "raw", "-S", "64k", raw, image)
    assert 16384 <= os.stat(image).st_blocks * 512 < 1 << 20
    ours("convert", "-O", "raw", "-S", "0", raw, image)
    assert os.stat(image).st_blocks * 512 >= os.stat(raw).st_size
    same(raw, image)


def test_a_gib_with_a_mib_of_data_stays_small(tmp_path):  # IMG-10
    raw, image = tmp_path / "a.raw", tmp_path / "a.qcow2"
    with open(raw, "wb") as out:
        out.truncate(1 << 30)
        out.seek(300 << 20)
        out.write(os.urandom(1 << 20))
    ours("convert", "-O", "qcow2", raw, image)
    assert os.stat(image).st_size < 3 << 20
    same(raw, image)


def test_overlays_rebase_and_commit(tmp_path):
    base, other = fill(tmp_path / "base.raw", 12 << 20), fill(tmp_path / "other.raw", 10 << 20, seed=2)
    image, view = tmp_path / "o.qcow2", tmp_path / "view.raw"
    ours("create", "-q", "-f", "qcow2", "-b", base.name, "-F", "raw", image)
    assert info(image)["virtual-size"] == 12 << 20
    io(image, "write -P 3 2M 200k", "write -z 5M 1M")
    ours("convert", "-O", "raw", image, view)
    stock("compare", image, view)
    before = base.read_bytes()
    # IMG-16: the guest's view stays on another base, and on none
    ours("rebase", "-b", other.name, "-F", "raw", image)
    clean(image)
    same(image, view)
    assert info(image)["backing-filename"] == other.name
    ours("rebase", "-b", base.name, "-F", "raw", image)
    same(image, view)
    flat = tmp_path / "flat.qcow2"
    flat.write_bytes(image.read_bytes())
    ours("rebase", "-b", "", flat)
    clean(flat)
    same(flat, view)
    assert "backing-filename" not in info(flat)
    assert base.read_bytes() == before
    # IMG-02
    ours("commit", image)
    clean(image)
    same(base, view)
    same(image, view)
    # IMG-18: -u changes the name only
    base.unlink()
    ours("rebase", "-u", "-b", other.name, "-F", "raw", image)
    assert info(image)["backing-filename"] == other.name


def test_snapshots_taken_here_are_applied_there_and_the_reverse(tmp_path):
    image, first, second = tmp_path / "a.qcow2", tmp_path / "1.raw", tmp_path / "2.raw"
    ours("create", "-q", "-f", "qcow2", image, "8M")
    io(image, "write -P 1 0 4M")
    ours("convert", "-O", "raw", image, first)
    ours("snapshot", "-c", "one", image)
    clean(image)
    io(image, "write -P 2 1M 5M")
    ours("convert", "-O", "raw", image, second)
    stock("snapshot", "-c", "two", image)
    clean(image)
    io(image, "write -P 3 0 8M")
    stock("snapshot", "-a", "one", image)
    clean(image)
    same(image, first)
    ours("snapshot", "-a", "two", image)
    clean(image)
    same(image, second)
    raw = tmp_path / "of.raw"
    ours("convert", "-l", "one", "-O", "raw", image, raw)
    stock("compare", raw, first)
    assert ours("snapshot", "-l", image) == stock("snapshot", "-l", image)
    ours("snapshot", "-d", "one", image)
    clean(image)
    same(image, second)
    stock("snapshot", "-d", "two", image)
    clean(image)
    same(image, second)
    assert "snapshot not found" in failing("snapshot", "-a", "gone", image)


def test_resize_both_ways(tmp_path):  # IMG-20 to IMG-22
    image, raw = tmp_path / "a.qcow2", tmp_path / "a.raw"
    for path, format in ((image, "qcow2"), (raw, "raw")):
        ours("create", "-q", "-f", format, path, "8M")
        io(path, "write -P 7 0 8M", format=format)
        ours("resize", "-f", format, path, "+4M")
        assert "--shrink" in failing("resize", "-f", format, path, "-9M")
        ours("resize", "-f", format, "--shrink", path, "-9M")
        ours("resize", "-f", format, path, "20M")
    clean(image)
    same(image, raw)
    ours("resize", "--preallocation=metadata", image, "600M")
    clean(image)


def test_an_external_data_file_is_kept_apart(tmp_path):
    image, data, raw = tmp_path / "a.qcow2", tmp_path / "beside" / "a.data", tmp_path / "a.raw"
    data.parent.mkdir()
    ours("create", "-q", "-f", "qcow2", "-o", f"data_file={data},data_file_raw=on", image, "4M")
    io(image, "write -P 7 1M 1M")
    clean(image)
    ours("convert", "-O", "raw", image, raw)
    same(image, raw)
    assert data.read_bytes()[1 << 20:2 << 20] == b"\7" * (1 << 20)
    assert "names another file" in failing("info", "--untrusted", image)
    near = tmp_path / "near.qcow2"
    ours("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/near.data", near, "4M")
    io(near, "write -P 8 1M 1M")
    ours("resize", near, "6M")
    clean(near)
    io(near, "read -P 8 1M 1M", "read -P 0 4M 2M")


@pytest.mark.parametrize("relative", [False, True])
def test_a_data_file_in_another_directory_is_written_by_every_command_that_changes_images(tmp_path, monkeypatch, relative):
    here, there, raw = tmp_path / "here", tmp_path / "there", fill(tmp_path / "raw", 3 << 20)
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    image, named = here / "a.qcow2", "../there/data" if relative else there / "data"
    ours("create", "-q", "-f", "qcow2", "-o", f"data_file={named}", image, "2M")
    ours("resize", "-q", image, "3M")
    ours("check", "-q", "-r", "all", image)
    ours("bench", "-w", "-c", "8", "-f", "qcow2", image)
    ours("bitmap", "--add", image, "b")
    ours("amend", "-o", "lazy_refcounts=on", image)
    ours("convert", "-n", "-f", "raw", "-O", "qcow2", raw, image)
    clean(image)
    same(image, raw)
    ours("convert", "-n", "-f", "raw", "--target-image-opts", raw, f"driver=qcow2,file.filename={image}")
    same(image, raw)


def test_an_extent_of_vmdk_in_another_directory_is_written_unless_it_is_not_trusted(tmp_path):
    there, raw = tmp_path / "there", fill(tmp_path / "raw", 2 << 20)
    (tmp_path / "here").mkdir()
    there.mkdir()
    image = tmp_path / "here" / "a.vmdk"
    ours("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", image, "2M")
    (tmp_path / "here" / "a-flat.vmdk").rename(there / "a-flat.vmdk")
    image.write_text(image.read_text().replace("a-flat.vmdk", f"{there}/a-flat.vmdk"))
    ours("convert", "-n", "-f", "raw", "-O", "vmdk", raw, image)
    stock("compare", "-f", "vmdk", "-F", "raw", image, raw)
    before = (there / "a-flat.vmdk").read_bytes()
    assert "is not trusted" in failing("convert", "--untrusted", "-f", "vmdk", "-O", "raw", image, tmp_path / "out")
    assert (there / "a-flat.vmdk").read_bytes() == before and not (tmp_path / "out").exists()


def test_leaks_and_corruption_are_found_and_repaired(tmp_path):
    image = tmp_path / "a.qcow2"
    for at, value, code in ((2 * 65536 + 2 * 100, b"\0\1", 3), (2 * 65536 + 2 * 5, b"\0\0", 2)):
        ours("create", "-q", "-f", "qcow2", image, "8M")
        io(image, "write -P 1 0 1M")
        with open(image, "r+b") as f:
            f.truncate(101 * 65536)
            f.seek(at)
            f.write(value)
        stock("check", image, code=code)
        ours("check", image, code=code)
        ours("check", "-r", "leaks" if code == 3 else "all", image)
        clean(image)
        io(image, "read -P 1 0 1M")


def test_a_flag_that_a_compressed_cluster_must_not_have_is_taken_away(tmp_path):
    raw, image = fill(tmp_path / "raw", 2 << 20), tmp_path / "a.qcow2"
    stock("convert", "-c", "-f", "raw", "-O", "qcow2", raw, image)
    with open(image, "r+b") as f:
        f.seek(40)
        f.seek(struct.unpack(">Q", f.read(8))[0])
        table = struct.unpack(">Q", f.read(8))[0] & 0x00fffffffffffe00
        f.seek(table)
        entries = struct.unpack(">32Q", f.read(256))
        at = next(i for i, entry in enumerate(entries) if entry >> 62 == 1)
        f.seek(table + 8 * at)
        f.write(struct.pack(">Q", entries[at] | 1 << 63))
    stock("check", image, code=2)
    ours("check", image, code=2)
    assert "    1 corruptions\n" in ours("check", "-r", "all", image)
    clean(image)
    stock("compare", "-f", "raw", "-F", "qcow2", raw, image)


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_by_both_agree_with_a_model(tmp_path, seed):
    dice = random.Random(seed)
    image, model = tmp_path / "a.qcow2", tmp_path / "model.raw"
    size = 6 << 20
    ours("create", "-q", "-f", "qcow2", "-o", dice.choice(OPTIONS[1:8]), image, size)
    stock("create", "-q", "-f", "raw", model, size)
    names = []
    for i in range(25):
        at = dice.randrange(size // 512) * 512
        n = min(size - at, 512 * dice.randrange(1, 800))
        what = dice.choice(["write -P %d" % (i + 1), "write -P %d" % (i + 1), "write -z", "write -z -u"])
        io(image, f"{what} {at} {n}")
        io(model, f"{what.replace(' -u', '')} {at} {n}", format="raw")
        if i % 6 == 5:
            tool = dice.choice([ours, stock])
            tool("snapshot", "-c", f"s{i}", image)
            (tmp_path / f"s{i}").write_bytes(model.read_bytes())
            names.append(f"s{i}")
        if i % 8 == 7 and names:
            name, tool = dice.choice(names), dice.choice([ours, stock])
            tool("snapshot", "-a", name, image)
            model.write_bytes((tmp_path / name).read_bytes())
        if i % 5 == 4:
            clean(image)
            same(image, model)
    for name in names:
        dice.choice([ours, stock])("snapshot", "-d", name, image)
        clean(image)
    same(image, model)


def test_options_of_an_image_that_is_there_are_amended(tmp_path):  # IMG-38
    image = tmp_path / "a.qcow2"
    ours("create", "-q", "-f", "qcow2", "-o", "compat=0.10", image, "4M")
    io(image, "write -P 3 1M 1M")
    for options in ("compat=1.1,lazy_refcounts=on", "lazy_refcounts=off", "size=6M", "refcount_bits=64", "refcount_bits=1",
                    "refcount_bits=16,compat=0.10", "compat=1.1,refcount_bits=2", "compat=0.10,refcount_bits=16"):
        ours("amend", "-o", options, image)
        a, b = info(image), info(image, "qemu-img")
        assert all(a[key] == b[key] for key in b), options
        clean(image)
        io(image, "read -P 3 1M 1M")
    assert info(image)["format-specific"]["data"]["compat"] == "0.10"
    assert "convert the image" in failing("amend", "-o", "cluster_size=4k", image)
    before = image.read_bytes()
    assert "rebase" in failing("amend", "-o", "compat=1.1,backing_file=/nowhere,backing_fmt=raw", image)
    assert image.read_bytes() == before


@pytest.mark.parametrize("cluster", ["512", "4k", "64k"])
def test_refcounts_become_wider_and_narrower(tmp_path, cluster):  # IMG-38
    """Both programs write to the image between the changes, and count what snapshots and compressed clusters share."""
    image, raw = tmp_path / "a.qcow2", fill(tmp_path / "raw", 2 << 20)
    stock("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", f"cluster_size={cluster}", raw, image)
    stock("bitmap", "--add", image, "b")
    for i, bits in enumerate((64, 32, 8, 16)):
        ours("amend", "-o", f"refcount_bits={bits}", image)
        assert info(image, "qemu-img")["format-specific"]["data"]["refcount-bits"] == bits
        clean(image)
        same(image, raw)
        io(image, f"write -P {i} {i * 200}k 100k", "discard 1M 64k", f"write -P {i} 1500k 3k")
        ours("bench", "-w", "-c", "20", "-S", "70k", "-f", "qcow2", image)
        (ours if i % 2 else stock)("snapshot", "-c", f"s{i}", image)
        clean(image)
        stock("convert", "-O", "raw", image, raw)
    assert [bitmap["flags"] for bitmap in info(image, "qemu-img")["format-specific"]["data"]["bitmaps"]] == [["auto"]]
    assert "has a refcount of" in failing("amend", "-o", "refcount_bits=1", image)
    clean(image)
    same(image, raw)
    stock("bitmap", "--remove", image, "b")  # it keeps stock qemu-img from going back
    for i in range(4):
        stock("snapshot", "-a", f"s{i}", image)
        clean(image)
