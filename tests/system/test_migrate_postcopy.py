"""Post-copy: the guest runs on the destination before its memory is there, and what may break meanwhile.

QEMU runs as root here, because the kernel keeps userfaultfd from others; that refusal is tested as well.
"""
import contextlib
import pathlib

import frames
import libvirt
import pytest
from slow_monitor import LateAnswer
from test_migrate_handover import LIVE, Mover
from test_migrate_refusals import TO_B, check_moved, guests_of, running
from waiting import EventLoop, Lifecycle, wait_for

from lab.paths import LabError

SYSCTL = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd")
QUICK = {"listen_tcp": 1, "auth_tcp": "none", "qemu_user": "root", "qemu_group": "root", "keepalive_interval": 1,
         "keepalive_count": 9}
POSTCOPY = ["--live", "--postcopy"]
SLOWLY = [*POSTCOPY, "--bandwidth", "1", "--postcopy-bandwidth", "1", "--timeout", "1", "--timeout-postcopy"]
AGAIN = [*POSTCOPY, "--postcopy-resume"]


@pytest.fixture
def rooted(pair):
    """The pair with QEMU as root, and daemons that give up a silent peer after ten seconds, which no busy machine makes it be silent."""
    for daemon in (pair.daemon_a, pair.daemon_b):
        assert daemon.stop() == 0
    pair.daemon_a, pair.daemon_b = (host.droverd(QUICK) for host in (pair.a, pair.b))
    yield pair
    for daemon in (pair.daemon_a, pair.daemon_b):
        assert daemon.stop() == 0, daemon.tail()


def states(pair):
    said = (host.run(["virsh", "-q", "domstate", "--reason", "g"], check=False).stdout.strip()
            for host in (pair.a, pair.b))
    return tuple(said)


@contextlib.contextmanager
def torn(pair, *options):
    """A move of the guest on a that has just switched to post-copy, its pages coming slowly."""
    move = pair.a.popen(["virsh", "-q", "migrate", *SLOWLY, *options, "g", TO_B], stderr=-1, text=True)
    wait_for("post-copy", lambda: states(pair) == ("paused (post-copy)", "running (post-copy)"), 60)
    yield move
    hurry(pair)
    move.wait(120)
    move.stderr.close()


def hurry(pair):
    """What is left comes as fast as it can."""
    with contextlib.suppress(LabError):
        pair.a.virsh("migrate-setspeed", "g", "0", "--postcopy")


def wait_arrived(pair):
    wait_for("all of it is on b", lambda: states(pair) == ("", "running (migrated)"), 60)


@pytest.mark.limit(180)
def test_a_guest_moves_in_post_copy(rooted):
    """MIG-53: with each of the ways to switch; states and events are those that virsh knows."""
    EventLoop.start()
    source, target = (libvirt.open(daemon.uri) for daemon in (rooted.daemon_a, rooted.daemon_b))
    events = [Lifecycle(conn) for conn in (source, target)]
    with running(rooted, verb="define") as pulse:
        with torn(rooted, "--persistent") as move:
            with pytest.raises(LabError, match="handed to the other host"):
                rooted.a.virsh("resume", "g")
            with pytest.raises(LabError, match="point of no return"):
                rooted.a.virsh("domjobabort", "g")
            hurry(rooted)
            assert move.wait(120) == 0, move.stderr.read()
        check_moved(rooted, pulse)
        assert states(rooted) == ("shut off (migrated)", "running (migrated)")
        # the figure of QEMU 7.2 is nonsense after a switch that took no millisecond: it is measured, from STOP to RESUME
        figures = source.lookupByName("g").jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
        assert 0 <= figures["downtime"] <= figures["time_elapsed"], figures
        seen = [{entry[2:] for entry in side.events} for side in events]
        assert (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY) in seen[0]
        assert {(libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY),
                (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED)} <= seen[1]
        rooted.b.virsh("migrate", *POSTCOPY, "--postcopy-after-precopy", "--p2p", "g", "qemu+tcp://a/system", timeout=120)
        assert guests_of(rooted.a) == ["g"] and guests_of(rooted.b) == []
        right, line = pulse.verify()
        assert right, line
    for side in (*events, source, target):
        side.close()


@pytest.mark.limit(120)
def test_a_switch_that_is_asked_for_early_comes_with_the_memory(rooted):
    """QEMU would refuse it, and virsh --timeout-postcopy asks once, by its clock (MIG-53)."""
    EventLoop.start()
    source = libvirt.open(rooted.daemon_a.uri)
    seen = Lifecycle(source)
    with running(rooted) as pulse:
        mover = Mover(rooted, LIVE | libvirt.VIR_MIGRATE_POSTCOPY, mib_s=1).prepare()
        rooted.a.virsh("migrate-postcopy", "g")
        mover.start()
        assert mover.performed().status == frames.OK
        assert mover.finish(0).status == frames.OK
        mover.confirm(0)
        assert mover.source.answer().status == frames.OK
        mover.leave()
        check_moved(rooted, pulse)
    switched = (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY)
    wait_for("the switch is told", lambda: switched in {entry[2:] for entry in seen.events}, 60)
    seen.close()
    source.close()


