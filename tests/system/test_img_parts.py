"""A part of a file as a disk, and names that are options (json:...), in headers too: as stock qemu-img has them (IMG-38, IMG-39)."""

import json
import subprocess

import pytest

from img_tools import OURS, STOCK, failing, fill, io, needs_stock, ours, run, same, stock

pytestmark = needs_stock

MIB = 1 << 20


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def part(offset, size=None, driver="raw", path="holder"):
    bounds = [f"offset={offset}", *([f"size={size}"] if size is not None else [])]
    if driver == "raw":
        return ",".join([f"driver=raw,file.filename={path}", *bounds])
    return ",".join([f"driver={driver},file.driver=raw,file.file.driver=file,file.file.filename={path}",
                     *(f"file.{each}" for each in bounds)])


def part_name(offset, size=None, driver="raw", path="holder", **more):
    raw = {"driver": "raw", "offset": offset, **({} if size is None else {"size": size}),
           "file": {"driver": "file", "filename": path}}
    return "json:" + json.dumps({**(raw if driver == "raw" else {"driver": driver, "file": raw}), **more})


def alike(*words):
    """Both programs print the same; what that is."""
    mine, theirs = run(OURS, *words), run(STOCK, *words)
    assert mine == theirs
    return mine


def test_a_part_of_a_file_is_read_and_written_as_a_disk(here):
    holder = fill(here / "holder", 4 * MIB)
    data = holder.read_bytes()
    ours("convert", "--image-opts", "-O", "raw", part(64 << 10, MIB), "out")
    assert (here / "out").read_bytes() == data[64 << 10:][:MIB]
    ours("convert", "-O", "raw", part_name(1000), "out")
    assert (here / "out").read_bytes() == (data[1000:] + bytes(512))[:(len(data) - 1000 + 511) // 512 * 512]
    alike("compare", "--image-opts", part(64 << 10, MIB), part(64 << 10, MIB))
    new = fill(here / "new", MIB, 7).read_bytes()
    for program in (OURS, STOCK):
        holder.write_bytes(data)
        run(program, "convert", "-n", "-f", "raw", "--target-image-opts", "new", part(MIB, MIB))
        assert holder.read_bytes() == data[:MIB] + new + data[2 * MIB:]
    assert "smaller" in failing("convert", "-n", "-f", "raw", "--target-image-opts", "new", part(MIB, MIB - 512))
    assert "fixed-size" in failing("resize", "--image-opts", part(MIB, MIB), "2M")
    assert holder.read_bytes() == data[:MIB] + new + data[2 * MIB:]
    ours("resize", "--image-opts", part(MIB), "5M")
    assert holder.stat().st_size == 6 * MIB
    alike("map", "--output=json", "--image-opts", part(MIB))
    alike("map", "--image-opts", part(MIB))


def test_an_image_of_any_format_stands_in_a_part_of_a_file(here):
    raw = fill(here / "raw", MIB)
    stock("convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "raw", "a.qcow2")
    inner = (here / "a.qcow2").read_bytes()
    room = len(inner) + 65536 + 511 & ~511
    (here / "holder").write_bytes(b"x" * 65536 + inner + bytes(room - len(inner)) + b"y" * 65536)
    options = part(65536, room, "qcow2")
    alike("map", "--output=json", "--image-opts", options)
    ours("check", "-q", "--image-opts", options)
    ours("compare", part_name(65536, room, "qcow2"), "raw")
    ours("snapshot", "-c", "s", "--image-opts", options)
    stock("check", "-q", "--image-opts", options)
    # No more than the part has room for: what does not fit is an error, and nothing behind it changes.
    done = subprocess.run([OURS, "bench", "-w", "-c", "100", "--pattern=9", "-S", "8k", "-s", "4k", "--image-opts", options],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr, done
    holder = (here / "holder").read_bytes()
    assert holder[:65536] == b"x" * 65536 and holder[65536 + room:] == b"y" * 65536
    for program in (OURS, STOCK):
        assert subprocess.run([program, "check", "-q", "--image-opts", options]).returncode in (0, 3)
    stock("convert", "-l", "s", "-O", "raw", part_name(65536, room, "qcow2"), "view")
    same("view", raw)


def test_a_file_that_ends_in_the_middle_of_a_sector_has_all_of_it(here):
    odd = fill(here / "raw", MIB).read_bytes()[:123457]
    whole, left = odd + bytes(447), []
    for program in (OURS, STOCK):
        (here / "odd").write_bytes(odd)
        for format in ("raw", "qcow2"):
            run(program, "convert", "-f", "raw", "-O", format, "odd", "out")
            run(program, "convert", "-f", format, "-O", "raw", "out", "back")
            assert (here / "back").read_bytes() == whole
        run(program, "create", "-q", "-f", "qcow2", "-b", "odd", "-F", "raw", "over")
        alike("map", "--output=json", "over")
        io("over", "write -P 7 120k 1000")
        run(program, "commit", "-q", "over")
        left.append((here / "odd").read_bytes())
    assert left[0].ljust(123904, b"\0") == left[1].ljust(123904, b"\0") == whole[:122880] + b"\7" * 1000 + whole[123880:]


def test_a_header_may_name_what_is_below_by_options(here):
    fill(here / "raw", MIB)
    fill(here / "holder", 4 * MIB, 3)
    stock("convert", "-f", "raw", "-O", "qcow2", "raw", "base.qcow2")
    stock("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "middle.qcow2")
    io("middle.qcow2", "write -P 5 100k 64k")
    names = {
        "raw": part_name(65536, MIB),
        "qcow2": "json:" + json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": str(here / "middle.qcow2")}}),
    }
    for format, name in names.items():
        for program in (OURS, STOCK):
            run(program, "create", "-q", "-f", "qcow2", "-b", name, "-F", format, "over")
            io("over", "write -P 6 0 64k")
            for words in (["info"], ["info", "--output=json"], ["info", "--backing-chain"], ["info", "--backing-chain", "--output=json"],
                          ["map", "--output=json"], ["map"], ["measure", "-O", "qcow2"]):
                alike(*words, "over")
            run(STOCK, "convert", "-O", "raw", "over", "view")
            same("over", "view")
            ours("convert", "-O", "raw", "over", "mine")
            assert (here / "mine").read_bytes() == (here / "view").read_bytes()
            assert "is not trusted" in failing("convert", "--untrusted", "-O", "raw", "over", "mine")
            run(program, "commit", "-q", "over")
            same("over", "view")
            ours("convert", "-O", "raw", name, "below")
            assert (here / "below").read_bytes() == (here / "view").read_bytes()
            ours("rebase", "-b", "raw", "-F", "raw", "over")
            same("over", "view")
            ours("rebase", "-b", name, "-F", format, "over")
            same("over", "view")
            alike("info", "over")


def test_names_that_lead_back_or_nowhere_are_refused(here):
    def overlay(name, below):
        stock("create", "-q", "-u", "-f", "qcow2", "-b", below, "-F", "qcow2", name, "1M")

    def node(path, **more):
        return "json:" + json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": path}, **more})

    overlay("a", node("b"))
    overlay("b", node("a"))
    assert "loop" in failing("convert", "-O", "raw", "a", "out")
    ours("info", "a")
    stock("create", "-q", "-f", "qcow2", "c", "1M")
    for below, said in ((node("gone"), "gone"), ("json:{", "JSON"), (node("c", nonsense=1), "nonsense"),
                        (node("c", **{"key-secret": "none"}), "none")):
        overlay("a", below)
        assert said in failing("map", "a"), below
    assert not (here / "out").exists()
