"""Acceptance sentences of the requirements that no other image test shows word for word (IMG-05 to IMG-37)."""
import hashlib
import json
import os
import subprocess

import pytest
from img_tools import OURS, failing, fill, info, needs_stock, ours, run, same, stock

pytestmark = needs_stock

MIB = 1 << 20


def told(*words):
    """Status, output and errors of our program."""
    done = subprocess.run([OURS, *map(str, words)], capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def allocated(path):
    return os.stat(path).st_blocks * 512


def test_runs_of_zeros_become_holes_from_the_size_given_on(tmp_path):
    """IMG-05: 4k by default, 0 allocates all, 64k leaves shorter runs."""
    raw = tmp_path / "raw"
    raw.write_bytes((b"x" * 4096 + bytes(4096) + b"y" * 65536 + bytes(65536)) * 8)
    size, taken = raw.stat().st_size, {}
    for name, words in (("usual", []), ("4k", ["-S", "4k"]), ("64k", ["-S", "64k"]), ("none", ["-S", "0"])):
        ours("convert", "-f", "raw", "-O", "raw", *words, raw, tmp_path / name)
        assert (tmp_path / name).read_bytes() == raw.read_bytes()
        rows = json.loads(stock("map", "-f", "raw", "--output=json", tmp_path / name))
        taken[name] = sum(row["length"] for row in rows if row["data"])
    assert taken["usual"] == taken["4k"] == size - 8 * (4096 + 65536)
    assert taken["64k"] == size - 8 * 65536
    assert taken["none"] == size and allocated(tmp_path / "none") >= size


def holes(path):
    rows = json.loads(stock("map", "-f", "raw", "--output=json", path))
    return [(row["start"], row["length"]) for row in rows if not row["data"]]


def test_runs_of_zeros_are_as_long_as_they_are_wherever_they_stand(tmp_path):
    """IMG-05: what is read at once is a MiB, and a run may reach over its end, or be longer."""
    raw, kib = tmp_path / "raw", 1024
    pieces = [(b"a", 1024 * kib - 32 * kib), (b"\0", 64 * kib), (b"b", 1024 * kib), (b"\0", 2048 * kib), (b"c", 512 * kib),
              (b"\0", 1536 * kib), (b"d", 480 * kib), (b"\0", 12 * kib), (b"e", 4 * kib)]
    raw.write_bytes(b"".join(byte * n for byte, n in pieces))
    runs, at = [], 0
    for byte, n in pieces:
        runs += [(at, n)] if byte == b"\0" else []
        at += n
    for least in (4, 12, 16, 64, 68, 1024, 1536, 2048, 4096):
        ours("convert", "-f", "raw", "-O", "raw", "-S", f"{least}k", raw, tmp_path / "new")
        assert holes(tmp_path / "new") == [run for run in runs if run[1] >= least * kib], least
        assert (tmp_path / "new").read_bytes() == raw.read_bytes()
        # What stands in a target that is kept shows through nowhere.
        (tmp_path / "old").write_bytes(b"z" * raw.stat().st_size)
        ours("convert", "-n", "-f", "raw", "-O", "raw", "-S", f"{least}k", raw, tmp_path / "old")
        assert (tmp_path / "old").read_bytes() == raw.read_bytes()
        assert holes(tmp_path / "old") == [run for run in runs if run[1] >= least * kib], least


def test_compression_is_for_qcow2_and_not_for_raw(tmp_path):
    """IMG-06, CON-14"""
    raw = fill(tmp_path / "raw", 2 * MIB)
    ours("convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "plain")
    ours("convert", "-c", "-f", "raw", "-O", "qcow2", raw, tmp_path / "packed")
    assert (tmp_path / "packed").stat().st_size < (tmp_path / "plain").stat().st_size
    assert told("convert", "-c", "-f", "raw", "-O", "raw", raw, tmp_path / "no")[0] == 1
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("format", ["bochs", "cloop", "dmg", "cow", "qed"])
def test_formats_that_are_only_read_say_so(tmp_path, format):
    """IMG-28, IMG-34, CON-17, CON-18: what cannot be converted back to names the format, and nothing is left."""
    raw = fill(tmp_path / "raw", MIB)
    for words in (["create", "-f", format, tmp_path / "a", "1M"], ["convert", "-f", "raw", "-O", format, raw, tmp_path / "a"]):
        status, _, error = told(*words)
        assert status == 1 and f"Format driver '{format}' does not support image creation" in error, error
    assert os.listdir(tmp_path) == ["raw"]


def test_the_old_ways_to_encrypt_name_the_new_one(tmp_path):
    """IMG-08, IMG-09, CON-15"""
    for options in ("encryption=on", "encrypt.format=aes"):
        assert "encrypt.format=luks" in failing("create", "-f", "qcow2", "-o", options, tmp_path / "a", "1M")
    status, _, error = told("create", "-e", "-f", "qcow2", tmp_path / "a", "1M")
    assert status == 1 and "-e" in error and not (tmp_path / "a").exists()


def test_a_size_is_needed_unless_there_is_a_backing_file_which_stays_as_it_is(tmp_path):
    """IMG-11, IMG-12, IMG-13: raw by default; -b with -F; the base is changed by commit only; vmdk's version 6 by compat6."""
    base, top = tmp_path / "base", tmp_path / "top"
    ours("create", "-q", tmp_path / "plain", "1M")
    assert info(tmp_path / "plain", "qemu-img")["format"] == "raw"
    assert told("create", "-q", "-f", "qcow2", top)[0] == 1
    stock("convert", "-f", "raw", "-O", "qcow2", fill(tmp_path / "raw", 3 * MIB), base)
    before = hashlib.sha256(base.read_bytes()).digest()
    ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
    assert info(top)["virtual-size"] == 3 * MIB and info(top)["backing-filename"] == str(base)
    run("qemu-io", "-f", "qcow2", "-c", "write -P 5 1M 1M", top)
    assert hashlib.sha256(base.read_bytes()).digest() == before
    ours("commit", "-q", "-f", "qcow2", top)
    assert hashlib.sha256(base.read_bytes()).digest() != before
    same(base, top)
    ours("create", "-q", "-f", "vmdk", "-o", "compat6", tmp_path / "six", "1M")
    stock("info", "-f", "vmdk", tmp_path / "six")
    status, _, error = told("create", "-6", "-f", "vmdk", tmp_path / "old", "1M")
    assert status == 1 and "-6" in error


def test_the_disk_size_is_what_the_file_takes_and_snapshots_are_listed(tmp_path):
    """IMG-14"""
    image = tmp_path / "a"
    ours("convert", "-f", "raw", "-O", "qcow2", fill(tmp_path / "raw", 2 * MIB), image)
    ours("snapshot", "-c", "kept", image)
    about = info(image)
    assert about["actual-size"] == allocated(image) and about["virtual-size"] == 2 * MIB
    assert [each["name"] for each in about["snapshots"]] == ["kept"]
    assert "kept" in ours("info", image)


def test_only_images_with_a_backing_file_are_rebased_and_the_format_is_noted(tmp_path):
    """IMG-15, IMG-17, IMG-18, IMG-19"""
    raw = fill(tmp_path / "raw", 2 * MIB)
    base, top = tmp_path / "base", tmp_path / "top"
    assert told("rebase", "-f", "raw", "-b", "", raw)[0] == 1
    ours("convert", "-f", "raw", "-O", "qcow2", raw, base)
    ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
    base.rename(tmp_path / "moved")
    assert told("rebase", "-f", "qcow2", "-b", tmp_path / "moved", "-F", "qcow2", top)[0] == 1  # the old one must be there
    clusters = ours("map", "-f", "raw", "--output=json", top)
    ours("rebase", "-u", "-f", "qcow2", "-b", tmp_path / "moved", "-F", "qcow2", top)
    assert ours("map", "-f", "raw", "--output=json", top) == clusters
    assert info(top, "qemu-img")["backing-filename-format"] == "qcow2"
    stock("compare", "-f", "qcow2", "-F", "raw", top, raw)


@pytest.mark.parametrize("options", ["compat=1.1", "compat=0.10", "extended_l2=on", "cluster_size=2M", "cluster_size=512"])
def test_an_image_that_stood_on_nothing_hides_its_new_backing_file(tmp_path, options):
    """IMG-16: what was zeros stays zeros, also in places that the image has not written."""
    below, top, before = fill(tmp_path / "below", 9 * MIB), tmp_path / "top", tmp_path / "before"
    stock("create", "-q", "-f", "qcow2", "-o", options, top, "8M")
    for act in ("write -P 5 100k 700k", "write -z 2M 100k", "discard 200k 128k", "write -P 6 5M 512"):
        run("qemu-io", "-f", "qcow2", "-c", act, top)
    stock("convert", "-f", "qcow2", "-O", "raw", top, before)
    ours("rebase", "-f", "qcow2", "-b", below, "-F", "raw", top)
    assert info(top, "qemu-img")["backing-filename"] == str(below)
    stock("compare", "-f", "qcow2", "-F", "raw", top, before)
    ours("compare", "-f", "qcow2", "-F", "raw", top, before)
    stock("check", "-q", "-f", "qcow2", top)
    ours("rebase", "-f", "qcow2", "-b", "", top)
    stock("compare", "-f", "qcow2", "-F", "raw", top, before)


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_sizes_are_set_added_and_taken_and_a_loss_of_data_is_warned_of(tmp_path, format):
    """IMG-20, IMG-21, IMG-22, IMG-23, CON-16: qcow2 grows and, as raw does, shrinks only when it is asked for with --shrink."""
    image = tmp_path / "a"
    ours("create", "-q", "-f", format, image, "64M")
    for size, words, result in (("+1G", [], 64 * MIB + (1 << 30)), ("-1G", ["--shrink"], 64 * MIB), ("33554432", ["--shrink"], 32 * MIB),
                                ("1.5k", ["--shrink"], 1536), ("2m", [], 2 * MIB), ("1T", [], 1 << 40)):
        ours("resize", "-q", "-f", format, *words, image, size)
        assert info(image)["virtual-size"] == result, size
    status, _, error = told("resize", "-f", format, image, "1M")
    assert status == 1 and "--shrink" in error and info(image)["virtual-size"] == 1 << 40
    for size in ("1kB", "1KiB", "x"):
        assert told("resize", "-f", format, image, size)[0] == 1


@pytest.mark.parametrize("mode, known", [*((mode, True) for mode in ("none", "writeback", "writethrough", "directsync", "unsafe")),
                                         ("quick", False)])
def test_cache_modes(tmp_path, mode, known):
    """IMG-25: for convert, commit and rebase."""
    raw, base, top = fill(tmp_path / "raw", MIB), tmp_path / "base", tmp_path / "top"
    ours("convert", "-f", "raw", "-O", "qcow2", raw, base)
    ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
    for words in (["convert", "-t", mode, "-f", "raw", "-O", "qcow2", raw, tmp_path / "out"], ["commit", "-t", mode, "-f", "qcow2", top],
                  ["rebase", "-t", mode, "-f", "qcow2", "-b", "", top]):
        status, _, error = told(*words)
        assert status == (0 if known else 1), (words, error)
        assert known or "Invalid cache option" in error


def test_a_guessed_raw_image_is_warned_of(tmp_path):
    """IMG-29: each sample is recognised; who writes to what was guessed to be raw is told of the danger."""
    raw = fill(tmp_path / "raw", MIB)
    for format in ("qcow2", "qcow", "vdi", "vmdk", "vpc", "parallels", "vhdx"):
        stock("convert", "-f", "raw", "-O", format, raw, tmp_path / format)
        assert json.loads(ours("info", "--output=json", tmp_path / format))["format"] == format
    status, _, error = told("resize", raw, "2M")
    assert status == 0 and "Automatically detecting the format is dangerous" in error
    assert "WARNING" not in told("resize", "-f", "raw", raw, "3M")[2]


def test_a_new_raw_image_is_a_hole_without_snapshots(tmp_path):
    """IMG-24, IMG-30, IMG-37: also the floppy's 1440 KiB."""
    ours("create", "-q", "-f", "raw", tmp_path / "a", "1G")
    assert allocated(tmp_path / "a") == 0 and (tmp_path / "a").stat().st_size == 1 << 30
    assert told("snapshot", "-c", "s", tmp_path / "a")[0] == 1
    ours("create", "-q", "-f", "raw", tmp_path / "floppy", "1440K")
    assert (tmp_path / "floppy").stat().st_size == 512 * 2880 == 1474560
