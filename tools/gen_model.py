"""facts/model/*.toml -> model/domain-def.[ch]: one row per field of a guest's definition.

A [[struct]] is an element of the XML and a C type; each of its rows is one member, and says where the
member is found below the element: 'driver/@queues' is an attribute, 'memory' the text of an element,
'.' the element's own text. Keys of a row: xml, type, name (default: the path in words), required,
default, range, when ('bus = virtio ide': the row applies only then), abi (must match on migration),
live (may change while the guest runs), runtime (shown and read for running guests only), secret,
has (0 is a value of its own: a member has_NAME says whether it was given), keep (an empty element means
something), always (written even when 0), verbatim (blanks and the empty text count), width (hex digits),
default_unit, kept_prefix and live_prefix (for names that drover makes: which values outlive a run), placed (drover may have filled it in: an update without it
changes nothing),
device (the list is a list of this kind of device), most (how many of it), doc. What drover does not do says so:
idle (it has no effect, and why: a warning), unmet (what has it is not started, and why), each perhaps only for the
words of `only`; covered (no code of ours names it, and why that is right).
"""
import re

import gen

SCALARS = {  # type: (C type, alignment)
    "string": ("const char *", 8), "xml": ("const char *", 8), "cpuset": ("const char *", 8),
    "flag": ("bool", 1), "onoff": ("Switch", 1), "yesno": ("Switch", 1),
    "uint": ("uint32_t", 4), "hex": ("uint32_t", 4), "int": ("int32_t", 4),
    "u64": ("uint64_t", 8), "i64": ("int64_t", 8), "memory": ("uint64_t", 8), "bytes": ("uint64_t", 8),
    "uuid": ("Uuid", 1), "mac": ("Mac", 1),
}
UNITS = {None: 1024, "MiB": 1 << 20, "bytes": 1}
LIMITS = {"uint": (0, 2**32 - 1), "hex": (0, 2**32 - 1), "int": (-2**31, 2**31 - 1)}
FILES = ["common", "domain", "cpu", "clock", "disk", "interface", "chardev", "devices", "confidential", "network",
         "storage-pool", "volume", "secret", "nwfilter"]


def snake(camel):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", camel).lower()


def member_name(path):
    """'driver/@copy_on_read' -> driver_copy_on_read, '@rebootTimeout' -> reboot_timeout"""
    return re.sub(r"[^a-z0-9]+", "_", snake(path.replace("@", ""))).strip("_")


class Enum:
    def __init__(self, row):
        self.name, self.words, self.origin = row["name"], row["words"], gen.origin(row)
        self.var = snake(self.name)

    def constant(self, word):
        return f"{self.var}_{member_name(word)}".upper()


class Row:
    def __init__(self, row, origin):
        self.keys, self.origin = row, origin
        self.xml = row["xml"]
        self.name = row.get("name") or member_name(self.xml)
        self.kind, _, self.of = row["type"].partition(" ")

    def get(self, key, default=None):
        return self.keys.get(key, default)


class Struct:
    def __init__(self, row, rows):
        self.name, self.element, self.doc = row["name"], row["element"], row["doc"]
        self.root, self.origin, self.rows = row.get("root", False), gen.origin(row), rows
        self.var = snake(self.name)
        self.parsed, self.shown = row.get("parsed", False), row.get("shown", False)
        self.alone = row.get("alone", False)  # read by hand-written code, below no other struct


