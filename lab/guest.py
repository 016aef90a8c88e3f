"""The tiny guest: Debian's cloud kernel, and an initramfs of busybox and our own init and heartbeat.

It boots in two to three seconds without KVM, needs 128 MiB, and reacts as a real guest does: to the power button, to
hot-plugged disks and cards, to DHCP. See guest/init.c and guest/heartbeat.c for its kernel command line.
"""

import re
from pathlib import Path

from . import cpio, debs, modules
from .paths import BUILD, LAB, digest, locked, replace, run

KERNEL = "linux-image-cloud-amd64"
MODULES = """virtio_pci virtio_blk virtio_net virtio_scsi virtio_console virtio_balloon virtio-rng virtio_mem
             button evdev ata_piix sd_mod sr_mod isofs vfat nls_ascii nls_cp437""".split()
SOURCES = {
    "init": ("init.c", "modules.c", "cmdline.c"),
    "heartbeat": ("heartbeat.c", "sweep.c", "cmdline.c"),
}
CFLAGS = "-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Werror -static -pthread -s".split()

ON_LEASE = """#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip address flush dev $interface
ip address add $ip/$mask dev $interface
for gateway in $router; do ip route replace default via $gateway; break; done
for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
[ "$1" = bound ] && echo "net $interface $ip/$mask" > /dev/console
"""

# What the guest agent runs for shutdown and reboot. As elsewhere it has ended before everything is killed: the agent
# would report its violent death.
SHUTDOWN = """#!/bin/sh
case "$*" in *-r*) how=reboot ;; *) how=poweroff ;; esac
(sleep 0.3; /bin/$how) > /dev/null 2>&1 < /dev/null &
"""

# What the agent runs to set a password; nobody logs in here, so it is only kept.
CHPASSWD = "#!/bin/sh\n{ echo $# \"$@\"; cat; } > /etc/passwords\n"


class Image:
    """The two files a guest is started with."""

    def __init__(self, kernel, initrd):
        self.kernel = Path(kernel)
        self.initrd = Path(initrd)


def command_line(**settings):
    """The kernel command line with drover.NAME=VALUE for each setting."""
    # a busy machine's emulated timer may be late when the kernel tries it out, and then it does not start
    words = ["console=ttyS0", "quiet", "loglevel=1", "mitigations=off", "panic=-1", "no_timer_check"]
    words += [f"drover.{name}={value}" for name, value in settings.items() if value is not None]
    return " ".join(words)


def kernel():
    """The unpacked package of the kernel, with all its modules."""
    return debs.unpack(next(name for name in debs.depends(KERNEL) if name.startswith("linux-image-")))


def build(agent=False):
    """Make the image, or find it made; with agent, the QEMU guest agent is in it."""
    tree = kernel()
    sources = sorted((LAB / "guest").iterdir())
    name = digest(tree.name, agent, Path(__file__), LAB / "modules.py", *sources)
    initrd = BUILD / "guest" / f"initrd-{name}"
    if not initrd.exists():
        with locked("guest"):
            replace(initrd, _initramfs(tree, agent))
    return Image(next((tree / "boot").glob("vmlinuz-*")), initrd)


def _initramfs(tree, agent):
    archive = cpio.Archive()
    archive.node("dev/console", 5, 1)
    for program, sources in SOURCES.items():
        archive.file(program, _compile(program, sources).read_bytes())

    busybox = debs.unpack("busybox-static") / "bin/busybox"
    archive.file("bin/busybox", busybox.read_bytes())
    for applet in run([busybox, "--list"]).split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    archive.file("bin/on-lease", ON_LEASE)
    archive.file("sbin/shutdown", SHUTDOWN)
    archive.file("etc/passwd", "root:x:0:0:root:/:/bin/sh\n", 0o644)
    archive.file("etc/group", "root:x:0:\n", 0o644)
    archive.file("etc/shadow", "root:*:19000:0:99999:7:::\n", 0o600)

    aliases = []
    for file, lines in _modules(tree).items():
        archive.file(f"modules/{file.name}", modules.unsigned(file), 0o644)
        aliases += lines
    archive.file("modules/aliases", "\n".join(aliases) + "\n", 0o644)
    if agent:
        _add_agent(archive)
    return archive.data()


def _compile(program, sources):
    output = BUILD / "guest" / program
    output.parent.mkdir(parents=True, exist_ok=True)
    run(["gcc", *CFLAGS, "-o", output, *(LAB / "guest" / source for source in sources)])
    return output


def _modules(tree):
    """The files of the modules and of what they need, each with its lines for modules/aliases."""
    lines = {}
    for chain in modules.chains(tree, MODULES):
        for file in chain:
            lines.setdefault(file, [])
        for alias in modules.aliases(chain[-1]):
            lines[chain[-1]].append(" ".join([alias, *(file.name for file in chain)]))
    return lines


def _add_agent(archive):
    """The guest agent with the libraries it is linked with, at the paths its loader looks."""
    program = debs.unpack("qemu-guest-agent") / "usr/sbin/qemu-ga"
    archive.file("usr/sbin/qemu-ga", program.read_bytes())
    archive.link("sbin/hwclock", "../bin/busybox")  # which it runs to set the chip's clock
    archive.file("bin/chpasswd", CHPASSWD)
    for target, source in re.findall(r"(?:(\S+) => )?(/\S+) \(0x", run(["ldd", program])):
        archive.file((target if target.startswith("/") else source), Path(source).read_bytes())
