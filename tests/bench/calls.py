"""One connection and many: the time and the CPU a call takes, calls per second, connecting."""
import contextlib
import os

from core import SYSTEM, Echo, hammered, kept_on, median
from definitions import define
from frames import domain, frame, opening, text, uint

CALLS = 2000
GUEST = "bench-0"


def scripts(bench, side):
    """The frames of each call, for one side: its guest has its own UUID."""
    with contextlib.closing(side.open()) as conn:
        if not any(guest.name() == GUEST for guest in conn.listAllDomains()):
            define(side, 0, 1)
        guest = domain(conn.lookupByName(GUEST))
    calls = {
        "version": frame("connect_get_lib_version"),
        "lookup": frame("domain_lookup_by_name", text(GUEST)),
        "state": frame("domain_get_state", guest + uint(0)),
        "info": frame("domain_get_info", guest),
    }
    return {name: bench.script(f"{side.name}-{name}", [*opening(SYSTEM), call]) for name, call in calls.items()}


def one_call(side, path):
    before = side.cpu_ns()
    result = hammered("call", side.socket, 1, CALLS, path)
    result["cpu_us"] = (side.cpu_ns() - before) / CALLS / 1000
    return result


def run(bench):
    bench.part(connecting)
    bench.part(calling)


def calling(bench):
    files = {side: scripts(bench, side) for side in bench.sides}
    echo = Echo(bench.lab.home)
    try:
        bench.part(latency, files, echo)
        bench.part(rates, files, echo)
    finally:
        echo.close()


def beside_floor(bench, echo, path, count, key):
    """The median of droverd's and of the echo server's, in turns. Client and server have a CPU each: a switch within one CPU
    costs a tenth of a wake-up of another, and where the scheduler puts the two would decide the figure."""
    side, cpus = bench.sides[0], sorted(os.sched_getaffinity(0))
    found = [[], []]
    with kept_on(cpus[-1], echo.pid), kept_on(cpus[-1], side.daemon.pid):
        for _ in range(bench.rounds):
            for values, server in zip(found, (side, echo)):
                values.append(hammered("call", server.socket, 1, count, path, cpu=cpus[0])[key])
    return [median(values) for values in found]


def latency(bench, files, echo):
    for name in ("version", "lookup", "state", "info"):
        floor = beside_floor(bench, echo, files[bench.sides[0]][name], CALLS, "p50_us")
        bench.report(f"{name}: p50, against a bare ping-pong", floor, "us", 1.3)
        values = bench.paired(lambda side, name=name: one_call(side, files[side][name]))
        for key, target in (("p50_us", None), ("p99_us", None), ("cpu_us", 0.3)):
            bench.report(f"{name}: {key.removesuffix('_us')}", [value[key] for value in values], "us", target)


def rates(bench, files, echo):
    floor = beside_floor(bench, echo, files[bench.sides[0]]["state"], CALLS, "rate")
    bench.report("rate, 1 connection, against ping-pong", floor, "/s", -0.8)
    for connections in (1, 8, 32, 200):
        count = CALLS * (1 if connections == 1 else 5)
        values = bench.paired(lambda side, connections=connections, count=count: hammered(
            "call", side.socket, connections, count, files[side]["state"])["rate"])
        bench.report(f"rate, {connections} connections", values, "/s", -2.5 if connections > 1 else None)


def connecting(bench):
    path = bench.script("open", [*opening(SYSTEM), frame("connect_close")])
    count = 200

    def measure(side):
        before = side.cpu_ns()
        result = hammered("open", side.socket, count, path)
        result["cpu_us"] = (side.cpu_ns() - before) / count / 1000
        return result

    values = bench.paired(measure)
    bench.report("connect, auth, open, close", [value["p50_us"] for value in values], "us", 0.5)
    bench.report("connect, auth, open, close: CPU", [value["cpu_us"] for value in values], "us", 0.2)
