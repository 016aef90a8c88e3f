"""The drover program beside stock virsh: the same command to both, and what they print compared."""
import json
import os
import re
import shlex
import subprocess

from droverd import find_program

from lab import native
from waiting import PATIENCE_S

DROVER = os.environ.get("DROVER") or os.path.join(os.path.dirname(find_program()), "drover")
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8"}
TRIES = 3  # of two answers to be the same where the host's clock rate, or a guest that boots, may come between them


class Said:
    """What a program printed, and how it ended."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"status {self.status}\n--- out\n{self.out}--- err\n{self.err}"


def run(program, uri, command, options=(), stdin="", timeout=PATIENCE_S, env=None):
    """command is a list, or a line that is split as a shell would."""
    words = shlex.split(command) if isinstance(command, str) else list(command)
    env = {**ENVIRONMENT, **native.environment([program]), **(env or {})}
    return Said(subprocess.run([program, "-c", uri, *options, *words], input=stdin, capture_output=True, text=True,
                               timeout=timeout, check=False, env=env))


def drover(uri, command, *options, **more):
    return run(DROVER, uri, command, options, **more)


def virsh(uri, command, *options, **more):
    return run("virsh", uri, command, options, **more)


def as_json(uri, command, *options):
    said = drover(uri, command, "-o", "json", *options)
    assert said.status == 0, said
    return json.loads(said.out)


def shape(text):
    """The text with every number a 0 and columns closed up: for counters that go on between two commands."""
    return re.sub(r"[ -]+", " ", re.sub(r"[0-9]+(\.[0-9]+)?", "0", text))


def compare(uri, command, *options, counters=False):
    """Both print the same, end the same, and complain in the same words. What they were asked about may change between them."""
    of = shape if counters else str
    for _ in range(TRIES):
        ours, theirs = drover(uri, command, *options), virsh(uri, command, *options)
        if (of(ours.out), of(ours.err), ours.status) == (of(theirs.out), of(theirs.err), theirs.status):
            break
    assert ours.status == theirs.status, f"drover: {ours}\nvirsh: {theirs}"
    assert of(ours.out) == of(theirs.out), f"drover: {ours}\nvirsh: {theirs}"
    assert of(ours.err) == of(theirs.err), f"drover: {ours}\nvirsh: {theirs}"
    return ours
