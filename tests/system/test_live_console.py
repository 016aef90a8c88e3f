"""Consoles, screens, keys and the monitor of a running guest, through stock clients."""
import json
import os
import pty
import signal
import socket
import subprocess
import termios

import libvirt
import libvirt_qemu
import pytest

from cli import DROVER, ENVIRONMENT
from live import linux, read_until, start
from waiting import wait_for

DEVICES = """<graphics type='vnc' port='-1' autoport='yes'/><video><model type='vga'/></video>
<channel type='unix'><target type='virtio' name='org.test.0'/></channel>"""
DEAF = ("<domain type='qemu'><name>deaf</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>"
        "<devices><serial type='pty'/></devices></domain>")


@pytest.fixture(scope="module")
def daemon(live_daemon, tmp_path_factory):
    daemon = live_daemon
    start(daemon, tmp_path_factory.mktemp("xml"), linux("g", DEVICES, shell="ttyS0"))
    return daemon


def test_a_console_carries_both_ways(conn):
    dom = conn.lookupByName("g")
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole(None, stream)
    read_until(stream, b"42-ok", say=b"echo $((40+2))-ok\n")
    stream.abort()


def test_every_line_that_is_typed_is_the_shells_though_the_guest_writes_there_too(conn):
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    conn.lookupByName("g").openConsole(None, stream)
    read_until(stream, b"it-is-1", say=b"echo it-is-$((2-1))\n")
    read_until(stream, b"beat ")
    for number in range(20):
        stream.send(b"echo line-$((%d+1))-ok\n" % number)
        read_until(stream, b"line-%d-ok" % (number + 1))
    stream.abort()


def test_one_client_has_a_console_until_another_takes_it_by_force(conn):
    dom = conn.lookupByName("g")
    first = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole("serial0", first)
    second = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    with pytest.raises(libvirt.libvirtError, match="Active console session exists"):
        dom.openConsole("serial0", second)
    third = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole("serial0", third, libvirt.VIR_DOMAIN_CONSOLE_FORCE | libvirt.VIR_DOMAIN_CONSOLE_SAFE)
    with pytest.raises(libvirt.libvirtError, match="another client took over"):
        wait_for("the first to hear of it", lambda: first.recv(65536) not in (-2,) and False)
    read_until(third, b"to-the-3rd", say=b"echo to-the-$((2+1))rd\n")
    third.abort()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_console_that_is_killed_puts_the_terminal_back(daemon, signum):
    seen, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    process = subprocess.Popen([DROVER, "-c", daemon.uri(), "console", "g", "--force"], stdin=terminal, stdout=subprocess.DEVNULL,
                               env=ENVIRONMENT)
    wait_for("the terminal is raw", lambda: termios.tcgetattr(terminal) != before)
    process.send_signal(signum)
    assert process.wait(120) == -signum
    assert termios.tcgetattr(terminal) == before
    os.close(terminal)
    os.close(seen)


def test_a_long_file_is_typed_as_fast_as_the_guest_takes_it(daemon, conn, tmp_path):
    """A guest that takes nothing has no file in anybody's memory, and its console goes on until it ends."""
    file = tmp_path / "typed"
    file.write_bytes(b"")
    os.truncate(file, 64 << 20)
    dom = conn.createXML(DEAF, libvirt.VIR_DOMAIN_START_PAUSED)
    with open(file, "rb") as typed:
        process = subprocess.Popen([DROVER, "-c", daemon.uri(), "console", "deaf"], stdin=typed, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, env=ENVIRONMENT)
        wait_for("some of it is typed", typed.tell)
        dom.destroy()
        assert b"the connection" not in process.communicate(timeout=120)[1]  # the guest's end may be an error, or none
        assert typed.tell() < 64 << 20


