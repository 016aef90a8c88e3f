"""`python3 -m lab COMMAND`: the lab's parts by hand."""

import argparse
import sys

from . import guest
from .paths import LabError


def guest_command(options):
    image = guest.build(agent=options.agent)
    print(f"{image.kernel}\n{image.initrd}")


def main():
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("guest", help="build the tiny guest, print its kernel and initramfs")
    command.add_argument("--agent", action="store_true", help="with the QEMU guest agent inside")
    command.set_defaults(run=guest_command)

    options = parser.parse_args()
    try:
        options.run(options)
    except LabError as failure:
        sys.exit(f"lab: {failure}")


if __name__ == "__main__":
    main()
