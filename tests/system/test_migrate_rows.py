"""What is checked before a guest moves: where its images are and how they are cached, which QEMU waits for it."""
import re
import struct

import frames
import pytest
from test_migrate_handover import BEGIN, CONFIRM, NONE, PREPARE, Mover
from test_migrate_refusals import TO_B, add_disk, check_moved, guests_of, payload_kind, running, state_of

from lab import domains
from lab.paths import LabError
from lab.pulse import Pulse

MODES = ["", "writeback", "writethrough", "unsafe", "none", "directsync"]


def make_image(pair, name):
    path = f"/var/lib/{name}.qcow2"
    for host in (pair.a, pair.b):
        host.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"])
    return path


def refusal(pair, *options):
    with pytest.raises(LabError) as refused:
        pair.a.virsh("migrate", "--live", *options, "g", TO_B)
    assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
    return str(refused.value)


@pytest.mark.limit(180)
def test_caches_of_disks_are_checked_by_either_policy(pair):
    """MIG-16, MIG-45, CON-62: strict as the guide has it, auto by default; --unsafe overrides both; what is only read may be cached."""
    devices = ""
    for number, mode in enumerate([*MODES, "writeback"]):
        path, target = make_image(pair, f"disk{number}"), f"vd{'bcdefgh'[number]}"
        devices += add_disk(path, mode).replace("vdb", target).replace(" cache=''", "")
    devices = devices.replace("<target dev='vdh' bus='virtio'/>", "<target dev='vdh' bus='virtio'/><readonly/>")

    def named(sentence):
        return {target for target, _ in re.findall(r"disk '(vd.)' (is cached by this host|has cache='unsafe')", sentence)}

    with running(pair, devices=devices) as pulse:
        assert named(refusal(pair)) == {"vde"}
        assert pair.daemon_a.stop() == 0
        pair.daemon_a = pair.a.droverd({"listen_tcp": 1, "auth_tcp": "none", "migration_cache_check": "strict"})
        assert named(refusal(pair)) == {"vdb", "vdc", "vdd", "vde"}
        pair.a.virsh("migrate", "--live", "--unsafe", "g", TO_B, timeout=120)
        check_moved(pair, pulse)


@pytest.mark.limit(120)
def test_a_source_that_is_the_storage_server_says_so(pair):
    """MIG-20, MIG-68: in the refusal, which says how else it can be moved, and in the log of a move that was forced."""
    path = make_image(pair, "disk")
    pair.a.write_file("/etc/exports", "# all of it\n/var/lib *(rw,sync)\n")
    with running(pair, devices=add_disk(path)) as pulse:
        sentence = refusal(pair)
        assert f"disk 'vdb' ({path}) is not on shared storage but on this host, which exports it" in sentence
        assert "--copy-storage-all" in sentence
        pair.a.virsh("migrate", "--live", "--unsafe", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
    assert f"disk 'vdb' ({path}), which this host exports" in pair.daemon_a.log.read_text()


class Odd(Mover):
    """A move of a guest that its client says something else of: another machine, another hypervisor."""

    def prepare_with(self, before, after):
        ret = self.ask(self.source, BEGIN, self.domain + NONE + self.flags + NONE + self.limit)
        cookie, xml = ret.opaque(), ret.opaque().decode()
        assert before in xml
        xml = xml.replace(before, after)
        answer = self.target.call(PREPARE, frames.string(cookie) + NONE + self.flags + NONE + self.limit + frames.string(xml))
        assert answer.status != frames.OK
        self.source.send(frames.frame(CONFIRM, self.domain + frames.string(b"") + self.flags + struct.pack(">i", 1)))
        self.source.answer()
        return answer.error()[2]


@pytest.mark.limit(120)
def test_a_machine_that_is_too_new_or_too_old_there_is_refused_with_the_reason(pair):
    """MIG-24, CON-43: by what makes QEMUs of different age fit, the machine's version; nothing has been sent by then."""
    with running(pair):
        for machine, reason in [("pc-i440fx-99.1", "came with a later QEMU"), ("pc-i440fx-0.10", "is of an older QEMU"),
                                ("nonsense", "has no machine 'nonsense'$")]:
            mover = Odd(pair)
            sentence = mover.prepare_with(f"machine='{domains.MACHINE}'", f"machine='{machine}'")
            assert re.search(rf"QEMU \d+\.\d+\.\d+ here has no machine '{machine}'", sentence), sentence
            assert re.search(reason, sentence), sentence
            mover.leave()
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []


@pytest.mark.limit(120)
def test_a_hypervisor_that_is_not_there_is_refused(pair):
    """MIG-23: one of KVM where there is none, one that is no QEMU's; nothing has been sent by then."""
    if payload_kind(pair.b) == "kvm":
        pytest.skip("this machine has KVM")
    with running(pair):
        for kind, reason in (("kvm", "KVM cannot be used here"), ("xen", "guests of type 'kvm' and 'qemu' only")):
            mover = Odd(pair)
            sentence = mover.prepare_with("<domain type='qemu'", f"<domain type='{kind}'")
            assert reason in sentence, sentence
            mover.leave()
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []


@pytest.mark.limit(120)
def test_a_guest_with_a_device_of_its_viewer_is_warned_of(pair):
    """MIG-26"""
    inside, outside = pair.lab.socket("port")
    xml = domains.bare("g", 8, 0, 10, inside, kind=payload_kind(pair.a), random=True).replace(
        "<controller type='usb' model='none'/>", "<controller type='usb' model='qemu-xhci'/><redirdev bus='usb' type='pty'/>")
    pair.a.write_file("/root/g.xml", xml)
    with Pulse(outside) as pulse:
        pair.a.virsh("create", "/root/g.xml")
        pulse.wait("^beat ", 90)
        pair.a.virsh("migrate", "--live", "g", TO_B, timeout=120)
        check_moved(pair, pulse)
    assert "guest 'g' moves with a USB device that is redirected to it" in pair.daemon_a.log.read_text()
