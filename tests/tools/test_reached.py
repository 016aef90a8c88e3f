"""Of what stock clients noted of their calls, tools/check-reached.py counts answers of ours that are no errors."""
import pathlib
import re
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
LINE = ("2026-01-01 00:00:00.000+0000: 1: info : virNetClientCallDispatch:1299 : RPC_CLIENT_MSG_RX: client=0x1 len=28 prog={} "
        "vers=1 proc={} type={} status={} serial=6\n")

sys.path.insert(0, str(TOP / "tools"))
from gen_wire_facts import Wire  # noqa: E402  (the path comes first)

WIRE = Wire(TOP / "facts")
NEEDED = {row["name"]: (WIRE.programs[row["program"]]["number"], row["number"])
          for row in WIRE.procs if row["runs"] != "none" and "unreached" not in row}


def check(folder):
    done = subprocess.run([TOP / "tools/check-reached.py", folder], capture_output=True, text=True, check=False)
    return done.returncode, re.findall(r"^error: .*: (\w+) is said", done.stdout, re.MULTILINE)


def note(folder, name, names, kind=1, status=0):
    with open(folder / f"{name}.log", "a", encoding="utf-8") as log:
        log.write("".join(LINE.format(*NEEDED[proc], kind, status) for proc in names))


def test_all_answered_is_right_however_many_files_it_took(tmp_path):
    names = [*NEEDED]
    note(tmp_path, "test_one.py", names[:100])
    note(tmp_path, "test_two.py", names[100:])
    assert check(tmp_path) == (0, [])


@pytest.mark.parametrize("name, kind, status", [("test_one.py", 1, 1), ("test_one.py", 0, 0), ("test_peer.py", 1, 0)],
                         ids=["an error", "a call without an answer", "a file that starts libvirtd"])
def test_what_is_no_answer_of_ours_does_not_count(tmp_path, name, kind, status):
    others = [other for other in NEEDED if other != "domain_create"]
    note(tmp_path, "test_one.py", others)
    note(tmp_path, name, ["domain_create"], kind, status)
    assert check(tmp_path) == (1, ["domain_create"])


def test_a_run_that_noted_nothing_is_wrong(tmp_path):
    status, missing = check(tmp_path)
    assert status == 1 and missing == [*NEEDED]
