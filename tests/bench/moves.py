"""Live migration: drover's hosts, stock ones and raw QEMU move the same guests over the same link."""
import contextlib
import re
import threading
import time

import libvirt
from core import RawQemu, hammered, median
from frames import domain, frame, opening
from moving import (
    FIRMWARE_MIB,
    LINK_BYTES_S,
    LINK_MBIT,
    LIVE,
    MIB,
    PAUSED,
    RAW_PORT,
    Guest,
    Pair,
    accelerator,
    pairs,
    raw_moved,
    settle,
)

from lab.paths import PROGRAMS
from lab.pulse import Pulse

ROUNDS = 3
BIG = Guest(2048, 1536)
AT_ONCE = 8
MANY = Guest(256, 160, beat_ms=5)
WRITING_MIB = 1024
WRITING_MIB_S = (10, 50, 200)
LONGEST_PAUSE_MS = 9000
GONE_S = 60
INFO_CALLS = 2000
INFO_ROUNDS = 5
TUNNEL = LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_TUNNELLED


def run(bench):
    for part in (idle, big, paused, eight, writing, writing_with_longest_pause, abort, calls_beside_a_tunnel):
        bench.part(part)


def interleaved(*measures):
    """The median of each over rounds in which they take turns."""
    samples = [[] for _ in measures]
    for _ in range(ROUNDS):
        for values, measure in zip(samples, measures):
            values.append(measure())
    return [median(values) for values in samples]


def idle(bench):
    """An idle guest of 512 MiB, no limit: what a daemon adds to raw QEMU."""
    guest = Guest(512, 16)
    with pairs(bench) as (ours, stock):
        figures = interleaved(lambda: ours.moved(guest, "idle"), lambda: stock.moved(guest, "idle"),
                              lambda: raw_moved(ours, guest, "idle"))
    raw = figures[2]["seconds"]
    bench.report("move of 512 MiB idle: total over raw QEMU, <= 0.1 s", [figures[0]["seconds"] - raw, 0.10], "s", 1.0)
    bench.report("  libvirtd's, for comparison", [figures[1]["seconds"] - raw, 0.10], "s")
    bench.report("move of 512 MiB idle: pause", [figures[0]["pause"], figures[1]["pause"]], "ms", None, 1e3)


def big(bench):
    """2 GiB with 1.5 GiB of random touched memory over 1 Gbit/s. Raw QEMU is asked for the same longest pause, 10 ms, and for its own."""
    with pairs(bench, LINK_MBIT) as (ours, stock):
        found = interleaved(lambda: ours.moved(BIG, "big"), lambda: stock.moved(BIG, "big"),
                            lambda: raw_moved(ours, BIG, "big"), lambda: raw_moved(ours, BIG, "big", downtime_limit=10))
    bench.report("move of 1.5 GiB touched: pause", [found[0]["pause"], found[1]["pause"]], "ms", None, 1e3)
    bench.report("  against 60 ms", [found[0]["pause"], 0.060], "ms", 1.0, 1e3)
    bench.report("  against raw QEMU as it is", [found[0]["pause"], found[2]["pause"]], "ms", None, 1e3)
    bench.report("  against raw QEMU with downtime-limit 10", [found[0]["pause"], found[3]["pause"]], "ms", None, 1e3)
    bench.report("move of 1.5 GiB touched: total", [found[0]["seconds"], found[1]["seconds"]], "s")


def paused(bench):
    """MIG-12: a paused move of 2 GiB keeps the link busy."""
    link_s = BIG.settings[0] * MIB / LINK_BYTES_S
    with pairs(bench, LINK_MBIT) as (ours, stock):
        found = interleaved(lambda: ours.moved(BIG, "paused", PAUSED), lambda: stock.moved(BIG, "paused", PAUSED))
    bench.report("paused move of 1.5 GiB touched: of the link, used", [link_s, found[0]["seconds"]], "s", -0.8)
    bench.report("  libvirtd's, for comparison", [link_s, found[1]["seconds"]], "s")


