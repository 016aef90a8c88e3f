"""Definitions of the lab's guests, as XML that any daemon of this protocol takes."""
import uuid
from xml.sax.saxutils import escape, quoteattr

from . import guest, payload, probe
from .paths import BUILD

MACHINE = "pc-i440fx-7.2"
EMULATOR = "/usr/bin/qemu-system-x86_64"


def inside(path):
    """A file of the lab's build directory, as every lab host sees it."""
    return f"/mnt/lab/{path.relative_to(BUILD)}"


def domain_type(kind):
    """What <domain type=...> a guest of this kind ('linux', 'payload') needs here."""
    return "kvm" if probe.accelerators()[kind] == "kvm" else "qemu"


def serial(path):
    """A serial port that QEMU connects to a Pulse listening on this path."""
    return f"<serial type='unix'><source mode='connect' path={quoteattr(path)}/><target port='0'/></serial>"


def linux(name, memory_mib=128, port=None, devices="", agent=False, kind=None, identity=None, extra="", **settings):
    """The tiny Linux guest; settings become drover.NAME=VALUE on its command line (see lab/guest)."""
    image = guest.build(agent=agent)
    settings.setdefault("name", name)
    if agent:
        settings["agent"] = 1
        devices += "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    boot = (f"<kernel>{inside(image.kernel)}</kernel><initrd>{inside(image.initrd)}</initrd>"
            f"<cmdline>{escape(guest.command_line(**settings))}</cmdline>")
    return _domain(name, kind or domain_type("linux"), memory_mib, boot, port, devices, identity, extra)


def bare(name, touch_mib=32, dirty_mib_s=10, beat_ms=1, port=None, devices="", kind=None, identity=None, random=False,
         memory_mib=None):
    """The bare payload: dirties touch_mib at a rate and beats, without any kernel (see lab/payload)."""
    image = payload.build(touch_mib, dirty_mib_s, beat_ms, random)
    disk = ("<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            f"<source file='{inside(image)}'/><target dev='vda' bus='virtio'/><readonly/></disk>")
    return _domain(name, kind or domain_type("payload"), memory_mib or touch_mib + 16, "<boot dev='hd'/>", port, disk + devices, identity)


def _domain(name, kind, memory_mib, boot, port, devices, identity, extra=""):
    return f"""<domain type='{kind}'>
  <name>{escape(name)}</name>
  <uuid>{identity or uuid.uuid4()}</uuid>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{MACHINE}'>hvm</type>{boot}</os>
  <features><acpi/><apic/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  {extra}
  <devices>
    <emulator>{EMULATOR}</emulator>
    <controller type='usb' model='none'/>
    {serial(port) if port else "<serial type='pty'><target port='0'/></serial>"}
    {devices}
  </devices>
</domain>
"""
