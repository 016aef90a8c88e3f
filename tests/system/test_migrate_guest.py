"""What of a guest is the same after a move, what its network is told, and what may not be changed meanwhile (MIG rows)."""
import datetime
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from test_migrate_options import moving, nic
from test_migrate_refusals import TO_B, add_disk, check_moved, guests_of, running, state_of
from waiting import wait_for

from lab import domains
from lab.paths import PROGRAMS, LabError

MAC = "52:54:00:00:00:01"
COPIED = ["--copy-storage-all"]
# Runs in a host: waits for a frame of this kind from this address to anybody.
EAR = """
import socket, sys
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x8035))
ear.bind((sys.argv[1], 0x8035))
print("listens", flush=True)
while ear.recv(2048)[6:12] != bytes.fromhex(sys.argv[2].replace(":", "")):
    pass
print("heard", flush=True)
"""


def identity(host):
    """What a guest is to those who know it: name, UUID, memory, disks and network cards."""
    root = ElementTree.fromstring(host.virsh("dumpxml", "g"))
    return {"name": root.findtext("name"), "uuid": root.findtext("uuid"), "memory": root.findtext("memory"),
            "disks": [(disk.find("source").get("file"), disk.find("target").get("dev")) for disk in root.iter("disk")],
            "cards": [(card.find("mac").get("address"), card.find("source").get("bridge")) for card in root.iter("interface")]}


@pytest.mark.limit(240)
def test_a_guest_is_the_same_there_and_its_network_hears_where_it_is(pair):
    """MIG-08, MIG-21: a RARP of each of its cards after the switch-over, so that switches send its frames there."""
    for host in (pair.a, pair.b):
        host.ip("link add t0 type bridge", "link set t0 up")
        host.run(["qemu-img", "create", "-q", "-f", "qcow2", "/var/lib/disk.qcow2", "8M"])
    with running(pair, devices=nic("t0", MAC) + add_disk("/var/lib/disk.qcow2")) as pulse:
        before = identity(pair.a)
        assert before["name"] == "g" and before["cards"] == [(MAC, "t0")]
        assert before["disks"][1:] == [("/var/lib/disk.qcow2", "vdb")]
        ear = pair.b.popen(["python3", "-c", EAR, "t0", MAC], stdout=-1, text=True)
        assert ear.stdout.readline() == "listens\n"
        pair.a.virsh("migrate", "--live", *COPIED, "g", TO_B, timeout=120)
        assert ear.communicate(timeout=120)[0] == "heard\n"
        assert identity(pair.b) == before
        assert f" {pair.b.virsh('domid', 'g').strip()} " in pair.b.virsh("list")
        check_moved(pair, pulse)


@pytest.mark.limit(180)
def test_a_clock_that_was_set_is_right_there_and_at_the_next_start(pair):
    """CLK-06: what was set moves along, in what runs and in what is kept. The year is set as a guest does it, by the chip's ports."""
    def adjustment(host, *options):
        return int(ElementTree.fromstring(host.virsh("dumpxml", "g", *options)).find("clock").get("adjustment"))

    def year(host):
        ask = {"execute": "qom-get", "arguments": {"path": "/machine", "property": "rtc-time"}}
        return 1900 + json.loads(host.virsh("qemu-monitor-command", "g", json.dumps(ask)))["return"]["tm_year"]
    clock = "<clock offset='variable' adjustment='3600'/>"
    pair.a.write_file("/root/g.xml", domains.bare("g", kind="qemu").replace("<devices>", f"{clock}<devices>"))
    pair.a.virsh("define", "/root/g.xml")
    pair.a.virsh("start", "g", "--paused")
    wanted = datetime.datetime.now(datetime.timezone.utc).year + 7
    for port, byte in (("0x70", "0x09"), ("0x71", f"0x{wanted % 100:02d}")):
        pair.a.virsh("qemu-monitor-command", "g", "--hmp", f"o /b {port} {byte}")
    for options in ((), ("--inactive",)):
        wait_for("the adjustment", lambda options=options: adjustment(pair.a, *options) > 6 * 365 * 86400)
    set_to = adjustment(pair.a)
    pair.a.virsh("migrate", "--live", "--persistent", "g", TO_B, timeout=120)
    assert adjustment(pair.b) == adjustment(pair.b, "--inactive") == set_to and year(pair.b) == wanted
    pair.b.virsh("destroy", "g")
    pair.b.virsh("start", "g", "--paused")
    assert year(pair.b) == wanted
    pair.b.virsh("destroy", "g")


@pytest.mark.limit(180)
def test_a_guest_that_moves_paused_stands_still_meanwhile(pair):
    """MIG-02: from before its memory is sent until it runs there, and its QEMU on the source is gone then.

    That it goes on at the next beat is in test_migrate.py.
    """
    with running(pair) as pulse:
        move = pair.a.popen(["virsh", "-q", "migrate", "--bandwidth", "1", "g", TO_B])

        def sent():
            found = re.search(r"Memory processed: *([0-9.]+) (\w+)", pair.a.virsh("domjobinfo", "g"))
            return float(found[1]) * {"B": 2**-20, "KiB": 2**-10, "MiB": 1}[found[2]] if found else 0

        first = wait_for("memory moves", sent)
        assert state_of(pair.a, "g", "--reason") == "paused (migrating)"
        wait_for("two MiB more", lambda: sent() > first + 2)
        assert move.poll() is None and state_of(pair.a, "g", "--reason") == "paused (migrating)"
        pair.a.virsh("migrate-setspeed", "g", "0")
        assert move.wait(120) == 0
        assert pair.a.processes("qemu-system-x86_64") == []
        check_moved(pair, pulse)
        assert state_of(pair.b, "g") == "running"


