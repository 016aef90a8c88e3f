"""Which accelerator really boots a guest here: found by booting one, since /dev/kvm alone says little.

Some hosts have a KVM that runs the bare payload but no Linux kernel, so the two are probed apart. The answer is kept for
as long as the machine and its QEMU are the same.
"""

import json
import subprocess
import tempfile
import threading
from pathlib import Path

from . import guest, payload
from .paths import BUILD, LabError, digest, locked, replace, run

QEMU = "qemu-system-x86_64"
DEADLINE_S = {"kvm": 12, "tcg": 240}


def accelerators():
    """{"linux": "kvm" or "tcg", "payload": the same}: what to start either guest with."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
    answer = BUILD / f"probe-{digest(boot, run([QEMU, '--version']))}.json"
    if not answer.exists():
        with locked("probe"):
            if not answer.exists():
                replace(answer, json.dumps(_probe()))
    return json.loads(answer.read_text())


def _probe():
    found = {}
    for kind, (arguments, sign) in _guests().items():
        for accelerator in ("kvm", "tcg"):
            if accelerator == "kvm" and not Path("/dev/kvm").exists():
                continue
            if _boots(accelerator, arguments, sign):
                found[kind] = accelerator
                break
        else:
            raise LabError(f"the {kind} guest boots neither with KVM nor with TCG")
    return found


def _guests():
    image = guest.build()
    line = guest.command_line(beat=0)
    disk = payload.build(touch_mib=16, beat_ms=10)
    return {
        "linux": (["-kernel", image.kernel, "-initrd", image.initrd, "-append", line], "ready "),
        "payload": (["-drive", f"file={disk},format=raw,if=ide,snapshot=on"], "beat "),
    }


def _boots(accelerator, arguments, sign):
    machine = [QEMU, "-M", "pc", "-accel", accelerator, "-m", "128", "-display", "none", "-nodefaults", "-no-reboot"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [str(word) for word in [*machine, "-serial", "stdio", *arguments]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace",
        )
        deadline = threading.Timer(DEADLINE_S[accelerator], process.kill)
        deadline.start()
        try:
            return any(row.startswith(sign) for row in process.stdout)
        finally:
            deadline.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
