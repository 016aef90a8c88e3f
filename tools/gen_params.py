"""facts/params.toml -> daemon/param-groups.[ch]: typed parameters and the members of definitions that hold them."""
import gen
import re

NOTE = "/* generated from facts/params.toml by tools/gen_params.py */"
TYPES = ("int", "uint", "llong", "ullong", "double", "boolean", "string")


def info_of(struct):
    """CputuneDef -> cputune_def_info, as tools/gen_model.py names the tables."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", struct).lower() + "_info"


def header(groups):
    out = ["#pragma once", NOTE, '#include "model/fields.h"', "", "typedef struct ParamRow {", "        const char *name;",
           "        int type; /* PARAM_INT, ... */", "        const char *member;",
           "        int64_t in_force; /* of a member that is not set, in a live definition */", "} ParamRow;", "",
           "typedef struct ParamGroup {", "        const char *name;", "        const StructInfo *of;",
           "        const char *event; /* prefix in the event of a live change; NULL: there is none */",
           "        uint64_t unset;    /* value of a member that is not set */", "        const ParamRow *rows;",
           "        size_t n_rows;", "} ParamGroup;", ""]
    for g in groups:
        out.append(f"extern const ParamGroup param_group_{g['name']}; /* {gen.origin(g)}: {g['doc']} */")
    return out + [""]


def source(groups):
    out = [NOTE, '#include "daemon/param-groups.h"', "", '#include "daemon/params.h"', '#include "model/domain.h"', ""]
    for g in groups:
        out += [f"/* {gen.origin(g)} */", f"static const ParamRow rows_{g['name']}[] = {{"]
        for row in g["params"]:
            if row["type"] not in TYPES:
                raise ValueError(f"{gen.origin(g)}: {row['name']}: no type {row['type']}")
            in_force = row.get("in_force", 0)
            out.append(f"        {{ \"{row['name']}\", PARAM_{row['type'].upper()}, \"{row['member']}\", {in_force} }},")
        event = f"\"{g['event']}\"" if "event" in g else "NULL"
        out += ["};", f"const ParamGroup param_group_{g['name']} = {{ \"{g['name']}\", &{info_of(g['of'])}, {event}, "
                f"{g.get('unset', 0)}U, rows_{g['name']}, sizeof(rows_{g['name']}) / sizeof(rows_{g['name']}[0]) }};", ""]
    return out


def generate(facts):
    groups = gen.load(facts / "params.toml")["group"]
    return {"param-groups.h": "\n".join(header(groups)), "param-groups.c": "\n".join(source(groups))}
