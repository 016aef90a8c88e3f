"""drover as a shell, as a script's tool, and as an editor of definitions (LIFE-05 to LIFE-08, LIFE-18)."""
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from cli import DROVER, ENVIRONMENT, drover, virsh
from droverd import Droverd
from frames import OK, SUPPORTS_FEATURE, Wire
from procfs import descriptors
from waiting import PATIENCE_S, wait_for

FEATURE_KEEPALIVE = 10


@pytest.fixture(scope="module")
def daemon():
    d = Droverd()
    yield d
    d.stop()


@pytest.fixture()
def uri(daemon):
    return daemon.uri()


def test_a_script_on_standard_input_runs_without_a_word_of_its_own(uri):
    said = drover(uri, [], stdin="domstate test\nquit\ndomstate nosuch\n")
    assert said.status == 0 and said.out == "running\n\n" and said.err == ""


def test_a_script_with_a_failing_command_goes_on_and_fails(uri):
    """LIFE-06, with the two below."""
    said = drover(uri, [], stdin="domstate nosuch\ndomstate test\n")
    assert said.status == 1 and "running" in said.out and "error: failed to get domain 'nosuch'" in said.err


def test_commands_in_one_argument_are_separated_by_semicolons(uri):
    for line in ("domstate test; domid test", "domstate nosuch; domstate test", "domstate test; domstate nosuch"):
        ours, theirs = drover(uri, [line]), virsh(uri, [line])
        assert (ours.status, ours.out, ours.err) == (theirs.status, theirs.out, theirs.err)


@pytest.mark.parametrize("line", ["frobnicate", "domstate", "domstate test --foo", "list x", "dominfo nosuch"])
def test_failures_are_told_on_standard_error_and_by_the_status(uri, line):
    said = drover(uri, line)
    assert said.status == 1 and said.err.startswith("error: ")


@pytest.mark.parametrize("options", [["-h"], ["--help"], ["-v"], ["-V"], ["--version"], ["--version=long"], ["help"], ["help", "list"],
                                     ["-q", "help", "list"], ["list", "--help"]])
