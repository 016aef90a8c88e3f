"""Ten thousand guests of the test driver, and ten thousand idle connections beside those that work: what each takes, and
whether the others notice. The peer is droverd itself before they came; whoever holds its loop for over 5 ms is named."""
import contextlib
import resource
import socket
import time

import libvirt
from core import LabError, Side, hammered
from definitions import define_guest
from frames import domain, frame, opening, uint

GUESTS = CONNECTIONS = 10000
CALLS = 2000
TEST = "test:///default"


class Crowded(Side):
    """A droverd that lets that many in."""

    def start(self):
        most = CONNECTIONS + 100
        self.daemon = self.host.droverd({"max_clients": most, "max_anonymous_clients": most})

    def open(self):
        return libvirt.open(f"test+unix:///default?socket={self.socket}")


def run(bench):
    bench.part(crowd)


def latencies(bench, side, moment):
    """p50 and p99 of a small call, of one about a guest, and of the lists of all."""
    with contextlib.closing(side.open()) as conn:
        guest = domain(conn.lookupByName("test"))
    calls = {"version": (CALLS, frame("connect_get_lib_version")), "state": (CALLS, frame("domain_get_state", guest + uint(0))),
             "list of all": (20, frame("connect_list_all_domains", uint(1) + uint(0))),
             "statistics of all": (20, frame("connect_get_all_domain_stats", uint(0) + uint(0) + uint(0)))}
    return {name: hammered("call", side.socket, 1, count, bench.script(f"{moment}-{name.split()[0]}", [*opening(TEST), call]))
            for name, (count, call) in calls.items()}


def fill(side):
    with contextlib.closing(side.open()) as conn:
        for number in range(GUESTS):
            define_guest(conn, number, "test")


def connect(side):
    """Connections that have opened the driver and say nothing more."""
    links = []
    for _ in range(CONNECTIONS):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(60)
        link.connect(side.socket)
        for call in opening(TEST):
            link.sendall(call)
            if not link.recv(65536):
                raise LabError("droverd closed an idle connection")
        links.append(link)
    return links


def compare(bench, what, now, before):
    for name in ("version", "state"):
        for key in ("p50_us", "p99_us"):
            bench.report(f"{name}: {key.removesuffix('_us')}, {what}", [now[name][key], before[name][key]], "us")


def crowd(bench):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    side = Crowded(bench.lab, "crowd")
    links = []
    try:
        empty = latencies(bench, side, "empty")
        before = side.private_bytes()
        fill(side)
        full = latencies(bench, side, "full")
        bench.report("private memory, a guest of the test driver", [(side.private_bytes() - before) / GUESTS, 1e3], "kB", None, 1e-3)
        compare(bench, "10,000 guests (none)", full, empty)
        bench.report("list of 10,000 (of one), p50", [full["list of all"]["p50_us"], empty["list of all"]["p50_us"]], "ms", None, 1e-3)
        bench.report("statistics of 10,000 (of one), p50",
                     [full["statistics of all"]["p50_us"], empty["statistics of all"]["p50_us"]], "ms", None, 1e-3)
        before = side.private_bytes()
        links = connect(side)
        bench.report("private memory, one of 10,000 connections", [(side.private_bytes() - before) / CONNECTIONS, 1e3], "kB", None, 1e-3)
        compare(bench, "10,000 connections (none)", latencies(bench, side, "crowd"), full)
        began = time.perf_counter()
        while links:
            links.pop().close()
        side.open().close()
        bench.report("all of them closed, until another is let in", [time.perf_counter() - began, 1], "s")
        slow = [line for line in side.daemon.log.read_text().splitlines() if "the event loop was busy" in line]
        bench.report("turns of the loop over 5 ms of CPU (limit: none)", [len(slow), 1], "", 0.5)
        print("\n".join(slow[:10]))
    finally:
        for link in links:
            link.close()
        side.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