def test_a_console_without_input_shows_the_guest_for_as_long_as_somebody_looks(daemon):
    process = subprocess.Popen([DROVER, "-c", daemon.uri(), "console", "g", "--force"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    try:
        seen = b""
        while b"beat " not in seen:
            part = os.read(process.stdout.fileno(), 4096)
            assert part, (seen, process.communicate(timeout=120))
            seen += part
        process.stdout.close()
        assert process.wait(120) == 1 and b"Broken pipe" in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_a_console_that_is_not_there_is_named(conn):
    dom = conn.lookupByName("g")
    with pytest.raises(libvirt.libvirtError, match="no console device 'serial7'"):
        dom.openConsole("serial7", conn.newStream())


def test_a_channel_is_opened_by_name(conn):
    dom = conn.lookupByName("g")
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openChannel("org.test.0", stream)
    with pytest.raises(libvirt.libvirtError, match="Active console session exists"):
        dom.openChannel("channel0", conn.newStream())
    stream.abort()
    with pytest.raises(libvirt.libvirtError, match="no channel 'nobody'"):
        dom.openChannel("nobody", conn.newStream())


def test_a_screenshot_is_a_picture(daemon, tmp_path):
    file = tmp_path / "screen.ppm"
    said = daemon.virsh("screenshot", "g", file)
    assert "image/x-portable-pixmap" in said
    head, size, depth, pixels = file.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert head == b"P6" and depth == b"255" and len(pixels) == width * height * 3
    assert "no screen 3" in daemon.virsh("screenshot", "g", file, "--screen", 3, check=False)


def test_keys_are_pressed_whatever_they_are_called(daemon):
    for codeset, code in (("linux", "KEY_H"), ("xt", "35"), ("atset2", "0x33"), ("usb", "11"), ("win32", "72"),
                          ("qnum", "35")):
        daemon.virsh("send-key", "g", "--codeset", codeset, code)
    daemon.virsh("send-key", "g", "KEY_LEFTCTRL", "KEY_LEFTALT", "KEY_F1", "--holdtime", 50, "--codeset", "linux")
    said = daemon.virsh("send-key", "g", "--codeset", "usb", "999", check=False)
    assert "cannot translate keycode 999" in said


def test_a_display_is_handed_over_as_a_descriptor(conn):
    dom = conn.lookupByName("g")
    with socket.socket(fileno=dom.openGraphicsFD(0)) as ours:
        ours.settimeout(120)
        assert ours.recv(12) == b"RFB 003.008\n"
    ours, theirs = socket.socketpair()
    dom.openGraphics(0, theirs.fileno(), libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
    theirs.close()
    ours.settimeout(120)
    assert ours.recv(12) == b"RFB 003.008\n"
    ours.close()
    with pytest.raises(libvirt.libvirtError, match="no graphics display 4"):
        dom.openGraphicsFD(4)


def test_the_nmi_button_is_pressed(daemon):
    daemon.virsh("inject-nmi", "g")


def test_the_monitor_answers_as_it_is(daemon, conn):
    reply = json.loads(daemon.virsh("qemu-monitor-command", "g", '{"execute":"query-status"}'))
    assert reply["return"]["status"] == "running"
    assert "VM status: running" in daemon.virsh("qemu-monitor-command", "g", "--hmp", "info status")
    reply = json.loads(daemon.virsh("qemu-monitor-command", "g", '{"execute":"no-such-thing"}'))
    assert reply["error"]["class"] == "CommandNotFound"
    with pytest.raises(libvirt.libvirtError, match="JSON"):
        libvirt_qemu.qemuMonitorCommand(conn.lookupByName("g"), "{nonsense", 0)


def test_monitor_events_are_heard_by_name(conn):
    dom = conn.lookupByName("g")
    heard = []

    def on_event(_conn, _dom, event, seconds, micros, details, opaque):
        heard.append((opaque, event, details))

    by_name = libvirt_qemu.qemuMonitorEventRegister(conn, dom, "stop", on_event, "nocase",
                                                    libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE)
    by_regex = libvirt_qemu.qemuMonitorEventRegister(conn, None, "^RES", on_event, "regex",
                                                     libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX)
    dom.suspend()
    dom.resume()
    wait_for("both events", lambda: len(heard) >= 2)
    assert [(who, event) for who, event, _ in heard] == [("nocase", "STOP"), ("regex", "RESUME")]
    libvirt_qemu.qemuMonitorEventDeregister(conn, by_name)
    for costly in ("(((a{255}){255}){255}){255}", "((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+", r"(.*)(.*)\1\2x"):
        with pytest.raises(libvirt.libvirtError, match="repeats too much"):
            libvirt_qemu.qemuMonitorEventRegister(conn, None, costly, on_event, "costly",
                                                  libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX)
    libvirt_qemu.qemuMonitorEventDeregister(conn, by_regex)


def test_what_needs_a_running_guest_says_so_for_others(daemon):
    said = daemon.virsh("screenshot", "nobody", check=False)
    assert "failed to get domain 'nobody'" in said


def test_a_channel_at_a_path_of_the_users_is_opened_and_one_that_is_gone_says_so(daemon, conn, place):
    place.chmod(0o777)  # QEMU's user makes the socket
    path = place / "channel"
    start(daemon, place, f"""<domain type='qemu'><name>c</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
        <channel type='unix'><source mode='bind' path='{path}'/><target type='virtio' name='org.test.1'/></channel>
      </devices></domain>""")
    dom = conn.lookupByName("c")
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openChannel("org.test.1", stream)
    with pytest.raises(libvirt.libvirtError, match="Active console session exists"):
        dom.openChannel("org.test.1", conn.newStream(0))
    stream.abort()
    path.unlink()
    wait_for("the first to be gone", lambda: "No such file" in refusal(dom, conn))
    dom.destroy()


def refusal(dom, conn):
    with pytest.raises(libvirt.libvirtError) as failed:
        dom.openChannel("org.test.1", conn.newStream(0))
    return str(failed.value)
