"""facts/model/*.toml -> domain-xml.md: every element and attribute of a guest's definition, from the rows themselves."""
import re

from gen_model import Model

KINDS = {"string": "text", "xml": "any elements", "cpuset": "set of numbers, like 0-3,^2", "flag": "empty element",
         "onoff": "on, off", "yesno": "yes, no", "uint": "number", "hex": "number, hexadecimal", "int": "number",
         "u64": "number", "i64": "number, may be negative", "memory": "size with unit", "bytes": "size with unit",
         "uuid": "UUID", "mac": "MAC address"}


def anchor(struct):
    return struct.name.lower()


def kind(model, row):
    if row.kind == "enum":
        return ", ".join(f"`{word}`" for word in model.enums[row.of].words)
    if row.of:
        struct = model.structs[row.of]
        many = ", any number" if row.kind == "list" and row.get("most") != 1 else ""
        return f"[see below](#{anchor(struct)}){many}"
    if not row.get("range"):
        return KINDS[row.kind]
    low, high = re.fullmatch(r"(-?\d+)-(\d+)", row.get("range")).groups()
    return f"{KINDS[row.kind]}, {low} to {high}"


def notes(row):
    out = [row.get("doc")]
    if row.get("required"):
        out.append("Required.")
    if row.get("default"):
        out.append(f"Default: `{row.get('default')}`.")
    if row.get("when"):
        out.append(f"Only when {row.get('when').replace('_', ' ')}.")
    if row.get("runtime"):
        out.append("Shown while the guest runs.")
    if row.get("secret"):
        out.append("Shown on request only.")
    return " ".join(out)


def marks(row):
    return " ".join(mark for key, mark in (("abi", "fixed"), ("live", "live")) if row.get(key))


def generate(facts):
    model = Model(facts)
    rows = sum(len(s.rows) for s in model.structs.values())
    out = ["# The definition of a guest", "",
           f"{rows} fields in {len(model.structs)} elements. An attribute is written `element/@attribute`. *fixed*: the "
           "guest can notice it, so it must be the same on both sides of a migration. *live*: may change while the guest "
           "runs. What is not listed here is reported with its line when a guest is defined, and refused when "
           "validation was asked for.", ""]
    order = sorted(model.structs.values(), key=lambda s: not s.root)
    for struct in order:
        title = f"&lt;{struct.element}&gt;" if struct.element else struct.doc.rstrip(".")
        out += [f'<a id="{anchor(struct)}"></a>', "", f"## {title}", "", struct.doc, "",
                "| field | value | meaning | |", "|---|---|---|---|"]
        out += [f"| `{row.xml}` | {kind(model, row)} | {notes(row)} | {marks(row)} |" for row in struct.rows]
        out.append("")
    return {"domain-xml.md": "\n".join(out)}
