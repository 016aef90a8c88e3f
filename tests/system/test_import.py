"""drover import-libvirt: what libvirt has defined on a host, taken over."""
import json
import os
import uuid

import pytest

from cli import as_json, drover
from live import LiveDaemon

NOTE = "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE\nOVERWRITTEN AND LOST.\n-->\n\n"
SECRET = "f1dc1b6e-2a25-4e0c-9a0e-6a7f3b6f2b11"
MAC = "52:54:00:12:34:56"


@pytest.fixture()
def daemon():
    if os.geteuid() != 0:
        pytest.skip("droverd runs as root")
    daemon = LiveDaemon()
    yield daemon
    daemon.stop()


def guest_xml(name, ident):
    return f"""{NOTE}<domain type='qemu'>
  <name>{name}</name><uuid>{ident}</uuid><memory unit='KiB'>131072</memory><vcpu placement='static'>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><interface type='user'><mac address='{MAC}'/><model type='virtio'/></interface></devices>
</domain>
"""


@pytest.fixture()
def libvirt_dir(tmp_path):
    """A configuration directory as libvirt 9.0 leaves it."""
    base = tmp_path / "libvirt"
    idents = {name: str(uuid.uuid4()) for name in ("one", "two", "lan", "images")}
    idents[SECRET] = SECRET
    files = {
        "qemu/one.xml": guest_xml("one", idents["one"]), "qemu/two.xml": guest_xml("two", idents["two"]),
        "qemu/networks/lan.xml": f"{NOTE}<network>\n  <name>lan</name>\n  <uuid>{idents['lan']}</uuid>\n"
                                 "  <bridge name='virbr77' stp='on' delay='0'/>\n</network>\n",
        "storage/images.xml": f"{NOTE}<pool type='dir'>\n  <name>images</name>\n  <uuid>{idents['images']}</uuid>\n"
                              f"  <target><path>{tmp_path}</path></target>\n</pool>\n",
        f"secrets/{SECRET}.xml": f"{NOTE}<secret ephemeral='no' private='no'>\n  <uuid>{SECRET}</uuid>\n"
                                 "  <usage type='volume'>\n    <volume>/images/one</volume>\n  </usage>\n</secret>\n",
        f"secrets/{SECRET}.base64": "b3BlbiBzZXNhbWU=",
    }
    for name, text in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    for kind, name in (("qemu", "one"), ("qemu/networks", "lan")):
        (base / kind / "autostart").mkdir()
        (base / kind / "autostart" / f"{name}.xml").symlink_to(base / kind / f"{name}.xml")
    return base, idents


def imported(daemon, base, *options):
    said = drover(daemon.uri(), ["import-libvirt", f"--from={base}", f"--run={base}/run", *options], "-o", "json")
    return said.status, {(row["kind"], row["name"]): row for row in json.loads(said.out)}


def test_everything_is_taken_over_once(daemon, libvirt_dir):
    base, idents = libvirt_dir
    before = sorted((path, path.read_bytes()) for path in base.rglob("*.xml"))
    status, rows = imported(daemon, base, "--dry-run")
    assert status == 0 and {row["outcome"] for row in rows.values()} == {"to be imported"} and len(rows) == 5
    assert daemon.virsh("list", "--all", "--name").split() == []

    status, rows = imported(daemon, base)
    assert status == 0, rows
    assert {key: row["outcome"] for key, row in rows.items()} == dict.fromkeys(
        [("secret", SECRET), ("network", "lan"), ("pool", "images"), ("guest", "one"), ("guest", "two")], "imported")
    assert {row["name"]: row["uuid"] for row in rows.values()} == idents
    assert daemon.virsh("domuuid", "one").strip() == idents["one"]
    assert MAC in daemon.virsh("dumpxml", "one")
    assert "Autostart:      enable" in daemon.virsh("dominfo", "one")
    assert "Autostart:      disable" in daemon.virsh("dominfo", "two")
    assert idents["lan"] in daemon.virsh("net-dumpxml", "lan")
    assert daemon.virsh("secret-get-value", SECRET).strip() == "b3BlbiBzZXNhbWU="
    assert "yes" in daemon.virsh("net-info", "lan").split("Autostart:")[1].split("\n")[0]
    assert idents["images"] in daemon.virsh("pool-dumpxml", "images")

    status, rows = imported(daemon, base)
    assert status == 0 and {row["outcome"] for row in rows.values()} == {"there already"}
    assert before == sorted((path, path.read_bytes()) for path in base.rglob("*.xml"))


def test_what_is_there_is_not_overwritten_and_what_is_broken_is_named(daemon, libvirt_dir, tmp_path):
    base, idents = libvirt_dir
    mine = tmp_path / "mine.xml"
    mine.write_text(guest_xml("one", uuid.uuid4()).replace("131072", "65536"))
    daemon.virsh("define", mine)
    (base / "qemu" / "two.xml").write_text("<domain><name>two</name>")
    (base / "qemu" / "other.xml").write_text(guest_xml("other", daemon.virsh("domuuid", "one").strip()))
    status, rows = imported(daemon, base)
    assert status != 0
    assert rows["guest", "one"]["outcome"] == "another one has its name"
    assert rows["guest", "other"]["outcome"] == "its UUID is that of 'one'"
    assert any("two.xml" in row["outcome"] for row in rows.values())
    assert "65536" in daemon.virsh("dominfo", "one") and daemon.virsh("domuuid", "one").strip() != idents["one"]
    assert rows["pool", "images"]["outcome"] == "imported"


def test_guests_that_libvirtd_runs_are_refused(daemon, libvirt_dir):
    base, _ = libvirt_dir
    (base / "run").mkdir()
    (base / "run" / "two.pid").write_text(f"{os.getpid()}\n")
    said = drover(daemon.uri(), ["import-libvirt", f"--from={base}", f"--run={base}/run"])
    assert said.status != 0 and "libvirtd runs 'two' now" in said.err
    assert daemon.virsh("list", "--all", "--name").split() == []
    assert as_json(daemon.uri(), "list --all") == []
