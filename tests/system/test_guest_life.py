"""A real Linux guest under droverd: started, managed, lost and found again (LIFE rows), seen from inside the guest."""
import signal

import libvirt
import pytest
from waiting import EventLoop, Lifecycle, wait_for

from lab import domains
from lab.pulse import Pulse

BOOT_S = 120


@pytest.fixture()
def one(lab):
    """One host with droverd, a connection to it and the guest's serial port."""
    EventLoop.start()
    host = lab.host("a", kvm=True)
    daemon = host.droverd()
    conn = libvirt.open(daemon.uri)
    inside, outside = lab.socket("port")
    with Pulse(outside) as pulse:
        yield Setup(host, daemon, conn, pulse, inside)
        conn.close()
    if daemon.running:
        assert daemon.stop() == 0, daemon.tail()


class Setup:
    def __init__(self, host, daemon, conn, pulse, port):
        self.host, self.daemon, self.conn, self.pulse, self.port = host, daemon, conn, pulse, port

    def reconnect(self):
        self.conn = libvirt.open(self.daemon.uri)
        return self.conn

    def boot(self, name="g", **options):
        """Define and start a Linux guest, wait until it is up."""
        options.setdefault("beat", 20)
        guest = self.conn.defineXML(domains.linux(name, port=self.port, **options))
        mark = self.pulse.mark()
        guest.create()
        self.pulse.wait("^ready ", BOOT_S, mark)
        return guest


def state(guest):
    return guest.state()[0]


def test_a_guest_boots_and_obeys_the_power_button(one):
    """LIFE-23"""
    watch = Lifecycle(one.conn)
    guest = one.boot()
    watch.wait("g", libvirt.VIR_DOMAIN_EVENT_STARTED)
    assert guest.info()[0] == libvirt.VIR_DOMAIN_RUNNING and guest.ID() > 0
    guest.shutdown()
    one.pulse.wait("^power button", 60)
    event = watch.wait("g", libvirt.VIR_DOMAIN_EVENT_STOPPED)
    assert event[3] == libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN
    assert guest.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN]
    assert wait_for("QEMU is gone", lambda: not one.host.processes("qemu-system-x86_64")) is True


def test_a_guest_that_ignores_the_button_is_destroyed(one):
    """LIFE-13: it stays running, never falsely off; LIFE-26."""
    guest = one.boot(power="ignore")
    guest.shutdown()
    one.pulse.wait("^power button", 60)
    assert state(guest) == libvirt.VIR_DOMAIN_RUNNING
    guest.destroy()
    assert guest.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED]
    assert not one.host.processes("qemu-system-x86_64")


def test_suspend_stops_the_beat_and_resume_brings_it_back(one):
    guest = one.boot(beat=5)
    guest.suspend()
    assert guest.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]
    one.pulse.wait_silence(0.5)
    guest.resume()
    one.pulse.wait("^beat", 60, one.pulse.mark())
    assert state(guest) == libvirt.VIR_DOMAIN_RUNNING


def test_reset_starts_the_same_guest_over(one):
    guest = one.boot()
    number, mark = guest.ID(), one.pulse.mark()
    guest.reset()
    one.pulse.wait("^ready ", BOOT_S, mark)
    assert guest.ID() == number


def test_a_killed_daemon_finds_its_guest_again(one):
    guest = one.boot(beat=5)
    identity, qemu = guest.UUIDString(), one.host.processes("qemu-system-x86_64")
    assert one.daemon.kill() == -signal.SIGKILL
    one.pulse.wait("^beat", 60, one.pulse.mark())
    one.daemon.start()
    found = one.reconnect().lookupByUUIDString(identity)
    assert state(found) == libvirt.VIR_DOMAIN_RUNNING
    assert one.host.processes("qemu-system-x86_64") == qemu
    found.shutdown()
    one.pulse.wait("^power off", 60)
    wait_for("the guest is off", lambda: state(found) == libvirt.VIR_DOMAIN_SHUTOFF)


def test_a_guest_that_ended_while_the_daemon_was_away_is_off(one):
    guest = one.boot()
    identity = guest.UUIDString()
    one.daemon.kill()
    one.host.kill("qemu-system-x86_64")
    one.daemon.start()
    found = one.reconnect().lookupByUUIDString(identity)
    wait_for("the guest is off", lambda: state(found) == libvirt.VIR_DOMAIN_SHUTOFF)


def test_a_killed_qemu_is_a_crashed_guest(one):
    watch = Lifecycle(one.conn)
    guest = one.boot()
    one.host.kill("qemu-system-x86_64")
    watch.wait("g", libvirt.VIR_DOMAIN_EVENT_STOPPED)
    assert guest.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED]


def test_a_stopped_daemon_leaves_its_guests_running(one):
    guest = one.boot(beat=5)
    identity = guest.UUIDString()
    assert one.daemon.stop() == 0
    one.pulse.wait("^beat", 60, one.pulse.mark())
    one.daemon.start()
    assert state(one.reconnect().lookupByUUIDString(identity)) == libvirt.VIR_DOMAIN_RUNNING
