#!/usr/bin/python3
"""clang-tidy over every C file of a build, on all cores, skipping what has not changed.

    tidy.py BUILD_DIR

The files and their options come from BUILD_DIR/compile_commands.json. A file is known to be clean by the
hash of its preprocessed text and of the .clang-tidy files, so a second run checks only what changed. Exit status 1
when there is a finding.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent


def own_sources(build):
    """The rows of files that are in the tree, generated ones left out; each file once."""
    rows = {}
    for row in json.loads((build / "compile_commands.json").read_text()):
        path = (pathlib.Path(row["directory"]) / row["file"]).resolve()
        if path.suffix == ".c" and path.is_relative_to(TOP) and not path.is_relative_to(build.resolve()):
            rows.setdefault(path, row)
    return rows


def preprocessed(row):
    words = shlex.split(row["command"])
    for option, rest in (("-o", 2), ("-MF", 2), ("-MQ", 2), ("-MD", 1), ("-c", 1)):
        while option in words:
            at = words.index(option)
            del words[at:at + rest]
    return subprocess.run(words + ["-E", "-P"], cwd=row["directory"], capture_output=True, check=False).stdout


def check(build, rules, path, row):
    """What clang-tidy has to say about one file; empty: clean."""
    text = preprocessed(row)
    stamp = build / "tidy" / hashlib.sha256(rules + str(path).encode() + text).hexdigest()
    if text and stamp.exists():
        return ""
    done = subprocess.run(["clang-tidy", "-p", str(build), "--quiet", str(path)], capture_output=True, text=True,
                          check=False)
    if done.returncode == 0:
        stamp.touch()
        return ""
    return done.stdout.replace(f"{build.resolve()}/../../", "") or done.stderr


def main():
    build = pathlib.Path(sys.argv[1])
    (build / "tidy").mkdir(exist_ok=True)
    rules = b"".join((TOP / name).read_bytes() for name in (".clang-tidy", "tests/.clang-tidy"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = [said for said in pool.map(lambda item: check(build, rules, *item), own_sources(build).items())
                    if said]
    print("\n".join(findings), end="\n" if findings else "")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
