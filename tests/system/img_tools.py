"""What the image tests share: our program and stock qemu-img on the same files."""

import json
import os
import random
import resource
import shutil
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OURS = os.environ.get("DROVER_IMG", os.path.join(TOP, "build", "drover-img"))
STOCK = "qemu-img"

needs_stock = pytest.mark.skipif(not shutil.which(STOCK) or not shutil.which("qemu-io"), reason="qemu-utils is missing")


def run(program, *args, code=0):
    """Run, check the exit status, return what came out on stdout."""
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{program} {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def is_sanitized(program):
    with open(program, "rb") as file:
        return b"__asan_init" in file.read()


def within(mib, seconds=None):
    """How a child that is limited is started: in memory, and in processor time, which is no longer on a busy machine.

    ASan reserves address space without end, so a program built with it is held to its limits of what is used instead.
    """
    def limit():
        if seconds:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        if not sanitized:
            resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))
    sanitized = is_sanitized(OURS)
    options = f"{os.environ.get('ASAN_OPTIONS', '')}:max_allocation_size_mb={mib}:hard_rss_limit_mb={mib}:exitcode=99"
    return {"preexec_fn": limit, "env": {**os.environ, **({"ASAN_OPTIONS": options} if sanitized else {})}}


def ours(*args, code=0):
    return run(OURS, *args, code=code)


def stock(*args, code=0):
    return run(STOCK, *args, code=code)


def failing(*args):
    """Our program fails with status 1; its sentence."""
    done = subprocess.run([OURS, *map(str, args)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done
    return done.stderr


def io(image, *commands, format="qcow2"):
    words = [word for command in commands for word in ("-c", command)]
    out = run("qemu-io", "-f", format, *words, image)
    assert "failed" not in out, out


def same(a, b):
    stock("compare", a, b)
    ours("compare", a, b)


def clean(image):
    """Both programs find nothing wrong."""
    stock("check", "-q", image)
    ours("check", "-q", image)


def info(image, program=OURS):
    return json.loads(run(program, "info", "-U", "--output=json", image))


def fill(path, size, seed=1):
    """A raw file with data that compresses, data that does not, and holes."""
    dice = random.Random(seed)
    with open(path, "wb") as out:
        out.truncate(size)
        at = 0
        while at < size:
            n = min(size - at, dice.randrange(512, 400000))
            out.seek(at)
            kind = dice.randrange(3)
            if kind == 0:
                out.write(dice.randbytes(n))
            elif kind == 1:
                out.write((b"%08d text that repeats itself\n" % at * (n // 20 + 1))[:n])
            at += n
    return path
