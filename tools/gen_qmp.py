"""facts/qmp/*.toml -> qemu/qmp.h, qemu/qmp.c: structs, typed commands and events of QMP.

A field is written "name: type": text, bool, i64, u64, number, json or the name of a [[struct]], in [ ] for
a list, with ? behind when it may be absent. An optional plain value gets a bool has_NAME beside it.

The guest agent speaks the same kind of commands: gen_agent.py makes its wrappers with the functions here.
"""
import re

import gen

TYPE, NAME = "Qmp", "qmp"  # how the generated types and functions begin

C_TYPES = {"text": "const char *", "bool": "bool ", "i64": "int64_t ", "u64": "uint64_t ", "number": "double ",
           "json": "const char *"}
KINDS = {"text": "QMP_TEXT", "bool": "QMP_BOOL", "i64": "QMP_I64", "u64": "QMP_U64", "number": "QMP_NUMBER",
         "json": "QMP_JSON"}
PLAIN = {"bool", "i64", "u64", "number"}


def snake(name):
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def camel(name):
    return "".join(part[:1].upper() + part[1:].lower() for part in re.split(r"[-_]", name))


def under(name):
    """MigrateInfo -> migrate_info"""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Field:
    def __init__(self, text):
        match = re.fullmatch(r"([\w-]+): (\[)?([\w]+)\]?(\?)?", text)
        if not match:
            raise SystemExit(f"facts/qmp: '{text}' is not 'name: type'")
        self.key, self.list, self.type, self.optional = match[1], bool(match[2]), match[3], bool(match[4])
        self.member = snake(self.key)
        if self.member in ("default", "inline", "static", "int"):
            self.member += "_"
        self.struct = self.type not in C_TYPES

    def members(self):
        c_type = f"struct {TYPE}{self.type} " if self.struct else C_TYPES[self.type]
        if self.list:
            inner = f"const {c_type}*" if not c_type.startswith("const") else c_type + "const *"
            return [f"{inner}{self.member};", f"size_t n_{self.member};"]
        if self.struct and self.optional:
            return [f"const {c_type}*{self.member};"]
        lines = [f"{c_type}{self.member};"]
        if self.optional and self.type in PLAIN:
            lines.insert(0, f"bool has_{self.member};")
        return lines

    def row(self, owner):
        kind = "QMP_STRUCT" if self.struct else KINDS[self.type]
        parts = [f'"{self.key}"', kind, f".offset = offsetof({owner}, {self.member})"]
        if self.optional:
            parts.append(".optional = true")
        if self.list:
            parts += [".list = true", f".count_offset = offsetof({owner}, n_{self.member})"]
        elif self.optional and self.type in PLAIN:
            parts.append(f".count_offset = offsetof({owner}, has_{self.member})")
        if self.struct:
            parts.append(f".type = &{NAME}_type_{under(self.type)}")
        return "        { " + ", ".join(parts) + " },"


def declare(name, fields, origin, doc=None):
    lines = [f"/* {origin} */" if not doc else f"/* {doc} ({origin}) */", f"typedef struct {TYPE}{name} {{"]
    for field in fields:
        lines += ["        " + m for m in field.members()]
    return lines + [f"}} {TYPE}{name};", f"extern const QmpStruct {NAME}_type_{under(name)};", ""]


def define(name, fields, origin):
    table = f"fields_{under(name)}"
    lines = [f"/* {origin} */", f"static const QmpField {table}[] = {{"]
    lines += [f.row(f"{TYPE}{name}") for f in fields]
    return lines + ["};", f"const QmpStruct {NAME}_type_{under(name)} = {{ \"{name}\", sizeof({TYPE}{name}), {table}, "
                    f"{len(fields)} }};", ""]


def order_structs(rows):
    """Structs that hold others by value come after them."""
    by_name, done, out = {r["name"]: r for r in rows}, set(), []

    def visit(row):
        if row["name"] in done:
            return
        done.add(row["name"])
        for field in row["parsed"]:
            if field.struct and not field.list and not field.optional:
                visit(by_name[field.type])
        out.append(row)
    for row in rows:
        visit(row)
    return out


def returned(command):
    """(the parameters of done() between arg and failure, the deliver function, the table)"""
    ret = command.get("ret")
    if not ret:
        return "", "qmp_deliver_none", "NULL"
    if ret == "i64":
        return "int64_t ret, ", "qmp_deliver_i64", "NULL"
    if ret == "text":
        return "const char *ret, ", "qmp_deliver_text", "NULL"
    if ret == "json":
        return "struct json_object *ret, ", "qmp_deliver_json", "NULL"
    if ret.startswith("["):
        return f"const {TYPE}{ret[1:-1]} *ret, size_t n, ", "qmp_deliver_list", f"&{NAME}_type_{under(ret[1:-1])}"
    return f"const {TYPE}{ret} *ret, ", "qmp_deliver_struct", f"&{NAME}_type_{under(ret)}"


