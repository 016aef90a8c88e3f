"""Images of other programs' formats show what stock qemu-img put in them (IMG-27, IMG-32, IMG-35)."""

import json
import random
import re
import resource
import struct
import subprocess

import pytest

from img_makers import bochs, cloop, cow, differencing_vhdx, differencing_vpc, dmg
from img_tools import OURS, failing, fill, info, io, needs_stock, ours, stock, within

pytestmark = needs_stock

FORMATS = [
    ("vdi", []),
    ("vdi", ["-o", "static=on"]),
    ("parallels", []),
    ("qcow", []),
    ("vmdk", []),
    ("vpc", ["-o", "force_size=on"]),
    ("vpc", ["-o", "force_size=on,subformat=fixed"]),
    ("vhdx", []),
    ("qed", []),
    ("qed", ["-o", "cluster_size=4k,table_size=2"]),
]


@pytest.mark.parametrize("format, options", FORMATS)
def test_what_stock_qemu_img_writes_converts_to_raw_and_qcow2(tmp_path, format, options):
    raw = fill(tmp_path / "a.raw", 14 << 20, seed=3)
    image, back, copy = tmp_path / f"a.{format}", tmp_path / "b.raw", tmp_path / "b.qcow2"
    stock("convert", "-f", "raw", "-O", format, *options, raw, image)
    assert json.loads(ours("info", "--output=json", "-f", format, image))["virtual-size"] == 14 << 20
    ours("convert", "-f", format, "-O", "raw", image, back)
    assert back.read_bytes() == raw.read_bytes()
    ours("convert", "-f", format, "-O", "qcow2", image, copy)
    stock("compare", copy, raw)
    ours("compare", "-f", format, "-F", "raw", image, raw)


def test_compressed_clusters_of_qcow_are_read(tmp_path):
    image, back = tmp_path / "a.qcow", tmp_path / "b.raw"
    stock("create", "-q", "-f", "qcow", image, "4M")
    io(image, *[f"write -c -P {i + 1} {i * 12288} 4k" for i in range(50)], "write -P 77 1M 100k", format="qcow")
    ours("convert", "-f", "qcow", "-O", "raw", image, back)
    stock("compare", "-f", "qcow", "-F", "raw", image, back)


WRITTEN = [
    ("raw", ""),
    ("qcow2", ""),
    ("vdi", ""),
    ("vdi", "static=on"),
    ("parallels", ""),
    ("parallels", "cluster_size=64k"),
    ("qcow", ""),
    ("vpc", "force_size=on"),
    ("vpc", "force_size=on,subformat=fixed"),
    ("vhdx", ""),
    ("vhdx", "block_size=1M"),
    ("vhdx", "subformat=fixed"),
    ("vmdk", ""),
    ("vmdk", "zeroed_grain=on,adapter_type=lsilogic"),
    ("vmdk", "subformat=monolithicFlat"),
    ("vmdk", "subformat=twoGbMaxExtentSparse"),
    ("vmdk", "subformat=twoGbMaxExtentFlat"),
]
CHECKED = ("qcow2", "vdi", "parallels", "vmdk", "vhdx")  # stock qemu-img has checks for these


def words(options):
    return ["-o", options] if options else []


def clean(image, format):
    if format in CHECKED:
        stock("check", "-q", "-f", format, image)
    if format != "raw":
        ours("check", "-q", "-f", format, image)


@pytest.mark.parametrize("format, options", WRITTEN)
def test_what_we_make_stock_tools_take_write_and_we_read(tmp_path, format, options):  # IMG-28, IMG-32
    image, raw = tmp_path / "a.img", tmp_path / "a.raw"
    size = "4100M" if "twoGb" in options else "20M"
    ours("create", "-q", "-f", format, *words(options), image, size)
    clean(image, format)
    if "twoGb" in options:
        io(image, "write -P 7 2047M 2M", format=format)
    # Stock QEMU leaks the grain that it makes one of zeros.
    zeros = [] if "zeroed_grain" in options else ["write -z 2M 64k"]
    io(image, "write -P 5 1000 3M", "write -P 9 19M 1M", *zeros, format=format)
    clean(image, format)
    ours("convert", "-f", format, "-O", "raw", image, raw)
    stock("compare", "-f", format, "-F", "raw", image, raw)
    # Stock tells nothing of vhdx, and looks for holes in the file of a static vdi.
    if format != "vhdx" and "static" not in options:
        assert json.loads(ours("map", "-f", format, "--output=json", image)) == json.loads(
            stock("map", "-f", format, "--output=json", image))
    if format in CHECKED:
        theirs = json.loads(stock("check", "-f", format, "--output=json", image))
        mine = json.loads(ours("check", "-f", format, "--output=json", image))
        assert {key: mine.get(key) for key in theirs} == theirs
    theirs = json.loads(stock("info", "-f", format, "--output=json", image))
    mine = json.loads(ours("info", "-f", format, "--output=json", image))
    assert {key: mine.get(key) for key in theirs} == theirs


