"""Guests that are only defined, by the thousand."""
import contextlib
import time
import uuid

XML = """<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/mnt/shared/{name}.img'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
</devices></domain>"""


def define_guest(conn, number, kind="qemu"):
    conn.defineXML(XML.format(kind=kind, name=f"bench-{number}", uuid=uuid.UUID(int=(0x6472 << 112) + number)))


def define(side, first, count):
    """Define guests bench-FIRST and on through one connection; the seconds each took."""
    with contextlib.closing(side.open()) as conn:
        began = time.perf_counter()
        for number in range(first, first + count):
            define_guest(conn, number)
        return (time.perf_counter() - began) / count
