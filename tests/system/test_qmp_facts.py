"""Every QMP command, argument, answer and event that the facts name exists in the installed QEMU."""
import json
import pathlib
import re
import socket
import subprocess
import tomllib

import pytest

FACTS = pathlib.Path(__file__).resolve().parents[2] / "facts" / "qmp"
BUILTIN = {"text": {"string"}, "bool": {"boolean"}, "i64": {"int"}, "u64": {"int"}, "number": {"number", "int"}}


@pytest.fixture(scope="module")
def schema():
    ours, theirs = socket.socketpair()
    command = ["qemu-system-x86_64", "-S", "-no-user-config", "-nodefaults", "-display", "none", "-machine", "none",
               "-chardev", f"socket,id=mon,fd={theirs.fileno()}", "-mon", "chardev=mon,mode=control"]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as qemu:
        theirs.close()
        with ours, ours.makefile("rw") as stream:
            stream.readline()
            for name in ("qmp_capabilities", "query-qmp-schema"):
                stream.write(json.dumps({"execute": name}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
            stream.write('{"execute": "quit"}\n')
            stream.flush()
            qemu.wait(120)
    return {entry["name"]: entry for entry in answer["return"]}


def facts():
    merged = {"struct": [], "command": [], "event": []}
    for path in sorted(FACTS.glob("*.toml")):
        data = tomllib.loads(path.read_text())
        for kind, rows in merged.items():
            rows += data.get(kind, [])
    return merged


FACT = facts()
STRUCTS = {row["name"]: row["fields"] for row in FACT["struct"]}


def check_type(schema, entry, kind, where):
    if kind.startswith("["):
        assert entry["meta-type"] == "array", where
        check_type(schema, schema[entry["element-type"]], kind[1:-1], where)
    elif kind in STRUCTS:
        check_members(schema, entry, STRUCTS[kind], where, answer=True)
    elif kind in BUILTIN:
        is_text = kind == "text" and entry["meta-type"] in ("enum", "builtin", "alternate") and \
            entry.get("json-type", "string") == "string"
        assert is_text or entry.get("json-type") in BUILTIN[kind], f"{where}: is {entry}"


def check_members(schema, entry, fields, where, answer):
    members = {m["name"]: m for m in entry["members"]}
    optional = set()
    for field in fields:
        name, kind, mark = re.fullmatch(r"([\w-]+): (\[?\w+\]?)(\??)", field).groups()
        if name not in members and entry.get("variants"):
            continue  # one that only some variants have
        assert name in members, f"{where}: QEMU has no '{name}'"
        if mark:
            optional.add(name)
        may_be_absent = "default" in members[name]
        assert mark or not answer or not may_be_absent, f"{where}: '{name}' may be absent"
        check_type(schema, schema[members[name]["type"]], kind, f"{where}.{name}")
    if not answer and not entry.get("variants"):
        named = {re.match(r"[\w-]+", f)[0] for f in fields}
        needed = {m for m, about in members.items() if "default" not in about}
        assert needed <= named - optional, f"{where}: needs {needed - (named - optional)}"


@pytest.mark.parametrize("command", FACT["command"], ids=lambda c: c["name"])
def test_a_command_is_as_qemu_has_it(schema, command):
    entry = schema.get(command["name"])
    assert entry and entry["meta-type"] == "command"
    if not command.get("raw"):
        check_members(schema, schema[entry["arg-type"]], command.get("args", []), command["name"], answer=False)
    returned = command.get("ret")
    if returned and returned != "json":
        check_type(schema, schema[entry["ret-type"]], returned, command["name"])


@pytest.mark.parametrize("event", FACT["event"], ids=lambda e: e["name"])
def test_an_event_is_as_qemu_sends_it(schema, event):
    entry = schema.get(event["name"])
    assert entry and entry["meta-type"] == "event"
    check_members(schema, schema[entry["arg-type"]], event.get("fields", []), event["name"], answer=True)
