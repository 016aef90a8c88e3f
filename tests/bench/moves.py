"""Live migration: drover's hosts, stock ones and raw QEMU move the same guests over the same link."""
import contextlib
import threading
import time

import libvirt
from core import RawQemu, Side, median

from lab import domains, guest, probe
from lab.pulse import Pulse

LINK_MBIT = 1000
LIVE = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
RAW_PORT = 49300
ROUNDS = 3
AT_ONCE = 8
WRITING_MIB = 1024
WRITING_MIB_S = (10, 50, 200)


class Pair:
    """Two hosts of one kind, and how guests get from one to the other."""

    def __init__(self, lab, name, rate_mbit=None):
        self.name = name
        self.lab = lab
        self.sides = [Side(lab, name, f"{name}-{number}", rate_mbit) for number in (1, 2)]

    def close(self):
        for side in self.sides:
            self.lab.remove(side.host)

    @contextlib.contextmanager
    def connected(self):
        """Connections to both daemons; no guest is left running behind them."""
        with contextlib.ExitStack() as stack:
            links = [stack.enter_context(contextlib.closing(side.open())) for side in self.sides]
            try:
                yield links
            finally:
                for link in links:
                    for left in link.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                        left.destroy()

    def moved(self, xml, port, settle):
        """Start a guest, wait for settle(pulse), move it: its seconds and its longest pause."""
        inside, outside = port
        with Pulse(outside) as pulse, self.connected() as (here, there):
            moving = here.createXML(xml(inside), 0)
            settle(pulse)
            began = time.monotonic()
            moving.migrate3(there, {}, LIVE)
            seconds = time.monotonic() - began
            pulse.wait("^beat", 60, pulse.mark())
            gap = pulse.pause(since=began)
            right, line = pulse.verify(120)
            assert right, line
        return {"seconds": seconds, "pause": gap.seconds}


def raw_moved(pair, memory_mib, settings, port, settle):
    """The same move by two raw QEMUs in the same network."""
    image = guest.build()
    outside = port[1]
    arguments = ["-kernel", image.kernel, "-initrd", image.initrd, "-append", guest.command_line(**settings),
                 "-chardev", f"socket,id=port,path={outside}", "-serial", "chardev:port"]
    spaces = [["nsenter", "-t", side.host.pid, "-n"] for side in pair.sides]
    accelerator = probe.accelerators()["linux"]
    with Pulse(outside) as pulse, RawQemu(accelerator, memory_mib, arguments, spaces[0]) as source, \
            RawQemu(accelerator, memory_mib, [*arguments, "-incoming", "defer"], spaces[1]) as target:
        settle(pulse)
        began = time.monotonic()
        uri = f"tcp:{pair.sides[1].host.address}:{RAW_PORT}"
        seconds, _ = source.migrate_to(target, uri, max_bandwidth=1 << 34)
        pulse.wait("^beat", 60, pulse.mark())
        return {"seconds": seconds, "pause": pulse.pause(since=began).seconds}


def touched(pulse):
    pulse.wait("^touched", 240)
    pulse.wait("^beat [0-9]*00 ", 60, pulse.mark())


def run(bench):
    bench.part(idle)
    bench.part(big)
    bench.part(eight)
    bench.part(writing)


@contextlib.contextmanager
def pairs(bench, rate_mbit=None):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Pair(bench.lab, side.name, rate_mbit))) for side in bench.sides]


def compare(found, memory_mib, settings, port):
    """[drover, libvirtd, raw] of dicts, each the median of interleaved rounds."""
    samples = [[], [], []]

    def xml(inside):
        return domains.linux("move", memory_mib, port=inside, **settings)

    for turn in range(ROUNDS):
        for index, pair in enumerate(found):
            samples[index].append(pair.moved(xml, port, touched))
        samples[2].append(raw_moved(found[turn % 2], memory_mib, settings, port, touched))
    return [median(values) for values in samples]


