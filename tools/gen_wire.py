"""facts/wire/*.toml -> gen/wire/: constants, structs, codecs, the tables of procedures and events, client calls."""
import gen
from gen_wire_facts import SCALARS, Type, Wire, right_name

NOTE = "/* generated from facts/wire by tools/gen_wire.py */"


def header(*includes):
    return ["#pragma once", NOTE, *[f'#include {i}' for i in includes], ""]


def constants(wire):
    out = header()
    for program in wire.programs.values():
        out += [f"#define WIRE_PROGRAM_{program['name']} {program['number']:#010x}U /* {gen.origin(program)} */",
                f"#define WIRE_VERSION_{program['name']} {program['version']}U"]
    out += [""]
    out += [f"#define WIRE_{row['name']} {row['value']}U /* {gen.origin(row)} */" for row in wire.limits]
    for row in wire.enums.values():
        out += ["", f"enum {{ /* {row['name']}: {gen.origin(row)} */"]
        out += [f"        WIRE_{row['name']}_{word}".upper() + f" = {value}," for word, value in row["values"].items()]
        out += ["};"]
    for title, table in wire.constants.items():
        words = {name: value for name, value in table.items() if isinstance(value, int) and value < 1 << 31}
        out += ["", f"/* facts/wire/constants.toml: {title} */"]
        if words:
            out += ["enum {"] + [f"        {name} = {value}," for name, value in words.items()] + ["};"]
        for name, value in table.items():
            if isinstance(value, str):
                out += [f'#define {name} "{value}"']
            elif name not in words:
                out += [f"#define {name} {value}{'U' if value < 1 << 32 else 'ULL'}"]
    return out + [""]


def members(wire, fields):
    out = []
    for f in fields:
        base, name = f.type.base, f.name
        if base == "opaque":
            out += [f"uint32_t n_{name}; /* at most {f.type.limit} */", f"const uint8_t *{name};"]
        elif f.type.kind == "list" and base == "char":
            out += [f"uint32_t n_{name}; /* at most {f.type.limit} */", f"const char *{name};"]
        elif f.type.kind == "list":
            pointer = "const char **" if base == "string" else wire.c_type(base) + " *"
            out += [f"uint32_t n_{name}; /* at most {f.type.limit} */", f"{pointer}{name};"]
        elif base == "string":
            out += [f"const char *{name};" + (" /* may be NULL */" if f.type.kind == "optional" else "")]
        elif f.type.kind == "optional":
            out += [f"const {wire.c_type(base)} *{name}; /* may be NULL */"]
        elif f.type.kind == "array":
            out += [f"{wire.c_type(base)} {name}[{f.type.limit}];"]
        else:
            out += [f"{wire.c_type(base)} {name};"]
    return out


def struct_text(wire, struct):
    return [f"typedef struct {struct.c_name} {{ /* {struct.origin} */",
            *["        " + m for m in members(wire, struct.fields)], f"}} {struct.c_name};", ""]


def union_text(wire, row):
    c_name = wire.c_type(row["name"])
    out = [f"typedef struct {c_name} {{ /* {gen.origin(row)} */", "        int32_t type;", "        union {"]
    for value, f in row["parsed"]:
        out += [f"                {members(wire, [f])[0]} /* type {value} */"]
    return out + ["        };", f"}} {c_name};", ""]


def needs(wire, row_fields):
    return [f.type.base for f in row_fields if f.type.base in wire.structs or f.type.base in wire.unions]


def in_order(wire):
    """Structs and unions, each after what it is made of."""
    done, order = set(), []

    def visit(name):
        if name in done:
            return
        done.add(name)
        fields = wire.structs[name].fields if name in wire.structs else [f for _, f in wire.unions[name]["parsed"]]
        for base in needs(wire, fields):
            visit(base)
        order.append(name)

    for name in list(wire.structs) + list(wire.unions):
        visit(name)
    return order


def messages(wire):
    """The structs of all args, rets and messages that structs.toml does not have."""
    own = set(wire.structs)
    found = []
    for row in wire.procs:
        found += [row["args_struct"], row["ret_struct"]]
    found += [row["struct"] for row in wire.events]
    return [s for s in found if s and s.function not in own]


def structs(wire):
    out = header('"base/uuid.h"', "<stdint.h>")
    for name in in_order(wire):
        out += struct_text(wire, wire.structs[name]) if name in wire.structs else union_text(wire, wire.unions[name])
    for struct in messages(wire):
        out += struct_text(wire, struct)
    return out


