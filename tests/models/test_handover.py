"""models/handover.pml, checked exhaustively by spin: MIG hand-over with losses, repetitions, kills and boots.

The intact model must show no fault, and must come to rest in every run. Each broken rule must be found out,
which proves that the properties can fail.
"""
import pathlib
import re
import subprocess

import pytest

MODEL = pathlib.Path(__file__).resolve().parents[2] / "models/handover.pml"
RAN_TWICE = "!(dest_ran)"
STARTED_TWICE = "(dq!="


def check(tmp_path, defines=(), compile_options=("-DSAFETY",), options=()):
    """Run the checker; (number of errors, states stored, the conditions that were violated)."""
    subprocess.run(["spin", "-a", *[f"-D{d}" for d in defines], str(MODEL)], cwd=tmp_path, check=True,
                   capture_output=True)
    subprocess.run(["gcc", "-O2", "-DCOLLAPSE", "-DMEMLIM=2000", *compile_options, "-o", "pan", "pan.c"],
                   cwd=tmp_path, check=True, capture_output=True)
    said = subprocess.run(["./pan", "-m500000", *options], cwd=tmp_path, check=True, capture_output=True,
                          text=True).stdout
    assert "max search depth too small" not in said
    assert "out of memory" not in said
    errors = int(re.search(r"errors: (\d+)", said)[1])
    states = int(re.search(r"(\d+) states, stored", said)[1])
    return errors, states, set(re.findall(r"assertion violated +(.*?) +\(at depth", said))


KINDS = pytest.mark.parametrize("defines", [[], ["P2P"], ["EARLY_RUN"], ["EARLY_RUN", "P2P"],
                                            ["EARLY_RUN", "POSTCOPY"], ["EARLY_RUN", "POSTCOPY", "P2P"]],
                                ids=["managed", "peer-to-peer", "managed-early", "peer-to-peer-early",
                                     "managed-post-copy", "peer-to-peer-post-copy"])


@KINDS
def test_the_guest_is_on_exactly_one_host_whatever_happens(tmp_path, defines):
    errors, states, violated = check(tmp_path, [*defines, "FAULTS=4"])
    assert (errors, violated) == (0, set())
    assert states > 400_000


BOOTS = pytest.mark.parametrize("defines", [["BOOT"], ["BOOT", "EARLY_RUN", "P2P"]], ids=["managed", "peer-to-peer-early"])


@BOOTS
def test_the_guest_is_on_exactly_one_host_although_hosts_are_booted(tmp_path, defines):
    errors, states, violated = check(tmp_path, [*defines, "FAULTS=3"])
    assert (errors, violated) == (0, set())
    assert states > 400_000


@BOOTS
def test_every_hand_over_comes_to_rest_although_hosts_are_booted(tmp_path, defines):
    errors, states, _ = check(tmp_path, [*defines, "FAULTS=2"], ["-DNP"], ["-l"])
    assert errors == 0
    assert states > 100_000


@KINDS
def test_every_hand_over_comes_to_rest(tmp_path, defines):
    errors, states, _ = check(tmp_path, defines, ["-DNP"], ["-l"])
    assert errors == 0
    assert states > 100_000


@pytest.mark.parametrize("rules, fault", [
    (["NAIVE"], RAN_TWICE),
    (["NO_TOKEN"], "((sq!="),
    (["HASTY_DENIAL"], RAN_TWICE),
    (["NO_INTENT"], RAN_TWICE),
    (["GIVE_UP"], "asked_to_give_up"),
    (["RASH"], "((sq!="),
    (["BOOT", "NO_NOTE"], STARTED_TWICE),
    (["BOOT", "AMNESIA"], RAN_TWICE),
    (["BOOT", "CARELESS"], STARTED_TWICE),
    (["EARLY_RUN", "NAIVE"], RAN_TWICE),
    (["EARLY_RUN", "HASTY_DENIAL"], RAN_TWICE),
    (["EARLY_RUN", "LATE_CANCEL"], RAN_TWICE),
    (["BOOT", "EARLY_RUN", "NO_NOTE"], STARTED_TWICE),
    (["BOOT", "EARLY_RUN", "AMNESIA"], RAN_TWICE),
    (["BOOT", "EARLY_RUN", "CARELESS"], STARTED_TWICE),
    (["EARLY_RUN", "POSTCOPY", "NAIVE"], RAN_TWICE),
    (["EARLY_RUN", "POSTCOPY", "TORN_ASK"], "(sq!="),
], ids=lambda value: "-".join(value) if isinstance(value, list) else "")
def test_each_broken_rule_is_found_out(tmp_path, rules, fault):
    errors, _, violated = check(tmp_path, rules, options=["-c0"])
    assert errors > 0
    assert any(fault in condition for condition in violated), violated
