"""Disks, memory and policies of a running guest, looked at and changed, through stock clients."""
import pathlib
import subprocess

import libvirt
import pytest

from live import linux, shell, start
from loops import loop_device
from waiting import wait_for

MIB = 1 << 20


@pytest.fixture(scope="module")
def daemon(live_daemon, tmp_path_factory):
    daemon = live_daemon
    image = daemon.base / "disk"
    image.write_bytes(bytes(8 * MIB))
    for name in ("first", "other"):
        (daemon.base / f"{name}.iso").write_bytes(f"{name} disc".encode().ljust(MIB, b"\0"))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", daemon.base / "second", "16M"], check=True)
    start(daemon, tmp_path_factory.mktemp("xml"), linux("g", f"""
      <disk type='file'><source file='{image}'/><target dev='vda' bus='virtio'/></disk>
      <disk type='file'><driver name='qemu' type='qcow2'/><source file='{daemon.base / "second"}'/>
        <target dev='vdb' bus='virtio'/></disk>
      <disk type='file' device='cdrom'><source file='{daemon.base / "first.iso"}'/><target dev='hdc' bus='ide'/><readonly/></disk>
      <serial type='pty'/><input type='keyboard' bus='ps2'/>""", shell="ttyS1"))
    return daemon


def test_counters_rise_with_what_the_guest_does(daemon, dom):
    """LIFE-32."""
    shell(dom, b"echo up-$((1+1))", b"up-2")
    before = dom.blockStats("vda")
    shell(dom, b"dd if=/dev/vda of=/dev/null bs=64k count=16; dd if=/dev/zero of=/dev/vda bs=64k count=4 "
               b"conv=fsync; echo done-$((1+2))", b"done-3")
    after = dom.blockStats("vda")
    assert after[1] - before[1] >= 16 * 65536 and after[3] - before[3] >= 4 * 65536
    assert after[0] > before[0] and after[2] > before[2]
    typed = dom.blockStatsFlags("vda")
    assert typed["rd_bytes"] >= after[1] and typed["flush_operations"] > 0 and typed["wr_total_times"] > 0
    other = dom.blockStats("vdb")
    assert dom.blockStats("")[1] >= after[1] + other[1]
    said = daemon.virsh("domblkstat", "g", "vda")
    assert all(f"vda {counter} " in said for counter in ("rd_req", "rd_bytes", "wr_req", "wr_bytes", "flush_operations"))
    with pytest.raises(libvirt.libvirtError, match="invalid path 'vdx'"):
        dom.blockStats("vdx")


def test_sizes_errors_and_growth(daemon, dom):
    assert dom.blockInfo("vda")[0] == 8 * MIB
    capacity, allocation, _ = dom.blockInfo("vdb")
    assert capacity == 16 * MIB and allocation < MIB
    assert "Capacity:       8388608" in daemon.virsh("domblkinfo", "g", "vda")
    assert dom.diskErrors() == {} and "No errors found" in daemon.virsh("domblkerror", "g")
    daemon.virsh("blockresize", "g", "vdb", "32M")
    assert dom.blockInfo("vdb")[0] == 32 * MIB
    shell(dom, b"echo size-$(cat /sys/block/vdb/size)", b"size-65536")
    with pytest.raises(libvirt.libvirtError, match="of no use"):
        dom.blockResize("vdb", 0)


def sizes(dom):
    """By domstats: of each disk the end of what was written, what the guest sees, and what it takes on the host."""
    stats = dom.connect().domainListGetStats([dom], libvirt.VIR_DOMAIN_STATS_BLOCK)[0][1]
    return [tuple(stats[f"block.{i}.{what}"] for what in ("allocation", "capacity", "physical")) for i in range(stats["block.count"])]


