"""One connection and many: the time and the CPU a call takes, calls per second, connecting."""
import contextlib

from core import SYSTEM, Echo, hammered
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


def latency(bench, files, echo):
    for name in ("version", "lookup", "state", "info"):
        floor = []

        def measure(side, name=name, floor=floor):
            floor.append(hammered("call", echo.socket, 1, CALLS, files[side][name])["p50_us"])
            return one_call(side, files[side][name])

        values = bench.paired(measure)
        ours = values[0]
        bench.report(f"{name}: p50, against a bare ping-pong", [ours["p50_us"], sorted(floor)[len(floor) // 2]], "us", 1.3)
        for key, target in (("p50_us", None), ("p99_us", None), ("cpu_us", 0.3)):
            bench.report(f"{name}: {key.removesuffix('_us')}", [value[key] for value in values], "us", target)


def rates(bench, files, echo):
    for connections in (1, 8, 32, 200):
        count = CALLS * (1 if connections == 1 else 5)
        floor = []

        def measure(side, connections=connections, count=count, floor=floor):
            path = files[side]["state"]
            if connections == 1:
                floor.append(hammered("call", echo.socket, 1, count, path)["rate"])
            return hammered("call", side.socket, connections, count, path)["rate"]

        values = bench.paired(measure)
        if connections == 1:
            bench.report("rate, 1 connection, against ping-pong", [values[0], sorted(floor)[len(floor) // 2]], "/s", -0.8)
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
