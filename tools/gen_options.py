"""facts/droverd.toml -> daemon/options.h: droverd's options, for getopt_long() and as its help shows them."""
import json

import gen


def constant(row):
    return "OPTION_" + row["name"].upper().replace("-", "_")



def generate(facts):
    rows = gen.load(facts / "droverd.toml")["option"]
    shown = [f"--{r['name']}{' ' + r['argument'] if 'argument' in r else ''}" for r in rows]
    width = max(map(len, shown))
    out = ["#pragma once", "/* generated from facts/droverd.toml by tools/gen_options.py */", "#include <getopt.h>", "",
           "typedef enum DaemonOption {"]
    for number, row in enumerate(rows):
        at = f"'{row['letter']}'" if "letter" in row else 256 + number
        out.append(f"        {constant(row)} = {at}, /* {gen.origin(row)} */")
    out += ["} DaemonOption;", "", "static const char option_letters[] = "
            + json.dumps("".join(r["letter"] for r in rows if "letter" in r)) + ";", "",
            "static const struct option option_table[] = {"]
    for row in rows:
        takes = "required_argument" if "argument" in row else "no_argument"
        out.append(f"        {{ {json.dumps(row['name'])}, {takes}, NULL, {constant(row)} }},")
    out += ["        { 0 },", "};", "", "static const char option_help[] ="]
    out += ["        " + json.dumps(f"  {text:<{width}}  {row['doc']}\n") for text, row in zip(shown, rows)]
    return {"options.h": "\n".join(out) + ";\n"}
