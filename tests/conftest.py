"""What every pytest of the tree shares: a time limit per test, and results that survive a hard end.

A test that outlives its limit fails. When it hangs where Python's signal handler cannot run (inside a C
library), the whole run ends 30 seconds later with a traceback. Results are appended to the file named by
TEST_RESULTS as they come, so tools/test.sh counts a run that broke off as well; of a test that failed the last lines of
the logs in its report follow ("said"), because that file is what is looked at when nobody can repeat the failure.
"""
import faulthandler
import os
import signal

import pytest

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    # ignored by a background job or under nohup, which programs under test would inherit: tests that end them so would wait
    # for ever; a handler is not inherited
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

USUAL_LIMIT_S = 300  # stops what hangs: no measure of how long a test takes, which a busy machine decides
GRACE_S = 30
MOST_WHY = 600
SAID_LINES = 12  # of each log


def limit_of(item):
    marker = item.get_closest_marker("limit")
    return max(marker.args[0] if marker else 0, USUAL_LIMIT_S)


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


def note(word, name, text=""):
    path = os.environ.get("TEST_RESULTS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{word} {name}{': ' if text else ''}{text}\n")


def pytest_runtest_logstart(nodeid):
    note("start", nodeid)


def why(report):
    """What went wrong, in one line: through which lines, and the exception's own words."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if not crash:
        lines = (report.longreprtext or "").strip().splitlines()
        return lines[-1][:MOST_WHY] if lines else ""
    places = [entry.reprfileloc for entry in report.longrepr.reprtraceback.reprentries if getattr(entry, "reprfileloc", None)]
    way = " > ".join(f"{os.path.basename(place.path)}:{place.lineno}" for place in places)
    return f"{way}: {' | '.join(crash.message.splitlines())}"[:MOST_WHY]


failed_reports = {}  # by test, until all of it has ended: fixtures add logs to the report when they end


def pytest_runtest_logreport(report):
    if report.failed:
        note("fail", report.nodeid, f"{report.when}: {why(report)}")
        failed_reports.setdefault(report.nodeid, report)
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        note("skip", report.nodeid, reason)
    elif report.when == "call":
        note("pass", report.nodeid)
    if report.when == "teardown":
        if report.nodeid in failed_reports:
            note_logs(failed_reports.pop(report.nodeid))
        note("end", report.nodeid)


def note_logs(report):
    for title, text in report.sections:
        for line in text.splitlines()[-SAID_LINES:]:
            note("said", report.nodeid, f"{title}: {line}"[:MOST_WHY])


def pytest_collectreport(report):
    if report.failed:
        note("fail", report.nodeid, f"collection: {why(report)}")
