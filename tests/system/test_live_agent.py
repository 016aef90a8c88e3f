"""The guest agent, a real one in a real guest, through stock clients."""
import array
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import termios
import time

import libvirt
import libvirt_qemu
import pytest

import frames
from live import linux, read_until, shell, start, state
from mortal import processes
from waiting import wait_for

DEVICES = """<disk type='file'><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<serial type='pty'/><interface type='user'><mac address='{mac}'/><model type='virtio'/></interface>"""
NUMBER = f"{os.getpid() & 0xffffff:06x}"
MAC = f"52:54:00:{NUMBER[:2]}:{NUMBER[2:4]}:{NUMBER[4:]}"  # and a link: nobody else's on this machine


def in_guest(conn, name, command, expected):
    """Type a command at the guest's shell until it answers as expected."""
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    conn.lookupByName(name).openConsole("serial1", stream)
    seen = read_until(stream, expected, say=command + b"\n")
    stream.abort()
    return seen


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def dom(daemon, tmp_path):
    """A guest whose agent listens."""
    conn = libvirt.open(daemon.uri())
    if "g" not in daemon.virsh("list", "--name").split():
        disk = daemon.base / "disk"
        if not disk.exists():
            subprocess.run(["mke2fs", "-q", "-t", "ext2", disk, "4M"], check=True)
            disk.chmod(0o666)
        start(daemon, tmp_path, linux("g", DEVICES.format(disk=disk, mac=MAC), agent=True, name="tiny", shell="ttyS1",
                                      extra="<pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='no'/></pm>",
                                      vcpus=2))
    dom = conn.lookupByName("g")
    wait_for("the agent", lambda: "state='connected'" in dom.XMLDesc(), 60)
    wait_for("its answer", lambda: "return" in daemon.virsh("qemu-agent-command", "g", '{"execute":"guest-ping"}',
                                                            check=False), 60)
    yield dom
    conn.close()


def test_the_clock_of_the_guest_is_read_and_set(daemon, dom):
    """GA-12: to a time, and back to what the chip says."""
    def ahead():
        return dom.getTime()["seconds"] - time.time()
    assert abs(ahead()) < 3600
    dom.setTime({"seconds": int(time.time()) + 1_000_000, "nseconds": 0})
    assert abs(ahead() - 1_000_000) < 3600
    daemon.virsh("domtime", "g", "--time", str(int(time.time())))
    assert abs(ahead()) < 3600
    daemon.virsh("domtime", "g", "--sync")
    assert abs(ahead()) < 3600
    with pytest.raises(libvirt.libvirtError, match="too big"):
        dom.setTime({"seconds": 2**62, "nseconds": 0})


def test_the_guest_says_its_name_and_what_it_is(dom):
    assert dom.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT) == "tiny"
    info = dom.guestInfo(libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME)
    assert info["hostname"] == "tiny"


def test_processors_as_the_guest_sees_them_are_switched(daemon, dom):
    """GA-12: guestvcpus and setvcpus --guest."""
    assert dom.guestVcpus() == {"vcpus": "0-1", "online": "0-1", "offlinable": "1"}
    daemon.virsh("guestvcpus", "g", "--cpulist", "1", "--disable")
    assert dom.guestVcpus()["online"] == "0"
    assert dom.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_GUEST) == 1
    assert dom.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_GUEST | libvirt.VIR_DOMAIN_VCPU_MAXIMUM) == 2
    daemon.virsh("setvcpus", "g", "2", "--guest")
    assert dom.guestVcpus()["online"] == "0-1"
    with pytest.raises(libvirt.libvirtError, match="processor 0 of the guest cannot be switched off"):
        dom.setGuestVcpus("0", 0)
    with pytest.raises(libvirt.libvirtError, match="the guest has 2 processors, not 3"):
        dom.setVcpusFlags(3, libvirt.VIR_DOMAIN_VCPU_GUEST)


def test_its_file_systems_are_listed_with_the_disk_behind_them(daemon, dom):
    """GA-12: domfsinfo; the target is the definition's."""
    in_guest(dom.connect(), "g", b"mkdir -p /mnt; mount /dev/vda /mnt; grep -c ' /mnt ' /proc/mounts", b"\n1\r")
    assert ["/mnt", "vda", "ext2", ["vda"]] in [entry[:4] for entry in
                                               ([fs[0], fs[1], fs[2], list(fs[3])] for fs in dom.fsInfo())]
    assert "vda" in daemon.virsh("domfsinfo", "g")


