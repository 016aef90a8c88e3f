"""Stock virt-install on a lab host, and what it installs from: an image, a CD, a tree on a server, a boot server."""
import contextlib
import shutil
import subprocess

from console import Console
from lab import guest, payload
from waiting import wait_for

WORDS = ("--memory", "192", "--osinfo", "detect=on,require=off", "--virt-type", "qemu", "--graphics", "none",
         "--noautoconsole")
ISOLINUX = "/usr/lib/ISOLINUX/isolinux.bin"
LDLINUX = "/usr/lib/syslinux/modules/bios/ldlinux.c32"


def kernel_arguments():
    """What the tiny guest needs to come up with an address and a shell on its serial port."""
    return guest.command_line(net="dhcp", shell="ttyS0", beat=0)


def install(lab, host, name, *words):
    """Run virt-install to its end. The guest's console; the process, with its output."""
    inside, outside = lab.socket(name)
    console = Console(outside)
    done = host.run(["virt-install", "--connect", "qemu:///system", "--name", name, *WORDS,
                     "--serial", f"unix,source.path={inside},source.mode=connect", *words], check=False)
    return console, done


def put_payload(host, path):
    """A disk that boots without a kernel, and beats."""
    target = host.path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(payload.build(4, 1, 10), target)


def put_boot_program(host, path):
    """The same as a file that a boot ROM loads whole."""
    target = host.path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(payload.build(4, 1, 10).read_bytes().rstrip(b"\0"))


def make_cd(directory, target):
    """A CD that boots the tiny guest."""
    image = guest.build()
    (directory / "isolinux").mkdir(parents=True)
    for source in (ISOLINUX, LDLINUX):
        shutil.copy(source, directory / "isolinux")
    shutil.copy(image.kernel, directory / "linux")
    shutil.copy(image.initrd, directory / "initrd")
    (directory / "isolinux/isolinux.cfg").write_text(
        f"default guest\nprompt 0\nlabel guest\n kernel /linux\n append initrd=/initrd {kernel_arguments()}\n")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", target, "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat",
                    "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", directory], check=True, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def tree(host, path="/srv/tree"):
    """An install tree of the tiny guest, served over HTTP."""
    image = guest.build()
    top = host.path(path)
    (top / "images").mkdir(parents=True)
    shutil.copy(image.kernel, top / "images/linux")
    shutil.copy(image.initrd, top / "images/initrd")
    (top / ".treeinfo").write_text("[general]\nfamily = Tiny\nversion = 1\narch = x86_64\n\n"
                                   "[images-x86_64]\nkernel = images/linux\ninitrd = images/initrd\n")
    server = host.popen(["/usr/bin/python3", "-m", "http.server", "-d", path, "80"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("it listens", lambda: ":80 " in host.run(["ss", "-Hltn"]).stdout)
        yield f"http://{host.address}/"
    finally:
        server.kill()
        server.wait()
