"""Where things are: the source tree, and what the lab builds and keeps.

Everything the lab makes lies under build/lab (or $DROVER_LAB_DIR), never in the source tree; removing that directory
costs only the time to make it again. `locked` lets several labs build side by side.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LAB = TOP / "lab"
BUILD = Path(os.environ.get("DROVER_LAB_DIR", TOP / "build" / "lab")).resolve()
PATIENCE_S = 120  # what a busy machine may make anything wait
PROGRAMS = Path(os.environ.get("DROVER_BUILD_DIR", TOP / "build")).resolve()


class LabError(Exception):
    """Something the lab cannot do, said in a sentence for the person in front of it."""


@contextlib.contextmanager
def locked(name):
    """Only one process at a time builds the thing of this name."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / f".{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(*inputs):
    """A short name for the contents of files and strings: what is built is kept under it."""
    total = hashlib.sha256()
    for item in inputs:
        total.update(item.read_bytes() if isinstance(item, Path) else str(item).encode())
        total.update(b"\0")
    return total.hexdigest()[:16]


def run(argv, **options):
    """Run a tool; its own words are the error."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise LabError(f"{argv[0]} failed ({done.returncode}): {(done.stderr or done.stdout).strip()}")
    return done.stdout


def replace(path, data):
    """Put a file in place in one step, so nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data if isinstance(data, bytes) else data.encode())
    temporary.replace(path)
    return path
