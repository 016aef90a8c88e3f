"""A directory pool of 10,000 volumes: starting, refreshing, listing, looking up, and one more volume."""
import contextlib
import time

VOLUMES = 10_000
POOL = "<pool type='dir'><name>bench</name><target><path>/root/bench</path></target></pool>"
VOLUME = "<volume><name>{}</name><capacity unit='MiB'>16</capacity><target><format type='qcow2'/></target></volume>"


def run(bench):
    for side in bench.sides:
        side.host.run(["sh", "-c", f"mkdir /root/bench && cd /root/bench && seq -f v%05g.img 0 {VOLUMES - 1} | xargs truncate -s 1M"])
    with contextlib.ExitStack() as stack:
        conns = {side: stack.enter_context(contextlib.closing(side.open())) for side in bench.sides}
        for conn in conns.values():
            conn.storagePoolDefineXML(POOL)
        bench.part(pools, conns)


def seconds(act):
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def pools(bench, conns):
    def figure(name, act, rounds=None):
        values = bench.paired(lambda side: seconds(lambda: act(conns[side].storagePoolLookupByName("bench"))), rounds)
        bench.report(name, values, "ms", 1, 1e3)

    def start(side):
        pool = conns[side].storagePoolLookupByName("bench")
        if pool.isActive():
            pool.destroy()
        return seconds(pool.create)

    bench.report(f"start a pool of {VOLUMES:,} volumes", bench.paired(start, 3), "ms", 1, 1e3)
    # what changed just now may change again in the same instant, and is looked at again: not what a refresh finds
    time.sleep(3)
    for conn in conns.values():
        conn.storagePoolLookupByName("bench").refresh()
    figure(f"refresh a pool of {VOLUMES:,} volumes", lambda pool: pool.refresh(), 3)
    figure("list them", lambda pool: pool.listAllVolumes())
    figure("list their names", lambda pool: pool.listVolumes())
    figure("look a volume up by name", lambda pool: pool.storageVolLookupByName("v05000.img"), 50)
    figure("... and by path", lambda pool: pool.connect().storageVolLookupByPath("/root/bench/v05000.img"), 50)
    figure("make and delete a qcow2 volume", lambda pool: pool.createXML(VOLUME.format("new.qcow2")).delete(), 9)
