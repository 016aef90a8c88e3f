"""A thousand defined guests: defining, listing, statistics, memory, and the start of the daemon."""
import contextlib
import time

from core import SYSTEM, hammered, median
from definitions import define
from frames import frame, opening, uint

GUESTS, MANY, STEP = 1000, 5000, 50
IDLE_CONNECTIONS = 100


def run(bench):
    bench.part(memory, "idle")
    bench.part(connections)
    bench.part(first_list, 0)
    bench.part(defining)
    bench.part(memory, "1,000 defined")
    bench.part(listing, "list of 1,000", frame("connect_list_all_domains", uint(1) + uint(0)), 0.2)
    bench.part(listing, "statistics of 1,000", frame("connect_get_all_domain_stats", uint(0) + uint(0) + uint(0)), 0.1)
    bench.part(first_list, GUESTS)
    define_more(bench, GUESTS, MANY)
    bench.part(first_list, MANY)


def define_more(bench, first, end):
    """Guests first to end, in turns; how many a second each side took, for each turn."""
    rates = [[], []]
    for number in range(first, end, STEP):
        for index, side in enumerate(bench.sides):
            rates[index].append(1 / define(side, number, STEP))
    return rates


def defining(bench):
    rates = define_more(bench, 0, GUESTS)
    bench.report("define, durable", [median(values) for values in rates], "/s", -2.0)


def memory(bench, what):
    bench.report(f"private memory, {what}", [side.private_bytes() for side in bench.sides], "MB", 0.3, 1e-6)


def connections(bench):
    growth = []
    for side in bench.sides:
        before = side.private_bytes()
        links = [side.open() for _ in range(IDLE_CONNECTIONS)]
        growth.append((side.private_bytes() - before) / IDLE_CONNECTIONS)
        for link in links:
            link.close()
    bench.report("private memory, per idle connection", growth, "kB", 0.3, 1e-3)


def listing(bench, figure, call, target):
    path = bench.script("scale", [*opening(SYSTEM), call])
    values = bench.paired(lambda side: hammered("call", side.socket, 1, 50, path)["p50_us"])
    bench.report(figure, values, "ms", target, 1e-3)


def first_list(bench, count):
    """From starting the program to the first complete list."""
    def measure(side):
        side.stop()
        side.daemon.poise()
        began = time.perf_counter()
        side.daemon.go()
        with contextlib.closing(side.open()) as conn:
            names = {(guest.name(), guest.UUIDString()) for guest in conn.listAllDomains()}
        assert len(names) == count, f"{side.name} lists {len(names)} guests of {count}"
        return time.perf_counter() - began

    values = bench.paired(measure, 5)
    bench.report(f"start to the first list, {count} defined", values, "ms", {0: 0.3, 1000: 0.1, 5000: 0.05}[count], 1e3)
