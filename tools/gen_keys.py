"""facts/keys.toml -> daemon/key-codes.[ch]: what each set of keycodes calls a key."""
import gen

NOTE = "/* generated from facts/keys.toml by tools/gen_keys.py */"
SETS = ("kernel", "at1", "at2", "usb", "win32")


def generate(facts):
    rows = gen.load(facts / "keys.toml")["key"]
    header = ["#pragma once", NOTE, "#include <stddef.h>", "#include <stdint.h>", "",
              "typedef struct KeyCodes { /* 0: the set does not have this key */", "        const char *name;",
              "        uint16_t " + ", ".join(SETS) + ";", "} KeyCodes;", "", "extern const KeyCodes key_codes[];",
              "extern const size_t n_key_codes;", ""]
    source = [NOTE, '#include "daemon/key-codes.h"', "", "const KeyCodes key_codes[] = {"]
    for row in rows:
        codes = ", ".join(hex(row[name]) for name in SETS)
        source.append(f"        {{ \"{row['name']}\", {codes} }}, /* {gen.origin(row)} */")
    source += ["};", "const size_t n_key_codes = sizeof(key_codes) / sizeof(key_codes[0]);", ""]
    return {"key-codes.h": "\n".join(header), "key-codes.c": "\n".join(source)}