def eight(bench):
    """Eight guests of 256 MiB at once over 1 Gbit/s: until the last has arrived; none waits for the others.

    Raw QEMUs that are there already say what the link needs for as much: nobody can be faster.
    """
    link_s = AT_ONCE * MANY.settings[0] * MIB / LINK_BYTES_S
    with pairs(bench, LINK_MBIT) as (ours, stock):
        found = interleaved(lambda: moved_at_once(ours), lambda: moved_at_once(stock), lambda: raw_at_once(ours))
    bench.report(f"{AT_ONCE} guests of 256 MiB at once: the last is done", [each["last"] for each in found[:2]], "s", 0.8)
    bench.report("  against raw QEMU", [found[0]["last"], found[2]["last"]], "s")
    bench.report("  raw QEMU, against the link's", [found[2]["last"], link_s], "s")
    bench.report("  the last against the first", [found[0]["last"], found[0]["first"]], "s", 2.0)
    bench.report("  the longest pause", [each["pause"] for each in found[:2]], "ms", None, 1e3)


def raw_at_once(pair):
    with contextlib.ExitStack() as stack:
        moves = []
        for number in range(AT_ONCE):
            outside = pair.lab.socket(f"raw-{number}")[1]
            pulse = stack.enter_context(Pulse(outside))
            spaces = [["nsenter", "-t", side.host.pid, "-n"] for side in pair.sides]
            words = MANY.arguments(outside)
            source = stack.enter_context(RawQemu(accelerator(), MANY.memory_mib, words, spaces[0]))
            target = stack.enter_context(RawQemu(accelerator(), MANY.memory_mib, [*words, "-incoming", "defer"], spaces[1]))
            for qemu in (source, target):
                qemu.qmp("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
            uri = f"tcp:{pair.sides[1].host.address}:{RAW_PORT + number}"
            target.qmp("migrate-incoming", uri=uri)
            source.qmp("migrate-set-parameters", max_bandwidth=1 << 34)
            moves.append((source, target, uri, pulse))
        for *_, pulse in moves:
            MANY.wait(pulse)
        began = time.monotonic()
        for source, _, uri, _ in moves:
            source.qmp("migrate", uri=uri)
        for _, target, _, _ in moves:
            target.wait_event("MIGRATION", 120, status="completed")
        last = time.monotonic() - began
        for *_, pulse in moves:
            settle(pulse, began)
    return {"last": last}


def moved_at_once(pair):
    guest = MANY
    with contextlib.ExitStack() as stack:
        here, there = stack.enter_context(pair.connected())
        guests = []
        for number in range(AT_ONCE):
            inside, outside = pair.lab.socket(f"many-{number}")
            pulse = stack.enter_context(Pulse(outside))
            guests.append((here.createXML(guest.xml(f"many-{number}", inside), 0), pulse))
        for _, pulse in guests:
            guest.wait(pulse)
        ends = []

        def move(dom):
            dom.migrate3(there, {}, LIVE)
            ends.append(time.monotonic())

        threads = [threading.Thread(target=move, args=(dom,)) for dom, _ in guests]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ends) == len(there.listAllDomains()) == AT_ONCE, f"{pair.name}: not every guest arrived"
        assert here.listAllDomains() == [], f"{pair.name}: a guest is on both hosts"
        pause = max(settle(pulse, began) for _, pulse in guests)
    return {"last": max(ends) - began, "first": min(ends) - began, "pause": pause}


@contextlib.contextmanager
def ours_alone(bench, **config):
    """A pair of our own with a configuration."""
    pair = Pair(bench.lab, "drover", LINK_MBIT)
    try:
        for side in pair.sides:
            side.stop()
            side.daemon = side.host.droverd(config)
        yield pair
    finally:
        pair.close()


def announced_ms(side):
    """The last pause that its daemon announced; 0: none."""
    found = re.findall(r"it stops now for at most about (\d+) ms", side.daemon.log.read_text())
    return int(found[-1]) if found else 0


def report_writing(bench, rate, how, seconds, pause, announced_s):
    link_s = WRITING_MIB * MIB / LINK_BYTES_S
    bench.report(f"1 GiB written at {rate} MB/s, {how}: over the link's", [seconds, link_s], "s", 1.5)
    if announced_s:
        bench.report("  pause, against the one announced", [pause, announced_s], "s", 1.0)
    else:
        bench.report("  pause over the total", [pause, seconds], "s")


