"""Two hundred defined networks: listing, looking up, describing, defining; and a network's start and stop."""
import contextlib
import time

from core import median

NETWORKS, RUNNING = 200, 8
XML = """<network><name>bench-{0}</name><forward mode='nat'/><bridge name='vbench{0}'/>
<ip address='10.{1}.{2}.1' prefix='24'><dhcp><range start='10.{1}.{2}.2' end='10.{1}.{2}.254'/></dhcp></ip></network>"""


def run(bench):
    bench.part(defining)
    bench.part(reading)
    bench.part(starting)


def seconds(act):
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def defining(bench):
    def define(side):
        with contextlib.closing(side.open()) as conn:
            xml = [XML.format(number, 100 + number // 100, number % 100) for number in range(NETWORKS)]
            return seconds(lambda: [conn.networkDefineXML(text) for text in xml]) / NETWORKS

    bench.report("define a network", [define(side) for side in bench.sides], "ms", 1, 1e3)


def reading(bench):
    with contextlib.ExitStack() as stack:
        conns = {side: stack.enter_context(contextlib.closing(side.open())) for side in bench.sides}
        acts = {
            f"list {NETWORKS} networks": lambda conn: conn.listAllNetworks(0),
            "look a network up by name": lambda conn: conn.networkLookupByName("bench-150"),
            "describe a network": lambda conn: conn.networkLookupByName("bench-150").XMLDesc(0),
        }
        for figure, act in acts.items():
            bench.report(figure, bench.paired(lambda side, act=act: seconds(lambda: act(conns[side])), 50), "ms", 1, 1e3)


def starting(bench):
    with contextlib.ExitStack() as stack:
        conns = {side: stack.enter_context(contextlib.closing(side.open())) for side in bench.sides}
        starts, stops = [[], []], [[], []]
        for number in range(RUNNING):
            for index, side in enumerate(bench.sides):
                starts[index].append(seconds(conns[side].networkLookupByName(f"bench-{number}").create))
        for number in range(RUNNING):
            for index, side in enumerate(bench.sides):
                stops[index].append(seconds(conns[side].networkLookupByName(f"bench-{number}").destroy))
    bench.report("start a network (NAT, DHCP)", [median(values) for values in starts], "ms", 1, 1e3)
    bench.report("stop it", [median(values) for values in stops], "ms", 1, 1e3)
