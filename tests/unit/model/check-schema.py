#!/usr/bin/python3
"""Everything that the corpus test writes must be valid by the schema that stock tools check with.

    check-schema.py TEST_PROGRAM OUTPUT_DIR

Exits with 77 (skipped) where the schema is not installed.
"""
import os
import pathlib
import subprocess
import sys

SCHEMA = pathlib.Path("/usr/share/libvirt/schemas/domain.rng")
# The schema knows no alias for smartcards, although the stock daemon writes one.
KNOWN = {"live-smartcard.xml"}


def main():
    program, out = sys.argv[1], pathlib.Path(sys.argv[2])
    if not SCHEMA.exists():
        print(f"{SCHEMA} is not installed")
        return 77
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.xml"):
        old.unlink()
    subprocess.run([program], check=True, env=dict(os.environ, DROVER_TEST_XML_OUT=str(out)))
    files = sorted(p for p in out.glob("*.xml") if p.name not in KNOWN)
    if not files:
        print("the corpus test wrote nothing")
        return 1
    return subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, *files]).returncode


sys.exit(main())
