"""What a move can be asked for beyond moving: how its memory is sent, where to, and what of it is changed on the way."""
import contextlib
import json
import pathlib
import re
import struct

import frames
import libvirt
import pytest
from test_migrate_handover import LIVE, Mover
from test_migrate_refusals import TO_B, add_disk, check_moved, guests_of, running, state_of
from waiting import wait_for

from lab.paths import PROGRAMS, LabError

CAP_SYS_RESOURCE = 24
PREPARE_PARAMS = 303
WRITES = {"touch_mib": 32, "dirty_mib_s": 40, "random": False}


@contextlib.contextmanager
def moving(pair, *options):
    """A move of the guest on a, slow at first; it must end well."""
    move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "1", *options, "g", TO_B], stderr=-1, text=True)
    wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
    yield
    with contextlib.suppress(LabError):
        pair.a.virsh("migrate-setspeed", "g", "0")
    assert move.wait(120) == 0, move.stderr.read()
    move.stderr.close()


def job(pair):
    """domjobinfo's lines by name."""
    rows = (line.partition(":") for line in pair.a.virsh("domjobinfo", "g").splitlines())
    return {name.strip(): value.strip() for name, _, value in rows}


def links_to(host, port):
    return len(host.run(["ss", "-Htn", "state", "established", "sport", "=", f":{port}"]).stdout.splitlines())


def listened_on(pair, address):
    """Where b listens for the memory, from its promise to take the guest to the end of a client that leaves it at that."""
    mover = Mover(pair).begin()
    cookie, xml = mover.begun
    said = {"destination_xml": xml, "listen_address": address}
    params = struct.pack(">I", len(said)) + b"".join(
        frames.string(name) + struct.pack(">I", libvirt.VIR_TYPED_PARAM_STRING) + frames.string(value) for name, value in said.items())
    promised = mover.ask(mover.target, PREPARE_PARAMS, params + frames.string(cookie) + struct.pack(">I", LIVE))
    promised.opaque()
    port = promised.optional().rpartition(":")[2]
    found = [line.split()[3] for line in pair.b.run(["ss", "-Hltn", "sport", "=", f":{port}"]).stdout.splitlines()]
    mover.leave()
    wait_for("b gives it up", lambda: guests_of(pair.b, "--all") == [])
    return [at.rpartition(":")[0] for at in found]


def parameters(host):
    return host.virsh("qemu-monitor-command", "g", '{"execute":"query-migrate-parameters"}')


@pytest.mark.limit(180)
@pytest.mark.parametrize("method, too_much", [("zlib", 10), ("zstd", 21)])
def test_parallel_connections_are_compressed(pair, method, too_much):
    """QEMU 7.2 takes levels that the method does not have, and mixes that lose pages: these are refused before it is asked."""
    with running(pair) as pulse:  # of random pages, which no method makes smaller
        for words, complaint in [(["--parallel", "--compressed", "--comp-methods", "xbzrle"], "xbzrle cannot be used"),
                                 (["--parallel", "--postcopy"], "post-copy and --parallel"),
                                 (["--compressed", "--comp-methods", method], "need --parallel")]:
            with pytest.raises(LabError, match=f"error: .*{complaint}"):
                pair.a.virsh("migrate", "--live", *words, "g", TO_B)
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        with moving(pair, "--compressed", "--parallel", "--parallel-connections", "3", "--comp-methods", method):
            wait_for("three links for pages, one for the rest", lambda: links_to(pair.b, 49152) == 4)
        check_moved(pair, pulse)
        # virsh 9.0 has no option for the level
        back = [PROGRAMS / "drover", "-c", "qemu:///system", "migrate", "--live", "--compressed", "--parallel",
                "--comp-methods", method, "g", "qemu+tcp://a/system", f"--comp-{method}-level"]
        with pytest.raises(LabError, match=f"error: .*{method}"):
            pair.b.run([*back, str(too_much)])
        assert state_of(pair.b, "g") == "running"
        pair.b.run([*back, "1"])  # what other levels do is in test_migrate_flags.py
        assert guests_of(pair.b) == [] and pulse.verify()[0]
        assert f'"multifd-compression":"{method}"' in parameters(pair.a)


@pytest.mark.limit(180)
def test_memory_is_sent_without_a_copy_of_it(pair):
    """What is on its way is locked, so QEMU's user may lock all of the guest; where that cannot be, it is refused before it begins."""
    capabilities = int(re.search(r"CapEff:\s*(\w+)", pathlib.Path("/proc/self/status").read_text())[1], 16)
    drover = [PROGRAMS / "drover", "-c", "qemu:///system", "migrate", "--live", "--parallel", "--zerocopy", "g", TO_B]
    with running(pair, **WRITES) as pulse:
        if capabilities >> CAP_SYS_RESOURCE & 1:
            pair.a.run(drover, timeout=120)
            check_moved(pair, pulse)
        else:
            with pytest.raises(LabError, match="QEMU of guest 'g' may not lock its memory, as --zerocopy needs it"):
                pair.a.run(drover, timeout=120)
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []


