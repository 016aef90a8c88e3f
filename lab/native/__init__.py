"""The lab's own small C programs, built when first asked for and whenever their source changes."""

import os

from ..paths import BUILD, LAB, digest, locked, run

CFLAGS = "-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Werror".split()
NOTES = ("LIBVIRT_LOG_FILTERS", "LIBVIRT_LOG_OUTPUTS")


def program(name):
    """The path of lab/native/NAME.c, compiled."""
    return compiled(LAB / "native" / f"{name}.c")


def library(name):
    """The path of lab/native/NAME.c as a library to preload."""
    return compiled(LAB / "native" / f"{name}.c", "-shared", "-fPIC")


def environment(argv):
    """What a program needs in its environment: a virsh that does not hang where the daemon answers at once, and that notes
    what it does where the run says so."""
    if str(argv[0]) != "virsh":
        return {}
    return {"LD_PRELOAD": str(library("virsh-loop")), **{name: os.environ[name] for name in NOTES if name in os.environ}}


def compiled(source, *options):
    """The path of the program made from one source file."""
    output = BUILD / "native" / f"{source.stem}-{digest(source)}"
    if not output.exists():
        with locked("native"):
            output.parent.mkdir(parents=True, exist_ok=True)
            part = output.with_name(f".{output.name}")
            run(["gcc", *CFLAGS, *options, "-o", part, source])
            part.replace(output)
    return output
