"""The demonstration: a real Linux guest, started on one host and moved live to another, its clock ticking on.

Two lab hosts, each with droverd and sshd; the guest beats every millisecond on its serial port, and the pause it makes is
taken from the arrival of those beats, outside the guest.
"""

import time

from . import domains, probe
from .hosts import Lab
from .paths import PROGRAMS, LabError
from .pulse import Pulse

GUEST = "tick"
TOUCH_MIB = 32
BOOT_S = 120
AROUND = 4  # beats shown on each side of the move


class BeganAnew(LabError):
    """The guest's kernel did not survive the move under TCG."""


def run():
    """Print the demonstration; LabError when any of it does not hold."""
    try:
        _demonstrate()
    except BeganAnew as why:
        print(f"\nThe guest's kernel fell after the move and started anew: {why}.\n"
              "Without KVM, QEMU 7.2 forgets some of what a guest writes while its memory is sent, whoever drives it; with KVM it\n"
              "does not (docs/migration.md). That may be why, so once more, with a new guest.\n")
        _demonstrate()


def _demonstrate():
    began = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - began:6.2f} s] {text}", flush=True)

    accelerator = probe.accelerators()["linux"]
    with Lab() as lab:
        hosts = [lab.host(name, kvm=accelerator == "kvm") for name in ("alpha", "beta")]
        for host in hosts:
            host.sshd()
            host.droverd()
        say(f"two hosts, alpha and beta, each with its own droverd; guests run with {accelerator.upper()}")
        inside, outside = lab.socket("tick.port")
        with Pulse(outside) as pulse:
            _start(hosts[0], inside, pulse, say)
            moved = time.monotonic()
            try:
                _move_and_end(*hosts, pulse, say)
            except LabError as why:
                if accelerator == "tcg" and _began_anew(pulse, moved):
                    raise BeganAnew(str(why)) from why
                raise


def _began_anew(pulse, moved):
    return any(line.text.startswith("ready ") for line in pulse.lines(since=moved))


def _move_and_end(source, target, pulse, say):
    moved = _move(source, target, pulse, say)
    _show(pulse, moved)
    right, line = pulse.verify()
    if _began_anew(pulse, moved):
        raise LabError("the guest that says what it knows is another than the one that moved")
    say(f"every page the guest knows is right: {line}" if right else f"memory was LOST: {line}")
    if not right:
        raise LabError("the guest lost memory on the way")
    say("beta$ virsh shutdown tick")
    mark = pulse.mark()
    target.virsh("shutdown", GUEST)
    pulse.wait("^power off", 60, mark)
    say("the guest heard its power button and turned itself off")


def _start(host, port, pulse, say):
    host.write_file("/root/tick.xml", domains.linux(GUEST, port=port, beat=1, touch=TOUCH_MIB))
    drover = PROGRAMS / "drover"
    for words in (["define", "/root/tick.xml"], ["start", GUEST]):
        say(f"alpha$ drover {' '.join(words)}")
        host.run([drover, *words])
    ready = pulse.wait("^ready ", BOOT_S)
    say(f"the guest's Linux is up after {ready.text.split()[1]} s of its own time")
    pulse.wait("^touched ", BOOT_S)
    mark = pulse.mark()
    pulse.wait("^beat [0-9]*000 ", BOOT_S, mark)  # a second or so of steady beat


def _move(source, target, pulse, say):
    destination = f"qemu+ssh://{target.name}/system"
    say(f"alpha$ virsh migrate --live {GUEST} {destination}")
    moved = time.monotonic()
    source.virsh("migrate", "--live", GUEST, destination, timeout=300)
    say(f"done in {time.monotonic() - moved:.2f} s")
    here, there = (host.virsh("list", "--name").split() for host in (source, target))
    if GUEST in here or GUEST not in there:
        raise LabError(f"after the move the guest is where it should not be: alpha {here}, beta {there}")
    say("alpha$ virsh list: empty.   beta$ virsh list: tick, running")
    pulse.wait("^beat ", 60, pulse.mark())
    return moved


def _show(pulse, moved):
    gap = pulse.pause(since=moved)
    if gap is None:
        raise LabError("no heartbeat was seen across the move")
    beats = pulse.beats(since=moved)
    at = beats.index(gap.after)
    print("\n  the serial port across the move (arrival in ms, which QEMU, beat number, guest clock, guest date):\n")
    for line in beats[max(0, at - AROUND) : at + AROUND]:
        if line is gap.after:
            print(f"      ---- {gap.seconds * 1000:.1f} ms without a beat ----")
        _, number, clock, date = line.text.split()
        host = "alpha" if line.connection == beats[0].connection else "beta "
        when = time.strftime("%H:%M:%S", time.gmtime(int(date) / 1e6))
        print(f"      {(line.at - beats[0].at) * 1000:9.1f}  {host}  beat {number}  {int(clock) / 1e6:.6f} s  {when}")
    print(f"\n  the guest stood still for {gap.seconds * 1000:.1f} ms; {len(beats)} beats, none lost\n")
    numbers = [int(line.text.split()[1]) for line in beats]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise LabError("beats were lost or came twice")