@pytest.mark.limit(180)
def test_only_the_disks_that_are_named_are_copied(pair):
    """MIG-56: also one that would be left out otherwise, as guests share it; the others must be there."""
    for name in ("one", "two"):
        for host in (pair.a, pair.b):
            host.run(["qemu-img", "create", "-q", "-f", "raw", f"/var/lib/{name}", "4M"])
        pair.a.run(["qemu-io", "-f", "raw", "-c", "write -P 7 1M 1M", f"/var/lib/{name}"])
    devices = add_disk("/var/lib/one").replace("qcow2", "raw") + add_disk("/var/lib/two").replace("qcow2", "raw").replace(
        "<target dev='vdb' bus='virtio'/>", "<target dev='vdc' bus='virtio'/><shareable/>")
    with running(pair, devices=devices) as pulse:
        with pytest.raises(LabError, match="no disk 'vdz'"):
            pair.a.virsh("migrate", "--live", "--unsafe", *COPIED, "--migrate-disks", "vdc,vdz", "g", TO_B)
        pair.a.virsh("migrate", "--live", "--unsafe", *COPIED, "--migrate-disks", "vdc", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
        pair.b.virsh("destroy", "g")
    for name, pattern in (("one", 0), ("two", 7)):
        pair.b.run(["qemu-io", "-f", "raw", "-r", "-c", f"read -P {pattern} 1M 1M", f"/var/lib/{name}"])


@pytest.mark.limit(180)
def test_no_change_of_a_guest_meanwhile(pair):
    """MIG-44: neither of what it has nor of what is kept of it; after the move both are possible."""
    card = "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/></interface>"
    for host in (pair.a, pair.b):
        host.write_file("/root/card.xml", card)
    with running(pair, verb="define", touch_mib=64) as pulse:  # a minute for what is tried meanwhile
        with moving(pair, "--persistent", "--change-protection"):
            for words in (["attach-device", "g", "/root/card.xml", "--live"], ["attach-device", "g", "/root/card.xml", "--config"],
                          ["define", "/root/g.xml"], ["undefine", "g"]):
                with pytest.raises(LabError, match="guest 'g' is busy with a migration"):
                    pair.a.virsh(*words)
        check_moved(pair, pulse)
        pair.b.virsh("attach-device", "g", "/root/card.xml", "--config")
        pair.a.virsh("undefine", "g")


@pytest.mark.limit(180)
def test_definitions_of_guests_that_do_not_run_move_in_either_way(pair):
    """MIG-36, MIG-37, MIG-38: by hand as ever, and by --offline, which is what a plain move names; a persistent guest outlives its end."""
    pair.a.write_file("/root/off.xml", domains.bare("off"))
    pair.a.virsh("define", "/root/off.xml")
    with pytest.raises(LabError, match="--offline --persistent"):
        pair.a.virsh("migrate", "--live", "off", TO_B)
    with pytest.raises(LabError, match="persistent"):
        pair.a.virsh("migrate", "--offline", "off", TO_B)
    assert guests_of(pair.b, "--all") == []
    pair.a.write_file("/root/copy.xml", pair.a.virsh("dumpxml", "off"))
    pair.a.virsh("define", "/root/copy.xml", uri=TO_B)
    pair.a.virsh("undefine", "off")
    assert guests_of(pair.a, "--all") == [] and guests_of(pair.b, "--all") == ["off"]
    with running(pair) as pulse:
        pair.a.virsh("migrate", "--live", "--persistent", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
        pair.b.virsh("destroy", "g")
        assert sorted(guests_of(pair.b, "--all")) == ["g", "off"]


OTHER_CARD = """#!/bin/sh
if [ "$2" = migrate ]; then sed "s|<model type='virtio'/>|<model type='e1000'/>|"; fi
"""


@pytest.mark.limit(240)
def test_what_a_qemu_has_against_a_guest_is_told_in_its_words(pair):
    """MIG-25: whoever drives the move, its user reads what the destination's QEMU said; the guest goes on, and can be moved again."""
    for host in (pair.a, pair.b):
        host.ip("link add t0 type bridge", "link set t0 up")
    pair.b.write_file("/etc/drover/hooks/qemu", OTHER_CARD, mode=0o755)
    assert pair.daemon_b.stop() == 0
    pair.daemon_b.start()
    with running(pair, devices=nic("t0", MAC)) as pulse:
        drover = [PROGRAMS / "drover", "-c", "qemu:///system", "migrate", "--live", "g", TO_B]
        for words in (["virsh", "migrate", "--live", "g", TO_B], ["virsh", "migrate", "--live", "--p2p", "g", TO_B], drover):
            with pytest.raises(LabError, match="(?s)QEMU cannot take guest 'g': .*Unknown .*load of migration failed"):
                pair.a.run(words, timeout=120)
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
        assert pair.daemon_b.stop() == 0
        pair.b.run(["rm", "/etc/drover/hooks/qemu"])
        pair.daemon_b.start()
        pair.a.virsh("migrate", "--live", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
