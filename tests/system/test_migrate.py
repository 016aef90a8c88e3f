"""Stock virsh moves real guests between two droverd hosts (MIG rows); each guest verifies its own memory afterwards."""
import concurrent.futures
import contextlib
import re

import pytest
from test_migrate_refusals import payload_kind
from waiting import wait_for

from lab import domains
from lab.paths import PROGRAMS
from lab.probe import accelerators
from lab.pulse import Pulse

BOOT_S = 90
MOVE_S = 120


class Journey:
    """A guest on host a with its serial port on a Pulse, and what becomes of it."""

    def __init__(self, pair, pulse, port):
        self.pair, self.pulse, self.port = pair, pulse, port

    def linux(self, name="g", define=True, **settings):
        """A quiet one, which beats seldom: QEMU 7.2 under TCG forgets stores of one that runs while its memory is sent."""
        settings = {"beat": 50, "touch": 16, **settings}
        return self.begin(domains.linux(name, port=self.port, **settings), name, define, "^touched")

    def payload(self, name="g", **settings):
        xml = domains.bare(name, port=self.port, kind=payload_kind(self.pair.a), **settings)
        return self.begin(xml, name, True, "^beat 00000100")

    def begin(self, xml, name, define, sign):
        self.pair.a.write_file("/root/guest.xml", xml)
        if define:
            self.pair.a.virsh("define", "/root/guest.xml")
            self.pair.a.virsh("start", name)
        else:
            self.pair.a.virsh("create", "/root/guest.xml")
        self.pulse.wait(sign, BOOT_S)
        return self

    def move(self, *options, name="g", transport="ssh", check=True):
        words = ["virsh", "-q", "-c", "qemu:///system", "migrate", *options, name, f"qemu+{transport}://b/system"]
        return self.pair.a.run(words, timeout=MOVE_S, check=check)

    def whereabouts(self):
        """(running on a, running on b, defined on a, defined on b)"""
        hosts = (self.pair.a, self.pair.b)
        return tuple(host.virsh("list", *what, "--name").split() for what in ([], ["--all", "--persistent"])
                     for host in hosts)

    def verify(self):
        right, line = self.pulse.verify()
        assert right, line


@pytest.fixture()
def journey(pair):
    inside, outside = pair.lab.socket("port")
    with Pulse(outside) as pulse:
        yield Journey(pair, pulse, inside)


def assert_count_up(beats):
    numbers = [int(line.text.split()[1]) for line in beats]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a beat is lost or comes twice"


def assert_time_goes_on(beats):
    """What both of the guest's clocks said at each beat (CLK-21)."""
    for clock in (2, 3):
        seen = [int(line.text.split()[clock]) for line in beats]
        assert all(before < after for before, after in zip(seen, seen[1:])), seen


@pytest.mark.limit(240)
@pytest.mark.parametrize("options", [["--live"], ["--live", "--p2p"], []], ids=["live", "p2p", "paused"])
@pytest.mark.parametrize("transport", ["ssh", "tcp"])
def test_a_guest_moves_and_lives_on(journey, options, transport):
    """MIG-01, MIG-02, MIG-03, MIG-07, MIG-10, MIG-34; CON-02: paused is a copy of the memory, too; CLK-21

    QEMU 7.2 under TCG forgets stores of a guest, its counter of beats among them (raw QEMU does it too). So that none
    is lost and none comes twice across the move, and that no clock goes back, is asserted where nothing is stored
    meanwhile, or where KVM runs it.
    """
    journey.linux()
    done = journey.move(*options, transport=transport)
    assert done.stdout.strip() == "" and done.stderr.strip() == ""
    assert journey.whereabouts() == ([], ["g"], ["g"], [])
    journey.pulse.wait("^beat", 60, journey.pulse.mark())
    journey.verify()
    beats = journey.pulse.beats()
    if not options or accelerators()["linux"] == "kvm":
        assert_count_up(beats)
        assert_time_goes_on(beats)
    for connection in {line.connection for line in beats}:
        assert_count_up([line for line in beats if line.connection == connection])
    journey.pair.b.virsh("shutdown", "g")
    journey.pulse.wait("^power off", 60)
    wait_for("it is gone from b", lambda: journey.whereabouts() == ([], [], ["g"], []))


def test_the_definition_moves_along(journey):
    """MIG-38, MIG-39"""
    journey.payload()
    journey.move("--live", "--persistent", "--undefinesource")
    assert journey.whereabouts() == ([], ["g"], [], ["g"])


def test_it_can_arrive_paused_and_under_another_name(journey):
    """MIG-40, MIG-54"""
    journey.payload()
    uuid = journey.pair.a.virsh("domuuid", "g")
    journey.move("--live", "--suspend", "--dname", "other")
    assert journey.pair.b.virsh("domstate", "other").strip() == "paused"
    assert journey.pair.b.virsh("domuuid", "other") == uuid
    mark = journey.pulse.mark()
    journey.pair.b.virsh("resume", "other")
    journey.pulse.wait("^beat", 60, mark)
    journey.verify()


