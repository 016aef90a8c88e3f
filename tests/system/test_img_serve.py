"""drover-img serve: images exported over NBD to stock clients."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess

import pytest

from droverd import free_port
from img_tools import OURS, clean, failing, fill, io, needs_stock, ours, run, stock
from nbd_server import Serve, Serving
from waiting import wait_for

pytestmark = [needs_stock, pytest.mark.skipif(not shutil.which("nbdinfo"), reason="libnbd-bin is missing")]

STOCK_SERVER = ("qemu-nbd",)
WRITTEN = ["raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx", "parallels"]


def nbdinfo(*words):
    return json.loads(run("nbdinfo", "--json", *words))


def info(server):
    return nbdinfo(server.uri)["exports"][0]


@pytest.mark.parametrize("format, tcp", [*((format, False) for format in WRITTEN), ("raw", True), ("qcow2", True)])
def test_stock_clients_read_and_write_every_format(tmp_path, format, tcp):
    raw, image = fill(tmp_path / "a.raw", 6 << 20), tmp_path / "image"
    options = ["-o", "force_size=on"] if format == "vpc" else []
    stock("convert", "-f", "raw", "-O", format, *options, raw, image)
    with Serving(tmp_path, image, format=format, tcp=free_port() if tcp else None) as server:
        stock("compare", "-f", "raw", "-F", "raw", raw, server.uri)
        run("nbdcopy", server.uri, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == raw.read_bytes()
        other = fill(tmp_path / "b.raw", 6 << 20, seed=2)
        run("nbdcopy", "--flush", other, server.uri)
        stock("compare", "-f", "raw", "-F", "raw", other, server.uri)
        ours("compare", "-f", "raw", "-F", "raw", other, server.uri)
        io(server.uri, "write -P 7 1000 70001", "write -z 1M 100k", "write -z -u 2M 100000", "discard 3M 1M", "flush",
           "read -P 7 1000 70001", "read -P 0 1M 100k", "read -P 0 2M 100000", format="raw")
        stock("convert", "-f", "raw", "-O", "raw", server.uri, tmp_path / "seen")
    stock("compare", "-f", "raw", "-F", format, tmp_path / "seen", image)
    if format in ("qcow2", "vdi", "vhdx", "parallels"):
        clean(image)


def test_what_is_told_about_an_export(tmp_path):
    raw = fill(tmp_path / "a.raw", 3 << 20)
    with Serving(tmp_path, raw, "-x", "an export", "-D", "for people") as server:
        uri = f"nbd+unix:///an%20export?socket={server.path}"
        told = nbdinfo(uri)["exports"][0]
        assert told["export-name"] == "an export" and told["description"] == "for people"
        assert told["export-size"] == 3 << 20 and told["contexts"] == ["base:allocation"]
        for able in ("can_cache", "can_df", "can_fast_zero", "can_flush", "can_fua", "can_multi_conn", "can_trim",
                     "can_zero"):
            assert told[able], able
        assert not told["is_read_only"] and told["block_size_minimum"] == 1
        assert [e["export-name"] for e in nbdinfo("--list", server.uri)["exports"]] == ["an export"]
        run("nbdinfo", server.uri, code=1)  # the empty name is another one
    with Serve(tmp_path, raw, "-r", "--persistent") as server:
        told = info(server)
        assert told["is_read_only"] and not told["can_multi_conn"] and not told["can_trim"]
        assert "denied" in failing_io(server.uri, "write 0 512")


def failing_io(uri, *commands):
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(["qemu-io", "-f", "raw", *words, uri], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode or "failed" in done.stdout, done
    return done.stdout + done.stderr


def test_what_stands_where_is_told_as_qemu_nbd_tells_it(tmp_path):
    base, top = tmp_path / "base", tmp_path / "top"
    stock("convert", "-f", "raw", "-O", "qcow2", fill(tmp_path / "a.raw", 6 << 20), base)
    stock("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
    stock("bitmap", "--add", top, "b")
    io(top, "write 1M 128k", "write -z 2M 1M", "write -P 3 5M 65536")
    stock("bitmap", "--disable", top, "b")
    seen = []
    for program in ((OURS, "serve"), STOCK_SERVER):
        with Serving(tmp_path, top, "-A", "-B", "b", format="qcow2", program=program) as server:
            told = {"contexts": sorted(info(server)["contexts"]),
                    "map": json.loads(stock("map", "-f", "raw", "--output=json", server.uri))}
            for context in told["contexts"]:
                told[context] = nbdinfo(f"--map={context}", server.uri)
            seen.append(told)
    assert seen[0] == seen[1]
    assert "Bitmap 'c' is not found" in failing("serve", "--socket", tmp_path / "s", "-f", "qcow2", "-B", "c", top)


def test_an_enabled_bitmap_is_exported_read_only_only(tmp_path):
    image = tmp_path / "image"
    stock("create", "-q", "-f", "qcow2", image, "4M")
    stock("bitmap", "--add", image, "b")
    assert "export read-only" in failing("serve", "--socket", tmp_path / "s", "-f", "qcow2", "-B", "b", image)
    with Serving(tmp_path, image, "-r", "-B", "b", format="qcow2") as server:
        assert "qemu:dirty-bitmap:b" in info(server)["contexts"]


def test_writes_of_clients_are_recorded_by_an_enabled_bitmap(tmp_path):
    image = tmp_path / "image"
    stock("create", "-q", "-f", "qcow2", image, "4M")
    stock("bitmap", "--add", "-g", "64k", image, "b")
    with Serving(tmp_path, image, format="qcow2") as server:
        io(server.uri, "write 1M 4k", format="raw")
    with Serving(tmp_path, image, "-r", "-B", "b", format="qcow2") as server:
        assert [(e["offset"], e["length"]) for e in nbdinfo("--map=qemu:dirty-bitmap:b", server.uri) if e["type"]] == [
            (1 << 20, 65536)]


def test_a_part_a_snapshot_and_zeros(tmp_path):
    raw, image = fill(tmp_path / "a.raw", 4 << 20), tmp_path / "image"
    with Serving(tmp_path, raw, "--offset", "1M") as server:
        assert info(server)["export-size"] == 3 << 20
        run("nbdcopy", server.uri, tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == raw.read_bytes()[1 << 20:]
        io(server.uri, "write -P 9 0 4k", format="raw")
    assert raw.read_bytes()[1 << 20:][:4096] == b"\x09" * 4096
    stock("convert", "-f", "raw", "-O", "qcow2", raw, image)
    stock("snapshot", "-c", "one", image)
    io(image, "write -P 1 0 4M")
    with Serving(tmp_path, image, "-l", "one", format="qcow2") as server:
        stock("compare", "-f", "raw", "-F", "raw", raw, server.uri)
    for mode, punched in (("off", False), ("unmap", True)):
        with Serving(tmp_path, raw, f"--detect-zeroes={mode}") as server:
            io(server.uri, "write -P 5 0 1M", "write -P 0 0 1M", "flush", format="raw")
            assert nbdinfo("--map", server.uri)[0]["type"] == (3 if punched else 0)
    with Serving(tmp_path, raw, "--discard=ignore") as server:
        io(server.uri, "write -P 5 0 1M", "discard 0 1M", "read -P 5 0 1M", format="raw")
    assert "over the end" in failing("serve", "--socket", tmp_path / "s", "-f", "raw", "-o", "5M", raw)


def test_it_ends_with_the_last_client_and_lets_in_no_more_than_shared(tmp_path):
    raw = fill(tmp_path / "a.raw", 1 << 20)
    server = Serve(tmp_path, raw)
    nbdinfo("--list", server.uri)  # looks at the server without using the export
    assert server.process.poll() is None
    with greeted(server) as first:
        second = socket.socket(socket.AF_UNIX)
        second.connect(server.path)
        second.settimeout(0.3)
        with pytest.raises(TimeoutError):
            second.recv(1)
        assert first
    second.settimeout(120)
    assert second.recv(18)[:8] == b"NBDMAGIC"
    second.close()
    stock("compare", "-f", "raw", "-F", "raw", raw, server.uri)
    assert server.wait() == 0 and not os.path.exists(server.path)


def greeted(server):
    link = socket.socket(socket.AF_UNIX)
    link.connect(server.path)
    assert link.recv(18)[:8] == b"NBDMAGIC"
    return link


def test_a_client_that_says_nothing_is_sent_away(tmp_path):
    """An idle connection holds a place for the time of haggling only."""
    with Serve(tmp_path, fill(tmp_path / "a.raw", 1 << 20), "--persistent", "-v") as server:
        link = greeted(server)
        link.settimeout(120)
        assert link.recv(1) == b""
        wait_for("it says why", lambda: "come to the point" in server.said())
        info(server)


def exactly(link, n):
    """So many bytes: with a time limit one call may give fewer."""
    got = b""
    while len(got) < n:
        piece = link.recv(n - len(got))
        assert piece, "the connection has ended"
        got += piece
    return got


def asking(server):
    """A client that came to requests, and the size of what it was let in to."""
    link = greeted(server)
    link.sendall(struct.pack(">IQII", 3, 0x49484156454f5054, 1, 0))  # NBD_OPT_EXPORT_NAME, the empty one
    link.settimeout(120)
    size, _ = struct.unpack(">QH", exactly(link, 10))
    return link, size


def request(kind, offset, length):
    return struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, length)


@pytest.mark.parametrize("how, said", [("reads nothing", "taken nothing of an answer for 1 s"),
                                       ("half a request", "not gone on with a request for 1 s"),
                                       ("half a payload", "not gone on with a request for 1 s")])
def test_a_client_that_stops_in_the_middle_gives_its_place_to_another(tmp_path, how, said):
    raw = fill(tmp_path / "a.raw", 16 << 20)
    with Serve(tmp_path, raw, "--persistent", "-v", "--stall-timeout", "1") as server:
        link, size = asking(server)
        assert size == 16 << 20
        link.sendall({"reads nothing": request(0, 0, 8 << 20) * 8, "half a request": request(0, 0, 512)[:20],
                      "half a payload": request(1, 0, 1 << 20) + bytes(1000)}[how])
        info(server)  # the only place is taken until then
        wait_for("it says why", lambda: said in server.said())
        link.close()


def test_a_client_that_asks_for_nothing_stays(tmp_path):
    """It is idle for as long as it takes to send another away that stops in the middle."""
    raw = fill(tmp_path / "a.raw", 1 << 20)
    with Serve(tmp_path, raw, "--persistent", "-v", "--shared", "2", "--stall-timeout", "1") as server:
        idle, size = asking(server)
        stopping, _ = asking(server)
        stopping.sendall(request(0, 0, 512)[:20])
        assert stopping.recv(1) == b""
        assert size == 1 << 20
        idle.sendall(request(0, 0, 4096))  # the answer has room on its way: this busy reader may take its time
        assert exactly(idle, 16)[:8] == struct.pack(">II", 0x67446698, 0)
        assert exactly(idle, 4096) == raw.read_bytes()[:4096]
        idle.close()
        stopping.close()


def test_clients_that_write_all_at_once(tmp_path):
    image, dice = tmp_path / "image", random.Random(3)
    stock("create", "-q", "-f", "qcow2", image, "16M")
    model = bytearray(16 << 20)
    with Serving(tmp_path, image, format="qcow2") as server:
        jobs = []
        for i in range(4):  # each its own sectors, mixed with those of the others
            commands = []
            for _ in range(60):
                at, n, byte = (dice.randrange(8000) * 4 + i) * 512, 512, dice.randrange(1, 256)
                model[at:at + n] = bytes([byte]) * n
                commands += ["-c", f"aio_write -q -P {byte} {at} {n}", "-c", "aio_flush"]
            jobs.append(subprocess.Popen(["qemu-io", "-f", "raw", *commands, server.uri], stdout=subprocess.DEVNULL))
        assert [job.wait(timeout=120) for job in jobs] == [0] * 4
        (tmp_path / "model").write_bytes(model)
        stock("compare", "-f", "raw", "-F", "raw", tmp_path / "model", server.uri)
    clean(image)
    stock("compare", "-f", "raw", "-F", "qcow2", tmp_path / "model", image)


def sound(image):
    """No errors; clusters that nobody points at are no harm."""
    for program in ("qemu-img", OURS):
        done = subprocess.run([program, "check", "-q", image], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (0, 3), done


def test_a_killed_client_leaves_the_server_and_the_image_well(tmp_path):
    image = tmp_path / "image"
    stock("create", "-q", "-f", "qcow2", image, "64M")
    with Serving(tmp_path, image, format="qcow2") as server:
        for _ in range(3):
            client = subprocess.Popen(["qemu-img", "bench", "-w", "-f", "raw", "-c", "100000000", "-s", "65536", "-S",
                                       "131072", server.uri], stdout=subprocess.DEVNULL)
            server.wait_written(512 << 10, client)
            client.kill()
            client.wait()
            io(server.uri, "write -P 3 1000 5000", "read -P 3 1000 5000", format="raw")
    clean(image)


def test_a_killed_server_leaves_an_image_without_errors_that_holds_what_was_flushed(tmp_path):
    image, path = tmp_path / "image", tmp_path / "s"
    stock("create", "-q", "-f", "qcow2", image, "63M")  # a whole number of steps, which never touch what stands between them
    for turn in range(1, 4):
        server = Serving(tmp_path, image, format="qcow2", socket=path)  # what the last one left is taken over
        io(server.uri, f"write -P {turn} 61510k 100k", "flush", format="raw")
        client = subprocess.Popen(["qemu-img", "bench", "-w", "-f", "raw", "--flush-interval=64", "-c", "100000000", "-s", "65536",
                                   "-S", "196608", server.uri], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait_written(256 << 10, client)
        server.end(signal.SIGKILL)
        client.wait(timeout=120)
        sound(image)
        io(image, f"read -P {turn} 61510k 100k")


def test_an_image_in_use_is_refused_and_so_is_what_is_served(tmp_path):
    image = tmp_path / "image"
    stock("create", "-q", "-f", "qcow2", image, "1M")
    with Serving(tmp_path, image, format="qcow2") as server:
        assert "lock" in failing("serve", "--socket", tmp_path / "s", "-f", "qcow2", image)
        assert not os.path.exists(tmp_path / "s")
        done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 512", image], capture_output=True, text=True, timeout=120,
                              check=False)
        assert "lock" in done.stderr
        assert "in use" in failing("serve", "--socket", server.path, "-f", "raw", fill(tmp_path / "a.raw", 1 << 20))
        info(server)  # and it still answers


def test_what_is_no_socket_stays_where_a_socket_is_to_be(tmp_path):
    raw, other = fill(tmp_path / "a.raw", 1 << 20), tmp_path / "other"
    other.write_bytes(b"somebody needs this")
    assert "in use" in failing("serve", "--socket", other, "-f", "raw", raw)
    assert other.read_bytes() == b"somebody needs this"


def test_out_of_descriptors_it_waits_for_clients_to_go(tmp_path):
    raw = fill(tmp_path / "a.raw", 1 << 20)
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))}
    with Serving(tmp_path, raw, **few) as server, contextlib.ExitStack() as links:
        for _ in range(40):
            links.enter_context(socket.socket(socket.AF_UNIX)).connect(server.path)
        wait_for("it has no descriptor for one more", lambda: "cannot accept" in server.said())
        links.close()
        info(server)
        assert server.said().count("cannot accept") < 50, server.said()  # it did not ask again and again


def test_a_full_disk_is_told_as_such(tmp_path):
    """A guest that is to stop when the disk is full sees that it is full."""
    image = tmp_path / "image"
    stock("create", "-q", "-f", "qcow2", image, "64M")

    def no_large_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))

    server = Serving(tmp_path, image, format="qcow2", preexec_fn=no_large_files)
    try:
        assert "No space left" in failing_io(server.uri, "write 0 32M")
        wait_for("it says why", lambda: "cannot write" in server.said())
    finally:
        server.end(signal.SIGKILL)
    sound(image)


def test_forking_standard_input_and_sockets_passed_in(tmp_path):
    raw = fill(tmp_path / "a.raw", 1 << 20)
    pid_file, path = tmp_path / "pid", tmp_path / "s"
    ours("serve", "-r", "-f", "raw", "--fork", "--pid-file", pid_file, "-k", path, raw)
    process = os.pidfd_open(int(pid_file.read_text()))
    stock("compare", "-f", "raw", "-F", "raw", raw, f"nbd+unix:///?socket={path}")
    wait_for("it ends with its client", lambda: not path.exists())
    os.close(process)
    assert "No such file" in failing("serve", "--fork", "-k", path, "-f", "raw", tmp_path / "gone")
    assert not path.exists()
    done = subprocess.run([OURS, "serve", "--stdin", "-f", "raw", raw], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 1 and "standard input is no socket" in done.stderr, done
    mine, its = socket.socketpair()
    with its:
        server = subprocess.Popen([OURS, "serve", "--stdin", "-f", "raw", raw], stdin=its)
    assert mine.recv(18)[:8] == b"NBDMAGIC"
    mine.close()
    assert server.wait(timeout=120) == 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def pass_in():
            os.dup2(listener.fileno(), 3)
            os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))

        server = subprocess.Popen(["sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "{OURS}" serve -r -f raw "{raw}"'],
                                  preexec_fn=pass_in, close_fds=False)
        stock("compare", "-f", "raw", "-F", "raw", raw, f"nbd+unix:///?socket={path}")
        assert server.wait(timeout=120) == 0


def test_wrong_words_are_named(tmp_path):
    raw = fill(tmp_path / "a.raw", 1 << 20)
    socket_option = ["--socket", tmp_path / "s"]
    for words, said in ((["--socket", tmp_path / "s", "--port", "1"], "only one"), ([*socket_option, "-e", "x"], "--shared"),
                        ([*socket_option, "--cache=x"], "cache"), ([*socket_option, "--tls-creds", "x"], "No TLS credentials"),
                        ([*socket_option, "--tls-allow", "x"], "--tls-creds"), ([*socket_option, "--discard=x"], "discard"),
                        (["--stdin", "--fork"], "--stdin"), ([*socket_option, "--detect-zeroes=x"], "detect_zeroes"),
                        ([*socket_option, "-c", "/dev/nbd0"], "invalid option"), (["-k", "x" * 200], "longer than"),
                        ([*socket_option, raw], "one image")):
        assert said in failing("serve", "-f", "raw", *words, raw), words
    assert not os.path.exists(tmp_path / "s")
    assert "--export-name" in ours("serve", "--help") and "drover-nbd version" in ours("serve", "--version")


def test_every_option_is_in_the_manual_and_completed(tmp_path):
    page, script = ours("man"), tmp_path / "completion"
    script.write_text(ours("completion"))
    for line in ours("serve", "--help").splitlines():
        option = line.partition("--")[2].split(" ")[0].partition("=")[0]
        if line.startswith("  ") and option:
            assert "\\-\\-" + option.replace("-", "\\-") in page, option

    def completed(*words):
        done = subprocess.run(["bash", "-c", f'. "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _drover_img; '
                               'echo "${COMPREPLY[*]}"', "-", "drover-img", *words], capture_output=True, text=True, check=True,
                              timeout=120)
        return done.stdout.split()

    assert completed("re") == ["rebase", "resize"]
    assert completed("serve", "--tls") == ["--tls-creds", "--tls-authz", "--tls-allow"]
    assert completed("convert", "-O", "qc") == ["qcow2", "qcow"] and "--salvage" in completed("convert", "--s")
    assert str(script) in completed("info", str(tmp_path / "comp"))
    if shutil.which("man"):
        (tmp_path / "drover-img.1").write_text(page)
        shown = subprocess.run(["man", "--warnings", "-l", tmp_path / "drover-img.1"], capture_output=True, text=True, check=True,
                               timeout=120, env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
        assert "drover-img serve" in shown.stdout and shown.stderr == ""
