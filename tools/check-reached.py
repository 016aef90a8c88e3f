#!/usr/bin/python3
"""Every procedure that is said to be implemented was answered to a stock client in a whole run of the system tests.

    check-reached.py DIRECTORY

DIRECTORY holds what libvirt's own client library noted of its calls, a log for each test file (tools/pytest-files.sh): so
virsh, libvirt-python and the virt- tools count, `drover` and frames that tests make themselves do not, over whatever
transport. An answer counts that is no error. Files of tests that start a stock libvirtd do not count, because their
clients may have called that. A row that no stock client of Debian 12 can make answer on every machine says why in
`unreached` (facts/wire/*.toml). The number that comes of it is in procedures.md, which is generated.
"""
import pathlib
import re
import sys

import gen
from gen_wire_facts import Wire

TOP = pathlib.Path(__file__).resolve().parents[1]
ANSWER = re.compile(rb"RPC_CLIENT_MSG_RX: client=\S+ len=\d+ prog=(\d+) vers=\d+ proc=(\d+) type=[15] status=0 ")


def starts_libvirtd(name):
    path = TOP / "tests/system" / name
    return path.exists() and ".libvirtd(" in path.read_text()


def answered(folder):
    """(program, procedure) of every answer, and how many logs there were."""
    logs = [log for log in sorted(folder.glob("*.log")) if not starts_libvirtd(log.stem)]
    found = set()
    for log in logs:
        with open(log, "rb") as lines:
            for line in lines:
                match = ANSWER.search(line)
                if match:
                    found.add((int(match[1]), int(match[2])))
    return found, len(logs)


def main():
    wire = Wire(TOP / "facts")
    found, logs = answered(pathlib.Path(sys.argv[1]))
    needed = [row for row in wire.procs if row["runs"] != "none" and "unreached" not in row]
    missing = [row for row in needed if (wire.programs[row["program"]]["number"], row["number"]) not in found]
    for row in missing:
        print(f"error: {gen.origin(row)}: {row['name']} is said to be implemented, but no stock client was answered: add a test "
              "that makes one call it, or say in 'unreached' why none can")
    print(f"{len(needed) - len(missing)} of {len(needed)} procedures were answered to stock clients, in {logs} test files")
    return 1 if missing or not logs else 0


if __name__ == "__main__":
    sys.exit(main())
