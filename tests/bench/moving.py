"""What the benches of moves share: pairs of hosts, guests to move between them, and two raw QEMUs that do the same.

The guests are the bare payload (lab/payload): QEMU 7.2 under TCG forgets stores of a guest that runs while its memory is
sent, which a kernel does not survive and the payload does not mind; it finds every page that is lost all the same.
"""
import contextlib
import time

import libvirt
from core import RawQemu, Side

from lab import domains, payload, probe
from lab.pulse import Pulse

LINK_MBIT = 1000
LINK_BYTES_S = LINK_MBIT * 1e6 / 8
MIB = 1 << 20
PAUSED = libvirt.VIR_MIGRATE_UNSAFE
LIVE = libvirt.VIR_MIGRATE_LIVE | PAUSED
RAW_PORT = 49300
FIRMWARE_MIB = 16  # the payload leaves that much alone


class Guest:
    """Memory, how much of it holds data that does not compress, and how fast it is written."""

    def __init__(self, memory_mib, touch_mib, dirty_mib_s=0, beat_ms=1):
        self.memory_mib = memory_mib
        self.random = not dirty_mib_s
        self.settings = (touch_mib, dirty_mib_s, beat_ms)

    def xml(self, name, port):
        touch_mib, dirty_mib_s, beat_ms = self.settings
        kind = "kvm" if accelerator() == "kvm" else "qemu"
        return domains.bare(name, touch_mib, dirty_mib_s, beat_ms, port, kind=kind, random=self.random, memory_mib=self.memory_mib)

    def arguments(self, outside):
        image = payload.build(*self.settings, self.random)
        return ["-drive", f"file={image},format=raw,if=virtio,readonly=on", "-chardev", f"socket,id=port,path={outside}",
                "-serial", "chardev:port"]

    def wait(self, pulse):
        """Until all that it touches is there."""
        pulse.wait("^beat [0-9a-f]*[1-9a-f]00$" if self.random else "^sweep", 240)


def accelerator():
    """What all sides run the payload with: a KVM that runs nothing else is one that droverd does not offer."""
    return "kvm" if set(probe.accelerators().values()) == {"kvm"} else "tcg"


class Pair:
    """Two hosts of one kind, and how guests get from one to the other."""

    def __init__(self, lab, name, rate_mbit=None):
        self.name = name
        self.lab = lab
        self.sides = [Side(lab, name, f"{name}-{number}", rate_mbit, accelerator() == "kvm") for number in (1, 2)]

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

    @contextlib.contextmanager
    def running(self, guest, name):
        """(the guest on the first host, connections to both, its Pulse)"""
        inside, outside = self.lab.socket(name)
        with Pulse(outside) as pulse, self.connected() as (here, there):
            dom = here.createXML(guest.xml(name, inside), 0)
            guest.wait(pulse)
            yield dom, here, there, pulse

    def moved(self, guest, name, flags=LIVE):
        """Start a guest and move it: its seconds and its longest pause. No page is lost."""
        with self.running(guest, name) as (dom, _, there, pulse):
            began = time.monotonic()
            dom.migrate3(there, {}, flags)
            seconds = time.monotonic() - began
            return {"seconds": seconds, "pause": settle(pulse, began)}


@contextlib.contextmanager
def pairs(bench, rate_mbit=None):
    """One of ours and one of libvirtd's."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Pair(bench.lab, side.name, rate_mbit))) for side in bench.sides]


def settle(pulse, began):
    """The longest pause since then, when all its memory is right."""
    pulse.wait("^beat", 60, pulse.mark())
    gap = pulse.pause(since=began)
    right, line = pulse.verify(240)
    assert right, line
    return gap.seconds


def raw_moved(pair, guest, name, **parameters):
    """The same move by two raw QEMUs in the same network."""
    outside = pair.lab.socket(name)[1]
    spaces = [["nsenter", "-t", side.host.pid, "-n"] for side in pair.sides]
    arguments = guest.arguments(outside)
    with Pulse(outside) as pulse, RawQemu(accelerator(), guest.memory_mib, arguments, spaces[0]) as source, \
            RawQemu(accelerator(), guest.memory_mib, [*arguments, "-incoming", "defer"], spaces[1]) as target:
        guest.wait(pulse)
        began = time.monotonic()
        uri = f"tcp:{pair.sides[1].host.address}:{RAW_PORT}"
        seconds, _ = source.migrate_to(target, uri, max_bandwidth=1 << 34, **parameters)
        return {"seconds": seconds, "pause": settle(pulse, began)}
