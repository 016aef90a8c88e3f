"""What every pytest of the tree shares: a time limit per test, and results that survive a hard end.

A test that outlives its limit fails. When it hangs where Python's signal handler cannot run (inside a C
library), the whole run ends 30 seconds later with a traceback. Results are appended to the file named by
TEST_RESULTS as they come, so tools/test.sh counts a run that broke off as well.
"""
import faulthandler
import os
import signal

import pytest

DEFAULT_LIMIT_S = 120
GRACE_S = 30


def limit_of(item):
    marker = item.get_closest_marker("limit")
    return marker.args[0] if marker else DEFAULT_LIMIT_S


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    seconds = limit_of(item)

    def on_alarm(_signum, _frame):
        pytest.fail(f"the test did not end within {seconds} seconds")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True)
    yield
    signal.alarm(0)
    faulthandler.cancel_dump_traceback_later()


def note(word, name, why=""):
    path = os.environ.get("TEST_RESULTS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{word} {name}{': ' if why else ''}{why}\n")


def pytest_runtest_logstart(nodeid):
    note("start", nodeid)


def last_line(report):
    lines = (report.longreprtext or "").strip().splitlines()
    return lines[-1][:200] if lines else ""


def pytest_runtest_logreport(report):
    if report.failed:
        note("fail", report.nodeid, f"{report.when}: {last_line(report)}")
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        note("skip", report.nodeid, reason)
    elif report.when == "call":
        note("pass", report.nodeid)
    if report.when == "teardown":
        note("end", report.nodeid)


def pytest_collectreport(report):
    if report.failed:
        note("fail", report.nodeid, f"collection: {last_line(report)}")
