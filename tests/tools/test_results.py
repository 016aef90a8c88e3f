"""What is kept of a test that failed says why: nobody may be able to repeat it."""
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]

FAILING = f"""
import sys
sys.path.insert(0, {str(TOP / "tests/system")!r})
import waiting
from waiting import wait_for

waiting.PATIENCE_S = 0


def state_of(name):
    print("the log of", name)
    return "paused"


def test_that_fails():
    wait_for("it runs", lambda: state_of("g") == "running")


def test_that_passes():
    pass
"""


def test_a_wait_that_ran_out_says_what_for_what_it_saw_and_what_the_logs_hold(tmp_path):
    (tmp_path / "test_x.py").write_text(FAILING)
    kept = tmp_path / "kept"
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-c", TOP / "tests/pytest.ini", "--noconftest",
                    tmp_path / "test_x.py"], capture_output=True, check=False, cwd=tmp_path,
                   env={**os.environ, "PYTHONPATH": str(TOP / "tests"), "TEST_RESULTS": str(kept)})
    said = subprocess.run([TOP / "tools/results.py", "pytest", kept], capture_output=True, text=True, check=True).stdout
    failed, passed, *logs = said.splitlines()
    assert failed.startswith("fail ") and "test_x.py:16 > " in failed
    assert "it runs: not within 0 s; seen last: state_of() was 'paused', all of it False" in failed
    assert passed.startswith("pass ") and passed.endswith("::test_that_passes")
    assert logs and all(line.startswith("said ") and line.endswith("the log of g") for line in logs)
