"""Dirty bitmaps in both directions between drover-img, qemu-img, qemu-io and a QEMU (IMG-38)."""

import json
import os
import random
import select
import socket
import subprocess
import tempfile

import pytest

from img_tools import clean, failing, io, needs_stock, ours, stock

pytestmark = needs_stock

MIB = 1 << 20


def bitmaps(image):
    """What both programs say of them."""
    mine, theirs = (ours("info", "-U", image), stock("info", "-U", image))
    assert mine == theirs
    data = json.loads(ours("info", "-U", "--output=json", image))["format-specific"]["data"]
    assert data == json.loads(stock("info", "-U", "--output=json", image))["format-specific"]["data"]
    return {bitmap["name"]: bitmap for bitmap in data.get("bitmaps", [])}


def in_qemu(image):
    """A QEMU opens the image: its bitmaps, with the bytes each counts as written."""
    ours_end, theirs = socket.socketpair()
    with subprocess.Popen(["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none",
                           "-chardev", f"socket,id=q,fd={theirs.fileno()}", "-mon", "q,mode=control",
                           "-blockdev", f"qcow2,node-name=d,file.driver=file,file.filename={image}"],
                          pass_fds=[theirs.fileno()]) as qemu, ours_end.makefile("rw") as talk:
        theirs.close()
        talk.readline()

        def do(command, **arguments):
            talk.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            talk.flush()
            while "event" in (answer := json.loads(talk.readline())):
                pass
            return answer["return"]

        do("qmp_capabilities")
        node = [node for node in do("query-named-block-nodes") if node["node-name"] == "d"][0]
        do("quit")
        qemu.wait(120)
    return {bitmap["name"]: bitmap for bitmap in node.get("dirty-bitmaps", [])}


