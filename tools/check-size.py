#!/usr/bin/python3
"""Keep functions and files small.

    check-size.py [-v] FILE...

Functions should have at most 60 lines and files at most 600; above 80 and 700 this fails. In between it
warns: -v lists the warnings, otherwise they are counted. C function bodies are found by the brace in the
first column, which clang-format puts there; Python functions by their syntax tree.
"""
import ast
import pathlib
import sys

FUNCTION_WARN, FUNCTION_FAIL = 60, 80
FILE_WARN, FILE_FAIL = 600, 700


def functions_c(lines):
    """(first line, name, body length) of each function body."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, name_before(lines, start), number - start - 1
            start = None


def name_before(lines, start):
    for line in reversed(lines[max(0, start - 12):start - 1]):
        if line and not line[0].isspace() and "(" in line:
            return line.split("(")[0].split()[-1].lstrip("*")
    return "?"


def functions_python(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name, node.end_lineno - node.lineno


def measure(path):
    """(size, warn, fail, sentence) for the file and each of its functions."""
    text = path.read_text(errors="replace")
    lines = text.splitlines()
    yield len(lines), FILE_WARN, FILE_FAIL, f"{path}: {len(lines)} lines"
    if path.suffix in (".c", ".h"):
        found = functions_c(lines)
    elif path.suffix == ".py":
        found = functions_python(text)
    else:
        found = ()
    for number, name, length in found:
        yield length, FUNCTION_WARN, FUNCTION_FAIL, f"{path}:{number}: {name}() has {length} lines"


def main():
    verbose = "-v" in sys.argv[1:]
    warnings, failures = [], []
    for name in sys.argv[1:]:
        if name == "-v":
            continue
        for size, warn, fail, sentence in measure(pathlib.Path(name)):
            if size > fail:
                failures.append(f"{sentence}, more than {fail}: split it by concept")
            elif size > warn:
                warnings.append(f"{sentence}, should be at most {warn}")
    if verbose:
        print("\n".join(warnings), end="\n" if warnings else "")
    elif warnings:
        print(f"sizes: {len(warnings)} above the wanted size (tools/lint.sh all lists them)")
    print("\n".join(failures), end="\n" if failures else "")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
