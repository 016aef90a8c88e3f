"""Images of other programs' formats show what stock qemu-img put in them (IMG-27, IMG-32, IMG-35)."""

import json
import struct
import zlib

import pytest

from img_tools import failing, fill, io, needs_stock, ours, stock

pytestmark = needs_stock

FORMATS = [
    ("vdi", []),
    ("vdi", ["-o", "static=on"]),
    ("parallels", []),
    ("qcow", []),
    ("vmdk", []),
    ("vpc", ["-o", "force_size=on"]),
    ("vpc", ["-o", "force_size=on,subformat=fixed"]),
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


@pytest.mark.parametrize("format", ["vdi", "parallels", "vmdk", "vpc", "bochs", "cloop", "dmg"])
def test_what_is_read_only_here_says_so(tmp_path, format):
    assert "does not support image creation" in failing("create", "-q", "-f", format, tmp_path / "a", "1M")


def cloop(path, content, block=65536):
    head = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n".ljust(128, b"\0")
    blocks = [zlib.compress(content[at:at + block], 9) for at in range(0, len(content), block)]
    at = 136 + 8 * (len(blocks) + 1)
    offsets = [at]
    for packed in blocks:
        at += len(packed)
        offsets.append(at)
    path.write_bytes(head + struct.pack(">II", block, len(blocks)) + b"".join(struct.pack(">Q", o) for o in offsets)
                     + b"".join(blocks))


def test_a_cloop_image_is_read_and_a_cut_table_refused(tmp_path):
    raw = fill(tmp_path / "a.raw", 4 << 20)
    image, back = tmp_path / "a.cloop", tmp_path / "b.raw"
    cloop(image, raw.read_bytes())
    stock("compare", "-f", "cloop", "-F", "raw", image, raw)
    ours("convert", "-f", "cloop", "-O", "raw", image, back)
    assert back.read_bytes() == raw.read_bytes()
    image.write_bytes(image.read_bytes()[:300])
    assert "ends at offset 300" in failing("convert", "-f", "cloop", "-O", "raw", image, back)