@pytest.mark.parametrize("format, options", WRITTEN)
def test_what_we_convert_stock_tools_read_the_same(tmp_path, format, options):
    raw, image, again = fill(tmp_path / "a.raw", 14 << 20, seed=5), tmp_path / "a.img", tmp_path / "b.img"
    ours("convert", "-f", "raw", "-O", format, *words(options), raw, image)
    clean(image, format)
    stock("compare", "-f", format, "-F", "raw", image, raw)
    # Written over in place, by us, with other content.
    other = fill(tmp_path / "other.raw", 14 << 20, seed=6)
    ours("convert", "-n", "-f", "raw", "-O", format, other, image)
    clean(image, format)
    stock("compare", "-f", format, "-F", "raw", image, other)
    stock("convert", "-f", "raw", "-O", format, *words(options), raw, again)
    ours("convert", "-n", "-f", "raw", "-O", format, other, again)
    clean(again, format)
    stock("compare", "-f", format, "-F", "raw", again, other)


@pytest.mark.parametrize("format", sorted({kind[0] for kind in WRITTEN}))
def test_options_are_listed_as_stock_lists_them(format):
    names = {line.split("=")[0].strip() for line in ours("create", "-f", format, "-o", "help").splitlines() if "=<" in line}
    theirs = {line.split("=")[0].strip() for line in stock("create", "-f", format, "-o", "help").splitlines() if "=<" in line}
    assert {name for name in theirs if not name.startswith("encrypt")} <= names