def idle(bench):
    """An idle guest of 512 MiB, no limit: what a daemon adds to raw QEMU."""
    with pairs(bench) as found:
        ours, stock, raw = compare(found, 512, {"beat": 1, "touch": 16}, bench.lab.socket("idle"))
    bench.report("move of 512 MiB idle: total over raw QEMU, <= 0.1 s", [ours["seconds"] - raw["seconds"], 0.10], "s", 1.0)
    bench.report("  libvirtd's, for comparison", [stock["seconds"] - raw["seconds"], 0.10], "s")
    bench.report("move of 512 MiB idle: pause", [ours["pause"], stock["pause"]], "ms", None, 1e3)


def big(bench):
    """2 GiB with 1.5 GiB of random touched memory over 1 Gbit/s."""
    with pairs(bench, LINK_MBIT) as found:
        ours, stock, raw = compare(found, 2048, {"beat": 1, "touch": 1536}, bench.lab.socket("big"))
    bench.report("move of 1.5 GiB touched: pause", [ours["pause"], stock["pause"]], "ms", None, 1e3)
    bench.report("  against 60 ms", [ours["pause"], 0.060], "ms", 1.0, 1e3)
    bench.report("  against raw QEMU", [ours["pause"], raw["pause"]], "ms", None, 1e3)
    bench.report("move of 1.5 GiB touched: total", [ours["seconds"], stock["seconds"]], "s")


def eight(bench):
    """Eight guests of 256 MiB at once over 1 Gbit/s: until the last has arrived."""
    values = [[], []]
    with pairs(bench, LINK_MBIT) as found:
        for _ in range(ROUNDS):
            for index, pair in enumerate(found):
                values[index].append(moved_at_once(pair))
    bench.report(f"{AT_ONCE} guests of 256 MiB at once: the last is done", [median(each) for each in values], "s", 0.8)


def moved_at_once(pair):
    with contextlib.ExitStack() as stack:
        here, there = stack.enter_context(pair.connected())
        guests = []
        for number in range(AT_ONCE):
            inside, outside = pair.lab.socket(f"many-{number}")
            pulse = stack.enter_context(Pulse(outside))
            xml = domains.linux(f"move-{number}", 256, port=inside, beat=50, touch=160)
            guests.append((here.createXML(xml, 0), pulse))
        for _, pulse in guests:
            pulse.wait("^touched", 240)
        threads = [threading.Thread(target=one.migrate3, args=(there, {}, LIVE)) for one, _ in guests]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        assert len(there.listAllDomains()) == AT_ONCE, f"{pair.name}: not every guest arrived"
        for _, pulse in guests:
            assert pulse.verify(120)[0], f"{pair.name}: a guest lost memory"
    return seconds


def writing(bench):
    """1 GiB that is written to while it moves over 1 Gbit/s, with migration_converge = auto: libvirtd never ends some of it."""
    hosts = [bench.lab.host(f"writing-{number}", rate_mbit=LINK_MBIT, kvm=True) for number in (1, 2)]
    daemons = [host.droverd({"migration_converge": "auto"}) for host in hosts]
    link_s = WRITING_MIB * 8 * 1024 * 1024 / (LINK_MBIT * 1e6)
    with contextlib.ExitStack() as stack:
        for host in hosts:
            stack.callback(bench.lab.remove, host)
        here, there = (stack.enter_context(contextlib.closing(libvirt.open(daemon.uri))) for daemon in daemons)
        for rate in WRITING_MIB_S:
            seconds, pause = moved_writing(bench, here, there, rate)
            bench.report(f"move of 1 GiB written at {rate} MB/s: total over the link's", [seconds, link_s], "s", 1.5)
            bench.report("  pause over the total", [pause, seconds], "s")


def moved_writing(bench, here, there, rate):
    inside, outside = bench.lab.socket(f"writing-{rate}")
    kind = "kvm" if "<domain type='kvm'" in here.getCapabilities() else "qemu"
    xml = domains.bare(f"writing-{rate}", WRITING_MIB, rate, 1, inside, kind=kind)
    with Pulse(outside) as pulse:
        moving = here.createXML(xml, 0)
        pulse.wait("^sweep", 240)
        began = time.monotonic()
        moved = moving.migrate3(there, {}, LIVE)
        seconds = time.monotonic() - began
        pulse.wait("^beat", 60, pulse.mark())
        gap = pulse.pause(since=began)
        right, line = pulse.verify(240)
        assert right, line
        moved.destroy()
    return seconds, gap.seconds
