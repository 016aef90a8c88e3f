"""drover-img serve and Linux's own NBD client, in the lab machine, whose kernel has one (IMG-33)."""
import os

import pytest
from img_tools import OURS, fill, needs_stock, stock

from lab.machine import Machine

pytestmark = [needs_stock, pytest.mark.skipif(os.geteuid() != 0, reason="the lab machine needs root")]

MIB = 1 << 20
SERVE = (f"{OURS} serve -f qcow2 --fork --persistent --shared 0 --socket /run/nbd --pid-file /run/nbd.pid /run/image 2> /run/said; "
         "status=$?; cat /run/said; exit $status")


@pytest.mark.limit(300)
def test_the_kernels_client_reads_writes_discards_and_reconnects(tmp_path):
    raw, results = fill(tmp_path / "raw", 6 * MIB), tmp_path / "results"  # the machine's disks: it has a /tmp of its own
    results.write_bytes(bytes(24 * MIB))
    expected = bytearray(raw.read_bytes())
    expected[2 * MIB:3 * MIB] = expected[5 * MIB:6 * MIB]
    expected[4 * MIB:5 * MIB] = bytes(MIB)
    with Machine(packages=("nbd-client", "libnl-genl-3-200"), disks=(raw, results)) as machine:
        def shell(line):
            return machine.run(["sh", "-c", line], timeout=120).stdout

        shell("qemu-img convert -f raw -O qcow2 /dev/vda /run/image")
        shell(SERVE)
        shell("modprobe nbd && nbd-client -unix /run/nbd /dev/nbd0 -C 2")
        assert shell("blockdev --getsize64 /dev/nbd0") == f"{6 * MIB}\n"
        shell("cmp /dev/nbd0 /dev/vda")
        shell("dd if=/dev/nbd0 of=/run/piece bs=1M skip=5 count=1 2>/dev/null && "
              "dd if=/run/piece of=/dev/nbd0 bs=1M seek=2 conv=fsync,notrunc 2>/dev/null && "
              f"blkdiscard -o {4 * MIB} -l {MIB} /dev/nbd0 && sync && nbd-client -d /dev/nbd0")
        # A client that comes again finds what the first one left.
        shell("nbd-client -unix /run/nbd /dev/nbd1 && dd if=/dev/nbd1 of=/run/back bs=1M 2>/dev/null && nbd-client -d /dev/nbd1")
        shell("kill $(cat /run/nbd.pid); while [ -e /run/nbd ]; do sleep 0.1; done; "
              "dd if=/run/image of=/dev/vdb bs=1M && dd if=/run/back of=/dev/vdb bs=1M seek=16 && sync")
    left, image = results.read_bytes(), tmp_path / "image"
    assert left[16 * MIB:22 * MIB] == expected
    image.write_bytes(left[:16 * MIB])
    stock("check", "-q", image)
    (tmp_path / "expected").write_bytes(expected)
    stock("compare", "-f", "qcow2", "-F", "raw", image, tmp_path / "expected")
