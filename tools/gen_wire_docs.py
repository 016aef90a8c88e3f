"""facts/wire/*.toml -> procedures.md: every procedure with its number, right and state, and how many are implemented.

That a row is implemented means that stock clients get answers: tools/check-reached.py holds the table against a whole run
of the system tests.
"""
from gen_wire_facts import RUNS, Wire

HOW = {"none": "-", "now": "from memory", "qmp": "asks QEMU", "job": "long job", "worker": "worker thread", "child": "child process"}


def rights(row):
    out = []
    for rule in row.get("access", []):
        condition = ""
        if "when" in rule:
            condition = " (with " + " or ".join(rule["when"]) + ")"
        elif "unless" in rule:
            condition = " (without " + " and ".join(rule["unless"]) + ")"
        elif "equals" in rule:
            condition = f" ({rule['field']} is {rule['equals']})"
        out.append(rule["right"] + condition)
    return ", ".join(out) or "none"


def answered(row):
    return "-" if row["runs"] == "none" else f"no: {row['unreached']}" if "unreached" in row else "answered"


def generate(facts):
    wire = Wire(facts)
    done = [row for row in wire.procs if row["runs"] != "none"]
    reached = [row for row in done if "unreached" not in row]
    out = ["# Procedures", "", f"{len(done)} of {len(wire.procs)} procedures are implemented. {len(reached)} of them count: each "
           "whole run of the tests fails unless a stock client (virsh 9.0, libvirt-python, virt-manager) is answered by all of "
           "these. Why none can be by the others stands in the table.", "",
           "| how it runs | procedures |", "|---|---|"]
    out += [f"| {HOW[how] if how != 'none' else 'not implemented'} | {sum(row['runs'] == how for row in wire.procs)} |" for how in RUNS]
    for program in wire.programs:
        rows = [row for row in wire.procs if row["program"] == program]
        if not rows:
            continue
        out += ["", f"## Program {program}: {sum(row['runs'] != 'none' for row in rows)} of {len(rows)}", "",
                "| number | name | right | read-only | runs | stock client |", "|---|---|---|---|---|---|"]
        out += [f"| {row['number']} | {row['name']} | {rights(row)} | {'yes' if row['readonly'] else 'no'} | {HOW[row['runs']]} "
                f"| {answered(row)} |" for row in rows]
    out += ["", "## Events", "", "| program | number | name | registered as |", "|---|---|---|---|"]
    out += [f"| {row['program']} | {row['number']} | {row['name']} | {row.get('event_id', '-')} |" for row in wire.events]
    return {"procedures.md": "\n".join(out) + "\n"}
