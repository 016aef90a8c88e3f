"""drover-img is killed with -9 at each change it makes to a file, just before it and in the middle of it (see kill-write.c),
and the power fails at any time while it commits (IMG-04).

Whatever it was at, every image is clean or only leaks to both programs, a guest sees what it saw before or what it was to see,
what was begun can be done again, and what leaks can be given back.
"""

import hashlib
import json
import os
import random
import shutil
import struct
import subprocess

import pytest

from img_tools import OURS, STOCK, TOP, fill, needs_stock

pytestmark = needs_stock

SIZE = 768 << 10
SECTOR = 512
PRELOAD = os.path.join(os.path.dirname(OURS), "tests", "system", "kill-write.so")
CLEAN_OR_LEAKING = (0, 3)
FEWEST_POINTS = 3


class Place:
    """A directory with images that name each other by relative names, so that all of it can be put back as it was."""

    def __init__(self, path):
        self.path, self.good, self.control = path / "now", path / "good", path / "control"
        self.path.mkdir()

    def run(self, program, *words, codes=(0,), **more):
        done = subprocess.run([program, *map(str, words)], cwd=self.path, capture_output=True, text=True, timeout=300, **more)
        assert done.returncode in codes, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.returncode

    def keep(self):
        shutil.copytree(self.path, self.good)

    def reset(self):
        shutil.rmtree(self.path)
        shutil.copytree(self.good, self.path)

    def watched(self, words, at=0, torn=0, codes=(0,), log=None):
        """Run and die at change `at`; how many changes there were."""
        self.control.write_bytes(struct.pack("QQQ", at, torn, 0))
        environment = {**os.environ, "LD_PRELOAD": PRELOAD, "KILL_WRITE_FILE": str(self.control),
                       "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"}
        if log:
            log.write_bytes(b"")
            environment["KILL_WRITE_LOG"] = str(log)
        self.run(OURS, *words, codes=codes, env=environment)
        return struct.unpack("QQQ", self.control.read_bytes())[2]

    def view(self, name, format="qcow2"):
        """What a guest sees in an image."""
        self.run(STOCK, "convert", "-f", format, "-O", "raw", name, "view")
        seen = (self.path / "view").read_bytes()
        (self.path / "view").unlink()
        return seen

    def bitmaps(self):
        """The flags of each."""
        said = subprocess.run([STOCK, "info", "--output=json", "image"], cwd=self.path, check=True, capture_output=True)
        about = json.loads(said.stdout)["format-specific"]["data"]
        return {bitmap["name"]: bitmap["flags"] for bitmap in about.get("bitmaps", [])}

    def state(self):
        """To know what was looked at already."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(self.path.iterdir()))).digest()

    def check(self, formats):
        for name, format in formats.items():
            self.run(OURS, "check", "-q", "-f", format, name, codes=CLEAN_OR_LEAKING)
            if format == "qcow2":
                self.run(STOCK, "check", "-q", "-f", format, name, codes=CLEAN_OR_LEAKING)

    def mend(self, formats):
        """What leaks is given back, and both programs find nothing any more."""
        for name, format in formats.items():
            self.run(OURS, "check", "-q", "-r", "leaks", "-f", format, name)
            self.run(STOCK, "check", "-q", "-f", format, name)


def qcow2(place, name, seed, *options):
    raw = fill(place.path / "raw", SIZE, seed)
    place.run(STOCK, "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", *options, "raw", name)
    raw.unlink()


def overlay(place, name, base, format, size=SIZE):
    """New data, zeros and nothing, in turn."""
    place.run(STOCK, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", base, "-F", format, name, size)
    words = [word for at in range(0, SIZE, 96 << 10)
             for word in ("-c", f"write -P {at >> 14 | 1} {at} 20k", "-c", f"write -z {at + (32 << 10)} 8k",
                          "-c", f"write -P 5 {at + (50 << 10) + 512} 1k")]
    place.run("qemu-io", "-f", "qcow2", *words, name)


def one(place):
    qcow2(place, "image", 1)


def with_snapshot(place):
    one(place)
    place.run(STOCK, "snapshot", "-c", "s", "image")
    place.run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 100k", "-c", "write -z 300k 40k", "-c", "discard 500k 60k", "image")


def with_bitmaps(place):
    one(place)
    for name, at in (("a", 0), ("b", 400)):
        place.run(STOCK, "bitmap", "--add", "-g", "4k", "image", name)
        place.run("qemu-io", "-f", "qcow2", "-c", f"write -P 7 {at}k 50k", "image")


def on_two_bases(place):
    qcow2(place, "old", 2)
    qcow2(place, "new", 3)
    overlay(place, "image", "old", "qcow2")


def shorter_than_its_base(place):
    """What the base has behind the end must not come to light."""
    qcow2(place, "base", 2)
    place.run("qemu-io", "-f", "qcow2", "-c", "write -P 6 300k 400k", "base")
    place.run(STOCK, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", "base", "-F", "qcow2", "image", "301k")


def with_data_file(place):
    """Over a base, and most of it comes from there."""
    qcow2(place, "base", 2)
    place.run(STOCK, "create", "-q", "-f", "qcow2", "-o", "data_file=data", "-b", "base", "-F", "qcow2", "image", SIZE)
    place.run("qemu-io", "-f", "qcow2", "-c", "write -P 6 10k 5k", "-c", "write -z 200k 300k", "image")


def damaged(place):
    """Clusters that nobody uses are counted: by a table whose entries are gone."""
    one(place)
    with open(place.path / "image", "r+b") as file:
        file.seek(40)
        file.seek(struct.unpack(">Q", file.read(8))[0])
        table = struct.unpack(">Q", file.read(8))[0] & 0x00fffffffffffe00
        file.seek(table)
        file.write(bytes(8 * 20))


ACTS = {
    "rebase -b new -F qcow2 image": (on_two_bases, True),
    "rebase -b '' image": (on_two_bases, True),
    "resize image 5M": (one, True),
    "resize --shrink image 300k": (one, True),
    "resize image 700k": (shorter_than_its_base, True),
    "resize image 1500k": (with_data_file, True),
    "rebase -b '' -t none image": (with_data_file, True),
    "snapshot -c t image": (one, False),
    "snapshot -a s image": (with_snapshot, True),
    "snapshot -d s image": (with_snapshot, False),
    "amend -o compat=0.10 image": (one, True),
    "amend -o refcount_bits=8 image": (with_snapshot, True),
    "rebase -u -b new -F qcow2 image": (on_two_bases, True),
    "bitmap --add image c": (with_bitmaps, False),
    "bitmap --merge b image a": (with_bitmaps, True),
    "bitmap --clear image a": (with_bitmaps, True),
    "bitmap --remove image a": (with_bitmaps, False),
    "check -q -r all image": (damaged, True),
}


def sweep(place, words, look):
    """Call look() on everything that a kill can leave; how many different states that were."""
    place.reset()
    total, seen = place.watched(words), set()
    assert total
    for at in range(1, total + 1):
        for torn in (0, 1):
            place.reset()
            place.watched(words, at, torn, codes=(-9,))
            state = place.state()
            if state not in seen:
                seen.add(state)
                look()
    return len(seen)


@pytest.mark.parametrize("command", ACTS)
def test_a_change_that_is_killed_has_happened_or_has_not(tmp_path, command):
    make, can_be_repeated = ACTS[command]
    place, words = Place(tmp_path), ["" if word == "''" else word for word in command.split()]
    make(place)
    place.keep()
    before = place.view("image")
    place.run(OURS, *words)
    after = place.view("image")

    def look():
        if make is not damaged:
            place.check({"image": "qcow2"})
        seen = place.view("image")
        assert seen in (before, after) or (len(after) < len(before) and seen[:len(after)] == after)
        if can_be_repeated:
            place.run(OURS, *words)
            assert place.view("image") == after
        if make is with_bitmaps:
            there = place.bitmaps()
            assert "b" in there and "in-use" not in [flag for flags in there.values() for flag in flags]
            for name in there:
                place.run(OURS, "bitmap", "--remove", "image", name)
        place.mend({"image": "qcow2"})

    assert sweep(place, words, look)


def base_of(format, *options):
    def make(place):
        qcow2(place, "base", 4)
        if format != "qcow2":
            place.run(STOCK, "convert", "-f", "qcow2", "-O", format, *options, "base", "other")
            (place.path / "other").rename(place.path / "base")
        overlay(place, "over", "base", format)
        return "commit over", "over", {"base": format}
    return make


def larger_than_its_base(place):
    qcow2(place, "base", 4)
    overlay(place, "over", "base", "qcow2", 5 << 20)
    place.run("qemu-io", "-f", "qcow2", "-c", "write -P 3 3M 20k", "over")
    return "commit over", "over", {"base": "qcow2"}


def base_with_snapshot(place):
    qcow2(place, "base", 4, "-c")
    place.run(STOCK, "snapshot", "-c", "s", "base")
    overlay(place, "over", "base", "qcow2")
    return "commit over", "over", {"base": "qcow2"}


def over_another(place):
    qcow2(place, "base", 4)
    overlay(place, "middle", "base", "qcow2")
    place.run(STOCK, "create", "-q", "-f", "qcow2", "-b", "middle", "-F", "qcow2", "over")
    place.run("qemu-io", "-f", "qcow2", "-c", "write -P 8 10k 90k", "over")
    return "commit -b base over", "over", {"base": "qcow2"}


def into_one_that_grows_over_another(place):
    """What the lowest has behind the base's end is not to be seen through the base when that is as large."""
    qcow2(place, "bottom", 4)
    place.run("qemu-io", "-f", "qcow2", "-c", "write -P 6 300k 400k", "bottom")
    place.run(STOCK, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", "bottom", "-F", "qcow2", "base", "301k")
    place.run(STOCK, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", "base", "-F", "qcow2", "over", SIZE)
    place.run("qemu-io", "-f", "qcow2", "-c", "write -P 8 10k 9k", "-c", "write -P 8 500k 5k", "over")
    return "commit over", "over", {"base": "qcow2"}


COMMITS = {"qcow2": base_of("qcow2"), "raw": base_of("raw"), "vdi": base_of("vdi"), "vhdx": base_of("vhdx"),
           "parallels": base_of("parallels"), "larger": larger_than_its_base, "grows": into_one_that_grows_over_another,
           "snapshot": base_with_snapshot,
           "chain": over_another}


def to_commit(place, kind):
    """Words, a function that looks at what is left, and at last the images as they were."""
    command, top, bases = COMMITS[kind](place)
    words = command.split()
    shown = place.view(top)
    formats = {name: format for name, format in {**bases, top: "qcow2"}.items() if format != "raw"}
    (name, format), = bases.items()

    def look():
        place.check(formats)
        assert place.view(top) == shown
        place.run(OURS, *words)
        assert place.view(name, format)[:len(shown)] == shown and place.view(top) == shown
        place.mend(formats)

    place.keep()
    return words, look


@pytest.mark.parametrize("kind", COMMITS)
def test_a_commit_that_is_killed_loses_nothing_and_can_be_done_again(tmp_path, kind):
    place = Place(tmp_path)
    words, look = to_commit(place, kind)
    assert sweep(place, words, look) >= FEWEST_POINTS


class Disk:
    """The files after a power failure: what was flushed, and any part of what was not."""

    def __init__(self, place, log):
        self.files = {path.stat().st_ino: (path.name, bytearray(path.read_bytes())) for path in place.path.iterdir()}
        self.records, data, at = [], log, 0
        while at < len(data):
            act, inode, offset, length = struct.unpack_from("QQQQ", data, at)
            at += 32
            content = data[at:at + length] if chr(act) == "w" else b""
            at += len(content)
            self.records.append((chr(act), inode, offset, length, content))

    def flushes(self):
        return [at for at, record in enumerate(self.records) if record[0] == "f"]

    @staticmethod
    def change(file, record, dice):
        act, _, offset, length, content = record
        if act == "t":
            file[offset:] = bytes(max(0, offset - len(file)))
            return
        if act == "g" and len(file) < offset + length:
            file.extend(bytes(offset + length - len(file)))
        if act in "zg":
            end = min(len(file), offset + length)
            file[offset:end] = bytes(max(0, end - offset))
            return
        torn = dice and dice.random() < 0.3
        for at in range(0, length, SECTOR):
            if torn and dice.random() < 0.5:
                continue
            piece = content[at:at + SECTOR]
            file.extend(bytes(max(0, offset + at + len(piece) - len(file))))
            file[offset + at:offset + at + len(piece)] = piece

    def fail(self, place, until, dice):
        """The power fails somewhere before record `until`."""
        files = {inode: bytearray(content) for inode, (_, content) in self.files.items()}
        flushed = {record[1]: at for at, record in enumerate(self.records[:until]) if record[0] == "f"}
        share = dice.random()
        for at, record in enumerate(self.records[:until]):
            if record[0] == "f":
                continue
            if at < flushed.get(record[1], -1):
                self.change(files[record[1]], record, None)
            elif dice.random() < share:
                self.change(files[record[1]], record, dice)
        for inode, (name, _) in self.files.items():
            (place.path / name).write_bytes(files[inode])


@pytest.mark.parametrize("kind", ["qcow2", "raw", "larger", "snapshot"])
def test_a_power_failure_in_a_commit_loses_nothing(tmp_path, kind):
    """Nothing goes from the overlay before it is on the disk in its base."""
    place, log, dice = Place(tmp_path), tmp_path / "log", random.Random(kind)
    words, look = to_commit(place, kind)
    before = {path.name: path.read_bytes() for path in place.path.iterdir()}
    place.watched(words, log=log)
    after = {path.name: path.stat().st_ino for path in place.path.iterdir()}
    for name, content in before.items():
        (place.path / name).write_bytes(content)
        assert (place.path / name).stat().st_ino == after[name]
    disk, seen = Disk(place, log.read_bytes()), set()
    assert len(disk.flushes()) >= FEWEST_POINTS
    for until in [*disk.flushes(), len(disk.records)]:
        for _ in range(6):
            disk.fail(place, until, dice)
            state = place.state()
            if state not in seen:
                seen.add(state)
                look()
    assert len(seen) > FEWEST_POINTS
