"""facts/config.toml -> daemon/config-keys.[ch]: struct Config, its table, and the sample file's text."""
import json
import textwrap

import gen

TYPES = {"int": "int", "bool": "bool", "string": "char *", "list": "char **"}


def quote(text):
    return json.dumps(text) if text is not None else "NULL"


def default_text(row):
    """The default as the sample file shows it, or None."""
    value = row.get("default")
    if value is None:
        return None
    if row["type"] == "bool":
        return "1" if value else "0"
    return json.dumps(value)


def allowed(row):
    """The values that a key takes, where the table says so."""
    if row.get("words"):
        return f" One of: {', '.join(row['words'])}."
    if "min" in row and (row["min"], row["max"]) != (0, 1):
        return f" From {row['min']} to {row['max']}."
    return ""


def sample(rows):
    out = ["# droverd.conf: how droverd works on this host. A line that is commented out shows the default, or how",
           "# to write a value for a key that is not set by default.",
           "# Changes apply when droverd is restarted; guests keep running meanwhile.", ""]
    for r in rows:
        out += textwrap.wrap(r["doc"] + allowed(r), 100, initial_indent="# ", subsequent_indent="# ")
        if r.get("support") == "warn":
            out.append("# (accepted, but this version does not act upon it)")
        example = default_text(r) or {"string": '""', "list": "[]", "int": "0"}.get(r["type"], "0")
        out += [f"#{r['name']} = {example}", ""]
    return "\n".join(out)


def members(rows):
    for r in rows:
        kind = TYPES[r["type"]]
        yield f"        {kind}{'' if kind.endswith('*') else ' '}{r['name']}; /* {gen.origin(r)} */"


def table(rows):
    kinds = {"int": "CONFIG_INT", "bool": "CONFIG_BOOL", "string": "CONFIG_STRING", "list": "CONFIG_LIST"}
    supports = {"yes": "CONFIG_SUPPORTED", "warn": "CONFIG_WARNS", "refuse": "CONFIG_REFUSED"}
    for r in rows:
        if r.get("words"):
            yield f"static const char *const words_{r['name']}[] = {{ {', '.join(map(quote, r['words']))}, NULL }};"
    yield ""
    yield "const ConfigKey config_keys[] = {"
    for r in rows:
        number = int(r.get("default", -1 if r["type"] == "int" else 0)) if r["type"] in ("int", "bool") else 0
        text = r.get("default") if r["type"] == "string" else None
        words = f"words_{r['name']}" if r.get("words") else "NULL"
        yield f"        /* {gen.origin(r)} */"
        yield (f"        {{ \"{r['name']}\", {kinds[r['type']]}, offsetof(Config, {r['name']}), {number}, {quote(text)}, "
               f"{r.get('min', 0)}, {r.get('max', 0)}, {words}, {supports[r.get('support', 'yes')]} }},")
    yield "};"
    yield "const size_t n_config_keys = sizeof(config_keys) / sizeof(config_keys[0]);"
    yield ""


def generate(facts):
    rows = gen.load(facts / "config.toml")["key"]
    header = ["#pragma once", "/* generated from facts/config.toml by tools/gen_config.py */",
              "#include <stdbool.h>", "#include <stddef.h>", "",
              "/* An int without a default is -1 while it is not set; such a string or list is NULL. */",
              "typedef struct Config {", *members(rows), "} Config;", "",
              "typedef enum ConfigType { CONFIG_INT, CONFIG_BOOL, CONFIG_STRING, CONFIG_LIST } ConfigType;",
              "typedef enum ConfigSupport { CONFIG_SUPPORTED, CONFIG_WARNS, CONFIG_REFUSED } ConfigSupport;", "",
              "typedef struct ConfigKey {", "        const char *name;", "        ConfigType type;",
              "        size_t offset;", "        int default_number;", "        const char *default_text;",
              "        int min, max; /* of an int */", "        const char *const *words; /* of a string, ends with NULL */",
              "        ConfigSupport support;", "} ConfigKey;", "", "extern const ConfigKey config_keys[];",
              "extern const size_t n_config_keys;", ""]
    source = ["/* generated from facts/config.toml by tools/gen_config.py */", '#include "daemon/config-keys.h"', "",
              *table(rows)]
    return {"config-keys.h": "\n".join(header), "config-keys.c": "\n".join(source), "droverd.conf": sample(rows)}
