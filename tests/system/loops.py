"""Loop devices of this machine, for what wants a block device."""
import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def loop_device(image, mib, *options):
    """The path of one over a new file; the test is skipped when none is free."""
    with open(image, "wb") as file:
        file.truncate(mib << 20)
    made = subprocess.run(["losetup", "-f", *options, "--show", image], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip("no loop device is free")
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)
