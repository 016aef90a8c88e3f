"""domxml-to-native shows the command that droverd starts QEMU with; domxml-from-native is refused as stock libvirt does."""
import os
import re
import shlex
import subprocess

import libvirt
import pytest
from cli import as_json, compare, drover
from droverd import free_port
from live import LiveDaemon
from procfs import commands, read

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")
UUID = "6d5e1a4c-0000-4000-8000-0000000000aa"


@pytest.fixture(name="definition")
def fixture_definition(live_daemon, tmp_path):
    """A file with a definition that has something of each kind that is told to QEMU in another way."""
    base, top = live_daemon.base / "base.img", live_daemon.base / "it's on top.qcow2"
    base.write_bytes(bytes(1 << 20))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", top], check=True)
    path = tmp_path / "n.xml"
    path.write_text(f"""<domain type='qemu'><name>n</name><uuid>{UUID}</uuid><memory unit='MiB'>64</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><clock offset='utc'/><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file="{top}"/><target dev='vda' bus='virtio'/></disk>
<interface type='ethernet'><mac address='52:54:00:00:0c:aa'/><model type='virtio'/><driver queues='2'/></interface>
<interface type='user'><mac address='52:54:00:00:0c:ab'/><model type='e1000e'/></interface>
<serial type='file'><source path='{live_daemon.base}/serial'/></serial>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<graphics type='vnc' port='{free_port()}'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
</devices></domain>""")
    return path


def split(text):
    """Environment and arguments of a command as a shell reads them."""
    words = shlex.split(text.replace(" \\\n", " "))
    first = next(i for i, word in enumerate(words) if word.startswith("/"))
    return set(words[:first]), words[first:]


def told(pid, what):
    return read(f"/proc/{pid}/{what}").decode().rstrip("\0").split("\0")


def test_the_command_is_the_one_that_a_guest_runs_by(live_daemon, definition):
    uri = live_daemon.uri()
    of_file = compare(uri, ["domxml-to-native", "qemu-argv", "--xml", str(definition)])
    assert of_file.status == 0 and "base.img" in of_file.out, of_file
    live_daemon.virsh("create", definition, "--paused")
    try:
        pid = next(pid for pid, words in commands().items() if UUID.encode() in words)
        environment, arguments = split(of_file.out)
        assert arguments == told(pid, "cmdline")
        assert environment <= set(told(pid, "environ"))
        assert split(drover(uri, "domxml-to-native qemu-argv n").out)[1] == arguments
        assert split(as_json(uri, "domxml-to-native qemu-argv --domain n")["native"])[1] == arguments
    finally:
        live_daemon.virsh("destroy", "n")


def test_what_is_named_wrongly_is_refused(live_daemon, definition, tmp_path):
    uri = live_daemon.uri()
    broken = tmp_path / "broken.xml"
    broken.write_text("<domain type='qemu'><name>n</name></domain>")
    for command, words in ((["domxml-to-native", "xen-xl", "--xml", definition], "unsupported config type 'xen-xl'"),
                           (["domxml-to-native", "qemu-argv", "--xml", broken], "memory"),
                           (["domxml-to-native", "qemu-argv", "nosuch"], "failed to get domain 'nosuch'"),
                           (["domxml-to-native", "qemu-argv"], "need either domain or domain XML"),
                           (["domxml-to-native", "qemu-argv", "a", definition], "mutually exclusive"),
                           (["domxml-to-native", "qemu-argv", "--xml", tmp_path / "nothing"], "nothing")):
        said = drover(uri, [str(word) for word in command])
        assert said.status == 1 and words in said.err, said


def test_an_image_that_is_not_there_keeps_nobody_from_reading_the_rest(live_daemon, definition):
    (live_daemon.base / "base.img").unlink()
    assert "virtio-blk-pci" in drover(live_daemon.uri(), ["domxml-to-native", "qemu-argv", "--xml", str(definition)]).out


def test_only_who_may_change_things_may_ask(live_daemon, definition):
    conn = libvirt.openReadOnly(live_daemon.uri(readonly=True))
    with pytest.raises(libvirt.libvirtError, match="read only|forbidden"):
        conn.domainXMLToNative("qemu-argv", definition.read_text())
    conn.close()


def test_nobody_reads_a_command_line_of_qemu(live_daemon, tmp_path):
    """As stock libvirt 9.0, whose QEMU driver lost this."""
    path = tmp_path / "argv"
    path.write_text("/usr/bin/qemu-system-x86_64 -m 64")
    said = compare(live_daemon.uri(), ["domxml-from-native", "qemu-argv", str(path)])
    assert said.status == 1 and "not supported" in said.err, said


def test_what_the_configuration_says_is_in_it(tmp_path):
    """CON-38: ports of displays; CON-39, DOM-05: memory in core dumps, unless the definition says."""
    path = tmp_path / "n.xml"
    daemon = LiveDaemon("remote_display_port_min = 61234\nremote_display_port_max = 61300\ndump_guest_core = 1\n")
    try:
        for attribute, dumps in (("", "on"), (" dumpCore='off'", "off")):
            path.write_text(f"<domain type='qemu'><name>n</name><memory{attribute}>65536</memory><os><type>hvm</type></os>"
                            "<devices><graphics type='vnc' port='-1' autoport='yes'/></devices></domain>")
            said = drover(daemon.uri(), ["domxml-to-native", "qemu-argv", "--xml", str(path)])
            words = split(said.out)[1]
            assert f"dump-guest-core={dumps}" in words[words.index("-machine") + 1]
            port = 5900 + int(re.search(r":(\d+)", words[words.index("-vnc") + 1])[1])
            assert 61234 <= port <= 61300
    finally:
        daemon.stop()
