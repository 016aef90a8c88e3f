#!/usr/bin/python3
"""Turn what a test run left behind into lines 'pass NAME', 'fail NAME: why', 'skip NAME: why'.

    results.py meson TESTLOG_JSON     a build's meson-logs/testlog.json; every TEST() of a program counts
    results.py pytest FILE            what tests/conftest.py wrote; a test that never ended counts as failed

Prints one line per test; tools/test.sh counts them. After one that failed come lines 'said NAME: LINE', the ends of its logs.
"""
import json
import pathlib
import re
import sys

CMOCKA = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] ([A-Za-z_]\w*)$", re.MULTILINE)
WORDS = {"OK": "pass", "FAILED": "fail", "SKIPPED": "skip"}


def from_meson(text):
    for line in text.splitlines():
        program = json.loads(line)
        cases = {}
        for word, name in CMOCKA.findall(program.get("stdout", "")):
            cases[name] = WORDS[word]
        for name, word in cases.items():
            yield word, f"{program['name']}: {name}"
        broken = program["result"] not in ("OK", "SKIP", "EXPECTEDFAIL")
        if broken and "fail" not in cases.values():
            yield "fail", f"{program['name']}: {program['result']} {program.get('returncode', '')}".rstrip()
        elif not cases:
            yield ("skip" if program["result"] == "SKIP" else "pass"), program["name"]


def from_pytest(text):
    ended, open_tests, failed, said = {}, [], set(), []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "start":
            open_tests.append(rest)
        elif word == "end":
            open_tests = [name for name in open_tests if name != rest]
        elif word == "said":
            said.append((word, rest))
        else:
            name = rest.partition(": ")[0]
            if word == "fail" or name not in failed:
                ended[name] = (word, rest)
            if word == "fail":
                failed.add(name)
    yield from ended.values()
    yield from said
    for name in open_tests:
        if name not in failed:
            yield "fail", f"{name}: the run ended inside this test"


def main():
    kind, path = sys.argv[1], pathlib.Path(sys.argv[2])
    if not path.exists():
        print(f"fail {path}: the run left no results")
        return
    text = path.read_text(errors="replace")
    for word, name in from_meson(text) if kind == "meson" else from_pytest(text):
        print(word, name)


if __name__ == "__main__":
    main()
