"""The daemon is killed with -9 at every act of an operation (see kill-point.c); what the next daemon finds is right.

Every guest is in one of two states afterwards, the one before or the one after, and QEMU's processes agree with it: none is
lost, none runs twice, none waits for ever at its first instruction.
"""
import os
import signal
import uuid

from mortal import definition, processes, sweep
from waiting import wait_for


def test_a_start(subject):
    def check(_):
        assert subject.settled() in ("running", "shut off")
    points = sweep(subject, lambda: subject.be("shut off"), lambda: subject.virsh("start", "k"), check)
    assert points > 5
    assert subject.settled() == "running"


def test_a_start_of_a_transient_guest(subject):
    identity = str(uuid.uuid4())
    file = subject.directory / "t.xml"
    file.write_text(definition("t", identity))

    def check(_):
        def agrees():
            listed = "t" in subject.virsh("list", "--all", "--name").split()
            return listed == (len(processes(identity)) == 1)
        wait_for("the list and the processes to agree", agrees)
    sweep(subject, lambda: subject.virsh("destroy", "t"), lambda: subject.virsh("create", file), check)
    subject.virsh("destroy", "t", check=True)
    assert not processes(identity)


def test_a_destroy(subject):
    def check(where):
        assert subject.settled() == "shut off" or where != "it was not killed"
    sweep(subject, lambda: subject.be("running"), lambda: subject.virsh("destroy", "k"), check)


def test_a_shutdown_that_the_guest_ignores(subject):
    def check(_):
        assert subject.settled() == "running"
    sweep(subject, lambda: subject.be("running"), lambda: subject.virsh("shutdown", "k", "--mode", "acpi"), check)


def test_a_managed_save_and_the_start_from_it(subject):
    def check(where):
        state = subject.settled()
        assert (state == "running") != subject.is_saved(), f"{state}, saved: {subject.is_saved()}"
        assert state == wanted or where != "it was not killed"
    wanted = "shut off"
    sweep(subject, lambda: subject.be("running"), lambda: subject.virsh("managedsave", "k"), check)

    def saved():
        subject.be("running")
        subject.virsh("managedsave", "k", check=True)
    wanted = "running"
    sweep(subject, saved, lambda: subject.virsh("start", "k"), check)


def test_a_definition_and_its_end(subject):
    directory = subject.daemon.base / "etc" / "qemu"
    other = subject.directory / "other.xml"
    other.write_text(definition("k", subject.identity, memory_mib=32))

    def memory():
        return [line.split()[2] for line in subject.virsh("dominfo", "k").splitlines() if line.startswith("Max memory")]

    def defined():
        subject.virsh("define", subject.file, check=True)
        subject.virsh("autostart", "k", check=True)

    def check_new(where):
        assert memory() in (["32768"], *([["16384"]] if where != "it was not killed" else []))
    sweep(subject, defined, lambda: subject.virsh("define", other), check_new)

    def check_gone(where):
        files = [path.name for path in directory.glob("*.xml")]
        assert files == (["k.xml"] if memory() else [])
        assert not memory() or where != "it was not killed"
        assert memory() or not [*(directory / "autostart").iterdir()]
        assert not processes(subject.identity)
    sweep(subject, defined, lambda: subject.virsh("undefine", "k"), check_gone)
    subject.virsh("define", subject.file, check=True)


def test_a_guest_whose_qemu_does_not_answer_is_kept_and_found_when_it_does(subject):
    daemon = subject.daemon
    subject.be("running")
    qemu, = processes(subject.identity)
    os.kill(qemu, signal.SIGSTOP)
    try:
        for _ in range(4):
            daemon.kill()
            daemon.restart()
            assert subject.state() == "running"
        assert "not responding" in subject.virsh("suspend", "k")
    finally:
        os.kill(qemu, signal.SIGCONT)
    wait_for("QEMU to be reached", lambda: subject.virsh("suspend", "k").startswith("Domain 'k' suspended"))
    subject.virsh("resume", "k", check=True)
    assert subject.settled() == "running" and processes(subject.identity) == [qemu]
