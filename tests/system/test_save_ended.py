"""A guest that ends while its saved state gets its name: the file and the daemon say the same of it."""
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
    """droverd beside a drover-save that stands still when it is done, for as long as `hold` is there."""
    place = tmp_path_factory.mktemp("programs")
    built = pathlib.Path(find_program()).parent
    shutil.copy(find_program(), place / "droverd")
    for program in built.glob("drover-*"):
        if program.is_file() and os.access(program, os.X_OK) and program.name != "drover-save":
            (place / program.name).symlink_to(program)
    slow = place / "drover-save"
    slow.write_text(f"""#!/bin/sh
{built / "drover-save"} "$@" || exit $?
if [ "$1" = write ] && [ -e {place}/hold ]; then
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


def test_a_guest_that_is_destroyed_behind_the_save_is_saved(daemon, conn, programs):
    """Else its next start would go on without the state, and one after a restart of the daemon would put it over newer disks."""
    failures = []
    dom = conn.defineXML(definition("s", IDENTITY))
    dom.create()
    (programs / "hold").touch()

    def save():
        own = libvirt.open(daemon.uri())
        try:
            own.lookupByName("s").managedSave()
        except libvirt.libvirtError as failure:
            failures.append(failure)
        own.close()

    saving = threading.Thread(target=save, daemon=True)
    saving.start()
    wait_for("the file to have its name", (programs / "pid").exists)
    helper = int((programs / "pid").read_text())
    wait_for("the helper to stand still", lambda: state_of_process(helper) == "T")
    # who only looks waits for no job
    assert len(dom.memoryPeek(0, 64, libvirt.VIR_MEMORY_PHYSICAL)) == 64
    dom.destroy()
    assert not dom.isActive()
    (programs / "hold").unlink()
    os.kill(helper, signal.SIGCONT)
    saving.join(60)
    assert not saving.is_alive() and not failures
    assert (daemon.base / "state/qemu/save/s.save").exists() and dom.hasManagedSaveImage()
    dom.create()
    assert dom.state()[1] == libvirt.VIR_DOMAIN_RUNNING_RESTORED and not dom.hasManagedSaveImage()
    dom.destroy()
    dom.undefine()
