"""Every kind of image that is read converts to every kind that is written, and shows the same (IMG-03, IMG-27, IMG-28)."""

import pytest

import img_makers
from img_tools import OURS, fill, needs_stock, ours, run, stock

pytestmark = needs_stock

SIZE = 1 << 20
SECRET = ["--object", "secret,id=s,data=x"]
LOCKED = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"

# What is written: its name, format and options.
TARGETS = {
    "raw": ("raw", ""),
    "v3": ("qcow2", ""),
    "v2": ("qcow2", "compat=0.10,cluster_size=4k"),
    "subclusters": ("qcow2", "extended_l2=on,cluster_size=32k"),
    "tiny": ("qcow2", "cluster_size=512,refcount_bits=1"),
    "full": ("qcow2", "preallocation=full"),
    "packed": ("qcow2", "compression_type=zstd"),
    "locked": ("qcow2", LOCKED),
    "luks": ("luks", "key-secret=s,iter-time=10"),
    "qcow": ("qcow", ""),
    "vdi": ("vdi", ""),
    "static": ("vdi", "static=on"),
    "vmdk": ("vmdk", ""),
    "flat": ("vmdk", "subformat=monolithicFlat"),
    "split": ("vmdk", "subformat=twoGbMaxExtentSparse"),
    "splitflat": ("vmdk", "subformat=twoGbMaxExtentFlat"),
    "stream": ("vmdk", "subformat=streamOptimized"),
    "vpc": ("vpc", "force_size=on"),
    "fixed": ("vpc", "force_size=on,subformat=fixed"),
    "vhdx": ("vhdx", ""),
    "vhdxfixed": ("vhdx", "subformat=fixed"),
    "parallels": ("parallels", ""),
}
COMPRESSED = ("packed", "qcow")
# One of each format.
PLAIN = ("raw", "v3", "luks", "qcow", "vdi", "vmdk", "vpc", "vhdx", "parallels")
# What is only read, and what lies on top of something.
SOURCES = [*TARGETS, "data", "overlay", "shown", "qed", "cow", "bochs", "cloop", "dmg", "dmgbzip2", "differencing", "fat"]


def opened(name, path):
    """How an image is named on the command line."""
    if name in ("locked", "luks"):
        format, key = ("qcow2", "encrypt.") if name == "locked" else ("luks", "")
        return [*SECRET, "--image-opts"], f"driver={format},file.filename={path},{key}key-secret=s"
    if name == "fat":
        return [], f"fat:floppy:{path}"
    format = TARGETS[name][0] if name in TARGETS else {
        "data": "qcow2", "overlay": "qcow2", "shown": "qcow2", "dmgbzip2": "dmg", "differencing": "vpc"}.get(name, name)
    return ["-f", format, *(["-l", "kept"] if name == "shown" else [])], str(path)


def convert(source, target, name):
    format, options = TARGETS[name]
    words, argument = source
    secret = SECRET if "key-secret" in options and words[:2] != SECRET else []
    ours("convert", *words, *secret, *(["-c"] if name in COMPRESSED else []), "-O", format,
         *(["-o", options] if options else []), argument, target)


def make(name, place, raw):
    """An image of this kind that shows what raw holds."""
    image = place / name
    if name in TARGETS:
        convert((["-f", "raw"], raw), image, name)
    elif name == "data":
        ours("convert", "-f", "raw", "-O", "qcow2", "-o", f"data_file={place}/beside", raw, image)
    elif name == "overlay":
        other = fill(place / "other", SIZE, seed=9)
        ours("convert", "-f", "raw", "-O", "qcow2", other, place / "base")
        ours("create", "-q", "-f", "qcow2", "-b", place / "base", "-F", "qcow2", image)
        ours("convert", "-n", "-f", "raw", "-O", "qcow2", raw, image)
    elif name == "shown":
        ours("convert", "-f", "raw", "-O", "qcow2", raw, image)
        ours("snapshot", "-c", "kept", image)
        run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 700k", image)
    elif name == "qed":
        stock("convert", "-f", "raw", "-O", "qed", raw, image)
    elif name == "differencing":
        stock("convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", raw, place / "parent.vhd")
        img_makers.differencing_vpc(image, place / "parent.vhd", "parent.vhd", ())
    elif name == "cow":
        img_makers.cow(image, raw, ())
    elif name in ("dmg", "dmgbzip2"):
        img_makers.dmg(image, raw.read_bytes(), True, 0x80000005 if name == "dmg" else 0x80000006)
    elif name == "fat":
        image.mkdir()
        (image / "file").write_bytes(raw.read_bytes()[:300000])
    else:
        getattr(img_makers, name)(image, raw.read_bytes())
    return opened(name, image)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("matrix") / "raw", SIZE, seed=7)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_converts_to_every_target(tmp_path, raw, name):
    source = make(name, tmp_path, raw)
    if name == "fat":  # what it shows is known only once it was read
        convert(source, tmp_path / "whole", "raw")
        raw = tmp_path / "whole"
    # Another kind of a format that was a source already is read no otherwise for another kind of target.
    for target in PLAIN if name in TARGETS and name not in PLAIN else TARGETS:
        copy = tmp_path / f"copy-{target}"
        convert(source, copy, target)
        words, argument = opened(target, copy)
        if words[:2] == SECRET:
            run(OURS, "compare", *words, argument, f"driver=raw,file.filename={raw}")
        else:
            stock("compare", "-q", *words, "-F", "raw", argument, raw)
