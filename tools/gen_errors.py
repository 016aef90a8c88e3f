"""facts/errors.toml -> base/err-codes.h: the enum of error codes and their sentences."""
import gen


def generate(facts):
    rows = gen.load(facts / "errors.toml")["error"]
    header = ["#pragma once", "/* generated from facts/errors.toml by tools/gen_errors.py */", "",
              "typedef enum ErrCode {", "        ERR_OK = 0,"]
    header += [f"        ERR_{r['name']} = {r['code']}, /* {gen.origin(r)} */" for r in rows]
    header += ["} ErrCode;", "",
               "/* The sentence around the detail, with one %s; NULL for a code that is not in the table. */",
               "const char *err_code_template(ErrCode code);", ""]
    source = ["/* generated from facts/errors.toml by tools/gen_errors.py */",
              '#include "base/err-codes.h"', "", "#include <stddef.h>", "",
              "const char *err_code_template(ErrCode code)", "{", "        switch (code) {",
              "        case ERR_OK:", "                return NULL;"]
    for r in rows:
        source += [f"        case ERR_{r['name']}:", f"                return \"{r['message']}\";"]
    source += ["        }", "        return NULL;", "}", ""]
    return {"err-codes.h": "\n".join(header), "err-codes.c": "\n".join(source)}