class Model:
    def __init__(self, facts):
        self.enums, self.structs = {}, {}
        for stem in FILES:
            path = facts / "model" / f"{stem}.toml"
            data = gen.load(path)
            lines = path.read_text().splitlines()
            for row in data.get("enum", []):
                self.enums[row["name"]] = Enum(row)
            for row in data.get("struct", []):
                assert row["name"] not in self.structs, f"{gen.origin(row)}: there is a struct {row['name']} already"
                numbers = [n for n, line in enumerate(lines, 1) if n > row["_line"] and re.match(r"\s*\{ xml = ", line)]
                rows = [Row(r, f"{row['_file']}:{n}") for r, n in zip(row["rows"], numbers)]
                self.structs[row["name"]] = Struct(row, rows)
        self.check()

    def check(self):
        known = {"xml", "type", "name", "required", "default", "range", "when", "abi", "live", "runtime", "secret", "has",
                 "keep", "always", "verbatim", "width", "default_unit", "kept_prefix", "live_prefix", "placed", "device", "most",
                 "idle", "unmet", "covered", "only", "doc"}
        for struct in self.structs.values():
            for row in struct.rows:
                unknown = set(row.keys) - known
                assert not unknown, f"{row.origin}: unknown key {unknown}"
                assert row.get("doc"), f"{row.origin}: no doc"
                if row.kind == "enum":
                    assert row.of in self.enums, f"{row.origin}: no enum {row.of}"
                elif row.of:
                    assert row.of in self.structs, f"{row.origin}: no struct {row.of}"
                else:
                    assert row.kind in SCALARS, f"{row.origin}: no type {row.kind}"

    def members(self, struct):
        """(C declaration, alignment, row) of every member once, in the order of the rows."""
        seen = {}
        for row in struct.rows:
            kind = row.of or SCALARS[row.kind]
            if row.name in seen:
                assert seen[row.name] == kind, f"{row.origin}: {row.name} has two types"
                continue
            seen[row.name] = kind
            if row.kind == "list":
                yield f"{row.of} **{row.name}", 8, row
                yield f"uint32_t n_{row.name}", 4, None
            elif row.kind == "struct":
                yield f"{'struct ' + row.of if row.of == struct.name else row.of} *{row.name}", 8, row
            elif row.kind == "embed":
                yield f"{row.of} {row.name}", self.alignment(row.of), row
            elif row.kind == "enum":
                yield f"{row.of} {row.name}", 1, row
            else:
                ctype, align = SCALARS[row.kind]
                yield (f"{ctype}{row.name}" if ctype.endswith("*") else f"{ctype} {row.name}"), align, row
            if row.get("has"):
                yield f"bool has_{row.name}", 1, None

    def alignment(self, name):
        return max(align for _, align, _ in self.members(self.structs[name]))

    def order(self):
        """Structs so that what one holds comes before it."""
        done, out = set(), []

        def visit(struct):
            if struct.name in done:
                return
            done.add(struct.name)
            for row in struct.rows:
                if row.kind in ("struct", "list", "embed"):
                    visit(self.structs[row.of])
            out.append(struct)

        for struct in self.structs.values():
            visit(struct)
        return out

    def flatten(self, struct, path=".", member="", live=False):
        """Rows with embedded structs laid open: (path, member, row, where a condition's member is found)."""
        for row in struct.rows:
            where = row.xml if path == "." else path if row.xml == "." else f"{path}/{row.xml}"
            if row.kind == "embed":
                yield from self.flatten(self.structs[row.of], where, f"{member}{row.name}.", live or row.get("live"))
            else:
                yield where, member + row.name, Row({**row.keys, "live": row.get("live") or live}, row.origin), member

    def has_table(self, struct):
        """A struct that is only ever embedded has no table: its rows are in its holders' tables."""
        return struct.root or struct.alone or any(row.of == struct.name and row.kind != "embed"
                                  for other in self.structs.values() for row in other.rows)

    def devices(self):
        return [row for row in self.structs["DomainDef"].rows if row.get("device")]


def tree(model, struct):
    """Fields and elements of one struct: the elements in preorder of first mention, each with its fields in a run."""
    nodes = [{"name": None, "attrs": [], "content": [], "children": []}]

    def node_at(path):
        at = 0
        for part in [p for p in path.split("/") if p != "."]:
            for child in nodes[at]["children"]:
                if nodes[child]["name"] == part:
                    at = child
                    break
            else:
                nodes.append({"name": part, "attrs": [], "content": [], "children": []})
                nodes[at]["children"].append(len(nodes) - 1)
                at = len(nodes) - 1
        return at

    for entry in model.flatten(struct):
        path = entry[0]
        parent, _, last = path.rpartition("/")
        if last.startswith("@"):
            nodes[node_at(parent or ".")]["attrs"].append(entry)
        else:
            nodes[node_at(path)]["content"].append(entry)

    # Children of one element must stand in a row: lay the tree out level by level.
    layout, fields, queue = [], [], [0]
    while queue:
        number = queue.pop(0)
        node = nodes[number]
        layout.append(node)
        node["place"] = len(layout) - 1
        queue += node["children"]
        node["first_attr"] = len(fields)
        fields += node["attrs"]
        node["first_content"] = len(fields)
        fields += node["content"]
    for node in layout:
        node["first_child"] = nodes[node["children"][0]]["place"] if node["children"] else 0
        whole = [e for e in node["content"] if e[2].kind in ("struct", "list", "xml")]
        node["whole"] = bool(whole)
        assert not whole or (len(whole) == len(node["content"]) and not node["attrs"] and not node["children"]), \
            f"{whole[0][2].origin}: an element is either a struct of its own or has rows here"
    return layout, fields


