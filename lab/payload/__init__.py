"""The bare payload: a bootable image of three sectors that dirties memory at a rate and beats (see sweep.S)."""

import struct

from ..paths import BUILD, LAB, LabError, digest, locked, replace, run

SOURCE = LAB / "payload" / "sweep.S"
CONFIG = struct.Struct("<4sIIIH")
CONFIG_AT = 1512
MAGIC = b"DRVR"
IMAGE_BYTES = 1 << 20
PAGES_PER_MIB = 256
PAGE_WORDS = 1024


def build(touch_mib, dirty_mib_s=0, beat_ms=1, random=False):
    """An image that sweeps touch_mib of memory (the guest needs 3 MiB more) and prints a beat every beat_ms.

    With random, the pages start full of words that do not compress.
    """
    if not 1 <= touch_mib <= 3000:
        raise LabError(f"the payload sweeps 1 to 3000 MiB, not {touch_mib}")
    program = bytearray(_assemble().read_bytes())
    n_pages = touch_mib * PAGES_PER_MIB
    rate = round(dirty_mib_s * PAGES_PER_MIB * 256 / 1000)
    CONFIG.pack_into(program, CONFIG_AT, MAGIC, n_pages, rate, n_pages * PAGE_WORDS if random else 0, beat_ms)
    image = BUILD / "payload" / f"sweep-{touch_mib}-{dirty_mib_s}-{beat_ms}-{digest(bytes(program).hex())}.img"
    if not image.exists():
        replace(image, bytes(program).ljust(IMAGE_BYTES, b"\0"))
    return image


def _assemble():
    binary = BUILD / "payload" / f"sweep-{digest(SOURCE)}.bin"
    if binary.exists():
        return binary
    with locked("payload"):
        binary.parent.mkdir(parents=True, exist_ok=True)
        stem = binary.with_suffix("")
        run(["as", "--32", "-o", f"{stem}.o", SOURCE])
        run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "-e", "start", "-o", f"{stem}.elf", f"{stem}.o"])
        run(["objcopy", "-O", "binary", "-j", ".text", f"{stem}.elf", f"{stem}.flat"])
        replace(binary, stem.with_suffix(".flat").read_bytes())
    return binary
