"""The usual mistakes, with every command that both have: drover says what stock virsh says, and ends as it does (CON-30, LIFE-06).

What a command takes is read from virsh's own help, so that a command of drover's that is new is walked too. Where both see one
mistake the words are the same; what differs on purpose is listed here with its reason.
"""
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from cli import as_json, drover, virsh
from droverd import Droverd

WALKERS = 2
# They wait for something, or act on the host without an object to name wrongly.
NOT_WALKED = {"event", "net-event", "pool-event", "secret-event", "nodedev-event", "qemu-monitor-event", "nodesuspend", "cd",
              "quit", "exit", "connect", "help"}
# virsh says less than there is to know: not why an object was not found, or only how its library was called.
SAYS_WHY = {"net-name", "pool-name", "iface-name", "vol-name", "vol-pool", "secret-dumpxml", "secret-get-value", "secret-set-value",
            "secret-undefine"}
BETTER = {
    ("missing", "domblkinfo"), ("missing", "hypervisor-cpu-baseline"),  # one of two options: told after the object was looked for
    ("object", "find-storage-pool-sources-as"),
    ("object", "net-port-delete"), ("object", "net-port-dumpxml"),  # virsh ends with 0; drover asks for a UUID first
    ("object", "attach-interface"), ("object", "set-user-sshkeys"), ("object", "set-lifecycle-action"),
    ("object", "managedsave-define"),  # virsh opens the file first
}
LAST_IS_A_REST = {"qemu-agent-command", "qemu-monitor-command", "send-key"}  # and lacks, as it is not read by name
# Two mistakes: virsh looks for the object, drover reads the words and files first and asks a daemon only when they are right.
WORDS_FIRST = re.compile(r"malformed or out of range|Failed to open file|cannot read|nvalid|[Uu]nknown|is no UUID|No disk source|"
                         r"Numeric value|expecting|required|requires")


class Grammar:
    """What virsh's help says that a command takes."""

    def __init__(self, uri, command):
        self.command = command
        text = virsh(uri, ["help", command]).out
        self.there = "SYNOPSIS" in text
        needed = re.sub(r"\[[^\]]*\]", "", text.partition("SYNOPSIS\n")[2].partition("\n\n")[0])
        self.options = re.findall(r"^ +\[?--([a-z0-9-]+)\]?(?: <(string|number)>)?", text.partition("OPTIONS\n")[2], re.M)
        self.needed = [name for name, kind in self.options if kind and (f"<{name}>" in needed or f"--{name} <" in needed)]

    def filled(self, but=None):
        """All that it needs: the names are nobody's."""
        kinds = dict(self.options)
        return [word for name in self.needed if name != but for word in (f"--{name}", "1" if kinds[name] == "number" else "nosuch")]


@pytest.fixture(scope="module", name="uri")
def fixture_uri():
    daemon = Droverd()
    yield daemon.uri()
    daemon.stop()


@pytest.fixture(scope="module", name="grammars")
def fixture_grammars(uri):
    with ThreadPoolExecutor(WALKERS) as pool:
        found = list(pool.map(lambda command: Grammar(uri, command["name"]), as_json(uri, "help")))
    walked = [grammar for grammar in found if grammar.there and grammar.command not in NOT_WALKED]
    assert len(walked) > 180
    return walked


def walk(uri, kind, lines, *options):
    """Where the two differ, and the table above does not know why."""
    def both(line):
        ours, theirs = drover(uri, line, *options), virsh(uri, line, *options)
        same = kind == "object" and ours.status == theirs.status and WORDS_FIRST.search(ours.err) or (ours.status, ours.out, ours.err) == (theirs.status, theirs.out, theirs.err)
        return None if same or (kind, line[0]) in BETTER else f"{' '.join(line)}\n{ours.status} {ours.out}{ours.err}{theirs.status} {theirs.out}{theirs.err}"

    with ThreadPoolExecutor(WALKERS) as pool:
        found = [found for found in pool.map(both, lines) if found]
    assert not found, "\n".join(found)


def test_nothing_is_given(uri, grammars):
    walk(uri, "missing", [[g.command] for g in grammars if g.needed])


def test_an_option_is_unknown(uri, grammars):
    walk(uri, "unknown", [[g.command, *g.filled(), "--no-such-option"] for g in grammars])


def test_an_option_lacks_its_value(uri, grammars):
    walk(uri, "value", [[g.command, *g.filled(but=name), f"--{name}"] for g in grammars for name, kind in g.options[:12]
                                   if kind and name != "pass-fds"])


def test_an_option_is_given_twice(uri, grammars):
    lines = [[g.command, *g.filled(), f"--{name}", f"--{name}"] for g in grammars for name, kind in g.options[:4] if not kind]
    walk(uri, "twice", lines)


def test_a_switch_is_given_a_value(uri, grammars):
    walk(uri, "switch", [[g.command, *g.filled(), f"--{name}=1"] for g in grammars for name, kind in g.options if not kind][::5])


def test_a_name_is_empty(uri, grammars):
    """As of a variable that nobody set."""
    of = {"domain", "pool", "network", "nwfilter", "interface", "device", "secret", "vol", "file"}
    told = 0
    for g in grammars:
        first = g.needed[0] if g.needed and g.needed[0] in of else None
        if first and g.command not in LAST_IS_A_REST and dict(g.options)[first] == "string":
            said = drover(uri, [g.command, *g.filled(but=first), f"--{first}", ""])
            assert said.status == 1 and "Option argument is empty" in said.err, said
            told += 1
    assert told > 120


def test_nobody_has_that_name(uri, grammars):
    walk(uri, "object", [[g.command, *g.filled()] for g in grammars if g.needed and g.command not in SAYS_WHY])


def test_a_readonly_connection_is_told_so(uri, grammars):
    acts = {"start", "destroy", "suspend", "undefine", "net-destroy", "pool-destroy", "autostart", "setmem", "reboot"}
    objects = {"net-destroy": "default", "pool-destroy": "default-pool"}
    lines = [[g.command, objects.get(g.command, "test"), *(["100000"] if g.command == "setmem" else [])]
             for g in grammars if g.command in acts]
    assert len(lines) == len(acts)
    walk(uri, "readonly", lines, "-r")
