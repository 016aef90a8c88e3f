#!/usr/bin/python3
"""Turn the facts into C.

    gen.py KIND OUTPUT_DIR [--depfile FILE --target NAME]

KIND names a module gen_KIND.py beside this file. Its generate(facts) gets the facts directory and
returns {file name: text}; every fact file it reads goes through load(), so that the dependency file is
complete. Output files are written only when they change, which keeps rebuilds small.
"""
import argparse
import importlib
import pathlib
import sys
import tomllib

TOOLS = pathlib.Path(__file__).resolve().parent
FACTS = TOOLS.parent / "facts"
loaded = []


def load(path):
    """One fact file as a dict; tables get their line number as '_line' and file as '_file'."""
    loaded.append(path)
    text = path.read_text()
    data = tomllib.loads(text)
    counters = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("[[") and line.endswith("]]"):
            name = line[2:-2].strip()
            at = counters.get(name, 0)
            counters[name] = at + 1
            rows = data.get(name)
            if isinstance(rows, list) and at < len(rows):
                rows[at]["_line"] = number
                rows[at]["_file"] = str(path.relative_to(FACTS.parent))
    return data


def origin(row):
    """The comment that every generated item carries."""
    return f"{row['_file']}:{row['_line']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--depfile", type=pathlib.Path)
    parser.add_argument("--target")
    args = parser.parse_args()

    sys.path.insert(0, str(TOOLS))
    sys.modules["gen"] = sys.modules["__main__"]
    module = importlib.import_module("gen_" + args.kind)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, text in module.generate(FACTS).items():
        path = args.output / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        else:
            path.touch()
    if args.depfile:
        needs = loaded + sorted(TOOLS.glob("gen*.py"))
        args.depfile.write_text(f"{args.target}: " + " ".join(str(p) for p in needs) + "\n")


if __name__ == "__main__":
    main()
