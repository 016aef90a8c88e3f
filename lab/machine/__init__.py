"""The lab machine: Debian's cloud kernel under QEMU, for what this machine's own kernel lacks.

It carries nearly every module: device mapper, iSCSI initiator and target, NFS client and server, NBD, VLAN, netem, bridge
connection tracking; control groups are version 2. The file system is this machine's own, read-only, with memory laid over
it: what runs there is what was built here. Programs that are not installed come from unpacked packages. It takes ten
seconds to boot, and guests inside it are emulated by an emulated CPU: it is for what cannot be tested outside.

    with Machine(packages=("lvm2",), disks=(disk,)) as machine:
        machine.run(["pvcreate", "/dev/vda"])
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .. import cpio, debs, guest, modules
from ..paths import BUILD, LAB, PATIENCE_S, LabError, digest, locked, replace, run

QEMU = "qemu-system-x86_64"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
MODULES = "virtio_pci virtio_console virtio_blk virtiofs overlay".split()
BOOT_S = RUN_S = 240  # everything in it is emulated
HERE = LAB / "machine"


class Machine:
    """One machine, running. Use as a context manager, or close()."""

    def __init__(self, packages=(), disks=(), memory_mib=1024, numa_nodes=1):
        self._home = Path(tempfile.mkdtemp(prefix="lab-machine-"))
        self._processes = []
        try:
            self._start(packages, disks, memory_mib, numa_nodes)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def run(self, argv, check=True, stdin="", timeout=RUN_S):
        """Run a command as root: a CompletedProcess with text; LabError when it fails and check is set. One at a time."""
        argv = [str(word) for word in argv]
        self._send({"argv": argv, "input": stdin, "timeout": timeout})
        answer = self._receive(timeout + 30)
        if check and answer["status"] != 0:
            words = (answer["err"] or answer["out"]).strip()
            raise LabError(f"lab machine: {argv[0]} failed ({answer['status']}): {words}")
        return subprocess.CompletedProcess(argv, answer["status"], answer["out"], answer["err"])

    def console(self):
        """What the kernel and the first program said."""
        return (self._home / "console").read_text(errors="replace")

    # --- inside ---

    def _start(self, packages, disks, memory_mib, numa_nodes):
        kernel, initrd, tree = build(packages)
        self._spawn(
            [VIRTIOFSD, f"--socket-path={self._home}/fs", "-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot"],
            self._home / "fs",
        )
        line = f"console=ttyS0 quiet panic=-1 mitigations=off no_timer_check lab.packages={tree} lab.agent={HERE / 'agent.py'}"
        devices = [
            f"socket,id=fs,path={self._home}/fs",
            f"socket,id=agent,path={self._home}/agent,server=on,wait=off",
            f"file,id=console,path={self._home}/console",
        ]
        self._spawn([
            QEMU, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", 2, "-m", memory_mib,
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", *_memory(memory_mib, numa_nodes),
            *(word for device in devices for word in ("-chardev", device)),
            "-serial", "chardev:console", "-device", "vhost-user-fs-pci,chardev=fs,tag=root",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=lab",
            *(word for disk in disks for word in ("-drive", f"file={disk},format=raw,if=virtio,cache=unsafe")),
            "-kernel", kernel, "-initrd", initrd, "-append", line,
        ], self._home / "agent")  # fmt: skip
        self._link = socket.socket(socket.AF_UNIX)
        self._link.connect(str(self._home / "agent"))
        self._input = b""
        self._receive(BOOT_S)

    def _spawn(self, argv, until):
        """Start a program of the machine; it is ready when it listens on its socket."""
        words = open(self._home / "words", "ab")
        with words:
            argv = ["setpriv", "--pdeathsig", "KILL", *(str(word) for word in argv)]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
        self._processes.append(process)
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(until):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"{argv[3]} did not start: {self._words()}")
            time.sleep(0.01)

    def _words(self):
        return (self._home / "words").read_text(errors="replace").strip()

    def _send(self, message):
        self._link.settimeout(RUN_S)
        self._link.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, timeout):
        deadline = time.monotonic() + timeout
        while b"\n" not in self._input:
            self._link.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                more = self._link.recv(1 << 20)
            except TimeoutError:
                raise LabError(f"the lab machine says nothing; its console:\n{self.console()[-4000:]}") from None
            except ConnectionResetError:
                more = b""
            if not more:
                raise LabError(f"the lab machine ended: {self._words()}\n{self.console()[-4000:]}")
            self._input += more
        line, _, self._input = self._input.partition(b"\n")
        return json.loads(line)


def _listens(path):
    """Whether somebody does at this socket: its file is there a moment before that, and who connects then is refused."""
    accepts = "00010000"
    lines = (line.split() for line in Path("/proc/net/unix").read_text(errors="replace").splitlines())
    return any(words[3] == accepts and words[-1] == str(path) for words in lines if len(words) > 7)


def _memory(mib, nodes):
    """The memory, shared with the file server, in so many NUMA nodes."""
    words = []
    for node in range(nodes):
        words += ["-object", f"memory-backend-memfd,id=memory{node},size={mib // nodes}M,share=on"]
        words += ["-numa", f"node,nodeid={node},memdev=memory{node},cpus={node}" if nodes > 1 else "node,memdev=memory0"]
    return words


def build(packages):
    """(kernel, initramfs, tree of the packages), made or found made."""
    kernel = guest.kernel()
    initrd = BUILD / "machine" / f"initrd-{digest(kernel.name, HERE / 'init', Path(__file__))}"
    if not initrd.exists():
        replace(initrd, _initramfs(kernel))
    return next((kernel / "boot").glob("vmlinuz-*")), initrd, _tree(kernel, packages)


def _initramfs(kernel):
    archive = cpio.Archive()
    archive.node("dev/console", 5, 1)
    archive.file("init", (HERE / "init").read_bytes())
    archive.file("bin/busybox", (debs.unpack("busybox-static") / "bin/busybox").read_bytes())
    archive.link("bin/sh", "busybox")
    for folder in ("proc", "sys"):
        archive.folder(folder)
    files = list(dict.fromkeys(file for chain in modules.chains(kernel, MODULES) for file in chain))
    for file in files:
        archive.file(f"modules/{file.name}", modules.unsigned(file), 0o644)
    archive.file("modules/order", "\n".join(file.name for file in files) + "\n", 0o644)
    return archive.data()


def _tree(kernel, packages):
    """The files of the packages and the kernel's modules in one tree, laid out as a merged /usr."""
    target = BUILD / "machine" / digest(kernel.name, *packages)
    if target.is_dir():
        return target
    unpacked = [debs.unpack(package) for package in ("kmod", *packages)]
    with locked("machine"):
        if target.is_dir():
            return target
        work = BUILD / "machine" / ".part"
        shutil.rmtree(work, ignore_errors=True)
        for source in unpacked:
            for part in source.iterdir():
                _merge(part, work / ("usr" if part.name in ("bin", "sbin", "lib", "lib64") else "") / part.name)
        _merge(kernel / "lib/modules", work / "usr/lib/modules")
        (work / "lib").symlink_to("usr/lib")  # for depmod alone
        _depmod(work, kernel)
        (work / "lib").unlink()
        work.rename(target)
    return target


def _merge(source, target):
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, copy_function=_link)


def _link(source, target):
    if os.path.lexists(target):
        os.unlink(target)
    os.link(source, target, follow_symlinks=False)


def _depmod(tree, kernel):
    version = next((kernel / "lib/modules").iterdir()).name
    done = subprocess.run(
        ["depmod", "-b", str(tree), version], executable=tree / "usr/bin/kmod", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"depmod failed: {done.stderr.strip()}")