@pytest.mark.parametrize("tool", [ours, stock])
def test_a_compressed_vmdk_is_read_alike(tmp_path, tool):
    raw, image, back = fill(tmp_path / "a.raw", 9 << 20, seed=8), tmp_path / "a.vmdk", tmp_path / "b.raw"
    tool("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, image)
    clean(image, "vmdk")
    stock("compare", "-f", "vmdk", "-F", "raw", image, raw)
    ours("convert", "-f", "vmdk", "-O", "raw", image, back)
    assert back.read_bytes() == raw.read_bytes()
    assert image.stat().st_size < raw.stat().st_size
    theirs = json.loads(stock("info", "--output=json", image))["format-specific"]
    assert json.loads(ours("info", "--output=json", image))["format-specific"] == theirs
    assert "cannot be changed" in failing("convert", "-n", "-f", "raw", "-O", "vmdk", raw, image)


@pytest.mark.parametrize("tool", [ours, stock])
def test_an_overlay_in_vmdk_shows_what_is_below_and_notices_a_change(tmp_path, tool):
    raw, base, image, view = fill(tmp_path / "a.raw", 4 << 20), tmp_path / "a.vmdk", tmp_path / "o.vmdk", tmp_path / "view"
    tool("convert", "-f", "raw", "-O", "vmdk", raw, base)
    tool("create", "-q", "-f", "vmdk", "-b", base, "-F", "vmdk", image)
    io(image, "write -P 3 1M 100k", "write -z 2M 10k", format="vmdk")
    ours("convert", "-f", "vmdk", "-O", "raw", image, view)
    stock("compare", "-f", "vmdk", "-F", "raw", image, view)
    assert view.read_bytes()[:1 << 20] == raw.read_bytes()[:1 << 20]
    # What the overlay holds and shows stays when we write it.
    other = fill(tmp_path / "b.raw", 4 << 20, seed=9)
    ours("convert", "-n", "-f", "raw", "-O", "vmdk", other, image)
    stock("compare", "-f", "vmdk", "-F", "raw", image, other)
    ours("convert", "-n", "-f", "raw", "-O", "vmdk", other, base)
    assert "it was written since" in failing("convert", "-f", "vmdk", "-O", "raw", image, view)


def test_a_flat_vmdk_refuses_files_of_strangers(tmp_path):
    image = tmp_path / "a.vmdk"
    ours("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", image, "1M")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-flat.vmdk", "a.vmdk"]
    assert "names another file" in failing("info", "--untrusted", image)
    assert json.loads(ours("describe", "-f", "vmdk", image))["data-files"] == ["a-flat.vmdk"]
    text = image.read_text().replace("FLAT \"a-flat.vmdk\" 0", "ZERO")
    image.write_text(text)
    ours("convert", "-f", "vmdk", "-O", "raw", image, tmp_path / "zeros")
    assert (tmp_path / "zeros").read_bytes() == bytes(1 << 20)


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def leave_log(image):
    """What a power failure leaves: the log says what the table of blocks shall hold, the table does not hold it yet."""
    stock("create", "-q", "-f", "vhdx", image, "64M")
    content = bytearray(image.read_bytes())
    table, log = 2 << 20, 1 << 20
    before = content[table:table + 4096]
    io(image, "write -P 5 3M 9M", "write -P 6 40M 1M", format="vhdx")
    content = bytearray(image.read_bytes())
    entries = [at for at in range(log, table, 4096) if content[at:at + 4] == b"loge"]
    last = max(entries, key=lambda at: struct.unpack_from("<Q", content, at + 16))
    assert content[last + 64:last + 68] == b"desc"
    content[table:table + 4096] = before
    for head in (64 << 10, 128 << 10):
        content[head + 48:head + 64] = content[last + 32:last + 48]
        content[head + 4:head + 8] = bytes(4)
        content[head + 4:head + 8] = struct.pack("<I", crc32c(content[head:head + 4096]))
    image.write_bytes(content)


def test_a_log_left_in_vhdx_is_read_and_replayed(tmp_path):
    image, copy, raw = (tmp_path / name for name in ("a.vhdx", "copy.vhdx", "a.raw"))
    leave_log(image)
    said = subprocess.run(["qemu-img", "map", "-f", "vhdx", str(image)], capture_output=True, text=True)
    assert "contains a log that needs to be replayed" in said.stderr
    copy.write_bytes(image.read_bytes())
    # Read: the file is not touched.
    ours("convert", "-f", "vhdx", "-O", "raw", image, raw)
    assert image.read_bytes() == copy.read_bytes()
    assert raw.read_bytes()[3 << 20:12 << 20] == b"\5" * (9 << 20)
    stock("check", "-q", "-r", "all", "-f", "vhdx", copy)
    stock("compare", "-f", "vhdx", "-F", "raw", copy, raw)
    # Written: the log goes into the file first.
    ours("check", "-q", "-r", "all", "-f", "vhdx", image)
    clean(image, "vhdx")
    stock("compare", "-f", "vhdx", "-F", "raw", image, raw)
    # A log with a hole in it is not half believed.
    leave_log(image)
    broken = bytearray(image.read_bytes())
    for at in range(1 << 20, 2 << 20, 4096):
        if broken[at:at + 4] == b"loge":
            broken[at + 100] ^= 1
    image.write_bytes(broken)
    assert "log at offset 1048576 has no whole sequence" in failing("check", "-f", "vhdx", image)


# What stands where in a header, what a stranger may write there, and how we call it.
HOSTILE = {
    "vdi": [(0x154, "<I", 0xffffff00, "offset_bmap"), (0x170, "<Q", 1 << 62, "disk_size"), (0x178, "<I", 1, "block_size"),
            (0x180, "<I", 0, "blocks_in_image"), (0x180, "<I", 0xffffffff, "blocks_in_image"), (0x4c, "<I", 9, "image_type"),
            (0x44, "<I", 0x30003, "version"), (0x1a8, "<Q", 5, "uuid_link"), (0x40, "<I", 0, "signature")],
    "vpc": [(16, ">Q", 1 << 63, "data_offset"), (512, ">Q", 0, "dynamic header"), (512 + 32, ">I", 3, "block_size"),
            (512 + 28, ">I", 0, "max_table_entries"), (512 + 16, ">Q", 1 << 63, "table_offset"), (60, ">I", 9, "disk_type"),
            (48, ">Q", 1 << 62, "current_size")],
    "vmdk": [(4, "<I", 7, "version"), (12, "<Q", 1 << 60, "capacity"), (20, "<Q", 3, "granularity"),
             (28, "<Q", 1 << 60, "descriptor offset"), (36, "<Q", 1 << 40, "descriptor size"),
             (44, "<I", 0, "num_gtes_per_gt"), (56, "<Q", 1 << 60, "gd_offset"), (77, "<H", 2, "compressAlgorithm")],
    "vhdx": [(0, "<Q", 0, "magic"), (192 << 10, "<Q", 0, "region table")],
    "parallels": [(28, "<I", 0, "tracks"), (28, "<I", 1 << 31, "tracks"), (32, "<I", 0, "bat_entries"),
                  (36, "<Q", 1 << 62, "nb_sectors"), (16, "<I", 3, "magic")],
    "qcow": [(32, ">B", 40, "cluster_bits"), (33, ">B", 60, "l2_bits"), (36, ">I", 7, "crypt_method"),
             (24, ">Q", 1 << 62, "table of blocks"), (40, ">Q", 1 << 63, "table of blocks"),
             (16, ">I", 1 << 30, "backing file name"), (56, ">Q", 1 << 63, "L1 entry")],
    "qed": [(4, "<I", 5, "cluster_size"), (8, "<I", 0, "table_size"), (16, "<Q", 1 << 40, "features"),
            (40, "<Q", 1 << 63, "l1_table_offset"), (48, "<Q", 1 << 61, "l1_table_offset")],
}


@pytest.mark.parametrize("format", HOSTILE)
def test_what_is_wrong_in_a_header_is_named_in_little_time_and_memory(tmp_path, format):
    image, bad = tmp_path / "a", tmp_path / "bad"
    options = {"vpc": ["-o", "force_size=on"], "qcow": ["-u", "-b", "/nowhere", "-F", "raw"]}.get(format, [])
    stock("create", "-q", "-f", format, *options, image, "8M")
    content = image.read_bytes()
    for at, how, value, field in HOSTILE[format]:
        broken = bytearray(content)
        struct.pack_into(how, broken, at, value)
        if format == "vhdx":
            struct.pack_into(how, broken, at + (64 << 10 if at else 0), value)
        bad.write_bytes(broken)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([OURS, "info", "-f", format, bad], capture_output=True, text=True,
                              **within(320))
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 1 and re.search(f"{field} at offset [0-9]+ ", done.stderr), (field, value, done)
        assert spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.mark.parametrize("format", HOSTILE)
def test_any_bytes_in_a_header_cost_little(tmp_path, format):
    dice, image, bad = random.Random(format), tmp_path / "a", tmp_path / "bad"
    stock("create", "-q", "-f", format, image, "8M")
    content, places = image.read_bytes(), [at for at, *_ in HOSTILE[format]] + [dice.randrange(600) for _ in range(8)]
    for at in places:
        broken = bytearray(content)
        struct.pack_into("<Q", broken, at, dice.choice((0xffffffffffffffff, 0x7fffffffffffffff, dice.getrandbits(64))))
        bad.write_bytes(broken)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([OURS, "info", "--untrusted", "-f", format, bad], capture_output=True, text=True,
                              **within(320))
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode in (0, 1), (at, done)
        assert spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime < 1


def test_sizes_of_vpc_are_those_of_stock(tmp_path):
    for size in ("1M", "100M", "3G", "130G"):
        ours("create", "-q", "-f", "vpc", tmp_path / "a", size)
        stock("create", "-q", "-f", "vpc", tmp_path / "b", size)
        assert info(tmp_path / "a")["virtual-size"] == info(tmp_path / "b")["virtual-size"]


def test_an_overlay_in_qcow_shows_what_is_below(tmp_path):
    base, image, view = fill(tmp_path / "base.raw", 4 << 20), tmp_path / "o.qcow", tmp_path / "view.raw"
    ours("create", "-q", "-f", "qcow", "-b", base, "-F", "raw", image)
    io(image, "write -P 3 1M 100k", format="qcow")
    ours("convert", "-f", "qcow", "-O", "raw", image, view)
    stock("compare", "-f", "qcow", "-F", "raw", image, view)
    assert view.read_bytes()[:1 << 20] == base.read_bytes()[:1 << 20]


def test_compressed_qcow_is_read_by_stock(tmp_path):
    raw, image = fill(tmp_path / "a.raw", 4 << 20), tmp_path / "a.qcow"
    ours("convert", "-c", "-f", "raw", "-O", "qcow", raw, image)
    clean(image, "qcow")
    stock("compare", "-f", "qcow", "-F", "raw", image, raw)
    assert image.stat().st_size < raw.stat().st_size


@pytest.mark.parametrize("format", ["bochs", "cloop", "dmg", "cow", "qed"])
def test_what_is_read_only_here_says_so(tmp_path, format):
    assert "does not support image creation" in failing("create", "-q", "-f", format, tmp_path / "a", "1M")


def test_a_cloop_image_is_read_and_a_cut_table_refused(tmp_path):
    raw = fill(tmp_path / "a.raw", 4 << 20)
    image, back = tmp_path / "a.cloop", tmp_path / "b.raw"
    cloop(image, raw.read_bytes())
    stock("compare", "-f", "cloop", "-F", "raw", image, raw)
    ours("convert", "-f", "cloop", "-O", "raw", image, back)
    assert back.read_bytes() == raw.read_bytes()
    image.write_bytes(image.read_bytes()[:300])
    assert "ends at offset 300" in failing("convert", "-f", "cloop", "-O", "raw", image, back)


def test_an_overlay_in_qed_is_read(tmp_path):
    base, image, view = fill(tmp_path / "base.raw", 4 << 20), tmp_path / "o.qed", tmp_path / "view.raw"
    stock("create", "-q", "-f", "qed", "-b", base, "-F", "raw", image, "5M")
    io(image, "write -P 3 1M 100k", "write -z 2M 128k", format="qed")
    ours("convert", "-f", "qed", "-O", "raw", image, view)
    stock("compare", "-f", "qed", "-F", "raw", image, view)


def test_a_bochs_image_is_read_as_stock_reads_it(tmp_path):
    raw, image, back = fill(tmp_path / "a.raw", 3 << 20), tmp_path / "a.bochs", tmp_path / "b.raw"
    bochs(image, raw.read_bytes())
    stock("compare", "-f", "bochs", "-F", "raw", image, raw)
    ours("convert", "-f", "bochs", "-O", "raw", image, back)
    assert back.read_bytes() == raw.read_bytes()


def test_a_cow_image_shows_what_is_below(tmp_path):  # IMG-34
    base, image, back = fill(tmp_path / "base.raw", 1 << 20), tmp_path / "a.cow", tmp_path / "b.raw"
    expected = cow(image, base, (0, 1, 7, 8, 1000, 2047))
    ours("convert", "-f", "cow", "-O", "raw", image, back)
    assert back.read_bytes() == expected
    assert info(image)["format"] == "cow"


@pytest.mark.parametrize("xml", [True, False])
def test_a_dmg_image_is_read_and_what_is_packed_otherwise_named(tmp_path, xml):
    raw, image, back = fill(tmp_path / "a.raw", 2 << 20), tmp_path / "a.dmg", tmp_path / "b.raw"
    dmg(image, raw.read_bytes(), xml)
    ours("convert", "-f", "dmg", "-O", "raw", image, back)
    assert back.read_bytes() == raw.read_bytes()
    dmg(image, raw.read_bytes(), xml, 0x80000005)
    stock("compare", "-f", "dmg", "-F", "raw", image, raw)
    dmg(image, raw.read_bytes(), xml, 0x80000007)
    assert "compressed with LZFSE" in failing("convert", "-f", "dmg", "-O", "raw", image, back)


def test_a_differencing_vpc_image_shows_its_sectors_and_the_others_of_its_parent(tmp_path):
    raw, base, image, back = fill(tmp_path / "a.raw", 5 << 20), tmp_path / "base.vhd", tmp_path / "a.vhd", tmp_path / "b.raw"
    stock("convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", raw, base)
    sectors = (0, 1, 9, 4095, 4096, 9000)
    differencing_vpc(image, base, "base.vhd", sectors)
    expected = bytearray(raw.read_bytes())
    for sector in sectors:
        expected[sector * 512:sector * 512 + 512] = bytes([sector % 251 + 1]) * 512
    said = json.loads(ours("info", "-f", "vpc", "--output=json", image))
    assert said["backing-filename"] == "./base.vhd" and said["backing-filename-format"] == "vpc"
    ours("convert", "-f", "vpc", "-O", "raw", image, back)
    assert back.read_bytes() == expected
    ours("check", "-q", "-f", "vpc", image)
    # Written: the blocks get the sectors of the parent that they lacked.
    before = base.read_bytes()
    for at, n, byte in ((3000, 5000, 7), (4 << 20, 1000, 8)):
        expected[at:at + n] = bytes([byte]) * n
    (tmp_path / "other").write_bytes(expected)
    ours("convert", "-n", "-f", "raw", "-O", "vpc", tmp_path / "other", image)
    ours("check", "-q", "-f", "vpc", image)
    ours("convert", "-f", "vpc", "-O", "raw", image, back)
    assert back.read_bytes() == expected and base.read_bytes() == before


def test_a_differencing_vhdx_image_shows_its_sectors_and_the_others_of_its_parent(tmp_path):
    """IMG-27; no stock tool here reads such an image."""
    mib, size = 1 << 20, 7 << 20
    raw, base, image, back = fill(tmp_path / "a.raw", size), tmp_path / "base.vhdx", tmp_path / "a.vhdx", tmp_path / "b.raw"
    stock("convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", raw, base)
    sectors = (0, 1, 9, 2047, 2048, 5000, 5001, 5002)
    differencing_vhdx(image, base, "base.vhdx", sectors, whole=[3], zero=[4], undefined=[5])
    expected = bytearray(raw.read_bytes())
    for sector in sectors:
        expected[sector * 512:sector * 512 + 512] = bytes([sector % 251 + 1]) * 512
    expected[3 * mib:4 * mib], expected[4 * mib:6 * mib] = b"w" * mib, bytes(2 * mib)
    said = json.loads(ours("info", "-f", "vhdx", "--output=json", image))
    assert said["backing-filename"] == "./base.vhdx" and said["backing-filename-format"] == "vhdx"
    ours("convert", "-f", "vhdx", "-O", "raw", image, back)
    assert back.read_bytes() == expected
    rows = json.loads(ours("map", "-f", "vhdx", "--output=json", image))
    assert rows[0]["start"] == 0 and rows[0]["length"] == 1024 and rows[0]["depth"] == 0 and rows[1]["depth"] == 1
    ours("check", "-q", "-f", "vhdx", image)
    assert "base.vhdx" in failing("convert", "--untrusted", "-f", "vhdx", "-O", "raw", image, back)
    assert "is only read" in failing("convert", "-n", "-f", "raw", "-O", "vhdx", raw, image)
    # A parent that was written since has another id.
    io(base, "write 0 512", format="vhdx")
    assert "was made on top of another image" in failing("convert", "-f", "vhdx", "-O", "raw", image, back)
    # What is wrong is named.
    for at, value, word in ((8 * 4096, bytes(8), "no bitmap of its sectors"), (0, struct.pack("<Q", 1 << 62 | 7), "block entry")):
        differencing_vhdx(image, base, "base.vhdx", sectors)
        data = bytearray(image.read_bytes())
        table = data.index(struct.pack("<16s", bytes.fromhex("6677c22d23f600429d64115e9bfd4a08")), 192 << 10)
        table = struct.unpack_from("<Q", data, table + 16)[0]
        data[table + at:table + at + 8] = value
        image.write_bytes(data)
        assert word in failing("convert", "-f", "vhdx", "-O", "raw", image, back)


def test_an_overlay_in_vpc_is_made_written_and_committed(tmp_path):
    raw, other = fill(tmp_path / "a.raw", 5 << 20), fill(tmp_path / "b.raw", 5 << 20, seed=4)
    base, image, back = tmp_path / "sub" / "base.vhd", tmp_path / "a.vhd", tmp_path / "back"
    base.parent.mkdir()
    ours("convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", raw, base)
    before = base.read_bytes()
    ours("create", "-q", "-f", "vpc", "-b", "sub/base.vhd", "-F", "vpc", image)
    assert info(image)["backing-filename"] == "sub/base.vhd" and info(image)["virtual-size"] == 5 << 20
    ours("compare", "-f", "vpc", "-F", "raw", image, raw)
    assert image.stat().st_size < 8192
    ours("convert", "-n", "-f", "raw", "-O", "vpc", other, image)
    ours("check", "-q", "-f", "vpc", image)
    ours("compare", "-f", "vpc", "-F", "raw", image, other)
    assert base.read_bytes() == before
    ours("commit", "-q", "-f", "vpc", image)
    stock("compare", "-f", "vpc", "-F", "raw", base, other)
    ours("compare", "-f", "vpc", "-F", "raw", image, other)
    # Another image under the same name is not the one it was made on.
    base.unlink()
    ours("convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", raw, base)
    assert "made on top of another image" in failing("convert", "-f", "vpc", "-O", "raw", image, back)
    assert "as long as the one it lies on" in failing("create", "-q", "-f", "vpc", "-b", base, "-F", "vpc", image, "9M")
    assert "Must be vpc" in failing("create", "-q", "-f", "vpc", "-b", raw, "-F", "raw", image)