@pytest.mark.limit(180)
def test_pages_that_are_sent_again_are_compressed(pair):
    """MIG-47, MIG-58, MIG-59: its cache can be read and changed on the way, and its figures are there."""
    with running(pair, **WRITES) as pulse:
        assert "64.000 MiB" in pair.a.virsh("migrate-compcache", "g")
        assert "16.000 MiB" in pair.a.virsh("migrate-compcache", "g", "--size", str(16 << 20))
        with pytest.raises(LabError, match="(?i)error: .*power of"):
            pair.a.virsh("migrate-compcache", "g", "--size", "12345")
        with moving(pair, "--compressed"):
            pair.a.virsh("migrate-compcache", "g", "--size", str(32 << 20))
            pair.a.virsh("migrate-setmaxdowntime", "g", "1")  # however little a guest of a busy machine writes, it never fits
            pair.a.virsh("migrate-setspeed", "g", "24")
            wait_for("a page is sent again", lambda: job(pair).get("Compression cache", "").startswith("32.000 MiB")
                     and int(job(pair).get("Compression cache misses", "0")), 60)
            assert {"Compressed data", "Compressed pages", "Compression overflows"} <= set(job(pair))
            pair.a.virsh("migrate-setmaxdowntime", "g", "100000")
        check_moved(pair, pulse)
        asked = pair.b.virsh("qemu-monitor-command", "g", '{"execute":"query-migrate-capabilities"}')
        assert {"capability": "xbzrle", "state": True} in json.loads(asked)["return"]


@pytest.mark.limit(180)
def test_a_guest_is_slowed_until_it_can_be_sent(pair):
    """--auto-converge begins where it was told to."""
    with running(pair, touch_mib=64, dirty_mib_s=200, random=False) as pulse:
        with moving(pair, "--auto-converge", "--auto-converge-initial", "70", "--auto-converge-increment", "9"):
            pair.a.virsh("migrate-setmaxdowntime", "g", "1")  # however little a guest of a busy machine writes, it never fits
            pair.a.virsh("migrate-setspeed", "g", "16")
            wait_for("it is slowed", lambda: int(job(pair).get("Auto converge throttle", "0")) >= 70, 60)
            pair.a.virsh("migrate-setmaxdowntime", "g", "100000")
        check_moved(pair, pulse)


@pytest.mark.limit(120)
def test_bounds_are_told_as_they_were_set(pair):
    """MIG-04, MIG-57, MIG-61: of the switch-over, of the transfer and of its post-copy phase."""
    with running(pair):
        assert "10" in pair.a.virsh("migrate-getmaxdowntime", "g").split()
        with pytest.raises(LabError, match="not being migrated"):
            pair.a.virsh("migrate-setmaxdowntime", "g", "100")
        pair.a.virsh("migrate-setspeed", "g", "7", "--postcopy")
        assert pair.a.virsh("migrate-getspeed", "g", "--postcopy").strip() == "7"
        assert pair.a.virsh("migrate-getspeed", "g").strip() != "7"
        with pytest.raises(LabError):
            pair.a.virsh("migrate-setmaxdowntime", "g", "0")
        pair.a.virsh("migrate-setspeed", "g", "3")
        assert pair.a.virsh("migrate-getspeed", "g").strip() == "3"
        assert pair.daemon_a.stop() == 0
        pair.daemon_a = pair.a.droverd({"listen_tcp": 1, "auth_tcp": "none", "migration_max_downtime": 25})
        assert pair.a.virsh("migrate-getmaxdowntime", "g").strip() == "25"


@pytest.mark.limit(180)
def test_the_endpoint_is_what_was_asked_for(pair):
    """MIG-50, MIG-52: host and port of the data, and the address that the destination listens on."""
    with running(pair) as pulse:
        with pytest.raises(LabError, match="error: .*cannot be reached"):
            pair.a.virsh("migrate", "--live", "--listen-address", "127.0.0.1", "g", TO_B)
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        for address in (pair.b.address, "127.0.0.1", "0.0.0.0"):
            assert listened_on(pair, address) == [address]
        uri = f"tcp://{pair.b.address}:49200"
        with moving(pair, "--migrateuri", uri, "--listen-address", pair.b.address):
            wait_for("the one link", lambda: links_to(pair.b, 49200) == 1)
        check_moved(pair, pulse)
        with pytest.raises(LabError, match="(?i)error: .*migration URI"):
            pair.b.virsh("migrate", "--live", "--migrateuri", "rdma://a", "g", "qemu+tcp://a/system")
        pair.b.virsh("migrate", "--live", "--migrateuri", f"tcp://{pair.a.address}", "g", "qemu+tcp://a/system", timeout=120)
        assert guests_of(pair.a) == ["g"] and guests_of(pair.b) == []