def test_every_group_of_guestinfo_is_answered_or_refused_by_name(daemon, dom):
    kinds = {"filesystem": "fs.0.disk.0.alias", "disk": "disk.0.name", "interface": "if.0.name",
             "timezone": "timezone.name", "user": "user.count", "hostname": "hostname", "os": "os.kernel-release"}
    for kind, key in kinds.items():
        said = daemon.virsh("guestinfo", "g", f"--{kind}", check=False)
        assert key in said, said
    assert "fs.0.disk.0.alias   : vda" in daemon.virsh("guestinfo", "g")


def test_keys_and_passwords_of_users(daemon, dom, tmp_path):
    dom.authorizedSSHKeysSet("root", ["ssh-ed25519 AAA one"], 0)
    keys = tmp_path / "keys"
    keys.write_text("ssh-ed25519 BBB two\n")
    daemon.virsh("set-user-sshkeys", "g", "root", "--file", keys)
    assert sorted(dom.authorizedSSHKeysGet("root")) == ["ssh-ed25519 AAA one", "ssh-ed25519 BBB two"]
    assert "AAA one" in daemon.virsh("get-user-sshkeys", "g", "root")
    daemon.virsh("set-user-sshkeys", "g", "root", "--file", keys, "--remove")
    assert dom.authorizedSSHKeysGet("root") == ["ssh-ed25519 AAA one"]
    with pytest.raises(libvirt.libvirtError, match="refused 'guest-ssh-get-authorized-keys'"):
        dom.authorizedSSHKeysGet("nobody-here")
    daemon.virsh("set-user-password", "g", "root", "secret")
    assert b"root:secret" in shell(dom, b"echo 0-; cat /etc/passwords", b"root:secret")
    assert dom.setUserPassword("root", "$6$hash", libvirt.VIR_DOMAIN_PASSWORD_ENCRYPTED) == 0
    shell(dom, b"echo; cat /etc/passwords", b"1 -e")


def test_the_wait_for_the_agent_can_be_chosen(daemon, dom):
    daemon.virsh("guest-agent-timeout", "g", "--timeout", "60")
    assert dom.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT) == "tiny"
    with pytest.raises(libvirt.libvirtError, match="less than the minimum"):
        dom.agentSetResponseTimeout(-3)
    daemon.virsh("guest-agent-timeout", "g", "--timeout", "-1")


def test_the_guest_is_put_to_sleep_and_woken(daemon, dom):
    """DOM-15, CON-08: S3, to memory, is allowed here; S4, to disk, is not."""
    with pytest.raises(libvirt.libvirtError, match="S4 state is disabled"):
        dom.pMSuspendForDuration(libvirt.VIR_NODE_SUSPEND_TARGET_DISK, 0)
    with pytest.raises(libvirt.libvirtError, match="Duration not supported"):
        dom.pMSuspendForDuration(libvirt.VIR_NODE_SUSPEND_TARGET_MEM, 5)
    with pytest.raises(libvirt.libvirtError, match="does not sleep"):
        dom.pMWakeup()
    daemon.virsh("dompmsuspend", "g", "mem")
    wait_for("its sleep", lambda: state(daemon, "g").startswith("pmsuspended"))
    daemon.virsh("dompmwakeup", "g")
    wait_for("its waking", lambda: state(daemon, "g").startswith("running"))
    wait_for("the agent", lambda: "return" in daemon.virsh("qemu-agent-command", "g", '{"execute":"guest-ping"}',
                                                           check=False), 60)


def test_addresses_as_the_guest_sees_them(dom):
    addresses = dom.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    assert addresses["lo"]["addrs"] is None or addresses["lo"]["addrs"][0]["addr"] == "127.0.0.1"
    assert dom.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE) == {}


