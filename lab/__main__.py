"""`python3 -m lab COMMAND`: the lab's parts by hand."""

import argparse
import sys

from . import demo, guest, payload, probe
from .paths import LabError


def guest_command(options):
    image = guest.build(agent=options.agent)
    print(f"{image.kernel}\n{image.initrd}")


def payload_command(options):
    print(payload.build(options.memory, options.dirty, options.beat, options.random))


def probe_command(_):
    for kind, accelerator in probe.accelerators().items():
        print(f"{kind} {accelerator}")


def main():
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("guest", help="build the tiny guest, print its kernel and initramfs")
    command.add_argument("--agent", action="store_true", help="with the QEMU guest agent inside")
    command.set_defaults(run=guest_command)

    command = commands.add_parser("payload", help="build the bare payload, print its image")
    command.add_argument("--memory", type=int, default=64, metavar="MIB", help="memory it sweeps")
    command.add_argument("--dirty", type=int, default=10, metavar="MIB_S", help="how fast")
    command.add_argument("--beat", type=int, default=1, metavar="MS", help="time between beats")
    command.add_argument("--random", action="store_true", help="start with memory that does not compress")
    command.set_defaults(run=payload_command)

    command = commands.add_parser("probe", help="print which accelerator really boots which guest")
    command.set_defaults(run=probe_command)

    command = commands.add_parser("demo", help="move a guest live between two hosts and show its heartbeat")
    command.set_defaults(run=lambda _: demo.run())

    options = parser.parse_args()
    try:
        options.run(options)
    except LabError as failure:
        sys.exit(f"lab: {failure}")


if __name__ == "__main__":
    main()
