"""facts/model/*.toml -> domain-xml.md, network-xml.md: every element and attribute of a definition, from the rows."""
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
    if row.get("idle"):
        out.append(f"No effect{words(row)}: {row.get('idle')}.")
    if row.get("unmet"):
        out.append(f"Prevents a start{words(row)}: {row.get('unmet')}.")
    return " ".join(out)


def words(row):
    return f" when `{row.get('only').replace(' ', '`, `')}`" if row.get("only") else ""


def marks(row):
    return " ".join(mark for key, mark in (("abi", "fixed"), ("live", "live")) if row.get(key))


ROOTS = {  # root: (file, title, what is fixed or live about it)
    "DomainDef": ("domain-xml.md", "The definition of a guest", "*fixed*: the guest can notice it, so it must be the same "
                  "on both sides of a migration. *live*: may change while the guest runs. "),
    "NetworkDef": ("network-xml.md", "The definition of a network", ""),
}


def held(model, struct, seen):
    """The struct and all that it holds, in the order of the facts."""
    if struct.name not in seen:
        seen.add(struct.name)
        for row in struct.rows:
            if row.of in model.structs:
                held(model, model.structs[row.of], seen)
    return seen


def document(model, root, title, legend):
    names = held(model, root, set())
    structs = [root, *(s for s in model.structs.values() if s.name in names and s is not root)]
    rows = sum(len(s.rows) for s in structs)
    out = [f"# {title}", "",
           f"{rows} fields in {len(structs)} elements. An attribute is written `element/@attribute`. {legend}What is not "
           "listed here is reported with its line when it is defined, and refused when validation was asked for.", ""]
    for struct in structs:
        head = f"&lt;{struct.element}&gt;" if struct.element else struct.doc.rstrip(".")
        out += [f'<a id="{anchor(struct)}"></a>', "", f"## {head}", "", struct.doc, "",
                "| field | value | meaning | |", "|---|---|---|---|"]
        out += [f"| `{row.xml}` | {kind(model, row)} | {notes(row)} | {marks(row)} |" for row in struct.rows]
        out.append("")
    return "\n".join(out)


def generate(facts):
    model = Model(facts)
    return {file: document(model, model.structs[root], title, legend) for root, (file, title, legend) in ROOTS.items()}