def test_addresses_as_the_host_has_seen_them(daemon, dom):
    """The neighbour table of the kernel, by the guest's MAC."""
    link = f"drarp{NUMBER}"
    subprocess.run(["ip", "link", "add", link, "type", "bridge"], check=True)
    try:
        for command in (["link", "set", link, "up"], ["address", "add", "192.0.2.1/24", "dev", link],
                        ["neigh", "add", "192.0.2.77", "lladdr", MAC, "dev", link]):
            subprocess.run(["ip", *command], check=True)
        seen = dom.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)
        assert [(nic["hwaddr"], nic["addrs"]) for nic in seen.values()] == [
            (MAC, [{"addr": "192.0.2.77", "prefix": 0, "type": libvirt.VIR_IP_ADDR_TYPE_IPV4}])]
        assert "192.0.2.77" in daemon.virsh("domifaddr", "g", "--source", "arp")
    finally:
        subprocess.run(["ip", "link", "delete", link], check=True)


def test_commands_pass_as_they_are(dom):
    """GA-01: over the channel org.qemu.guest_agent.0 of the guest's definition."""
    reply = json.loads(libvirt_qemu.qemuAgentCommand(dom, '{"execute":"guest-info"}', 60, 0))
    assert any(command["name"] == "guest-ping" for command in reply["return"]["supported_commands"])
    with pytest.raises(libvirt.libvirtError):
        libvirt_qemu.qemuAgentCommand(dom, '{"execute":"no-such-command"}', 10, 0)
    with pytest.raises(libvirt.libvirtError):
        libvirt_qemu.qemuAgentCommand(dom, "nonsense", 10, 0)


def test_file_systems_are_frozen_and_thawed(daemon, dom):
    """GA-12: the agent answers meanwhile, and says what it did."""
    def is_frozen():
        return json.loads(daemon.virsh("qemu-agent-command", "g", '{"execute":"guest-fsfreeze-status"}'))["return"] == "frozen"
    in_guest(dom.connect(), "g", b"mkdir -p /mnt; mount /dev/vda /mnt; grep -c ' /mnt ' /proc/mounts", b"\n1\r")
    assert not is_frozen()
    assert "Froze 1 filesystem(s)" in daemon.virsh("domfsfreeze", "g")
    assert is_frozen()
    assert "Thawed 1 filesystem(s)" in daemon.virsh("domfsthaw", "g")
    assert not is_frozen()


def test_file_systems_tell_their_disks_what_they_do_not_need(daemon, dom):
    """GA-12."""
    daemon.virsh("domfstrim", "g")
    dom.fSTrim(None, 4096)


def test_the_agent_is_there_again_after_a_restart_of_the_daemon(daemon, dom):
    """GA-02: the next daemon synchronises anew. GA-07: half a request of somebody's is before it, and swallows nothing of its own."""
    channel, = (daemon.base / "run/guests").glob("*/channel0")
    daemon.process.terminate()
    daemon.process.wait()
    leave_half_a_request(channel)
    daemon.output.truncate(0)
    daemon.start()
    wait_for("the agent", lambda: "state='connected'" in daemon.virsh("dumpxml", "g"))
    assert json.loads(daemon.virsh("qemu-agent-command", "g", '{"execute":"guest-ping"}')) == {"return": {}}