def decode_one(wire, base, target):
    if base in SCALARS:
        return f"{target} = xdr_get_{SCALARS[base][2]}(r);"
    if base in wire.enums:
        return f"{target} = xdr_get_i32(r);"
    if base == "string":
        return f"{target} = xdr_get_string(r);"
    if base == "uuid":
        return f"xdr_get_uuid(r, &{target});"
    return f"wire_decode_{base}(r, &{target});"


def decode_field(wire, f):
    base, to = f.type.base, "v->" + f.name
    if base == "opaque":
        return [f"{to} = xdr_get_opaque(r, {f.type.limit}, &v->n_{f.name});"]
    if f.type.kind == "list" and base == "char":
        return [f"{to} = xdr_get_chars(r, {f.type.limit}, &v->n_{f.name});"]
    if f.type.kind == "list":
        least = wire.least_size(Type("plain", base))
        return [f"{to} = xdr_get_list(r, {f.type.limit}, {least}, sizeof(*{to}), &v->n_{f.name});",
                f"for (uint32_t i = 0; i < v->n_{f.name}; i++)", "        " + decode_one(wire, base, to + "[i]")]
    if f.type.kind == "array":
        return [f"for (uint32_t i = 0; i < {f.type.limit}; i++)", "        " + decode_one(wire, base, to + "[i]")]
    if f.type.kind == "optional" and base == "string":
        return ["if (xdr_get_present(r))", "        " + decode_one(wire, base, to)]
    if f.type.kind == "optional":
        return ["if (xdr_get_present(r)) {", f"        {wire.c_type(base)} *one = xdr_get_memory(r, sizeof(*one));", "",
                "        " + decode_one(wire, base, "(*one)"), f"        {to} = one;", "}"]
    return [decode_one(wire, base, to)]


def encode_one(wire, base, source):
    if base in SCALARS:
        return f"xdr_put_{SCALARS[base][2]}(w, {source});"
    if base in wire.enums:
        return f"xdr_put_i32(w, {source});"
    if base == "string":
        return f"xdr_put_string(w, {source});"
    if base == "uuid":
        return f"xdr_put_uuid(w, &{source});"
    return f"wire_encode_{base}(w, &{source});"


def encode_field(wire, f):
    base, at = f.type.base, "v->" + f.name
    if base == "opaque":
        return [f"xdr_put_opaque(w, {at}, v->n_{f.name}, {f.type.limit});"]
    if f.type.kind == "list" and base == "char":
        return [f"xdr_put_chars(w, {at}, v->n_{f.name}, {f.type.limit});"]
    if f.type.kind == "list":
        return [f"if (xdr_put_count(w, v->n_{f.name}, {f.type.limit})) {{",
                f"        for (uint32_t i = 0; i < v->n_{f.name}; i++)", "                " + encode_one(wire, base, at + "[i]"), "}"]
    if f.type.kind == "array":
        return [f"for (uint32_t i = 0; i < {f.type.limit}; i++)", "        " + encode_one(wire, base, at + "[i]")]
    if f.type.kind == "optional":
        source = at if base == "string" else f"(*{at})"
        return [f"if (xdr_put_present(w, {at}))", "        " + encode_one(wire, base, source)]
    return [encode_one(wire, base, at)]


def function(signature, lines):
    return [signature, "{", *["        " + line if line else "" for line in lines], "}", ""]


def struct_codec(wire, s):
    out = function(f"void wire_decode_{s.function}(XdrReader *r, {s.c_name} *v)",
                   [line for f in s.fields for line in decode_field(wire, f)])
    return out + function(f"void wire_encode_{s.function}(XdrWriter *w, const {s.c_name} *v)",
                          [line for f in s.fields for line in encode_field(wire, f)])


def union_codec(wire, row):
    name, c_name = row["name"], wire.c_type(row["name"])
    get, put = ["v->type = xdr_get_i32(r);", "switch (v->type) {"], ["xdr_put_i32(w, v->type);", "switch (v->type) {"]
    for value, f in row["parsed"]:
        get += [f"case {value}:", "        " + decode_one(wire, f.type.base, "v->" + f.name), "        break;"]
        put += [f"case {value}:", "        " + encode_one(wire, f.type.base, "v->" + f.name), "        break;"]
    get += ["default:", '        xdr_reader_fail(r, "unknown type of a value");', "}"]
    put += ["default:", '        xdr_writer_fail(w, "unknown type of a value");', "}"]
    return (function(f"void wire_decode_{name}(XdrReader *r, {c_name} *v)", get) +
            function(f"void wire_encode_{name}(XdrWriter *w, const {c_name} *v)", put))


