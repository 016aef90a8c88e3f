"""The forms of the migrate command, and the images that a guest moves with."""
import re
import threading

import libvirt
import pytest
from test_migrate_refusals import TO_B, add_disk, check_moved, guests_of, running, state_of
from waiting import EventLoop, Lifecycle, wait_for

from lab.paths import PROGRAMS, LabError

DROVER = [PROGRAMS / "drover", "-c", "qemu:///system"]


@pytest.mark.limit(240)
def test_a_move_may_be_said_in_any_form(pair):
    """MIG-11, CON-34, MIG-32, MIG-46, MIG-49: by name, UUID or id, options in any order, progress up to the end, a bare host name."""
    with running(pair) as pulse:
        uuid = pair.a.virsh("domuuid", "g").strip()
        done = pair.a.run(["virsh", "-c", "qemu:///system", "migrate", "--verbose", "--desturi", TO_B, "--live", "--domain", uuid])
        shown = [int(n) for n in re.findall(r"Migration: \[ *(\d+) %\]", done.stdout + done.stderr)]
        assert shown and shown == sorted(shown) and shown[-1] == 100
        check_moved(pair, pulse)
        number = pair.b.virsh("domid", "g").strip()
        pair.b.virsh("migrate", number, "qemu+tcp://a/system", "--live")
        assert guests_of(pair.a) == ["g"] and guests_of(pair.b) == []
        done = pair.a.run([*DROVER, "migrate", "--desturi", "b", "--live", "--domain", "g"])
        assert done.stdout.strip() == "" and done.stderr.strip() == ""
        check_moved(pair, pulse)


@pytest.mark.limit(240)
def test_a_client_that_knows_no_parameters_moves_a_guest(pair):
    """MIG-08: virDomainMigrate() makes the calls without typed parameters; what it began can be called off."""
    with running(pair) as pulse:
        source, target = libvirt.open(pair.daemon_a.uri), libvirt.open(pair.daemon_b.uri)
        dom = source.lookupByName("g")
        ended = []

        def slowly():
            try:
                dom.migrate(target, libvirt.VIR_MIGRATE_LIVE, None, None, 1)
            except libvirt.libvirtError as error:
                ended.append(error.get_error_code())
        move = threading.Thread(target=slowly)
        move.start()
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        dom.abortJobFlags(0)
        move.join()
        assert ended == [libvirt.VIR_ERR_OPERATION_ABORTED]
        wait_for("the other is rid of it", lambda: guests_of(pair.b, "--all") == [])
        wait_for("it runs on", lambda: state_of(pair.a, "g") == "running")
        assert dom.migrate(target, libvirt.VIR_MIGRATE_LIVE, None, None, 0).name() == "g"
        check_moved(pair, pulse)
        target.close()
        source.close()


@pytest.mark.limit(240)
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_an_image_on_storage_that_both_see_moves_with_its_guest(pair, kind):
    """MIG-17, MIG-18: attached with --cache none, moved live, and without a fault afterwards."""
    image = f"/mnt/shared/{kind}.img"
    pair.a.run(["qemu-img", "create", "-q", "-f", kind, image, "16M"])
    pair.a.run(["qemu-io", "-f", kind, "-c", "write -P 5 1M 2M", image])
    with running(pair) as pulse:
        pair.a.virsh("attach-disk", "g", image, "vdb", "--cache", "none", "--subdriver", kind, "--targetbus", "virtio")
        assert re.search(rf"<driver name='qemu' type='{kind}' cache='none'/>\s*<source file='{image}'", pair.a.virsh("dumpxml", "g"))
        pair.a.virsh("migrate", "--live", "--unsafe", "g", TO_B)
        check_moved(pair, pulse)
        pair.b.virsh("destroy", "g")
    pair.b.run(["qemu-io", "-r", "-f", kind, "-c", "read -P 5 1M 2M", image])
    if kind == "qcow2":
        pair.b.run(["qemu-img", "check", "-q", image])


@pytest.mark.limit(180)
def test_an_image_that_cannot_take_the_copy_is_refused(pair):
    """MIG-43: one that is missing there, or smaller; the guest and its image stay as they are."""
    pair.a.run(["qemu-img", "create", "-q", "-f", "qcow2", "/var/lib/disk.qcow2", "16M"])
    with running(pair, devices=add_disk("/var/lib/disk.qcow2")) as pulse:
        def refused(complaint):
            with pytest.raises(LabError, match=f"error: .*{complaint}"):
                pair.a.virsh("migrate", "--live", "--copy-storage-all", "g", TO_B)
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []

        refused("/var/lib/disk.qcow2")
        pair.b.run(["qemu-img", "create", "-q", "-f", "qcow2", "/var/lib/disk.qcow2", "8M"])
        refused("size")
        pulse.wait("^beat", 60, pulse.mark())


@pytest.mark.limit(180)
@pytest.mark.parametrize("options, here, there", [
    ([], [], [("STARTED", "MIGRATED"), ("RESUMED", "MIGRATED")]),
    (["--suspend"], [], [("STARTED", "MIGRATED"), ("SUSPENDED", "PAUSED")]),
    (["--persistent", "--undefinesource", "--p2p"], [("UNDEFINED", "REMOVED")],
     [("STARTED", "MIGRATED"), ("RESUMED", "MIGRATED"), ("DEFINED", "ADDED")])], ids=["live", "suspend", "persistent"])
def test_the_events_of_a_move_come_in_the_order_that_clients_know(pair, options, here, there):
    """As libvirtd 9.0 tells them: the guest is there before it does anything, also one that arrives paused."""
    def numbers(*names):
        return [(getattr(libvirt, f"VIR_DOMAIN_EVENT_{event}"), getattr(libvirt, f"VIR_DOMAIN_EVENT_{event}_{detail}"))
                for event, detail in names]

    EventLoop.start()
    conns = [libvirt.open(daemon.uri) for daemon in (pair.daemon_a, pair.daemon_b)]
    with running(pair, verb="define" if here else "create"):
        source, target = (Lifecycle(conn) for conn in conns)
        pair.a.virsh("migrate", "--live", *options, "g", TO_B)
        for side, wanted in ((source, numbers(("SUSPENDED", "MIGRATED"), ("STOPPED", "MIGRATED"), *here)),
                             (target, numbers(*there))):
            wait_for("its events", lambda side=side, wanted=wanted: [entry[2:] for entry in side.events] == wanted)
            side.close()
    for conn in conns:
        conn.close()
