#!/usr/bin/python3
"""drover-img and stock qemu-img on the same files in the same run.

    bench.py [--size MIB] [--rounds N] [--only WORD] [--dir DIR] [--full]

Makes a disk with an ext4 holding real files (/usr), then runs each figure with both programs in turn and prints
the median wall time, CPU time and peak memory of each, and the ratios. The cache is warm: each figure runs
once unmeasured. qemu-img converts with its own settings or with -m 16 -W, whichever was faster unmeasured. --full is the
disk of the published table: 4 GiB with 2.5 GiB of files.
"""

import argparse
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP))

from lab import native  # noqa: E402  (the path comes first)

OURS = os.environ.get("DROVER_IMG", str(TOP / "build" / "drover-img"))
STOCK = "qemu-img"
MEASURE = native.compiled(pathlib.Path(__file__).with_name("measure.c"))
FORMATS = ("vdi", "vpc", "vhdx", "parallels", "vmdk", "qcow")
HOSTILE = ("qcow2", *FORMATS, "luks")
HOSTILE_IMAGES = 60


def make_disk(path, size_mib, data_mib):
    """A raw disk of size_mib with an ext4 that holds about data_mib of files from /usr."""
    with tempfile.TemporaryDirectory(dir=path.parent) as tree:
        taken = 0
        for top, _, names in os.walk("/usr"):
            for name in sorted(names):
                file = os.path.join(top, name)
                if os.path.islink(file) or not os.path.isfile(file):
                    continue
                # Small files would only use up the inodes.
                if os.path.getsize(file) < 16384 or taken + os.path.getsize(file) > data_mib << 20:
                    continue
                taken += os.path.getsize(file)
                shutil.copyfile(file, os.path.join(tree, f"{taken}"))
        with open(path, "wb") as out:
            out.truncate(size_mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, str(path)], check=True)
    return taken


