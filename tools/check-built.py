#!/usr/bin/python3
"""Every C file is built: a source, test or fuzz target that no meson.build names would never run.

    check-built.py [TOP]

src/<room>/.../x.c must appear as 'x.c' in a meson.build of its directory or above it; a unit test and a
fuzz target by their name in the table of tests/unit and tests/fuzz. Prints one line per offence.
"""
import pathlib
import sys


def rules_of(top, path):
    """The text of the build files that may name this source, nearest first."""
    for directory in path.parents:
        file = directory / "meson.build"
        if file.exists():
            yield file.read_text()
        if directory == top:
            return


def names_of(top, path):
    inside = path.relative_to(top).parts
    yield path.name
    if inside[0] == "tests":
        yield path.stem.partition("-")[2]
    for at in range(len(inside) - 1):
        yield "/".join(inside[at:])


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    missing = []
    for tree in ("src", "tests/unit", "tests/fuzz"):
        for path in sorted((top / tree).rglob("*.c")):
            rules = "".join(rules_of(top, path))
            if not any(f"'{name}'" in rules for name in names_of(top, path)):
                missing.append(f"{path.relative_to(top)}: no meson.build names it")
    print("\n".join(missing), end="\n" if missing else "")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