def message_codec(wire, s):
    """For the tables, hence void *."""
    return (function(f"void wire_decode_{s.function}(XdrReader *r, void *out)",
                     [f"{s.c_name} *v = out;", ""] + [line for f in s.fields for line in decode_field(wire, f)]) +
            function(f"void wire_encode_{s.function}(XdrWriter *w, const void *in)",
                     [f"const {s.c_name} *v = in;", ""] + [line for f in s.fields for line in encode_field(wire, f)]))


def codec_header(wire):
    out = header('"wire/structs.h"', '"wire/xdr.h"')
    for name in in_order(wire):
        c_name = wire.c_type(name)
        out += [f"void wire_decode_{name}(XdrReader *r, {c_name} *v);",
                f"void wire_encode_{name}(XdrWriter *w, const {c_name} *v);"]
    out += ["", "/* Arguments, results and messages, as the tables of wire/proc.h point at them. */"]
    for s in messages(wire):
        out += [f"void wire_decode_{s.function}(XdrReader *r, void *out);",
                f"void wire_encode_{s.function}(XdrWriter *w, const void *in);"]
    return out + [""]


def codec(wire):
    out = [NOTE, '#include "wire/codec.h"', ""]
    for name in in_order(wire):
        out += struct_codec(wire, wire.structs[name]) if name in wire.structs else union_codec(wire, wire.unions[name])
    for s in messages(wire):
        out += message_codec(wire, s)
    return out


def tables_header(wire):
    out = header()
    out += ["/* Numbers of the procedures; those of the QEMU and LXC programs carry the program in their name. */", "enum {"]
    out += [f"        WIRE_PROC_{row['name'].upper()} = {row['number']}," for row in wire.procs] + ["};", ""]
    out += ["/* Numbers of the events. */", "enum {"]
    out += [f"        WIRE_EVENT_{row['name'].upper()} = {row['number']}," for row in wire.events] + ["};", ""]
    out += ["/* What a caller must be allowed to do. */", "typedef enum WireRight {", "        RIGHT_NONE,"]
    out += [f"        {right_name(r)}," for r in wire.rights()]
    out += ["        N_RIGHTS", "} WireRight;", ""]
    out += ["/* The object that an event is about, and whose registration call it needs. */", "typedef enum WireClass {"]
    out += [f"        WIRE_CLASS_{word}," for word in event_classes(wire)] + ["} WireClass;", ""]
    out += [f"enum {{ N_WIRE_PROCS = {len(wire.procs)}, N_WIRE_EVENTS = {len(wire.events)} }};", ""]
    return out


def event_classes(wire):
    return sorted({row["class"].replace("-", "_").upper() for row in wire.events})


def access_row(wire, row, rule):
    c_name = row["args_struct"].c_name if row["args_struct"] else ""
    when, value, at = "ALWAYS", "0", "0"
    if "when" in rule:
        when, value = "ANY_SET", f"{wire.mask(rule['when']):#x}"
    elif "unless" in rule:
        when, value = "ALL_CLEAR", f"{wire.mask(rule['unless']):#x}"
    elif "equals" in rule:
        when, value = "EQUAL", rule["equals"]
    if when != "ALWAYS":
        at = f"offsetof({c_name}, {rule.get('field', 'flags')})"
    return f"        {{ {right_name(rule['right'])}, ACCESS_{when}, {value}, {at} }},"


def codec_cells(prefix, struct, typed):
    """Size and functions of one struct; structs of structs.toml have typed functions and get a thunk."""
    if not struct:
        return []
    name = struct.function + ("_any" if typed else "")
    return [f".{prefix}size = sizeof({struct.c_name})", f".{prefix}decode = wire_decode_{name}",
            f".{prefix}encode = wire_encode_{name}"]


def thunks(wire):
    out, done = [], set()
    used = [s for row in wire.procs for s in (row["args_struct"], row["ret_struct"])] + [r["struct"] for r in wire.events]
    for s in used:
        if s and s.function in wire.structs and s.function not in done:
            done.add(s.function)
            out += function(f"static void wire_decode_{s.function}_any(XdrReader *r, void *out)", [f"wire_decode_{s.function}(r, out);"])
            out += function(f"static void wire_encode_{s.function}_any(XdrWriter *w, const void *in)", [f"wire_encode_{s.function}(w, in);"])
    return out


def fd_count(row, way):
    for word in row.get("fds", []):
        side, count = word.split(":")
        if side == way:
            return "WIRE_FDS_ANY" if count == "n" else "WIRE_FDS_ONE"
    return None