def leave_half_a_request(channel):
    """In the agent, which has read it when nothing of it is left in the socket and a whole one before it was answered."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(120)
        link.connect(str(channel))
        link.sendall(b'{"execute":"guest-ping"}\n')
        answer = b""
        while not answer.endswith(b"\n"):
            answer += link.recv(100)
        assert json.loads(answer) == {"return": {}}
        link.sendall(b'{"execute":"guest-get-time","arguments":{"x":"')

        def left():
            unread = array.array("i", [0])
            fcntl.ioctl(link, termios.TIOCOUTQ, unread)
            return unread[0]
        wait_for("QEMU to have it", lambda: left() == 0)


def test_a_reboot_and_a_shutdown_by_the_agent(daemon, dom):
    events = []
    dom.connect().domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                                         lambda _c, _d, how, reason, _o: events.append((how, reason)), None)
    daemon.virsh("reboot", "g", "--mode", "agent")
    channel = libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL
    wait_for("both events", lambda: len(events) >= 2, 60)
    assert events[:2] == [(libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED, channel),
                          (libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED, channel)]
    wait_for("the agent again", lambda: "return" in daemon.virsh("qemu-agent-command", "g", '{"execute":"guest-ping"}',
                                                                 check=False), 60)
    daemon.virsh("shutdown", "g", "--mode", "agent")
    wait_for("its end", lambda: "g" not in daemon.virsh("list", "--name").split(), 60)


def test_a_shutdown_that_a_deaf_agent_does_not_hear_is_asked_for_by_the_button(daemon, tmp_path):
    """GA-03: what is not answered ends by a deadline."""
    start(daemon, tmp_path, linux("deaf", agent=True, shell="ttyS1", serial="<serial type='pty'/>" * 2))
    conn = libvirt.open(daemon.uri())
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    conn.lookupByName("deaf").openConsole("serial1", stream)
    wait_for("the agent", lambda: "state='connected'" in conn.lookupByName("deaf").XMLDesc(), 60)
    read_until(stream, b"deaf-42", say=b"kill -STOP $(pidof qemu-ga) && echo deaf-$((40+2))\n")
    assert "shutdown" in daemon.virsh("shutdown", "deaf")  # no mode is given
    wait_for("its end", lambda: "deaf" not in daemon.virsh("list", "--name").split(), 60)
    conn.close()


def test_who_asks_the_agent_of_a_guest_that_dies_is_answered(daemon, tmp_path):
    """One is under way and others wait for their turn when QEMU and its channel go."""
    start(daemon, tmp_path, linux("deaf", agent=True, shell="ttyS1", serial="<serial type='pty'/>" * 2))
    conn = libvirt.open(daemon.uri())
    dom = conn.lookupByName("deaf")
    wait_for("the agent", lambda: "state='connected'" in dom.XMLDesc(), 60)
    shell(dom, b"kill -STOP $(pidof qemu-ga) && echo deaf-$((40+2))", b"deaf-42")
    wire = frames.Wire(daemon.socket(), "qemu:///system")
    agent_command, until_it_answers, no_flags = 3, struct.pack(">i", -2), bytes(4)
    ask = frames.string("deaf") + dom.UUID() + struct.pack(">i", dom.ID()) + frames.string('{"execute":"guest-ping"}')
    serials, last, answers = range(100, 104), 104, {}
    wire.send(b"".join(frames.frame(agent_command, ask + until_it_answers + no_flags, program=frames.QEMU, serial=serial)
                       for serial in serials) + frames.frame(frames.GET_HOSTNAME, serial=last))

    def read_one():
        answer = wire.answer()
        answers[answer.serial] = answer.status

    while last not in answers:  # by then all of them are taken up
        read_one()
    qemu, = processes(dom.UUIDString())
    os.kill(qemu, signal.SIGKILL)
    while len(answers) < len(serials) + 1:
        read_one()
    assert all(answers[serial] == frames.ERROR for serial in serials)
    conn.close()


def test_a_guest_without_an_agent_says_so(daemon, tmp_path):
    start(daemon, tmp_path, linux("mute"))
    said = daemon.virsh("domtime", "mute", check=False)
    assert "QEMU guest agent is not configured" in said
    said = daemon.virsh("shutdown", "mute", "--mode", "agent", check=False)
    assert "QEMU guest agent is not configured" in said
    daemon.virsh("destroy", "mute")


def test_a_guest_whose_agent_is_not_there_says_so_at_once(daemon, tmp_path):
    """GA-12: it has the channel, and nobody in the guest listens."""
    start(daemon, tmp_path, "<domain type='qemu'><name>deserted</name><memory unit='MiB'>16</memory>"
                            "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>"
                            "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>")
    try:
        for command in ("domtime", "domhostname --source agent", "guestvcpus", "guestinfo", "domfsinfo", "domfsfreeze", "domfsthaw",
                        "domfstrim", "set-user-password root x", "get-user-sshkeys root", "domifaddr --source agent",
                        "qemu-agent-command {\"execute\":\"guest-ping\"}", "dompmsuspend mem", "shutdown --mode agent",
                        "reboot --mode agent"):
            name, *options = command.split()
            assert "QEMU guest agent is not connected" in daemon.virsh(name, "deserted", *options, check=False), command
    finally:
        daemon.virsh("destroy", "deserted")