@pytest.mark.limit(180)
def test_names_mean_what_they_mean_where_they_are_looked_up(pair):
    """MIG-09: the client's own names for a managed move, those of the source for one from peer to peer."""
    for host, name in ((pair.b, "seen-by-client"), (pair.a, "seen-by-source")):
        host.write_file("/etc/hosts", host.read_file("/etc/hosts") + f"{pair.b.address} {name}\n")
    with running(pair) as pulse:
        def move(*words):
            pair.b.virsh("migrate", "--live", *words, uri="qemu+ssh://a/system", timeout=120)

        with pytest.raises(LabError, match="error: .*'seen-by-client' cannot be resolved"):  # MIG-27
            move("--p2p", "g", "qemu+tcp://seen-by-client/system")
        with pytest.raises(LabError, match="error: .*seen-by-source"):
            move("g", "qemu+tcp://seen-by-source/system")
        move("g", "qemu+tcp://seen-by-client/system")
        check_moved(pair, pulse)


def nic(bridge, mac="52:54:00:00:00:01"):
    return (f"<interface type='bridge'><mac address='{mac}'/><source bridge='{bridge}'/><model type='virtio'/></interface>")


@pytest.mark.limit(180)
def test_what_differs_between_the_hosts_is_changed_on_the_way(pair):
    """MIG-19, MIG-22, MIG-55: bridges and paths of other names; nothing that the guest would see."""
    for host, bridge in ((pair.a, "here"), (pair.b, "there")):
        host.ip(f"link add {bridge} type bridge", f"link set {bridge} up")
        host.run(["qemu-img", "create", "-q", "-f", "qcow2", f"/var/lib/{bridge}.qcow2", "8M"])
    with running(pair, devices=nic("here") + add_disk("/var/lib/here.qcow2")) as pulse:
        xml = pair.a.virsh("dumpxml", "--migratable", "g")
        changed = xml.replace("'here'", "'there'").replace("here.qcow2", "there.qcow2")

        def move(text):
            pair.a.write_file("/root/there.xml", text)
            pair.a.virsh("migrate", "--live", "--copy-storage-all", "--xml", "/root/there.xml", "g", TO_B, timeout=120)

        for before, after, complaint in [("52:54:00:00:00:01", "52:54:00:00:00:02", "mac"),
                                         ("unit='KiB'>", "unit='KiB'>1", "memory"),
                                         ("dev='vdb' bus='virtio'", "dev='sdb' bus='scsi'", "disk|target|bus")]:
            assert before in changed
            with pytest.raises(LabError, match=f"(?is)error: .*(?:{complaint})"):
                move(changed.replace(before, after))
        with pytest.raises(LabError, match="nowhere.qcow2"):
            move(changed.replace("there.qcow2", "nowhere.qcow2"))
        assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        move(changed)
        check_moved(pair, pulse)
        assert "there.qcow2" in pair.b.virsh("dumpxml", "g")


@pytest.mark.limit(180)
def test_only_what_lies_over_the_base_is_copied(pair):
    """MIG-42"""
    for host in (pair.a, pair.b):
        host.run(["qemu-img", "create", "-q", "-f", "raw", "/var/lib/base.img", "16M"])
        host.run(["qemu-io", "-f", "raw", "-c", "write -P 5 0 16M", "/var/lib/base.img"])
        host.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/var/lib/base.img", "-F", "raw", "/var/lib/top.qcow2"])
    pair.a.run(["qemu-io", "-c", "write -P 7 1M 1M", "/var/lib/top.qcow2"])
    before = pair.b.run(["sha256sum", "/var/lib/base.img"]).stdout
    with running(pair, devices=add_disk("/var/lib/top.qcow2")) as pulse:
        pair.a.virsh("migrate", "--live", "--copy-storage-inc", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
        pair.b.virsh("destroy", "g")
    assert pair.b.run(["sha256sum", "/var/lib/base.img"]).stdout == before
    pair.b.run(["qemu-io", "-r", "-c", "read -P 7 1M 1M", "-c", "read -P 5 2M 14M", "/var/lib/top.qcow2"])
    size = int(re.search(r"disk size: ([0-9.]+) MiB", pair.b.run(["qemu-img", "info", "/var/lib/top.qcow2"]).stdout)[1].split(".")[0])
    assert size < 4, "the base's data is not in it"
