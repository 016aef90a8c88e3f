"""A guest that ends while its saved state, or its dump, gets its name: the file and the daemon say the same of it."""
import contextlib
import os
import pathlib
import shutil
import signal
import stat
import threading

import libvirt
import pytest

from droverd import find_program
from live import LiveDaemon, state_of_process
from mortal import definition
from waiting import EventLoop, wait_for

IDENTITY = "7a4d9f0e-64b1-4f53-9a07-3c3f7f0b8d21"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """droverd beside a drover-save that stands still when it is done, once for each `hold` that is there."""
    place = tmp_path_factory.mktemp("programs")
    built = pathlib.Path(find_program()).parent
    shutil.copy(find_program(), place / "droverd")
    for program in built.glob("drover-*"):
        if program.is_file() and os.access(program, os.X_OK) and program.name != "drover-save":
            (place / program.name).symlink_to(program)
    slow = place / "drover-save"
    slow.write_text(f"""#!/bin/sh
{built / "drover-save"} "$@" || exit $?
if [ -e {place}/hold ]; then
        rm {place}/hold
        echo $$ > {place}/pid.new && mv {place}/pid.new {place}/pid
        kill -STOP $$
fi
""")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    return place


@pytest.fixture(scope="module")
def daemon(programs):
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    EventLoop.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DROVERD", str(programs / "droverd"))
        daemon = LiveDaemon()
    yield daemon
    daemon.stop()


@contextlib.contextmanager
def named(programs, work):
    """Does the work on a thread, up to where the helper stands still behind the naming of the file; afterwards the helper goes
    on, and the work ends well."""
    failures = []

    def run():
        try:
            work()
        except libvirt.libvirtError as failure:
            failures.append(failure)

    (programs / "pid").unlink(missing_ok=True)
    (programs / "hold").touch()
    working = threading.Thread(target=run, daemon=True)
    working.start()
    wait_for("the file to have its name", (programs / "pid").exists)
    helper = int((programs / "pid").read_text())
    wait_for("the helper to stand still", lambda: state_of_process(helper) == "T")
    yield
    os.kill(helper, signal.SIGCONT)
    working.join(120)
    assert not working.is_alive() and not failures


def test_a_guest_that_is_destroyed_behind_the_save_is_saved(daemon, conn, programs):
    """Else its next start would go on without the state, and one after a restart of the daemon would put it over newer disks."""
    dom = conn.defineXML(definition("s", IDENTITY))
    dom.create()
    with named(programs, dom.managedSave):
        # who only looks waits for no job
        assert len(dom.memoryPeek(0, 64, libvirt.VIR_MEMORY_PHYSICAL)) == 64
        dom.destroy()
        assert not dom.isActive()
    assert (daemon.base / "state/qemu/save/s.save").exists() and dom.hasManagedSaveImage()
    dom.create()
    assert dom.state()[1] == libvirt.VIR_DOMAIN_RUNNING_RESTORED and not dom.hasManagedSaveImage()
    dom.destroy()
    dom.undefine()


@pytest.mark.parametrize("flags", [0, libvirt.VIR_DUMP_MEMORY_ONLY, libvirt.VIR_DUMP_CRASH], ids=["whole", "memory", "crash"])
def test_a_guest_that_ends_behind_its_dump_is_dumped(daemon, conn, programs, flags):
    """QEMU had said that all of it is written."""
    file = daemon.base / "core"
    dom = conn.createXML(definition("d", IDENTITY))
    with named(programs, lambda: dom.coreDump(str(file), flags)):
        dom.destroy()
    assert file.stat().st_size > 0
    file.unlink()
    assert conn.listAllDomains() == []
