#!/usr/bin/python3
"""Hold the rooms apart.

    check-layers.py [TOP]

A file of src/<room> includes its own room and rooms with a lower number; equal numbers never see each
other, and model and img see base only. A quoted include carries its room, so that it shows. Generated
headers are written by the rules under gen/<room> and count as their room. A unit test or a fuzz target
may include what the room it is about may. Prints one line per offence; exit status 1 when there is any.
"""
import pathlib
import re
import sys

NUMBER = {"base": 0, "loop": 1, "wire": 2, "model": 2, "img": 2, "nbd": 3, "host": 3, "qemu": 4, "daemon": 5, "app": 6}
BASE_ONLY = {"model", "img"}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def sees(room, other):
    if room == other:
        return True
    if room in BASE_ONLY:
        return other == "base"
    return NUMBER[other] < NUMBER[room]


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1]


def check(path, shown, room, plain_allowed):
    """The offences of one file that stands in this room; None: any room may be included."""
    for number, name in includes(path):
        other, slash, _ = name.partition("/")
        if not slash:
            if not plain_allowed:
                yield f'{shown}:{number}: "{name}" does not say its room'
        elif other not in NUMBER:
            yield f'{shown}:{number}: "{name}": there is no room "{other}"'
        elif room and not sees(room, other):
            yield f'{shown}:{number}: room {room} ({NUMBER[room]}) must not see {other} ({NUMBER[other]}): "{name}"'


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    offences = []
    for tree, tests in (("src", False), ("tests/unit", True), ("tests/fuzz", True), ("tests/fake", True)):
        for path in sorted((top / tree).rglob("*.[ch]")):
            inside = path.relative_to(top / tree).parts
            room = inside[0] if len(inside) > 1 else None
            if room is not None and room not in NUMBER and not tests:
                offences.append(f"{path.relative_to(top)}: there is no room '{room}'")
                continue
            offences += check(path, path.relative_to(top), room if room in NUMBER else None, tests)
    print("\n".join(offences), end="\n" if offences else "")
    sys.exit(1 if offences else 0)


if __name__ == "__main__":
    main()
