"""What /proc and directories hold while others change them: processes end, files go, and what is gone is left out."""
import os
import pathlib


def read(path):
    """The bytes of a file; none where it is gone."""
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def files(top):
    """All files below a directory, of which any may go meanwhile: unlike glob(), os.walk() passes over what is gone."""
    return [pathlib.Path(path, name) for path, _, names in os.walk(top) for name in sorted(names)]


def parent(pid):
    """The PID of its parent; None where it is gone."""
    said = read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    return int(said[1]) if said else None


def commands():
    """{PID: the words of its command line} of all processes."""
    return {int(path.parent.name): read(path).split(b"\0") for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")}


def threads(pid):
    """{directory: name} of each thread."""
    return {task: read(task / "comm").decode().strip() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}


def descriptors(pid):
    """{entry: what it is} of each open descriptor."""
    found = {}
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[entry] = os.readlink(entry)
        except OSError:
            continue
    return found