class Tables:
    """The C source with the tables."""

    def __init__(self, model):
        self.model, self.out = model, []

    def condition(self, struct, text, prefix):
        """'bus = virtio ide' -> a FieldWhen initializer, the member it looks at."""
        name, _, words = (part.strip() for part in text.partition("="))
        for candidate in (prefix + name, name):
            for _, member, row, _ in self.model.flatten(struct):
                if member == candidate:
                    return self.condition_on(struct, member, row, words.split(), text), member
        raise SystemExit(f"{struct.name}: no member {name} for the condition '{text}'")

    def condition_on(self, struct, member, row, words, text):
        if row.kind == "enum":
            enum = self.model.enums[row.of]
            mask = sum(1 << (enum.words.index(w) + 1) for w in words)
            return f'{{ offsetof({struct.name}, {member}), 0x{mask:x}, NULL, "{text}" }}'
        assert row.kind == "string", text
        listed = ", ".join(f'"{w}"' for w in words)
        return f'{{ offsetof({struct.name}, {member}), 0, (const char *const[]){{ {listed}, NULL }}, "{text}" }}'

    def field(self, struct, entry, whens, shared):
        path, member, row, prefix = entry
        parts = [f'"{path}"', f'"{member}"', f"FIELD_{row.kind.upper()}", f"offsetof({struct.name}, {member})"]
        extra, limits, notes = [], [], []
        head, _, last = member.rpartition(".")
        head = head + "." if head else ""
        if row.kind == "list":
            extra.append(f".extra = offsetof({struct.name}, {head}n_{last})")
            if row.get("most"):
                limits.append(f".max = {row.get('most')}")
        elif row.get("has"):
            extra.append(f".extra = offsetof({struct.name}, {head}has_{last})")
        if row.kind == "enum":
            extra.append(f".words = &{self.model.enums[row.of].var}_words")
        elif row.kind in ("struct", "list"):
            extra.append(f".of = &{self.model.structs[row.of].var}_info")
        if row.kind in ("memory", "bytes"):
            limits.append(f".unit = {UNITS[row.get('default_unit')] if row.kind == 'memory' else 1}")
        low, high = LIMITS.get(row.kind, (None, None))
        if row.get("range"):
            low, high = (int(n) for n in re.fullmatch(r"(-?\d+)-(\d+)", row.get("range")).groups())
        if low is not None and (low or row.kind == "int"):
            limits.append(f".min = {low if low > -2**31 else 'INT32_MIN'}")
        if high is not None:
            limits.append(f".max = {high}{'U' if high > 2**31 else ''}{'LL' if high > 2**32 else ''}")
        if row.get("default"):
            extra.append(f'.fallback = "{row.get("default")}"')
        if row.get("width"):
            extra.append(f".width = {row.get('width')}")
        for key in ("kept_prefix", "live_prefix"):
            if row.get(key):
                notes.append(f'.{key} = "{row.get(key)}"')
        for key in ("required", "keep", "always", "runtime", "secret", "abi", "live", "verbatim", "placed"):
            if row.get(key):
                extra.append(f".{key} = true")
        for key in ("idle", "unmet", "only"):
            if row.get(key):
                notes.append(f'.{key} = "{row.get(key)}"')
        if shared:
            extra.append(".shared = true")
        if row.get("when"):
            notes.append(f".when = &{struct.var}_whens[{whens[(row.get('when'), prefix)]}]")
        extra.append(f".range = &(const FieldRange){{ {', '.join(limits)} }}" if limits else ".range = &field_any_range")
        extra.append(f".notes = &(const FieldNotes){{ {', '.join(notes)} }}" if notes else ".notes = &field_no_notes")
        return "        { " + ", ".join(parts + extra) + f" }}, /* {row.origin} */"

    def struct(self, struct):
        nodes, fields = tree(self.model, struct)
        whens, early = {}, []
        for _, _, row, prefix in fields:
            if row.get("when"):
                key = (row.get("when"), prefix)
                whens.setdefault(key, len(whens))
        if whens:
            self.out += [f"static const FieldWhen {struct.var}_whens[] = {{"]
            for (text, prefix), _ in whens.items():
                initializer, member = self.condition(struct, text, prefix)
                self.out.append(f"        {initializer},")
                places = [i for i, f in enumerate(fields) if f[1] == member]
                early += [i for i in places if i not in early]
            self.out += ["};", ""]
            # A condition may rest on a member that has a condition itself.
            early.sort(key=lambda i: (bool(fields[i][2].get("when")), i))
            self.out += [f"static const uint16_t {struct.var}_early[] = {{ {', '.join(map(str, early))} }};", ""]
        self.out += [f"static const Field {struct.var}_fields[] = {{"]
        members = [entry[1] for entry in fields]
        self.out += [self.field(struct, entry, whens, entry[1] in members[:i]) for i, entry in enumerate(fields)]
        self.out += ["};", "", f"static const FieldNode {struct.var}_nodes[] = {{"]
        for node in nodes:
            name = f'"{node["name"]}"' if node["name"] else "NULL"
            self.out.append(f"        {{ {name}, {node['first_attr']}, {len(node['attrs'])}, {node['first_content']}, "
                            f"{len(node['content'])}, {node['first_child']}, {len(node['children'])}, "
                            f"{'true' if node['whole'] else 'false'} }},")
        self.out += ["};", "", f"/* {struct.origin} */", f"const StructInfo {struct.var}_info = {{",
                     f'        "{struct.name}", "{struct.element}", sizeof({struct.name}),',
                     f"        {struct.var}_fields, ARRAY_LEN({struct.var}_fields), {struct.var}_nodes,",
                     f"        {struct.var + '_early' if whens else 'NULL'}, {len(early)},"]
        if struct.parsed:
            self.out.append(f"        .parsed = {struct.var}_parsed,")
        if struct.shown:
            self.out.append(f"        .shown = {struct.var}_shown,")
        self.out += ["};", ""]

    def generate(self):
        self.out += ["/* generated from facts/model by tools/gen_model.py */", '#include "model/domain-def.h"', "",
                     '#include "model/hooks.h"', ""]
        for enum in self.model.enums.values():
            words = ", ".join(f'"{w}"' for w in enum.words)
            self.out += [f"/* {enum.origin} */",
                         f"static const char *const {enum.var}_list[] = {{ {words} }};",
                         f'const EnumWords {enum.var}_words = {{ "{enum.name}", {enum.var}_list, ARRAY_LEN({enum.var}_list) }};', ""]
        for struct in filter(self.model.has_table, self.model.order()):
            self.struct(struct)
        self.out += ["const DeviceList device_lists[] = {"]
        for row in self.model.devices():
            struct = self.model.structs[row.of]
            element = row.xml.rpartition("/")[2]
            info = any(r.kind == "embed" and r.of == "DeviceInfo" for r in struct.rows)
            where = f"offsetof({row.of}, info)" if info else "NO_DEVICE_INFO"
            self.out.append(f"        [DEVICE_{row.get('device')}] = {{ \"{element}\", &{struct.var}_info, "
                            f"offsetof(DomainDef, {row.name}), offsetof(DomainDef, n_{row.name}), {where}, "
                            f"{row.get('most', 0)} }}, /* {row.origin} */")
        self.out += ["};", ""]
        return "\n".join(self.out)


