"""drover-img serve on a file system that is full for a while: clients are told, nothing is lost, and they go on (IMG-33).

Both ends run on a lab host, whose file system of a few MiB is its own.
"""
import contextlib
import json
import os
import socket

import pytest
from console import Console
from img_tools import OURS, needs_stock
from waiting import wait_for

from lab import guest

pytestmark = [needs_stock, pytest.mark.skipif(os.geteuid() != 0, reason="lab hosts need root")]

MIB = 1 << 20
PLACE = "/root/small"
QEMU = "qemu-system-x86_64"


@pytest.fixture()
def host(lab):
    """A host with 4 MiB of room at PLACE, half of it taken by a file that can go."""
    made = lab.host("a")
    made.path(PLACE).mkdir()
    made.run(["mount", "-t", "tmpfs", "-o", "size=4m", "small", PLACE])
    made.path(f"{PLACE}/ballast").write_bytes(bytes(2 * MIB))
    return made


@contextlib.contextmanager
def serving(host, image, format):
    """An export on the host's socket /root/nbd; the server must end well."""
    process = host.popen([OURS, "serve", "--persistent", "--shared", "0", "--socket", "/root/nbd", "--pid-file", "/root/pid",
                          "-f", format, image])
    try:
        wait_for("the server is ready", lambda: host.path("/root/pid").exists() or process.poll() is not None, 60)
        yield
        assert process.poll() is None
        host.run(["sh", "-c", "kill $(cat /root/pid)"])
        assert process.wait(120) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def client(host, *commands):
    """What qemu-io says at the export."""
    words = [word for command in commands for word in ("-c", command)]
    done = host.run(["qemu-io", "-f", "raw", *words, "nbd+unix:///?socket=/root/nbd"], check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("format, options", [
    ("qcow2", "cluster_size=512"), ("qcow2", "cluster_size=64k"), ("qcow2", "cluster_size=16k,extended_l2=on"),
    ("vdi", ""), ("vmdk", ""), ("vpc", "force_size=on"), ("parallels", "cluster_size=64k"), ("raw", "")])
def test_a_client_goes_on_when_there_is_room_again(host, format, options):
    image = f"{PLACE}/image"
    host.run([OURS, "create", "-q", "-f", format, *(["-o", options] if options else []), image, "8M"])
    steps = [(at, 1 + at // 65536) for at in range(0, 3 * MIB, 72 * 1024)]
    with serving(host, image, format):
        left = list(steps)
        while left:
            at, number = left[0]
            said = client(host, f"write -P {number} {at} 64k", "flush")
            if "No space left on device" in said:
                break
            assert "wrote 65536" in said and "failed" not in said, said
            left.pop(0)
        assert 0 < len(left) < len(steps)
        # told again and again, and what is there is read all the while
        assert "No space left on device" in client(host, f"write -P 9 {left[0][0]} 64k", "flush")
        assert "failed" not in client(host, *[f"read -P {number} {at} 64k" for at, number in steps[:-len(left)]])
        host.path(f"{PLACE}/ballast").unlink()
        said = client(host, *[f"write -P {number} {at} 64k" for at, number in left], "flush",
                      *[f"read -P {number} {at} 64k" for at, number in steps])
        assert "failed" not in said and "No space" not in said, said
    host.run(["qemu-io", "-f", format, *[w for at, number in steps for w in ("-c", f"read -P {number} {at} 64k")], image])
    if format in ("qcow2", "vdi", "parallels"):
        for program in (OURS, "qemu-img"):
            host.run([program, "check", "-q", "-f", format, image])


def qmp(link, command, **arguments):
    """The answer, and the names of the events that came before it."""
    link.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    link.flush()
    while "return" not in (answer := json.loads(link.readline())):
        assert "error" not in answer, answer
    return answer["return"]


@pytest.mark.limit(240)
def test_a_guest_that_was_stopped_for_want_of_room_goes_on(lab, host):
    """QEMU's werror=enospc on a disk that is an export."""
    image, system = f"{PLACE}/image", guest.build()
    inside, outside = lab.socket("console")
    console = Console(outside)
    host.run([OURS, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", image, "8M"])
    with serving(host, image, "qcow2"):
        machine = host.popen([
            QEMU, "-M", "pc", "-accel", "tcg", "-m", "192", "-display", "none", "-nodefaults", "-kernel", system.kernel,
            "-initrd", system.initrd, "-append", guest.command_line(shell="ttyS0", beat=0),
            "-serial", f"unix:{inside}", "-qmp", "unix:/root/qmp,server=on,wait=off",
            "-blockdev", "driver=nbd,node-name=disk,server.type=unix,server.path=/root/nbd",
            "-device", "virtio-blk-pci,drive=disk,werror=enospc,rerror=stop"])
        link = socket.socket(socket.AF_UNIX)
        try:
            wait_for("QEMU opens QMP", lambda: link.connect_ex(str(host.path("/root/qmp"))) == 0, 60)
            file = link.makefile("rw")
            file.readline()
            qmp(file, "qmp_capabilities")
            console.wait("^ready", 120)
            console.link.sendall(b"yes 0123456789abcde | dd bs=16k count=192 iflag=fullblock of=/dev/vda conv=fsync; echo status $?\n")
            link.settimeout(120)
            while True:
                event = json.loads(file.readline())
                if event.get("event") == "BLOCK_IO_ERROR":
                    assert event["data"]["nospace"] and event["data"]["action"] == "stop", event
                if event.get("event") == "STOP":
                    break
            assert qmp(file, "query-status")["status"] == "io-error"
            host.path(f"{PLACE}/ballast").unlink()
            qmp(file, "cont")
            found, _ = console.wait(r"^status (\d+)", 120)
            assert found[1] == "0"
            status, said = console.run("dd if=/dev/vda bs=16k count=192 2>/dev/null | uniq", 60)
            assert status == 0 and [line.strip() for line in said.split("\n")].count("0123456789abcde") == 1, said
            console.link.sendall(b"poweroff -f\n")
            assert machine.wait(120) == 0
        finally:
            link.close()
            console.close()
            if machine.poll() is None:
                machine.kill()
                machine.wait()
    host.run(["qemu-img", "check", "-q", image])
    host.run(["qemu-img", "convert", "-O", "raw", image, "/root/seen"])
    assert host.path("/root/seen").read_bytes() == (b"0123456789abcde\n" * (3 * MIB // 16)).ljust(8 * MIB, b"\0")
