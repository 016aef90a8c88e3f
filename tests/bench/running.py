"""Guests that run: starting, stopping, pausing, their statistics, and events about them.

The guests are started paused, so what is measured is the daemon and QEMU, not an emulated CPU.
"""
import contextlib
import threading
import time
import uuid

import libvirt
from core import SYSTEM, RawQemu, hammered, median
from frames import frame, opening, uint

XML = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><features><acpi/></features><devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
<memballoon model='virtio'/></devices></domain>"""
MANY = 20
BLOCK_AND_BALLOON = libvirt.VIR_DOMAIN_STATS_BLOCK | libvirt.VIR_DOMAIN_STATS_BALLOON
RUNNING = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_PAUSED
EVENT_S = 10
PAUSES = 15


def definition(side, name):
    """A guest of its own with a disk in the lab's shared directory."""
    disk = side.host.lab.shared / f"{side.name}-{name}.img"
    if not disk.exists():
        disk.write_bytes(bytes(1 << 20))
        disk.chmod(0o666)
    return XML.format(name=name, uuid=uuid.uuid4(), disk=f"/mnt/shared/{disk.name}")


def run(bench):
    bench.part(life)
    bench.part(events)
    bench.part(statistics)


def raw_start(side):
    """Seconds that raw QEMU takes with the same devices, from exec to a monitor that answers."""
    disk = side.host.lab.shared / f"{side.name}-life.img"
    devices = [
        "-S", "-blockdev", f"driver=file,filename={disk},node-name=disk",
        "-device", "virtio-blk-pci,drive=disk", "-netdev", "tap,id=net,ifname=raw0,script=no,downscript=no",
        "-device", "virtio-net-pci,netdev=net", "-device", "virtio-balloon-pci",
    ]
    began = time.perf_counter()
    with RawQemu("tcg", 64, devices, prefix=["nsenter", "-t", side.host.pid, "-n"]):
        return time.perf_counter() - began


def suspended(guest):
    """Seconds that a pause took. QEMU's own part varies by a millisecond, so one says little."""
    guest.resume()
    began = time.perf_counter()
    guest.suspend()
    return time.perf_counter() - began


def life(bench):
    def measure(side):
        with contextlib.closing(side.open()) as conn:
            times = {}
            began = time.perf_counter()
            guest = conn.createXML(definition(side, "life"), libvirt.VIR_DOMAIN_START_PAUSED)
            times["start"] = time.perf_counter() - began
            times["suspend"] = median([suspended(guest) for _ in range(PAUSES)])
            began = time.perf_counter()
            guest.destroy()
            times["destroy"] = time.perf_counter() - began
        times["start"] -= raw_start(side)
        return times

    values = bench.paired(measure)
    for what, figure, target in (
        ("start", "start, on top of raw QEMU", 0.15), ("destroy", "destroy", 0.2), ("suspend", "suspend", 0.6),
    ):
        bench.report(figure, [value[what] for value in values], "ms", target, 1e3)


def turn_event_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def events(bench):
    """From a client's suspend to the event at another client."""
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=turn_event_loop, daemon=True).start()

    def measure(side):
        arrived = threading.Event()
        times = []

        def on_event(_conn, _guest, event, _detail, _opaque):
            if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
                times.append(time.perf_counter())
                arrived.set()

        with contextlib.closing(side.open()) as watcher, contextlib.closing(side.open()) as actor:
            guest = actor.createXML(definition(side, "event"), 0)
            watch = watcher.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
            began = []
            for _ in range(PAUSES):
                arrived.clear()
                began.append(time.perf_counter())
                guest.suspend()
                assert arrived.wait(EVENT_S), f"{side.name} sent no event"
                guest.resume()
            watcher.domainEventDeregisterAny(watch)
            guest.destroy()
        return median([came - asked for asked, came in zip(began, times)])

    bench.report("suspend to the event at another client", bench.paired(measure), "ms", 0.5, 1e3)


def statistics(bench):
    links = [side.open() for side in bench.sides]
    guests = []
    try:
        for side, conn in zip(bench.sides, links):
            for number in range(MANY):
                xml = definition(side, f"many-{number}")
                guests.append(conn.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED))
        call = frame("connect_get_all_domain_stats", uint(0) + uint(BLOCK_AND_BALLOON) + uint(RUNNING))
        path = bench.script("running", [*opening(SYSTEM), call])
        values = bench.paired(lambda side: hammered("call", side.socket, 1, 10, path)["p50_us"])
        bench.report(f"block and balloon statistics of {MANY} running", values, "ms", 0.1, 1e-3)
    finally:
        for guest in guests:
            guest.destroy()
        for conn in links:
            conn.close()
