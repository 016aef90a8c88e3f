#!/usr/bin/python3
"""drover-img serve and stock qemu-nbd, exporting the same image to the same clients in the same run.

    serve.py [--size MIB] [--rounds N] [--only WORD] [--dir DIR]

A UNIX socket, a warm cache. Clients are nbdcopy (copies in large pieces, many at a time) and qemu-img bench (4 KiB
requests). Both servers let in several connections. Wall time of the client, processor time of the server, best of
each, and the ratios.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from bench import OURS, STOCK, TOP, make_disk

KEYS = "tester:" + "5a" * 32 + "\n"


class Server:
    """One export; processor time is known when it has ended."""

    def __init__(self, d, program, image, format, *options, tls=False):
        self.socket, self.pid_file = d / "socket", d / "pid"
        self.pid_file.unlink(missing_ok=True)
        if tls:
            options += ("--object", f"tls-creds-psk,id=t,endpoint=server,dir={d}", "--tls-creds", "t")
        self.process = subprocess.Popen([*program, "-t", "-e", "8", "-f", format, "-k", str(self.socket), "--pid-file",
                                         str(self.pid_file), *options, str(image)])
        while not self.pid_file.exists():
            if self.process.poll() is not None:
                sys.exit(f"{program[0]} does not serve")
            time.sleep(0.005)
        self.uri = f"nbd+unix:///?socket={self.socket}"
        if tls:
            self.uri = f"nbds+unix://tester@/?socket={self.socket}&tls-psk-file={d}/keys.psk"

    def end(self):
        self.process.terminate()
        _, _, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = 0
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(d, program, image, format, client, prepare, options, tls):
    prepare()
    server = Server(d, program, image, format, *options, tls=tls)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(list(map(str, client(server.uri))), stdout=subprocess.DEVNULL, check=False)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, peak = server.end()
    if done.returncode:
        sys.exit(f"failed: {done.args}")
    return wall, cpu, peak, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--dir", default=str(TOP / "build"))
    args = parser.parse_args()
    print(f"{'figure':34}{'qemu-nbd s':>11}{'cpu':>7}{'MiB':>6}{'serve s':>14}{'cpu':>7}{'MiB':>6}{'wall':>7}{'cpu':>6}")
    with tempfile.TemporaryDirectory(prefix="bench-nbd-", dir=args.dir) as name:
        d = pathlib.Path(name)
        raw, q, target = d / "disk.raw", d / "disk.qcow2", d / "target"
        make_disk(raw, args.size, args.size * 5 // 8)
        (d / "keys.psk").write_text(KEYS, encoding="ascii")
        (d / "keys.psk").chmod(0o600)
        subprocess.run([STOCK, "convert", "-f", "raw", "-O", "qcow2", raw, q], check=True)

        def fresh(format):
            target.unlink(missing_ok=True)
            subprocess.run([STOCK, "create", "-q", "-f", format, target, f"{args.size}M"], check=True)

        def pair(figure, image, format, client, prepare=lambda: None, options=(), tls=False):
            if args.only not in figure:
                return
            results = {True: [], False: []}
            for turn in range(args.rounds + 1):
                for mine in (False, True):
                    program = (OURS, "serve") if mine else ("qemu-nbd",)
                    result = measure(d, program, image, format, client, prepare, options, tls)
                    if turn:
                        results[mine].append(result)
            theirs, mine = ([min(column) for column in zip(*results[side])] for side in (False, True))
            print(f"{figure:34}{theirs[0]:11.3f}{theirs[1]:7.2f}{theirs[2]:6.0f}{mine[0]:14.3f}{mine[1]:7.2f}{mine[2]:6.0f}"
                  f"{mine[0] / theirs[0]:7.2f}{mine[1] / max(theirs[1], 1e-3):6.2f}", flush=True)

        read = ["-r"]
        for format, image in (("raw", raw), ("qcow2", q)):
            pair(f"nbdcopy from {format}", image, format, lambda uri: ["nbdcopy", uri, "null:"], options=read)
            pair(f"nbdcopy from {format}, 1 connection", image, format,
                 lambda uri: ["nbdcopy", "--connections=1", uri, "null:"], options=read)
            pair(f"nbdcopy to {format}", target, format, lambda uri: ["nbdcopy", raw, uri], lambda f=format: fresh(f))
        pair("nbdcopy from raw, TLS", raw, "raw", lambda uri: ["nbdcopy", uri, "null:"], options=read, tls=True)
        pair("nbdcopy to raw, TLS", target, "raw", lambda uri: ["nbdcopy", raw, uri], lambda: fresh("raw"), tls=True)
        for depth in (1, 64):
            for kind, words in (("reads", []), ("writes", ["-w", "-t", "writeback"])):
                pair(f"4 KiB {kind}, depth {depth}", q, "qcow2",
                     lambda uri, w=words, n=depth: [STOCK, "bench", "-f", "raw", "-c", "40000", "-d", n, "-S", "1052672", *w, uri],
                     options=[] if words else read)


if __name__ == "__main__":
    main()