def test_there_and_back_again(journey):
    """The bare payload: after two moves a Linux under TCG may beat and yet be deaf to its serial port."""
    journey.payload(touch_mib=64)
    journey.move("--live")
    journey.pair.b.virsh("migrate", "--live", "g", "qemu+ssh://a/system", timeout=MOVE_S)
    assert journey.whereabouts() == (["g"], [], ["g"], [])
    journey.verify()


def test_a_dirtying_guest_loses_no_page(journey):
    """MIG-03: the bare payload dirties 50 MiB/s and checks every page it comes back to."""
    journey.payload(touch_mib=64, dirty_mib_s=50)
    journey.move("--live", "--unsafe")
    mark = journey.pulse.mark()
    journey.pulse.wait("^sweep .* lost 00000000", 60, mark)
    journey.verify()


def test_an_offline_move_copies_only_the_definition(journey):
    """MIG-36, MIG-37, CON-02, CON-41"""
    journey.pair.a.write_file("/root/guest.xml", domains.linux("g"))
    journey.pair.a.virsh("define", "/root/guest.xml")
    assert journey.move("--live", check=False).returncode == 1
    journey.move("--offline", "--persistent")
    assert journey.whereabouts() == ([], [], ["g"], ["g"])


def test_a_destination_that_is_cut_off_leaves_the_guest_at_home(journey):
    """MIG-07: the guest goes on at the source whatever becomes of the destination."""
    journey.payload()
    journey.pair.b.cut()
    done = journey.move("--live", transport="tcp", check=False)
    assert done.returncode == 1
    journey.pulse.wait("^beat", 60, journey.pulse.mark())
    assert journey.whereabouts()[0] == ["g"]
    journey.verify()


def test_a_name_taken_at_the_destination_is_refused(journey):
    """MIG-54"""
    journey.pair.b.write_file("/root/guest.xml", domains.linux("g"))
    journey.pair.b.virsh("define", "/root/guest.xml")
    journey.payload()
    done = journey.move("--live", check=False)
    assert done.returncode == 1 and "g" in done.stderr
    journey.pulse.wait("^beat", 60, journey.pulse.mark())
    assert journey.whereabouts()[:2] == (["g"], [])


@pytest.mark.limit(240)
def test_drover_migrate_moves_between_our_own(journey):
    journey.payload()
    drover = [PROGRAMS / "drover", "-c", "qemu:///system"]
    journey.pair.a.run([*drover, "migrate", "--live", "g", "qemu+ssh://b/system"], timeout=MOVE_S)
    assert journey.whereabouts()[:2] == ([], ["g"])
    journey.verify()


def memory_total_mib(said):
    return float(re.search(r"Memory total: +([0-9.]+) MiB", said)[1])


@pytest.mark.limit(240)
def test_guests_that_move_at_the_same_time_do_not_meet(pair):
    """MIG-14, MIG-28: each has a port of its own, although none of them is listened on when the next one asks; and its own figures,
    which the destination tells, too: it has them from its source."""
    names = [f"g{number}" for number in range(4)]
    with contextlib.ExitStack() as stack:
        pulses = []
        for name in names:
            inside, outside = pair.lab.socket(name)
            pulse = stack.enter_context(Pulse(outside))
            pulses.append(Journey(pair, pulse, inside).payload(name, memory_mib=64 + len(pulses)).pulse)
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(len(names)))
        words = ["virsh", "-q", "-c", "qemu:///system", "migrate", "--live"]
        moves = [pool.submit(pair.a.run, [*words, name, "qemu+tcp://b/system"], timeout=MOVE_S) for name in names]
        for move in moves:
            move.result()
        assert pair.a.virsh("list", "--name").split() == []
        assert sorted(pair.b.virsh("list", "--name").split()) == names
        accounts = [[host.virsh("domjobinfo", "--completed", name) for name in names] for host in (pair.a, pair.b)]
        totals = [memory_total_mib(account) for account in accounts[0]]
        assert all(later - earlier == 1 for earlier, later in zip(totals, totals[1:])), totals
        for here, there in zip(*map(lambda side: [dict(re.findall("(.*?): +(.*?) *\n", account)) for account in side], accounts)):
            assert (here["Operation"], there["Operation"]) == ("Outgoing migration", "Incoming migration")
            same = [name for name in here if name.startswith(("Data", "Memory", "Iteration", "Page", "Normal", "Constant", "Setup"))]
            assert len(same) > 8 and [here[name] for name in same] == [there.get(name) for name in same]
            assert here["Total downtime"] == there["Total downtime"] and "Time elapsed" in there
        for pulse in pulses:
            pulse.wait("^beat", 60, pulse.mark())
            right, line = pulse.verify()
            assert right, line