def dirty(tmp_path, image, name):
    """The ranges a bitmap has, as qemu-nbd exports them."""
    place = tempfile.mkdtemp(dir=tmp_path)
    path, pid = os.path.join(place, "s"), os.path.join(place, "pid")
    subprocess.run(["qemu-nbd", "-r", "-f", "qcow2", "-B", name, "-k", path, "--fork", "--pid-file", pid, image], check=True,
                   timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(pid, encoding="ascii") as f:
        server = os.pidfd_open(int(f.read()))
    try:
        parts = json.loads(stock("map", "--output=json", "--image-opts", f"driver=nbd,server.type=unix,"
                                 f"server.path={path},x-dirty-bitmap=qemu:dirty-bitmap:{name}"))
        # it leaves when its only client has left
        assert select.select([server], [], [], 120)[0]
    finally:
        os.close(server)
    return [(part["start"], part["length"]) for part in parts if not part["data"]]


def test_bitmaps_we_add_are_kept_by_stock(tmp_path):
    image = tmp_path / "a"
    ours("create", "-q", "-f", "qcow2", image, "20M")
    ours("bitmap", "--add", image, "one")
    ours("bitmap", "--add", "--disable", "-g", "512", image, "two")
    ours("bitmap", "--add", "-g", "1M", image, "three")
    clean(image)
    assert {name: (b["granularity"], b["flags"]) for name, b in bitmaps(image).items()} == {
        "one": (65536, ["auto"]), "two": (512, []), "three": (1 << 20, ["auto"])}
    io(image, "write 70000 10", "write 5M 1M")
    clean(image)
    assert dirty(tmp_path, image, "one") == [(65536, 65536), (5 * MIB, MIB)]
    assert dirty(tmp_path, image, "three") == [(0, MIB), (5 * MIB, MIB)]
    assert dirty(tmp_path, image, "two") == []
    ours("bitmap", "--enable", "--merge", "one", image, "two")
    ours("bitmap", "--clear", image, "one")
    ours("bitmap", "--remove", image, "three")
    clean(image)
    assert dirty(tmp_path, image, "two") == [(65536, 65536), (5 * MIB, MIB)]
    assert dirty(tmp_path, image, "one") == []
    found = in_qemu(image)
    assert {name: (b["count"], b["recording"], b["persistent"]) for name, b in found.items()} == {
        "one": (0, True, True), "two": (65536 + MIB, True, True)}
    clean(image)


def test_what_we_write_is_recorded(tmp_path):
    """Resize, rebase and commit change an image: its bitmaps follow, as with stock."""
    base, image, twin = tmp_path / "base", tmp_path / "a", tmp_path / "b"
    ours("create", "-q", "-f", "qcow2", base, "10M")
    stock("bitmap", "--add", "-g", "64k", base, "kept")
    ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", image)
    stock("bitmap", "--add", image, "own")
    io(image, "write 3M 1M")
    ours("commit", image)
    assert dirty(tmp_path, base, "kept") == dirty(tmp_path, image, "own") == [(3 * MIB, MIB)]
    clean(base)
    stock("create", "-q", "-f", "qcow2", twin, "10M")
    stock("bitmap", "--add", twin, "own")
    io(twin, "write 3M 1M")
    for run, path in ((ours, image), (stock, twin)):
        run("resize", "-q", path, "12M")
        run("resize", "-q", "--shrink", path, "4000k")
        run("snapshot", "-c", "s", path)
        run("snapshot", "-a", "s", path, code=1)
        clean(path)
        assert dirty(tmp_path, path, "own") == [(3 * MIB, 4000 * 1024 - 3 * MIB)]
    assert "active dirty bitmaps" in failing("snapshot", "-a", "s", image)


def test_a_bitmap_whose_writer_died_can_only_be_removed(tmp_path):
    image = tmp_path / "a"
    ours("create", "-q", "-f", "qcow2", image, "1M")
    stock("bitmap", "--add", image, "b")
    with subprocess.Popen(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "flush", "-c", "abort", image],
                          stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as dying:
        dying.wait(120)
    assert bitmaps(image)["b"]["flags"] == ["in-use", "auto"]
    for act in ("--enable", "--disable", "--clear", "--merge=b"):
        assert "inconsistent" in failing("bitmap", act, image, "b")
        stock("bitmap", act, image, "b", code=1)
    assert "inconsistent" in failing("convert", "--bitmaps", "-O", "qcow2", image, tmp_path / "b")
    ours("convert", "--bitmaps", "--skip-broken-bitmaps", "-O", "qcow2", image, tmp_path / "b")
    assert bitmaps(tmp_path / "b") == {}
    ours("bitmap", "--remove", image, "b")
    assert bitmaps(image) == {}
    clean(image)


def test_convert_and_measure_take_bitmaps_along(tmp_path):
    image, mine, theirs = tmp_path / "a", tmp_path / "m", tmp_path / "t"
    stock("create", "-q", "-f", "qcow2", image, "100M")
    for name, options in (("one", []), ("two", ["--disable"]), ("fine", ["-g", "4k"])):
        stock("bitmap", "--add", *options, image, name)
    io(image, "write 1M 1M", "write 50M 100k", "write -z 60M 10M")
    stock("bitmap", "--merge", "one", image, "two")
    assert json.loads(ours("measure", "--output=json", "-O", "qcow2", image)) == json.loads(
        stock("measure", "--output=json", "-O", "qcow2", image))
    assert ours("measure", "-O", "qcow2", image) == stock("measure", "-O", "qcow2", image)
    ours("convert", "--bitmaps", "-O", "qcow2", "-o", "cluster_size=4k", image, mine)
    stock("convert", "--bitmaps", "-O", "qcow2", image, theirs)
    clean(mine)
    assert bitmaps(mine) == bitmaps(theirs)
    for name in ("one", "two", "fine"):
        assert dirty(tmp_path, mine, name) == dirty(tmp_path, theirs, name)
    for run in (ours, stock):
        run("convert", "--bitmaps", "-O", "raw", image, tmp_path / "r", code=1)
        run("convert", "--skip-broken-bitmaps", "-O", "qcow2", image, tmp_path / "r", code=1)


def test_merges_between_images_and_granularities(tmp_path):
    dice = random.Random(6)
    a, b = tmp_path / "a", tmp_path / "b"
    for path, granularity in ((a, "512"), (b, "2M")):
        ours("create", "-q", "-f", "qcow2", "-o", f"cluster_size={dice.choice(['4k', '64k'])}", path, "30M")
        ours("bitmap", "--add", "-g", granularity, path, "x")
    io(a, *[f"write {dice.randrange(0, 29 * 2048) * 512} {dice.randrange(1, 300) * 512}" for _ in range(20)])
    for run, name in ((ours, "mine"), (stock, "theirs")):
        for path in (a, b):
            run("bitmap", "--add", "--disable", "-g", "16k", path, name)
            run("bitmap", "--merge", "x", "-b", a, "-F", "qcow2", path, name) if path == b else run(
                "bitmap", "--merge", "x", path, name)
    for path in (a, b):
        clean(path)
        assert dirty(tmp_path, path, "mine") == dirty(tmp_path, path, "theirs") != []


@pytest.mark.parametrize("arguments", [["--add", "-g", "1000"], ["--add", "-g", "256"], ["--add", "-g", "4G"], ["--remove"],
                                       ["--merge", "gone"], [], ["-g", "4k", "--clear"], ["--clear", "-F", "raw"],
                                       ["--clear", "-b", "x"], ["--add", "--add"]])
def test_what_cannot_be_done_is_refused_by_both(tmp_path, arguments):
    image = tmp_path / "a"
    ours("create", "-q", "-f", "qcow2", image, "1M")
    for run in (ours, stock):
        run("bitmap", *arguments, image, "b", code=1)
    ours("create", "-q", "-f", "qcow2", "-o", "compat=0.10", image, "1M")
    ours("create", "-q", image.with_suffix(".raw"), "1M")
    for run in (ours, stock):
        run("bitmap", "--add", image, "b", code=1)
        run("bitmap", "--add", "-f", "raw", image.with_suffix(".raw"), "b", code=1)