def command_code(command):
    name, args = command["name"], command["parsed"]
    c_name = f"{NAME}_" + snake(name).removeprefix(f"{NAME}_").removeprefix("guest_" if NAME == "agent" else "")
    done, deliver, table = returned(command)
    raw = command.get("raw")
    struct = f"{TYPE}{camel(name)}"
    takes = "const char *args, " if raw else f"const {struct} *args, " if args else ""
    takes += "int fd, " if command.get("fd") else ""
    signature = f"{TYPE}Call *{c_name}({TYPE}Client *{NAME}, {takes}void (*done)(void *arg, {done}const Error *failure), void *arg)"
    header = declare(camel(name), args, gen.origin(command)) if args else []
    doc = command.get("doc")
    header += [f"/* {doc} ({gen.origin(command)}) */" if doc else f"/* {gen.origin(command)} */", signature + ";", ""]
    source = define(camel(name), args, gen.origin(command)) if args else []
    row = f"command_{snake(name)}"
    source += [f"static const QmpCommand {row} = {{ \"{name}\", {f'&{NAME}_type_' + under(camel(name)) if args else 'NULL'}, "
               f"{table}, {deliver}{', .quiet = true' if command.get('quiet') else ''}"
               f"{', .urgent = true' if command.get('urgent') else ''} }};", signature, "{",
               f"        return {NAME}_send({NAME}, &{row}, {'args' if args else 'NULL'}, {'args' if raw else 'NULL'}, "
               f"{'fd' if command.get('fd') else '-1'}, (void (*)(void))done, arg);", "}", ""]
    return header, source


def event_code(events):
    header = ["typedef enum QmpEventType {", "        QMP_EVENT_OTHER, /* one that no fact names */"]
    header += [f"        QMP_EVENT_{e['name']}, /* {gen.origin(e)} */" for e in events]
    header += ["} QmpEventType;", ""]
    source = []
    for e in events:
        if e["parsed"]:
            header += declare("Event" + camel(e["name"]), e["parsed"], gen.origin(e))
            source += define("Event" + camel(e["name"]), e["parsed"], gen.origin(e))
    header += ["typedef struct QmpEvent {", "        QmpEventType type;", "        const char *name;",
               "        int64_t seconds, microseconds; /* when, by the clock of this host */", "        union {"]
    header += [f"                QmpEvent{camel(e['name'])} {snake(e['name'])};" for e in events if e["parsed"]]
    header += ["        };", "        struct json_object *data; /* NULL: none; lives as long as the event */",
               "} QmpEvent;", "",
               "/* Texts live in the arena. An event that no fact names has type QMP_EVENT_OTHER. */",
               "int qmp_event_decode(const char *name, struct json_object *event, Arena *arena, QmpEvent *ret, Error *err);",
               ""]
    source += ["const QmpEventRow qmp_event_rows[] = {"]
    for e in sorted(events, key=lambda e: e["name"]):
        what = f"&qmp_type_event_{under(camel(e['name']))}" if e["parsed"] else "NULL"
        at = f"offsetof(QmpEvent, {snake(e['name'])})" if e["parsed"] else "0"
        source.append(f"        {{ \"{e['name']}\", QMP_EVENT_{e['name']}, {what}, {at} }},")
    source += ["};", f"const size_t qmp_n_event_rows = {len(events)};", ""]
    return header, source


def load(directory):
    """All structs, commands and events of a directory of facts, their fields parsed."""
    structs, commands, events = [], [], []
    for path in sorted(directory.glob("*.toml")):
        data = gen.load(path)
        structs += data.get("struct", [])
        commands += data.get("command", [])
        events += data.get("event", [])
    for row in structs + events:
        row["parsed"] = [Field(f) for f in row.get("fields", [])]
    for row in commands:
        row["parsed"] = [Field(f) for f in row.get("args", [])]
    return structs, commands, events


def wrappers(structs, commands, header, source):
    for row in order_structs(structs):
        header += declare(row["name"], row["parsed"], gen.origin(row), row.get("doc"))
        source += define(row["name"], row["parsed"], gen.origin(row))
    for row in commands:
        h, s = command_code(row)
        header += h
        source += s


def generate(facts):
    structs, commands, events = load(facts / "qmp")
    header = ["#pragma once", "/*", " * qemu/qmp.h - QMP, typed; generated from facts/qmp by tools/gen_qmp.py", " *",
              " * Each command returns at once; done() runs on a later turn, exactly once, unless the call is freed",
              " * before (qmp_call_free()). What it gets lives until it returns.", " */",
              '#include "qemu/qmp-call.h"', ""]
    source = ["/* generated from facts/qmp by tools/gen_qmp.py */", '#include "qemu/qmp.h"', ""]
    wrappers(structs, commands, header, source)
    h, s = event_code(events)
    return {"qmp.h": "\n".join(header + h), "qmp.c": "\n".join(source + s)}