def writing(bench):
    """1 GiB that is written to while it moves over 1 Gbit/s, with migration_converge = auto: libvirtd never ends some of it."""
    for rate in WRITING_MIB_S:
        guest = Guest(WRITING_MIB, WRITING_MIB - FIRMWARE_MIB, rate)
        with ours_alone(bench, migration_converge="auto") as pair:
            found = interleaved(lambda: {**pair.moved(guest, f"writing-{rate}"), "announced": announced_ms(pair.sides[0])})[0]
        report_writing(bench, rate, "auto", found["seconds"], found["pause"], found["announced"] / 1000)


def writing_with_longest_pause(bench):
    """The same by drover migrate --max-pause."""
    rate = WRITING_MIB_S[-1]
    guest = Guest(WRITING_MIB, WRITING_MIB - FIRMWARE_MIB, rate)
    with ours_alone(bench, listen_tcp=1, auth_tcp="none") as pair, pair.running(guest, "longest") as (_, here, there, pulse):
        began = time.monotonic()
        pair.sides[0].host.run([PROGRAMS / "drover", "-c", "qemu:///system", "migrate", "--live", "--unsafe", "--max-pause",
                                str(LONGEST_PAUSE_MS), "longest", f"qemu+tcp://{pair.sides[1].host.name}/system"], timeout=240)
        seconds = time.monotonic() - began
        assert here.listAllDomains() == [] and len(there.listAllDomains()) == 1
        pause = settle(pulse, began)
    report_writing(bench, rate, "--max-pause", seconds, pause, LONGEST_PAUSE_MS / 1000)


def abort(bench):
    """A move that is given up: until the guest is alone and beats."""
    with pairs(bench, LINK_MBIT) as (ours, stock):
        found = interleaved(lambda: aborted(ours), lambda: aborted(stock))
    bench.report("abort of a move: until the guest is healthy", found, "ms", None, 1e3)
    bench.report("  against 100 ms", [found[0], 0.100], "ms", 1.0, 1e3)


def aborted(pair):
    with pair.running(Guest(1024, 800), "given-up") as (dom, here, there, pulse):
        failures = []

        def move():
            try:
                dom.migrate3(there, {}, LIVE)
            except libvirt.libvirtError as failure:
                failures.append(failure)

        thread = threading.Thread(target=move)
        thread.start()
        while dom.jobStats().get("memory_processed", 0) < 100 * MIB:
            assert thread.is_alive(), "it arrived"
            time.sleep(0.01)
        began = time.monotonic()
        dom.abortJob()
        thread.join()
        pulse.wait("^beat", 60, pulse.mark())
        seconds = time.monotonic() - began
        assert failures and dom.isActive(), f"{pair.name}: the guest went although its move was given up"
        # libvirtd answers before its destination has ended the guest's process
        while there.listAllDomains():
            assert time.monotonic() - began < GONE_S, f"{pair.name}: the destination keeps the guest"
            time.sleep(0.01)
        assert pulse.verify(240)[0], "a page is lost"
    return seconds


def calls_beside_a_tunnel(bench):
    """dominfo's call while the daemon carries another guest's memory."""
    with ours_alone(bench, listen_tcp=1, auth_tcp="none") as pair, pair.running(Guest(2048, 1536, beat_ms=50), "tunnel") as \
            (dom, _, there, pulse):
        side, target = pair.sides
        script = bench.script("beside", [*opening("qemu:///system"), frame("domain_get_info", domain(dom))])

        def p99():
            return hammered("call", side.socket, 1, INFO_CALLS, script)["p99_us"]

        quiet = median([p99() for _ in range(INFO_ROUNDS)])
        move = threading.Thread(target=dom.migrateToURI3, args=(f"qemu+tcp://{target.host.name}/system", {}, TUNNEL))
        began = time.monotonic()
        move.start()
        while dom.jobStats().get("memory_processed", 0) < MIB:
            time.sleep(0.01)
        busy = median([p99() for _ in range(INFO_ROUNDS)])
        assert move.is_alive(), "it arrived before it was measured"
        move.join()
        assert len(there.listAllDomains()) == 1
        settle(pulse, began)
    bench.report("info beside a tunnelled move: p99, against idle", [busy, quiet], "us", 2.0)
