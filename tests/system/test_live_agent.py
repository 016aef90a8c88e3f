"""The guest agent, a real one in a real guest, through stock clients."""
import json
import os
import time

import libvirt
import libvirt_qemu
import pytest

from live import LiveDaemon, linux, start
from waiting import EventLoop, wait_for


@pytest.fixture(scope="module")
def daemon():
    EventLoop.start()
    if os.geteuid() != 0:
        pytest.skip("guests need root")
    daemon = LiveDaemon()
    yield daemon
    daemon.stop()


@pytest.fixture()
def dom(daemon, tmp_path):
    """A guest whose agent listens."""
    conn = libvirt.open(daemon.uri())
    if "g" not in daemon.virsh("list", "--name").split():
        start(daemon, tmp_path, linux("g", agent=True, name="tiny"))
    dom = conn.lookupByName("g")
    wait_for("the agent", lambda: "state='connected'" in dom.XMLDesc(), 60)
    wait_for("its answer", lambda: "return" in daemon.virsh("qemu-agent-command", "g", '{"execute":"guest-ping"}',
                                                            check=False), 60)
    yield dom
    conn.close()


def test_the_clock_of_the_guest_is_read_and_its_setting_is_checked(dom):
    assert abs(dom.getTime()["seconds"] - time.time()) < 3600
    # the tiny guest has no hwclock program, which the agent wants for this
    with pytest.raises(libvirt.libvirtError, match="refused 'guest-set-time'"):
        dom.setTime({"seconds": 1_000_000_000, "nseconds": 0})
    with pytest.raises(libvirt.libvirtError, match="too big"):
        dom.setTime({"seconds": 2**62, "nseconds": 0})


def test_the_guest_says_its_name_and_what_it_is(dom):
    assert dom.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT) == "tiny"
    info = dom.guestInfo(libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME)
    assert info["hostname"] == "tiny"


def test_processors_and_addresses_as_the_guest_sees_them(dom):
    assert dom.guestVcpus()["online"] == "0"
    addresses = dom.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    assert addresses["lo"]["addrs"] is None or addresses["lo"]["addrs"][0]["addr"] == "127.0.0.1"
    assert dom.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE) == {}


def test_commands_pass_as_they_are(dom):
    reply = json.loads(libvirt_qemu.qemuAgentCommand(dom, '{"execute":"guest-info"}', 10, 0))
    assert any(command["name"] == "guest-ping" for command in reply["return"]["supported_commands"])
    with pytest.raises(libvirt.libvirtError):
        libvirt_qemu.qemuAgentCommand(dom, '{"execute":"no-such-command"}', 10, 0)
    with pytest.raises(libvirt.libvirtError):
        libvirt_qemu.qemuAgentCommand(dom, "nonsense", 10, 0)


def test_file_systems_are_frozen_and_thawed(daemon, dom):
    said = daemon.virsh("domfsfreeze", "g", check=False)
    assert "Froze" in said or "error:" in said
    assert "Thawed" in daemon.virsh("domfsthaw", "g")


def test_the_agent_is_there_again_after_a_restart_of_the_daemon(daemon, dom):
    daemon.process.terminate()
    daemon.process.wait()
    daemon.output.truncate(0)
    daemon.start()
    wait_for("its answer", lambda: "return" in daemon.virsh("qemu-agent-command", "g", '{"execute":"guest-ping"}',
                                                            check=False), 30)


def test_a_reboot_and_a_shutdown_by_the_agent(daemon, dom):
    events = []
    dom.connect().domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                                         lambda _c, _d, how, reason, _o: events.append((how, reason)), None)
    daemon.virsh("reboot", "g", "--mode", "agent")
    channel = libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL
    wait_for("both events", lambda: len(events) >= 2, 60)
    assert events[:2] == [(libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED, channel),
                          (libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED, channel)]
    wait_for("the agent's shutdown", lambda: "error" not in daemon.virsh("shutdown", "g", "--mode", "agent", check=False),
             60)
    wait_for("its end", lambda: "g" not in daemon.virsh("list", "--name").split(), 60)


def test_a_guest_without_an_agent_says_so(daemon, tmp_path):
    start(daemon, tmp_path, linux("mute"))
    said = daemon.virsh("domtime", "mute", check=False)
    assert "QEMU guest agent is not configured" in said
    said = daemon.virsh("shutdown", "mute", "--mode", "agent", check=False)
    assert "QEMU guest agent is not configured" in said
    daemon.virsh("destroy", "mute")
