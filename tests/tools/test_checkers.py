"""The checkers of tools/ find what they are for: each case plants one offence in a small tree."""
import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
TOOLS = TOP / "tools"
CLEAN = "int one(void)\n{\n        return 1;\n}\n"


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(name="tree")
def fixture_tree(tmp_path):
    """A tree of one clean file that has this repository's checkers."""
    (tmp_path / "src/qemu").mkdir(parents=True)
    (tmp_path / "src/qemu/one.c").write_text(CLEAN)
    (tmp_path / "tools").mkdir()
    (tmp_path / "src/qemu/meson.build").write_text("'one.c'\n")
    for name in ("lint.sh", "check-layers.py", "check-size.py", "check-built.py", "check-fields.py", "gen.py", "gen_model.py"):
        shutil.copy(TOOLS / name, tmp_path / "tools" / name)
    shutil.copy(TOP / ".clang-format", tmp_path)
    run("git", "init", "-q", tmp_path)
    return tmp_path


@pytest.mark.parametrize("path, text, complaint", [
    ("src/base/x.c", '#include "loop/loop.h"\n', "room base (0) must not see loop (1)"),
    ("src/wire/x.c", '#include "img/image.h"\n', "room wire (2) must not see img (2)"),
    ("src/model/x.h", '#include "loop/loop.h"\n', "room model (2) must not see loop (1)"),
    ("src/qemu/x.c", '#include "qmp.h"\n', '"qmp.h" does not say its room'),
    ("src/qemu/x.c", '#include "cellar/x.h"\n', 'there is no room "cellar"'),
    ("src/cellar/x.c", "", "there is no room 'cellar'"),
    ("tests/unit/loop/test-x.c", '#include "qemu/qmp.h"\n', "room loop (1) must not see qemu (4)"),
])
def test_a_room_that_sees_too_much_is_named(tree, path, text, complaint):
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text)
    status, said = run(TOOLS / "check-layers.py", tree)
    assert status == 1
    assert complaint in said
    assert said.startswith(path)


def test_lower_rooms_and_system_headers_may_be_seen(tree):
    (tree / "src/qemu/one.c").write_text('#include "base/err.h"\n#include "qemu/one.h"\n#include <stdio.h>\n')
    assert run(TOOLS / "check-layers.py", tree) == (0, "")


def function_of(lines):
    return "int one(void)\n{\n" + "        ;\n" * lines + "}\n"


@pytest.mark.parametrize("lines, status, complaint", [
    (60, 0, ""),
    (61, 0, "one() has 61 lines, should be at most 60"),
    (81, 1, "one() has 81 lines, more than 80"),
])
def test_long_functions_warn_then_fail(tree, lines, status, complaint):
    path = tree / "src/qemu/one.c"
    path.write_text(function_of(lines))
    got, said = run(TOOLS / "check-size.py", "-v", path)
    assert got == status
    assert complaint in said
    assert bool(said) == bool(complaint)


def test_long_files_fail(tree):
    path = tree / "src/qemu/one.c"
    path.write_text(CLEAN * 176)
    status, said = run(TOOLS / "check-size.py", path)
    assert status == 1
    assert "704 lines, more than 700" in said


def test_a_field_that_nobody_looks_at_is_named(tree):
    shutil.copytree(TOP / "facts", tree / "facts")
    status, said = run(tree / "tools/check-fields.py")
    assert status == 1
    assert "DomainDef.memory_kib ('memory') is parsed and then forgotten" in said
    assert "DiskDef.transient" not in said  # its row says what becomes of it
    shutil.copytree(TOP / "src", tree / "src", dirs_exist_ok=True)
    assert run(tree / "tools/check-fields.py") == (0, "")


def test_lint_is_silent_on_a_clean_tree(tree):
    assert run(tree / "tools/lint.sh", "quick") == (0, "")


@pytest.mark.parametrize("text, complaint", [
    ("int one(void) {\n return 1;\n}\n", "run clang-format -i"),
    (CLEAN + "/* TO" + "DO: more */\n", "lint: words: failed"),
    (CLEAN + "/* see /wo" + "rk/main */\n", "lint: words: failed"),
    (CLEAN + "/* https://de" + "b.example.org */\n", "lint: words: failed"),
    (CLEAN + '#include "daemon/x.h"\n', "lint: layers: failed"),
    (function_of(90), "lint: sizes: failed"),
])
def test_lint_finds_each_kind_of_offence(tree, text, complaint):
    (tree / "src/qemu/one.c").write_text(text)
    status, said = run(tree / "tools/lint.sh", "quick")
    assert status == 1
    assert complaint in said


def test_a_commit_subject_names_its_room(tree):
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    run("git", "-C", tree, "checkout", "-q", "-b", "main")
    run("git", "-C", tree, "add", ".")
    run("git", "-C", tree, *author, "commit", "-q", "-m", "start")
    run("git", "-C", tree, "checkout", "-q", "-b", "work")
    run("git", "-C", tree, *author, "commit", "-q", "--allow-empty", "-m", "Fixed things")
    status, said = run(tree / "tools/lint.sh", "quick")
    assert status == 1
    assert "Fixed things" in said


@pytest.mark.parametrize("path", ["src/qemu/two.c", "tests/unit/qemu/test-two.c", "tests/fuzz/fuzz-two.c"])
def test_a_file_that_no_rule_builds_is_named(tree, path):
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(CLEAN)
    status, said = run(TOOLS / "check-built.py", tree)
    assert status == 1
    assert said == f"{path}: no meson.build names it\n"
    (tree / path).with_name("meson.build").write_text("'one.c', 'two', 'two.c'\n")
    assert run(TOOLS / "check-built.py", tree) == (0, "")