def test_sizes_are_those_of_the_moment(daemon, dom):
    """What QEMU said earlier is used again only as long as it is true."""
    second = daemon.base / "second"
    for _ in range(2):
        written, capacity, physical = sizes(dom)[1]
        assert physical == second.stat().st_blocks * 512
        assert dom.blockInfo("vdb") == [capacity, physical, second.stat().st_size]
    shell(dom, b"dd if=/dev/urandom of=/dev/vdb bs=1M count=3 seek=4 conv=fsync; echo stored-$((4+5))", b"stored-9")
    later = sizes(dom)[1]
    assert later[0] > 3 * MIB and later[0] >= written and later[1] == capacity and later[2] > physical
    # the shell may have been told to write twice
    wait_for("what it takes by now", lambda: sizes(dom)[1][2] == second.stat().st_blocks * 512)
    daemon.virsh("blockresize", "g", "vdb", f"{capacity + MIB}B")
    assert sizes(dom)[1][1] == capacity + MIB
    assert sizes(dom)[0] == (sizes(dom)[0][0], 8 * MIB, (daemon.base / "disk").stat().st_blocks * 512)


def test_a_threshold_is_told_when_it_is_crossed(daemon, dom):
    events = []
    dom.connect().domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD,
                                         lambda _c, _d, dev, _p, at, more, _o: events.append((dev, at, more > 0)), None)
    daemon.virsh("domblkthreshold", "g", "vda", str(MIB))
    shell(dom, b"dd if=/dev/zero of=/dev/vda bs=64k count=32 conv=fsync; echo wrote-$((1+3))", b"wrote-4")
    wait_for("the event", lambda: events)
    assert events[0] == ("vda", MIB, True)


def test_a_disc_is_read_and_another_put_in(daemon, dom, tmp_path):
    """LIFE-42: by stock virsh, which attaches it to the drive that is there; a file, then a node under /dev."""
    read = b"echo read-$(dd if=/dev/sr0 bs=2048 count=1 | tr -d '\\000')"
    shell(dom, read, b"read-first disc")
    shell(dom, b"echo idle-$((1+7))", b"idle-8")  # a drive that is being read is locked
    daemon.virsh("attach-disk", "g", daemon.base / "other.iso", "hdc", "--type", "cdrom", "--mode", "readonly", "--live")
    shell(dom, read, b"read-other disc")
    with loop_device(tmp_path / "node", 1) as node:
        pathlib.Path(node).write_bytes(b"disc of a node".ljust(MIB, b"\0"))
        shell(dom, b"echo idle-$((1+8))", b"idle-9")
        daemon.virsh("attach-disk", "g", node, "hdc", "--type", "cdrom", "--mode", "readonly", "--live")
        assert f"<source dev='{node}'" in daemon.virsh("dumpxml", "g")
        shell(dom, read, b"read-disc of a node")
        shell(dom, b"echo idle-$((1+9))", b"idle-10")
        daemon.virsh("change-media", "g", "hdc", "--eject", "--live")


def test_memory_is_looked_into(dom):
    bios = dom.memoryPeek(0xFFFF0, 16, libvirt.VIR_MEMORY_PHYSICAL)
    assert len(bios) == 16 and bios[0] == 0xEA, "the first instruction of a PC is a far jump"
    with pytest.raises(libvirt.libvirtError, match="bytes can be read"):
        dom.memoryPeek(0, 0, libvirt.VIR_MEMORY_PHYSICAL)


def test_keys_arrive_in_the_guest(daemon, dom):
    shell(dom, b"for e in /dev/input/event*; do cat $e >> /tmp/keys & done; "
               b"[ $(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -o 'input/event[0-9]*' | sort -u | wc -l) = "
               b"$(ls /dev/input/event* | wc -l) ] && echo ready-$((1+4))", b"ready-5")
    for _ in range(5):
        daemon.virsh("send-key", "g", "KEY_LEFTCTRL", "KEY_B")
    shell(dom, b"test -s /tmp/keys && echo pressed-$((1+5))", b"pressed-6")


def test_what_follows_a_reboot_is_changed_while_it_runs(daemon, dom):
    """DOM-14, LIFE-25."""
    daemon.virsh("set-lifecycle-action", "g", "reboot", "destroy", "--live")
    assert "<on_reboot>destroy</on_reboot>" in dom.XMLDesc()
    assert dom.launchSecurityInfo() == {}
    shell(dom, b"echo last-$((1+6))", b"last-7")
    stream = dom.connect().newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole("serial1", stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    stream.send(b"reboot\n")
    wait_for("its end", lambda: "g" not in daemon.virsh("list", "--name").split())
