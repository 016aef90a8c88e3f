"""Running guests for the tests of one file: a droverd on this machine, and the lab's tiny Linux guest under it."""
import contextlib
import os
import pathlib
import signal
import time
import uuid
from xml.sax.saxutils import escape

import libvirt
import procfs
from droverd import Droverd
from lab import guest
from lab.domains import domain_type
from waiting import wait_for


class LiveDaemon(Droverd):
    """A daemon whose guests are QEMU's; virsh() talks to its QEMU driver."""

    def __init__(self, conf=""):
        super().__init__("libvirt_sockets = 0\n" + conf)
        os.chmod(self.base, 0o755)  # QEMU's user goes through it

    def uri(self, readonly=False, _driver=None):
        return f"qemu+unix:///system?socket={self.socket(readonly)}"

    def stop(self):
        if self.process.poll() is None:
            for name in self.virsh("list", "--name", check=False).split():
                self.virsh("destroy", name, check=False)
        super().stop()


def linux(called, /, devices="", agent=False, memory_mib=128, vcpus=1, extra="", serial="<serial type='pty'/>", **settings):
    """The tiny guest, with a shell where settings say so (see lab/guest)."""
    image = guest.build(agent=agent)
    if agent:
        settings["agent"] = 1
        devices += "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    return f"""<domain type='{domain_type("linux")}'>
  <name>{escape(called)}</name><uuid>{uuid.uuid4()}</uuid>
  <memory unit='MiB'>{memory_mib}</memory><vcpu>{vcpus}</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{image.kernel}</kernel><initrd>{image.initrd}</initrd>
    <cmdline>{escape(guest.command_line(**settings))}</cmdline></os>
  <features><acpi/><apic/></features>{extra}
  <devices><controller type='usb' model='none'/>{serial}{devices}</devices>
</domain>"""


def start(daemon, tmp_path, xml):
    """Create a transient guest from XML."""
    file = tmp_path / "guest.xml"
    file.write_text(xml)
    daemon.virsh("create", file)


def state(daemon, name):
    return daemon.virsh("domstate", name, "--reason").strip()


def wait_state(daemon, name, wanted):
    wait_for(f"{name} to be {wanted}", lambda: state(daemon, name) == wanted)


def hold(find, thread):
    """Stop the process that find() finds, which works for a thread; False: the thread was there first."""
    while thread.is_alive():
        if (pid := find()) is None:
            continue
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGSTOP)
            return wait_for("it stops or ends", lambda: state_of_process(pid)) == "T"
    return False


def helper_of(daemon):
    """The drover-save that this daemon runs, which writes what is saved or dumped; None: there is none."""
    pid = daemon.process.pid
    children = map(int, procfs.read(f"/proc/{pid}/task/{pid}/children").split())
    return next((child for child in children if b"drover-save" in procfs.read(f"/proc/{child}/cmdline")), None)


def state_of_process(pid):
    """T: stopped, Z: ended; None: neither."""
    try:
        letter = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
    return letter if letter in "TZX" else None


def read_until(stream, wanted, say=None):
    """Until it is there; what is said is said again each second, because the shell may not be there yet."""
    seen, said = b"", 0

    def more():
        nonlocal seen, said
        if say and time.monotonic() - said > 1:
            stream.send(say)
            said = time.monotonic()
        data = stream.recv(4096)
        if data != -2:
            seen += data
        return wanted in seen

    wait_for(f"{wanted} on the console", more)
    return seen


def shell(dom, command, expected):
    """Say a command to the guest's shell on its second serial port until what it prints is there."""
    stream = dom.connect().newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole("serial1", stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    seen = read_until(stream, expected, say=command + b"\n")
    stream.abort()
    return seen
