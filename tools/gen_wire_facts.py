"""facts/wire/*.toml, read and checked: what the generators of codecs, dispatch, client and docs share.

A type is a small tree: Type(kind, base, limit), with kind "plain", "optional", "list" (at most limit)
or "array" (exactly limit). Names of C things are made here and nowhere else.
"""
import dataclasses
import re

import gen

PROC_FILES = ["connect", "node", "domain", "domain-device", "domain-block", "domain-tuning", "domain-guest", "migrate",
              "snapshot", "checkpoint", "network", "storage", "nodedev", "secret", "interface", "nwfilter", "qemu", "lxc"]
RUNS = ["none", "now", "qmp", "job", "worker", "child"]
STREAMS = ["none", "read", "write", "both"]
# wire word -> (C type, bytes on the wire, function of xdr.h)
SCALARS = {
    "int": ("int32_t", 4, "i32"), "uint": ("uint32_t", 4, "u32"), "hyper": ("int64_t", 8, "i64"),
    "uhyper": ("uint64_t", 8, "u64"), "double": ("double", 8, "double"), "char": ("char", 4, "char"),
    "uchar": ("uint8_t", 4, "u8"), "short": ("int16_t", 4, "i16"), "ushort": ("uint16_t", 4, "u16"),
}


@dataclasses.dataclass
class Type:
    kind: str
    base: str
    limit: int = 0


@dataclasses.dataclass
class Field:
    name: str
    type: Type


@dataclasses.dataclass
class Struct:
    c_name: str     # WireDomain
    function: str   # domain: wire_decode_domain()
    fields: list
    origin: str


def camel(name):
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def parse_field(text):
    type_text, name = text.rsplit(" ", 1)
    match = re.fullmatch(r"(\w+)(\?|<(\d+)>|\[(\d+)\])?", type_text)
    if not match:
        raise SystemExit(f"'{text}' is not a field")
    base, suffix, most, exactly = match.groups()
    if most:
        return Field(name, Type("list", base, int(most)))
    if exactly:
        return Field(name, Type("array", base, int(exactly)))
    return Field(name, Type("optional" if suffix else "plain", base))


class Wire:
    """All the facts of the wire."""

    def __init__(self, facts):
        folder = facts / "wire"
        limits = gen.load(folder / "limits.toml")
        self.programs = {row["name"]: row for row in limits["program"]}
        self.limits = limits["limit"]
        structs = gen.load(folder / "structs.toml")
        self.enums = {row["name"]: row for row in structs["enum"]}
        self.unions = {row["name"]: row for row in structs["union"]}
        for row in self.unions.values():
            row["parsed"] = [(arm["value"], parse_field(arm["field"])) for arm in row["arms"]]
        self.structs = {row["name"]: Struct("Wire" + camel(row["name"]), row["name"],
                                            [parse_field(f) for f in row["fields"]], gen.origin(row))
                        for row in structs["struct"]}
        self.constants = gen.load(folder / "constants.toml")
        self.values = {name: value for table in self.constants.values() for name, value in table.items()}
        self.procs = [row for name in PROC_FILES for row in gen.load(folder / (name + ".toml"))["proc"]]
        self.events = gen.load(folder / "events.toml")["event"]
        for row in self.procs:
            self.prepare_proc(row)
        for row in self.events:
            row["fields"] = [parse_field(f) for f in row["args"]]
            row["struct"] = self.message_struct(row["name"] + "_msg", row["fields"], gen.origin(row))
        for rows in self.procs, self.events:
            rows.sort(key=lambda row: (self.programs[row["program"]]["number"], row["number"]))
        keys = [(row["program"], row["number"]) for row in self.procs + self.events]
        names = [row["name"] for row in self.procs + self.events]
        if len(set(keys)) != len(keys) or len(set(names)) != len(names):
            raise SystemExit("two procedures or events have the same number or name")

    def message_struct(self, name, fields, origin):
        """The struct of args, ret or a message; NULL for none. One that structs.toml has is not made twice."""
        if not fields:
            return None
        known = self.structs.get(name)
        if known:
            if known.fields != fields:
                raise SystemExit(f"{origin}: '{name}' differs from the struct of that name")
            return known
        return Struct("Wire" + camel(name), name, fields, origin)

    def prepare_proc(self, row):
        origin = gen.origin(row)
        row["fields"] = [parse_field(f) for f in row.get("args", [])]
        row["args_struct"] = self.message_struct(row["name"] + "_args", row["fields"], origin)
        row["ret_struct"] = self.message_struct(row["name"] + "_ret", [parse_field(f) for f in row.get("ret", [])], origin)
        if row["runs"] not in RUNS or row.get("stream", "none") not in STREAMS:
            raise SystemExit(f"{origin}: 'runs' is one of {RUNS}, 'stream' one of {STREAMS}")
        if "unreached" in row and (row["runs"] == "none" or not row["unreached"]):
            raise SystemExit(f"{origin}: 'unreached' is a reason, of a procedure that is implemented")
        words = {f.name for f in row["fields"] if f.type in (Type("plain", "uint"), Type("plain", "int"))}
        for rule in row.get("access", []):
            if (set(rule) != {"right"}) and rule.get("field", "flags") not in words:
                raise SystemExit(f"{origin}: no such field for the condition of '{rule['right']}'")

    def rights(self):
        """Every right that a row names, in a stable order."""
        named = {rule["right"] for row in self.procs for rule in row.get("access", [])}
        return sorted(named | {row["filter"] for row in self.procs if "filter" in row})

    def mask(self, names):
        value = 0
        for name in names:
            value |= self.values[name]
        return value

    def least_size(self, type_):
        """The fewest bytes a value takes on the wire: what bounds a count before memory is taken for it."""
        if type_.kind in ("optional", "list"):
            return 4
        if type_.kind == "array":
            return type_.limit * self.least_size(Type("plain", type_.base))
        base = type_.base
        if base in SCALARS:
            return SCALARS[base][1]
        if base == "uuid":
            return 16
        if base in self.structs:
            return sum(self.least_size(f.type) for f in self.structs[base].fields)
        if base in self.unions:
            return 4 + min(self.least_size(f.type) for _, f in self.unions[base]["parsed"])
        return 4    # string, opaque, enum

    def c_type(self, base):
        if base in SCALARS:
            return SCALARS[base][0]
        if base in self.enums:
            return "int32_t"
        if base == "uuid":
            return "Uuid"
        if base in self.structs or base in self.unions:
            return "Wire" + camel(base)
        raise SystemExit(f"type '{base}' is not known")


def right_name(right):
    return "RIGHT_" + right.replace(":", "_").upper()
