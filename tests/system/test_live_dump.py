"""Dumps of a running guest's memory (virsh dump), through stock clients."""
import struct
import subprocess
import threading

import libvirt
import pytest

from live import helper_of, hold, linux, read_until, start, state, wait_state
from waiting import wait_for

MEMORY_MIB = 256


@pytest.fixture(scope="module")
def daemon(live_daemon, tmp_path_factory):
    daemon = live_daemon
    start(daemon, tmp_path_factory.mktemp("xml"), linux("g", "<serial type='pty'/>", memory_mib=MEMORY_MIB, shell="ttyS1"))
    conn = libvirt.open(daemon.uri())
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    conn.lookupByName("g").openConsole("serial1", stream)
    read_until(stream, b"42-ok", say=b"echo $((40+2))-ok\n")  # before, its processor is in another mode
    stream.abort()
    conn.close()
    return daemon


def program_headers(path):
    """(type, physical address, size) of each segment of a 64-bit core file."""
    data = path.open("rb").read(4096)
    assert data[:6] == b"\x7fELF\x02\x01", data[:16]
    kind, machine = struct.unpack_from("<HH", data, 16)
    assert (kind, machine) == (4, 62), "an x86-64 core"
    offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    for i in range(count):
        at = offset + i * size
        yield struct.unpack_from("<I", data, at)[0], *struct.unpack_from("<QQ", data, at + 24)


def test_memory_only_is_a_core_with_all_of_the_guests_memory(daemon):
    file = daemon.base / "core"
    assert "dumped to" in daemon.virsh("dump", "g", file, "--memory-only")
    segments = list(program_headers(file))
    assert sum(size for kind, _, size in segments if kind == 1) >= MEMORY_MIB << 20
    assert any(kind == 4 for kind, _, _ in segments), "registers are in a note"
    assert file.stat().st_size > MEMORY_MIB << 20 and file.stat().st_mode & 0o777 == 0o600
    assert state(daemon, "g").startswith("running")
    info = daemon.virsh("domjobinfo", "g", "--completed")
    assert "Dump" in info and "Completed" in info
    file.unlink()


def test_a_live_dump_around_the_page_cache(daemon):
    file = daemon.base / "live"
    daemon.virsh("dump", "g", file, "--memory-only", "--live", "--bypass-cache")
    assert any(size for kind, _, size in program_headers(file) if kind == 1)
    assert state(daemon, "g").startswith("running")
    file.unlink()


def test_compressed_formats_as_this_qemu_has_them(daemon):
    file = daemon.base / "kdump"
    daemon.virsh("dump", "g", file, "--memory-only", "--format", "kdump-zlib")
    assert file.open("rb").read(12) == b"makedumpfile" and file.stat().st_size < MEMORY_MIB << 20
    file.unlink()
    said = daemon.virsh("dump", "g", file, "--memory-only", "--format", "win-dmp", check=False)
    assert "unsupported dumpformat 'win-dmp'" in said or "could not dump" in said or "vmcoreinfo" in said
    said = daemon.virsh("dump", "g", file, "--format", "kdump-zlib", check=False)
    assert "--format" in said or "memory-only" in said
    assert not file.exists() and state(daemon, "g").startswith("running")


def test_the_whole_state_as_a_migration_sends_it(daemon):
    file = daemon.base / "stream"
    daemon.virsh("dump", "g", file)
    assert file.open("rb").read(4) == b"QEVM"
    wait_state(daemon, "g", "running (unpaused)")
    file.unlink()


def stopped_dump(daemon, file, options):
    """A dump whose writer stands still, and the thread that waits for its end."""
    while True:
        said = []
        thread = threading.Thread(target=lambda said=said: said.append(daemon.virsh("dump", "g", file, *options,
                                                                                    check=False)))
        thread.start()
        if hold(lambda: helper_of(daemon), thread):
            return thread, said
        thread.join()
        file.unlink()


@pytest.mark.parametrize("options", [("--memory-only",), ()])
def test_a_dump_is_aborted_and_leaves_no_file(daemon, options):
    file = daemon.base / "aborted"
    thread, said = stopped_dump(daemon, file, options)
    wait_for("its pause", lambda: state(daemon, "g") == "paused (dumping)")
    info = wait_for("its figures", lambda: "Operation:" in (out := daemon.virsh("domjobinfo", "g")) and out)
    assert "Dump" in info
    daemon.virsh("domjobabort", "g")
    thread.join()
    assert "canceled by a client" in said[0]
    wait_for("its going on", lambda: state(daemon, "g").startswith("running"))
    assert not file.exists() and not list(daemon.base.glob("aborted*"))


def test_a_dump_to_a_place_that_cannot_be_written(daemon):
    said = daemon.virsh("dump", "g", "/no/such/place", "--memory-only", check=False)
    assert "cannot make a file in '/no/such'" in said
    said = daemon.virsh("dump", "g", "/dev/null", "--memory-only", check=False)
    assert "no regular file" in said
    assert state(daemon, "g").startswith("running")


def test_a_full_disk_is_told_and_the_guest_goes_on(daemon):
    place = daemon.base / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], check=True)
    try:
        for options in (("--memory-only",), ("--memory-only", "--format", "kdump-zlib"), ()):
            said = daemon.virsh("dump", "g", place / "core", *options, check=False)
            assert "No space left" in said or "could not dump" in said, said
            wait_for("its going on", lambda: state(daemon, "g").startswith("running"))
            assert not list(place.iterdir())
    finally:
        subprocess.run(["umount", place], check=True)


def test_what_becomes_of_the_guest_afterwards(daemon):
    conn = libvirt.open(daemon.uri())
    dom = conn.lookupByName("g")
    with pytest.raises(libvirt.libvirtError):
        dom.coreDump(str(daemon.base / "x"), libvirt.VIR_DUMP_CRASH | libvirt.VIR_DUMP_LIVE)
    dom.suspend()
    dom.coreDumpWithFormat(str(daemon.base / "reset"), libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW,
                           libvirt.VIR_DUMP_MEMORY_ONLY | libvirt.VIR_DUMP_RESET)
    assert dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    daemon.virsh("dump", "g", daemon.base / "crash", "--memory-only", "--crash")
    wait_for("its end", lambda: "g" not in daemon.virsh("list", "--name").split())
    assert (daemon.base / "crash").stat().st_size > MEMORY_MIB << 20
    conn.close()