def test_what_needs_no_daemon_ends_with_0(options):
    done = subprocess.run([DROVER, "-c", "test+unix:///default?socket=/nowhere", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout and done.stderr == ""


@pytest.mark.parametrize("options", [["--nonsense"], ["-Z"], ["-o", "yaml", "list"], ["-k", "x", "list"], ["-c"], ["--version=other"],
                                     ["-e", "abc", "list"], ["list"], ["-l", "/nowhere/log", "list"]])
def test_what_is_not_understood_or_cannot_be_done_ends_with_1(options):
    done = subprocess.run([DROVER, *options], capture_output=True, text=True, check=False,
                          env={**ENVIRONMENT, "DROVER_DEFAULT_URI": "test+unix:///default?socket=/nowhere"})
    assert done.returncode == 1 and done.stderr.startswith("error: "), done


def test_an_answer_of_no_ends_with_1(uri, tmp_path):
    """cpu-compare: no processor is of two vendors' making."""
    cpu = tmp_path / "cpu.xml"
    cpu.write_text("<cpu><arch>x86_64</arch><model>core2duo</model><vendor>Nobody</vendor><feature name='svm'/><feature name='vmx'/></cpu>")
    said = drover(uri.replace("test+unix:///default", "qemu+unix:///system"), ["cpu-compare", str(cpu)])
    assert said.status == 1 and "incompatible" in said.out + said.err, said


@pytest.mark.parametrize("command", ["domstate test", "help", "man"])
def test_output_that_cannot_be_written_ends_with_1(uri, command):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([DROVER, "-c", uri, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and done.stderr == "error: the output cannot be written completely\n", done


def test_the_interrupt_key_does_again_what_it_did_before_a_command_that_waited(uri):
    """The command takes it for itself while it waits for events; the shell that goes on does not."""
    shell = subprocess.Popen([DROVER, "-c", uri], stdin=-1, stdout=-1, text=True, bufsize=1, env=ENVIRONMENT)
    try:
        shell.stdin.write("event --event lifecycle --timeout 1\ndomstate test\n")
        while "running" not in shell.stdout.readline():
            assert shell.poll() is None
        shell.send_signal(signal.SIGINT)
        assert shell.wait(PATIENCE_S) == -signal.SIGINT
    finally:
        shell.kill()
        shell.communicate()


def test_a_reader_that_goes_away_is_not_complained_about(uri):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([DROVER, "-c", uri, "help"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == 1 and done.stderr == "", done


def test_stop_gets_a_hint(uri):
    """CON-51."""
    assert "'shutdown'" in drover(uri, "stop test").err and "'destroy'" in drover(uri, "stop test").err


def test_connect_readonly_takes_one_dash_and_refuses_changes(uri):
    """LIFE-08."""
    for option in ("--readonly", "-readonly"):
        said = drover("", [f"connect '{uri}' {option}; suspend test"])
        assert said.status == 1 and "read only access" in said.err


def test_help_lists_every_command_and_explains_each(uri):
    listed = re.findall(r"^    ([a-z][a-z0-9-]+) ", drover(uri, "help").out, re.M)
    assert len(listed) > 130 and len(set(listed)) == len(listed)
    script = "\n".join(f"help {name}" for name in listed)
    out = drover(uri, [], stdin=script).out
    assert out.count("  NAME\n") == out.count("  SYNOPSIS\n") == len(listed)
    assert drover(uri, "list --help").out.startswith("  NAME\n    list - ")


def names_in_help(program):
    """Of all commands that `help` lists; virsh spells some of its group's titles as it does them."""
    return set(re.findall(r"^    ([a-z][a-z0-9-]+) ", program("", "help").out, re.M))


def test_every_command_of_virsh_is_here_or_its_help_says_why_it_is_not(uri):
    theirs, ours = names_in_help(virsh), names_in_help(drover)
    assert len(theirs) > 260
    left_out = set()
    for name in sorted(theirs - ours):
        said = drover("", ["help", name])
        assert said.status == 0 and "a command of virsh that is not here" in said.out, said
        refused = drover("", [name])
        assert refused.status == 1 and "virsh has it, drover does not: " in refused.err, refused
        left_out.add(name)
    page = subprocess.run([DROVER, "-q", "man"], capture_output=True, text=True, check=True).stdout.replace("\\-", "-")
    chapter = page.partition(".SH \"WHAT VIRSH HAS AND DROVER HAS NOT\"")[2].partition(".SH")[0]
    assert left_out <= set(re.findall(r"[a-z][a-z0-9-]+", chapter))
    assert not any(name.startswith(("nodedev-", "dom", "vol-", "pool-", "net-", "secret-", "nwfilter-", "migrate"))
                   for name in left_out - {"dom-fd-associate", "domsetlaunchsecstate"}), left_out


def test_every_command_of_ours_that_virsh_has_takes_virshs_options(uri):
    """Names of options; drover may have more (migrate --max-pause), and says what it leaves out."""
    both = sorted(names_in_help(virsh) & names_in_help(drover) - {"help", "quit", "exit", "cd", "pwd", "echo", "connect"})
    script = "; ".join(f"help {name}" for name in both)
    theirs, ours = (re.split(r"^  NAME\n    ([a-z0-9-]+) - ", program("", [script]).out, flags=re.M)
                    for program in (virsh, drover))
    assert theirs[1::2] == ours[1::2] == both
    for name, stock, text in zip(both, theirs[2::2], ours[2::2]):
        options = set(re.findall(r"--([a-z0-9-]*[a-z0-9])", stock.partition("OPTIONS")[2]))
        taken, _, not_here = text.partition("OPTIONS")[2].partition("  NOT HERE\n")
        missing = options - set(re.findall(r"--([a-z0-9-]+)", taken))
        assert missing == set(re.findall(r"^    --([a-z0-9-]+) of virsh: ", not_here, re.M)), name


class Terminal:
    """drover at a terminal of its own."""

    def __init__(self, *argv, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({**ENVIRONMENT, "TERM": "dumb", **(env or {})})
            os.execv(DROVER, [DROVER, *argv])
        self.seen = ""

    def wait_for(self, text, seconds=PATIENCE_S):
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                assert text in self.seen, self.seen
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_a_terminal_is_shown_what_it_would_obey_and_a_program_is_given_it(uri):
    name = "no\033]0;such\007"
    terminal = Terminal("-c", uri, "domstate", name)
    terminal.wait_for(r"failed to get domain 'no\x1b]0;such\x07'")
    assert terminal.end() == 1 and drover(uri, ["domstate", name]).err == f"error: failed to get domain '{name}'\n"
    terminal = Terminal("-c", uri, "echo", name)
    terminal.wait_for(r"no\x1b]0;such\x07")
    assert terminal.end() == 0 and drover(uri, ["echo", name], "-q").out == f"{name}\n"


def test_a_secret_that_is_not_typed_to_its_end_leaves_the_terminal_as_it_was(uri, tmp_path):
    uuid = "6d5e1a4c-0000-4000-8000-0000000000ab"
    (tmp_path / "s").write_text(f"<secret ephemeral='yes' private='no'><uuid>{uuid}</uuid></secret>")
    assert drover(uri, f"secret-define {tmp_path}/s").status == 0
    terminal = Terminal("-c", uri, "secret-set-value", uuid, "--interactive")
    held = os.dup(terminal.fd)
    terminal.wait_for("Enter new value for secret: ")
    assert not termios.tcgetattr(held)[3] & termios.ECHO
    terminal.type("half\x03")
    assert terminal.end() == -signal.SIGINT and termios.tcgetattr(held)[3] & termios.ECHO
    os.close(held)


def test_the_shell_has_a_prompt_completion_and_history(uri, tmp_path):
    shell = Terminal("-c", uri, env={"XDG_CACHE_HOME": str(tmp_path)})
    shell.wait_for("drover # ")
    shell.type("domst\tate te\t\n")
    shell.type("domstate test\n")
    shell.wait_for("running")
    shell.wait_for("drover # ")
    shell.type("quit\n")
    assert shell.end() == 0
    assert "domstate test" in (tmp_path / "drover" / "history").read_text().replace("\\040", " ")


def test_the_prompt_of_a_readonly_shell_ends_differently(uri, tmp_path):
    shell = Terminal("-c", uri, "-r", env={"XDG_CACHE_HOME": str(tmp_path)})
    shell.wait_for("drover > ")
    shell.type("exit\n")
    assert shell.end() == 0


def edit(uri, editor):
    return drover(uri, "edit test --skip-validate", env={"EDITOR": editor, "VISUAL": ""})


def test_edit_applies_what_the_editor_wrote(uri):
    said = edit(uri, "sed -i s/8388608/4194304/")
    assert said.status == 0 and "XML configuration edited." in said.out, said
    assert "4194304" in drover(uri, "dumpxml test --inactive").out


@pytest.fixture()
def impatient():
    """A daemon that soon closes the connection of who does not answer it: after four seconds, in which a busy machine lets answer."""
    d = Droverd("keepalive_interval = 1\nkeepalive_count = 3\n")
    yield d
    d.stop()


def outwait(daemon):
    """Wait until the daemon has given up a client that came now and does not answer: others that came before are still in."""
    before = len(descriptors(daemon.process.pid))
    deaf = Wire(daemon.socket(), "test:///default")
    assert deaf.call(SUPPORTS_FEATURE, struct.pack(">i", FEATURE_KEEPALIVE)).status == OK
    while deaf.answer():
        pass
    wait_for("the daemon has closed one connection", lambda: len(descriptors(daemon.process.pid)) <= before)
    assert len(descriptors(daemon.process.pid)) == before


def test_the_connection_lives_for_as_long_as_somebody_edits(impatient, tmp_path):
    begun, go_on, editor = (tmp_path / name for name in ("begun", "go-on", "editor"))
    os.mkfifo(begun)
    os.mkfifo(go_on)
    editor.write_text(f"#!/bin/sh\necho > {begun}\nread word < {go_on}\nsed -i s/8388608/4194304/ \"$1\"\n")
    editor.chmod(0o755)
    process = subprocess.Popen([DROVER, "-c", impatient.uri(), "edit", "test", "--skip-validate"], stdout=subprocess.PIPE, text=True,
                               env={**ENVIRONMENT, "EDITOR": str(editor), "VISUAL": ""})
    begun.read_text()
    outwait(impatient)
    go_on.write_text("now\n")
    assert "XML configuration edited." in process.communicate(timeout=PATIENCE_S)[0] and process.returncode == 0


def test_the_connection_lives_until_the_next_line_of_a_script_comes(impatient):
    process = subprocess.Popen([DROVER, "-c", impatient.uri()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=ENVIRONMENT)
    process.stdin.write("domstate test\n")
    process.stdin.flush()
    assert process.stdout.readline() == "running\n"
    outwait(impatient)
    assert process.communicate("domstate test\n", timeout=PATIENCE_S)[0].strip() == "running" and process.returncode == 0


def test_edit_without_a_change_says_so(uri):
    assert "Domain 'test' XML configuration not changed." in edit(uri, "true").out


def test_edit_keeps_the_old_definition_when_the_new_one_is_refused(uri):
    before = drover(uri, "dumpxml test --inactive").out
    assert edit(uri, "sed -i s/domain/nonsense/").status == 1
    assert edit(uri, "false").status == 1
    assert drover(uri, "dumpxml test --inactive").out == before


def test_the_editor_is_vi_unless_another_is_named(uri, tmp_path):
    """LIFE-18."""
    editor = tmp_path / "vi"
    editor.write_text(f"#!/bin/sh\necho vi > {tmp_path}/ran\n")
    editor.chmod(0o755)
    said = drover(uri, "edit test --skip-validate", env={"EDITOR": "", "VISUAL": "", "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert said.status == 0 and "not changed" in said.out and (tmp_path / "ran").read_text() == "vi\n"


def test_whoever_asks_about_destroy_is_warned():
    """LIFE-26: what the guest has not written is lost."""
    page = subprocess.run([DROVER, "-q", "man"], capture_output=True, text=True, check=True).stdout
    for text in (drover("", "help destroy").out, page):
        assert "What the guest has not written out yet is lost." in " ".join(text.split())


def test_bash_completes_names_of_guests(uri, tmp_path):
    script = tmp_path / "completion"
    script.write_text(subprocess.run([DROVER, "completion"], capture_output=True, text=True, check=True).stdout)
    for line, completed in (("domstate te", "test"), ("dominfo --domain te", "test"), ("shutdown test --mode ac", "acpi")):
        words = " ".join([f"'{DROVER}'", "-c", f"'{uri}'", *line.split()])
        done = subprocess.run(["bash", "-c", f". {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
                               '_drover; echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == completed


def test_the_manual_page_formats_without_a_complaint(tmp_path):
    page = subprocess.run([DROVER, "-q", "man"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "drover.1").write_text(page)
    done = subprocess.run(["man", "--warnings=all", "-l", tmp_path / "drover.1"], capture_output=True, text=True, check=False,
                          env={**ENVIRONMENT, "MANWIDTH": "200"})
    if done.returncode == 127:
        pytest.skip("no man here")
    assert done.returncode == 0 and done.stderr == "" and "max-pause" in done.stdout
    status = re.split(r"^\S", done.stdout.partition("\nEXIT STATUS\n")[2], maxsplit=1, flags=re.M)[0]
    assert re.findall(r"^ +(\d+) ", status, re.M) == ["0", "1"], status