def header(model):
    out = ["#pragma once", "/* generated from facts/model by tools/gen_model.py */", '#include "model/fields.h"', ""]
    for enum in model.enums.values():
        out += [f"/* {enum.origin} */", f"typedef enum {enum.name} {{", f"        {enum.var.upper()}_UNSET = 0,"]
        out += [f'        {enum.constant(w)}, /* "{w}" */' for w in enum.words]
        out += [f"}} __attribute__((packed)) {enum.name};", f"extern const EnumWords {enum.var}_words;",
                f"static inline const char *{enum.var}_text({enum.name} value)", "{",
                f"        return enum_text(&{enum.var}_words, value);", "}", ""]
    for struct in model.order():
        out += [f"/* {struct.origin}: {struct.doc} */", f"typedef struct {struct.name} {{"]
        if struct.root:
            out.append("        DefHeader head;")
        for text, _, row in sorted(model.members(struct), key=lambda m: -m[1]):
            note = f" /* {row.xml}: {row.get('doc')} */" if row else ""
            out.append(f"        {text};{note}")
        out += [f"}} {struct.name};"]
        if model.has_table(struct):
            out.append(f"extern const StructInfo {struct.var}_info;")
        out.append("")
    devices = model.devices()
    out += ["/* The kinds of devices, and where their lists are. */", "typedef enum DeviceKind {"]
    out += [f"        DEVICE_{row.get('device')}," for row in devices]
    out += [f"        N_DEVICE_KINDS, /* {len(devices)} */", "} DeviceKind;", "",
            "extern const DeviceList device_lists[N_DEVICE_KINDS];", ""]
    return "\n".join(out)


def generate(facts):
    model = Model(facts)
    return {"domain-def.h": header(model), "domain-def.c": Tables(model).generate()}