@pytest.mark.limit(180)
def test_a_network_that_breaks_in_post_copy_is_resumed(rooted):
    """Both QEMUs wait for each other; neither side lets go, and --postcopy-resume brings it to the end."""
    with running(rooted) as pulse:
        with pytest.raises(LabError, match="not in a post-copy migration that broke"):
            rooted.a.virsh("migrate", *AGAIN, "g", TO_B)
        with torn(rooted, "--p2p") as move:
            rooted.b.cut()
            assert move.wait(120) != 0 and "broke in post-copy" in move.stderr.read()
        assert states(rooted) == ("paused (post-copy failed)", "running (post-copy)")
        with pytest.raises(LabError, match="handed to the other host"):
            rooted.a.virsh("resume", "g")
        rooted.b.restore()
        again = rooted.a.popen(["virsh", "-q", "migrate", *AGAIN, "--postcopy-bandwidth", "1", "--p2p", "g", TO_B])
        wait_for("it goes on", lambda: states(rooted) == ("paused (post-copy)", "running (post-copy)"), 60)
        rooted.a.virsh("domjobabort", "--postcopy", "g")
        assert again.wait(120) != 0
        failed = ("paused (post-copy failed)", "running (post-copy failed)")
        wait_for("both sides see it", lambda: states(rooted) == failed)
        rooted.a.virsh("migrate", *AGAIN, "g", TO_B, timeout=120)  # by the client this time
        check_moved(rooted, pulse)
        assert states(rooted) == ("", "running (migrated)")


@pytest.mark.limit(180)
def test_a_break_that_is_noticed_before_its_answer_is_listened_after(rooted):
    """The destination asks its QEMU to notice the break; the event that says so overtakes the answer, and is the only one."""
    flags = LIVE | libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_POSTCOPY_RESUME
    with running(rooted) as pulse:
        with torn(rooted) as move:
            identity = rooted.b.virsh("domuuid", "g").strip()
            rooted.daemon_b.kill()
            monitor = LateAnswer(rooted.b.path(f"/run/drover/guests/{identity}/monitor"), "migrate-pause", '"postcopy-paused"')
            rooted.daemon_b.start()
            rooted.b.cut()  # who only listens does not notice
            rooted.a.virsh("domjobabort", "--postcopy", "g")
            assert move.wait(120) != 0
            wait_for("the break", lambda: states(rooted) == ("paused (post-copy failed)", "running (post-copy)"))
            mover = Mover(rooted, flags).prepare()
            assert monitor.held == 1 and monitor.released
            rooted.b.restore()
            assert mover.start().performed().status == frames.OK
            assert mover.finish(0).status == frames.OK
            mover.confirm(0)
            assert mover.source.answer().status == frames.OK
            mover.leave()
        check_moved(rooted, pulse)
        rooted.b.virsh("destroy", "g")
        monitor.close()


@pytest.mark.limit(180)
def test_a_daemon_that_is_killed_in_post_copy_finds_the_guest_again(rooted):
    """The QEMUs go on without either of them, and whoever comes back sees where they are."""
    with running(rooted) as pulse:
        with torn(rooted):
            for daemon in (rooted.daemon_a, rooted.daemon_b):
                daemon.kill()
                daemon.start()
        wait_arrived(rooted)
        check_moved(rooted, pulse)


@pytest.mark.limit(120)
def test_a_guest_whose_source_dies_in_post_copy_is_started_anew(rooted):
    """What the other host has of it is of no use. Nothing of the move is left that would keep it from being started."""
    with running(rooted, verb="define") as pulse:
        with torn(rooted) as move:
            rooted.a.kill("qemu-system-x86_64")
            assert move.wait(60) != 0
        assert states(rooted)[0] == "shut off (crashed)"
        assert "what the other host has not got of it is lost" in rooted.daemon_a.log.read_text()
        rooted.b.virsh("destroy", "g")
        mark = pulse.mark()
        rooted.a.virsh("start", "g")
        pulse.wait("^beat ", 90, mark)
        wait_for("the note to go", lambda: list(rooted.a.path("/var/lib/drover/qemu/given").iterdir()) == [])
        rooted.a.virsh("destroy", "g")


@pytest.mark.limit(120)
def test_post_copy_is_refused_where_the_kernel_forbids_it(pair):
    if not SYSCTL.exists() or SYSCTL.read_text().strip() == "1":
        pytest.skip("this kernel lets every user have userfaultfd")
    with running(pair):
        with pytest.raises(LabError, match="vm.unprivileged_userfaultfd = 1"):
            pair.a.virsh("migrate", *POSTCOPY, "g", TO_B)
        assert guests_of(pair.a) == ["g"] and guests_of(pair.b, "--all") == []