def proc_row(wire, row):
    flags = row["args_struct"] and any(f.name == "flags" and f.type.base == "uint" for f in row["fields"])
    cells = [f".program = WIRE_PROGRAM_{row['program']}", f".number = {row['number']}", f".name = \"{row['name']}\""]
    cells += [f".api = \"{row['api']}\""] if "api" in row else []
    cells += codec_cells("args_", row["args_struct"], row["args_struct"] and row["args_struct"].function in wire.structs)
    cells += codec_cells("ret_", row["ret_struct"], row["ret_struct"] and row["ret_struct"].function in wire.structs)
    if row.get("access"):
        cells += [f".access = access_{row['name']}", f".n_access = {len(row['access'])}"]
    if "filter" in row:
        cells += [f".filter = {right_name(row['filter'])}"]
    cells += [f".flags_at = offsetof({row['args_struct'].c_name}, flags)", ".has_flags = true"] if flags else []
    cells += [f".sparse_flag = {row['sparse']}"] if "sparse" in row else []
    cells += [f".stream = WIRE_STREAM_{row.get('stream', 'none').upper()}"] if "stream" in row else []
    cells += [f".fds_in = {fd_count(row, 'call')}"] if fd_count(row, "call") else []
    cells += [f".fds_out = {fd_count(row, 'reply')}"] if fd_count(row, "reply") else []
    cells += [".high_priority = true"] if row["priority"] == "high" else []
    cells += [".readonly = true"] if row["readonly"] else []
    cells += [".early = true"] if row.get("early") else []
    cells += [f".runs = WIRE_RUNS_{row['runs'].upper()}"] if row["runs"] != "none" else []
    return [f"        /* {gen.origin(row)} */", "        {", *[f"                {c}," for c in cells], "        },"]


def event_row(wire, row):
    cells = [f".program = WIRE_PROGRAM_{row['program']}", f".number = {row['number']}", f".name = \"{row['name']}\"",
             f".class = WIRE_CLASS_{row['class'].replace('-', '_').upper()}", f".event_id = {row.get('event_id', -1)}"]
    cells += [".has_callback_id = true"] if row["callback"] else []
    cells += [".is_old_style = true"] if "event_id" in row and not row["callback"] else []
    cells += codec_cells("", row["struct"], row["struct"].function in wire.structs)
    return [f"        /* {gen.origin(row)} */", "        {", *[f"                {c}," for c in cells], "        },"]


def tables(wire):
    out = [NOTE, '#include "wire/proc.h"', '#include "wire/codec.h"', '#include "wire/constants.h"', "", "#include <stddef.h>", ""]
    out += thunks(wire)
    for row in wire.procs:
        if row.get("access"):
            out += [f"static const WireAccess access_{row['name']}[] = {{",
                    *[access_row(wire, row, rule) for rule in row["access"]], "};", ""]
    out += ["const char *const wire_right_names[N_RIGHTS] = {"]
    out += [f"        [{right_name(r)}] = \"{r}\"," for r in wire.rights()] + ["};", ""]
    out += ["const WireProc wire_procs[N_WIRE_PROCS] = {"]
    for row in wire.procs:
        out += proc_row(wire, row)
    out += ["};", "", "const WireEvent wire_events[N_WIRE_EVENTS] = {"]
    for row in wire.events:
        out += event_row(wire, row)
    return out + ["};", ""]


def client_signature(row):
    args = f"const {row['args_struct'].c_name} *args, " if row["args_struct"] else ""
    return f"ClientCall *client_{row['name']}(Client *client, {args}ClientDone *done, void *arg)"


def client_header(wire):
    out = header('"wire/client.h"', '"wire/structs.h"')
    out += ["/* One function per procedure: client_call() with the type of its arguments; reply->ret is the struct in the comment. */"]
    for row in wire.procs:
        ret = f" /* {row['ret_struct'].c_name} */" if row["ret_struct"] else ""
        out += [client_signature(row) + ";" + ret]
    return out + [""]


def client_source(wire):
    out = [NOTE, '#include "wire/client-calls.h"', ""]
    for i, row in enumerate(wire.procs):
        args = "args" if row["args_struct"] else "NULL"
        out += function(client_signature(row), [f"return client_call(client, &wire_procs[{i}], {args}, done, arg);"])
    return out


def generate(facts):
    wire = Wire(facts)
    files = {"constants.h": constants, "structs.h": structs, "codec.h": codec_header, "codec.c": codec,
             "procs.h": tables_header, "procs.c": tables, "client-calls.h": client_header, "client-calls.c": client_source}
    return {name: "\n".join(make(wire)) for name, make in files.items()}
