#!/usr/bin/python3
"""check-fields.py - no row of a definition is parsed and then forgotten

Each member of facts/model is named by code in src/ or by another table (facts/params.toml), or its row says what
becomes of it: idle, unmet or covered (tools/gen_model.py). The name alone is looked for, so this finds what nobody
can have meant, not all that was forgotten.
"""
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))

import gen_model  # noqa: E402

NAMED = re.compile(r"(?:->|\.|, )\s*([a-z][a-z0-9_]*)\b")


def main():
    if not (TOP / "facts").is_dir():
        return 0
    text = "\n".join(path.read_text() for path in (TOP / "src").rglob("*.[ch]"))
    text += "\n".join(re.sub(r'[:"]', " ", path.read_text()).replace("= ", "= .") for path in (TOP / "facts").glob("params.toml"))
    named = set(NAMED.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.S)))
    silent = [f"{row.origin}: {struct.name}.{row.name} ('{row.xml}') is parsed and then forgotten"
              for struct in gen_model.Model(TOP / "facts").structs.values() for row in struct.rows
              if row.name not in named and row.kind != "embed"
              and not any(row.get(key) for key in ("idle", "unmet", "covered"))]
    print("\n".join(silent), end="\n" if silent else "")
    return bool(silent)


sys.exit(main())