def measure(command, prepare=lambda: None, may_fail=False):
    """Wall seconds, CPU seconds and peak KiB of one run. measure.c starts it: what this process has in memory would count."""
    prepare()
    done = subprocess.run([MEASURE, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if may_fail else None, text=True,
                          check=True)
    wall, cpu, peak, status = map(float, done.stdout.split())
    if status and not (may_fail and os.WIFEXITED(int(status))):
        sys.exit(f"failed: {' '.join(command)}")
    return wall, cpu, peak


def middle(results):
    return [statistics.median(column) for column in zip(*results)]


class Bench:
    def __init__(self, rounds, only):
        self.rounds, self.only = rounds, only
        print(f"{'figure':34}{'qemu-img s':>11}{'cpu':>7}{'MiB':>6}{'drover-img s':>14}{'cpu':>7}{'MiB':>6}"
              f"{'wall':>7}{'cpu':>6}{'mem':>6}  size")

    def wants(self, name):
        return not self.only or any(word in name for word in self.only.split(","))

    def pair(self, name, ours, stock, prepare=lambda: None, outputs=None, program=STOCK):
        """Run both in turn; ours and stock are argument lists, outputs the files whose sizes are compared."""
        if not self.wants(name):
            return
        if program == STOCK and stock[0] == "convert":
            fast = ["convert", "-m", "16", "-W", *stock[1:]]
            stock = min((stock, fast), key=lambda words: measure([STOCK, *map(str, words)], prepare)[0])
        results, blocks = {True: [], False: []}, {}
        for turn in range(self.rounds + 1):
            # Who goes first changes, so that neither always finds what the other left behind.
            for mine in (turn % 2 == 0, turn % 2 == 1):
                command = [OURS, *map(str, ours)] if mine else [program, *map(str, stock)]
                result = measure(command, prepare)
                if outputs:
                    blocks[mine] = os.stat(outputs[mine]).st_blocks
                if turn:
                    results[mine].append(result)
        (a, a_cpu, a_mem), (b, b_cpu, b_mem) = middle(results[False]), middle(results[True])
        size = f"{blocks[True] / blocks[False]:.3f}" if outputs else ""
        print(f"{name:34}{a:11.3f}{a_cpu:7.2f}{a_mem / 1024:6.0f}{b:14.3f}{b_cpu:7.2f}{b_mem / 1024:6.0f}"
              f"{b / a:7.2f}{b_cpu / max(a_cpu, 1e-3):6.2f}{b_mem / a_mem:6.2f}  {size}", flush=True)


def copies(bench, d):
    raw, q = d / "disk.raw", d / "disk.qcow2"
    a, b = d / "stock.out", d / "ours.out"

    def gone():
        a.unlink(missing_ok=True)
        b.unlink(missing_ok=True)

    def convert(name, source, source_format, target, *options, best=()):
        # Both write a new file: what an old one costs differs, as ours stands until the new one is whole.
        bench.pair(name, ["convert", "-f", source_format, "-O", target, *options, *best, source, b],
                   ["convert", "-f", source_format, "-O", target, *options, source, a], gone,
                   (a, b))
        gone()

    convert("convert raw -> qcow2", raw, "raw", "qcow2")
    convert("convert qcow2 -> raw", q, "qcow2", "raw")
    convert("convert qcow2 -> qcow2", q, "qcow2", "qcow2")
    # The floor of a copy: what coreutils need for the same files (no zeros to be looked for in the sparse source).
    bench.pair("raw -> qcow2 against cp", ["convert", "-f", "raw", "-O", "qcow2", raw, b], ["--sparse=always", raw, a],
               gone, (a, b), "cp")
    bench.pair("qcow2 -> raw against cp", ["convert", "-f", "qcow2", "-O", "raw", q, b], ["--sparse=always", raw, a],
               gone, (a, b), "cp")
    bench.pair("qcow2 -> qcow2 against cp", ["convert", "-f", "qcow2", "-O", "qcow2", q, b], ["--sparse=always", q, a],
               gone, (a, b), "cp")
    gone()
    convert("convert -c zlib", raw, "raw", "qcow2", "-c")
    convert("convert -c zlib, best", raw, "raw", "qcow2", "-c", best=["--compress-best"])
    convert("convert -c zstd", raw, "raw", "qcow2", "-c", "-o", "compression_type=zstd")
    for kind in FORMATS:
        convert(f"convert raw -> {kind}", raw, "raw", kind)
        image = d / f"disk.{kind}"
        if bench.wants(f"convert {kind} -> raw"):
            subprocess.run([STOCK, "convert", "-O", kind, raw, image], check=True)
            convert(f"convert {kind} -> raw", image, kind, "raw")
            image.unlink()
    encrypted(bench, d, gone)
    for kind in ("zlib", "zstd"):
        packed = d / f"{kind}.qcow2"
        if not bench.wants(f"compressed qcow2 -> raw, {kind}"):
            continue
        subprocess.run([STOCK, "convert", "-c", "-m", "16", "-W", "-O", "qcow2", "-o", f"compression_type={kind}", raw,
                        packed], check=True)
        convert(f"compressed qcow2 -> raw, {kind}", packed, "qcow2", "raw")
        packed.unlink()
    bench.pair("compare raw, qcow2", ["compare", "-f", "raw", "-F", "qcow2", raw, q],
               ["compare", "-f", "raw", "-F", "qcow2", raw, q])
    bench.pair("dd", ["dd", "-f", "raw", "-O", "raw", "bs=1M", f"if={raw}", f"of={b}"],
               ["dd", "-f", "raw", "-O", "raw", "bs=1M", f"if={raw}", f"of={a}"], gone)
    gone()


def encrypted(bench, d, gone):
    """Raw to LUKS and back. We make the containers: where ticks are coarse qemu-img fails to time its key."""
    raw, image = d / "disk.raw", d / "disk.luks"
    secret = ["--object", "secret,id=s,data=bench"]
    luks = f"driver=luks,key-secret=s,file.filename={image}"

    def empty():
        image.unlink(missing_ok=True)
        subprocess.run([OURS, "create", "-q", *secret, "-f", "luks", "-o", "key-secret=s,iter-time=10", image,
                        str(raw.stat().st_size)], check=True)

    fill = ["convert", *secret, "-n", "-f", "raw", "--target-image-opts", raw, luks]
    bench.pair("convert raw -> luks", fill, fill, empty)
    if bench.wants("convert luks -> raw"):
        empty()
        subprocess.run([OURS, *fill], check=True)
        drain = [*secret, "-O", "raw", "--image-opts", luks]
        bench.pair("convert luks -> raw", ["convert", *drain, d / "ours.out"],
                   ["convert", *drain, d / "stock.out"], gone)
    image.unlink(missing_ok=True)
    gone()


def changes(bench, d):
    q, overlay = d / "disk.qcow2", d / "overlay.qcow2"
    base = d / "base.qcow2"
    mib = (d / "disk.raw").stat().st_size >> 22

    def on_base():
        overlay.unlink(missing_ok=True)
        subprocess.run([STOCK, "create", "-q", "-f", "qcow2", "-b", q, "-F", "qcow2", overlay], check=True)

    def to_commit():
        shutil.copyfile(q, base)
        subprocess.run([STOCK, "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay], check=True)
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P 7 0 {mib}M", overlay], check=True,
                       stdout=subprocess.DEVNULL)

    bench.pair("rebase to none", ["rebase", "-t", "unsafe", "-b", "", overlay], ["rebase", "-t", "unsafe", "-b", "", overlay],
               on_base)
    bench.pair(f"commit of {mib} MiB", ["commit", "-t", "unsafe", overlay], ["commit", "-t", "unsafe", overlay], to_commit)
    overlay.unlink(missing_ok=True)
    base.unlink(missing_ok=True)


def small(bench, d):
    q, big = d / "disk.qcow2", d / "big.qcow2"
    bench.pair("create 1 TiB, metadata", ["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", big, "1T"],
               ["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", big, "1T"],
               lambda: big.unlink(missing_ok=True))
    if big.exists():
        bench.pair("check of it", ["check", big], ["check", big])
        big.unlink()
    bench.pair("info", ["info", q], ["info", q])

    def snapshots(wanted):
        def prepare():
            subprocess.run([STOCK, "snapshot", "-d", "s", q], stderr=subprocess.DEVNULL)
            if wanted:
                subprocess.run([STOCK, "snapshot", "-c", "s", q], check=True)
        return prepare

    for letter in "cad":
        bench.pair(f"snapshot -{letter}", ["snapshot", f"-{letter}", "s", q], ["snapshot", f"-{letter}", "s", q],
                   snapshots(letter != "c"))
    snapshots(False)()
    bench.pair("resize", ["resize", "-q", q, "+1M"], ["resize", "-q", q, "+1M"])
    holes = d / "holes.qcow2"
    subprocess.run([STOCK, "create", "-q", "-f", "qcow2", holes, "8G"], check=True)
    commands = "".join(f"write -q {i * 131072} 4k\n" for i in range(40000))
    subprocess.run(["qemu-io", "-t", "unsafe", "-f", "qcow2", holes], input=commands, text=True, check=True,
                   stdout=subprocess.DEVNULL)
    bench.pair("map of 40k fragments", ["map", "--output=json", holes], ["map", "--output=json", holes])
    holes.unlink()
    # Neighbouring requests are far apart, and all of the disk is come to, as by dice: both programs wrap around at its end.
    far = str(int((d / "disk.raw").stat().st_size * 0.381966) // 4096 * 4096 + 4096)
    for how, step in (("in steps", "1052672"), ("far apart", far)):
        for name, options in (("reads", []), ("writes", ["-w", "-t", "writeback"])):
            words = ["bench", "-f", "qcow2", "-c", "60000", "-S", step, *options, q]
            bench.pair(f"4 KiB {name} {how}", words, words)


def hostile(bench, d):
    """The most that `info` takes over images with changed headers and tables: ours and, where it knows the format, stock."""
    dice = random.Random(1)
    for kind in HOSTILE:
        if not bench.wants(f"info of hostile {kind}"):
            continue
        image, most = d / f"hostile.{kind}", {True: [0, 0, 0], False: [0, 0, 0]}
        secret = ["--object", "secret,id=s,data=bench", "-o", "key-secret=s,iter-time=10"] if kind == "luks" else []
        subprocess.run([OURS, "create", "-q", *secret, "-f", kind, image, "64M"], check=True)
        good = image.read_bytes()
        places = [at for at, byte in enumerate(good[:4 << 20]) if byte]
        for _ in range(HOSTILE_IMAGES):
            bad = bytearray(good)
            for _ in range(dice.randrange(1, 5)):
                at, n = dice.choice(places), dice.choice((1, 2, 4, 8))
                bad[at:at + n] = dice.choice((b"\xff" * n, b"\x7f" + b"\xff" * (n - 1), dice.randbytes(n)))
            image.write_bytes(bad)
            for mine in (True, False):
                found = measure([OURS if mine else STOCK, "info", "-f", kind, str(image)], may_fail=True)
                most[mine] = [max(pair) for pair in zip(most[mine], found)]
        image.unlink()
        (a, a_cpu, a_mem), (b, b_cpu, b_mem) = most[False], most[True]
        print(f"{f'info of hostile {kind}, most':34}{a:11.3f}{a_cpu:7.3f}{a_mem / 1024:6.0f}{b:14.3f}{b_cpu:7.3f}{b_mem / 1024:6.0f}",
              flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--dir", default=str(TOP / "build"))
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    size = 4096 if args.full else args.size
    with tempfile.TemporaryDirectory(prefix="bench-img-", dir=args.dir) as name:
        d = pathlib.Path(name)
        taken = make_disk(d / "disk.raw", size, size * 5 // 8)
        subprocess.run([STOCK, "convert", "-f", "raw", "-O", "qcow2", d / "disk.raw", d / "disk.qcow2"], check=True)
        print(f"a disk of {size} MiB with {taken >> 20} MiB of files; {os.cpu_count()} cores; medians of {args.rounds}")
        bench = Bench(args.rounds, args.only)
        copies(bench, d)
        changes(bench, d)
        small(bench, d)
        hostile(bench, d)


if __name__ == "__main__":
    main()
