"""drover's commands for pools and volumes: what they say is what stock virsh says, and JSON of it."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import cli
import procfs
from droverd import Droverd
from frames import OK, Wire, string
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")


@pytest.fixture(name="daemon")
def fixture_daemon():
    daemon = Droverd()
    yield daemon
    daemon.stop()


def drover(daemon, *args, check=True):
    said = cli.drover(daemon.uri(driver="qemu"), [str(arg) for arg in args])
    assert not check or said.status == 0, said
    return said.out + ("" if check else said.err)


def both(daemon, *args, check=True):
    """The command by drover; virsh says the same of the same state."""
    said = drover(daemon, *args, check=check)
    assert said == daemon.virsh(*args, driver="qemu", check=check), args
    return said


def test_the_life_of_a_pool_and_its_volumes(daemon):
    """STO-13, STO-15 to STO-25."""
    target, data = daemon.base / "p", daemon.base / "data"
    assert "Pool p defined" in drover(daemon, "pool-define-as", "p", "dir", "--target", target)
    both(daemon, "pool-list", "--all")
    both(daemon, "pool-info", "p")
    assert "Pool p started" in drover(daemon, "pool-start", "p", "--build")
    assert "Pool p marked as autostarted" in drover(daemon, "pool-autostart", "p")
    for args in (["pool-list"], ["pool-list", "--name"], ["pool-list", "--uuid"], ["pool-list", "--type", "dir"],
                 ["pool-info", "p", "--bytes"], ["pool-dumpxml", "p"], ["pool-uuid", "p"], ["pool-capabilities"],
                 ["vol-list", "p"], ["pool-list", "--details"]):
        both(daemon, *args)
    assert "Vol a created" in drover(daemon, "vol-create-as", "p", "a", "8M", "--format", "qcow2")
    assert "Vol b created" in drover(daemon, "vol-create-as", "p", "b", "4M", "--backing-vol", "a", "--format", "qcow2",
                                     "--backing-vol-format", "qcow2")
    assert "Vol c cloned from b" in drover(daemon, "vol-clone", "b", "c", "--pool", "p")
    assert "successfully changed to 6M" in drover(daemon, "vol-resize", "c", "6M", "--pool", "p")
    for args in (["vol-list", "p"], ["vol-list", "p", "--details"], ["vol-info", "c", "p"], ["vol-dumpxml", "b", "p"],
                 ["vol-info", target / "a", "--bytes"], ["vol-key", "a", "p"], ["vol-path", "a", "p"],
                 ["vol-name", target / "a"], ["vol-pool", target / "a"]):
        both(daemon, *args)
    for args in (["vol-info", "nothing", "p"], ["pool-info", "nothing"], ["vol-create-as", "p", "a", "1M"],
                 ["pool-undefine", "p"], ["pool-start", "p"]):
        both(daemon, *args, check=False)
    drover(daemon, "vol-create-as", "p", "r", "4M")
    with open(data, "wb") as file:
        file.truncate(2 << 20)
        file.seek(3 << 20)
        file.write(os.urandom(1 << 20))
    assert "[100 %]" in drover(daemon, "vol-upload", "r", data, "p", "--sparse", "--progress", check=False)
    assert (target / "r").read_bytes() == data.read_bytes()
    drover(daemon, "vol-download", "r", daemon.base / "back", "p", "--sparse")
    assert (daemon.base / "back").read_bytes() == data.read_bytes()
    assert (daemon.base / "back").stat().st_blocks * 512 < 3 << 20
    drover(daemon, "vol-upload", "r", data, "p", "--offset", "1M", "--length", "64k")
    assert "[100 %]" in drover(daemon, "vol-download", "r", daemon.base / "back", "p", "--progress", check=False)
    assert (daemon.base / "back").read_bytes() == (target / "r").read_bytes()
    piped = "piped\n" * 60000
    said = cli.drover(daemon.uri(driver="qemu"), ["vol-upload", "r", "/dev/stdin", "p"], stdin=piped)
    assert said.status == 0 and (target / "r").read_bytes().startswith(piped.encode()), said
    assert "Vol r wiped" in drover(daemon, "vol-wipe", "r", "p")
    assert not (target / "r").read_bytes().strip(b"\0")
    for name in "rcba":
        assert f"Vol {name} deleted" in drover(daemon, "vol-delete", name, "p")
    for act in ("destroy", "delete", "undefine"):
        drover(daemon, f"pool-{act}", "p")
    assert not target.exists()


STORAGE_VOL_GET_INFO = 98


class Copy:
    """drover that makes the volume "copy" from "v", in the pool "c"; the process that does it stands still in the middle."""

    def __init__(self, daemon, definition):
        self.wire = Wire(daemon.socket(), "qemu:///system")
        self.drover = subprocess.Popen([cli.DROVER, "-c", daemon.uri(driver="qemu"), "vol-create-from", "c", definition, "v", "--inputpool",
                                        "c", "--progress"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.told = None  # told: bytes in all, and so far
        while not self.told and self.drover.poll() is None:
            self.pid = self.copier(daemon.process.pid)
            if self.pid:
                self.told = self.stop()

    def copier(self, daemon):
        children = procfs.read(f"/proc/{daemon}/task/{daemon}/children").split()
        return next((int(pid) for pid in children if b"make" in procfs.read(f"/proc/{int(pid)}/cmdline").split(b"\0")), None)

    def stop(self):
        """What the daemon says of a copy in the middle; another one goes on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)
            wait_for("it stands still", lambda: procfs.read(f"/proc/{self.pid}/stat").rpartition(b")")[2].split()[:1] not in ([b"R"], [b"D"], [b"S"]))
            answer = self.wire.call(STORAGE_VOL_GET_INFO, string("c") + string("copy") + string("copy"))
            told = struct.unpack(">QQ", answer.payload[4:20]) if answer.status == OK else (0, 0)
            if told[0] > told[1] > told[0] // 100:
                return told
            os.kill(self.pid, signal.SIGCONT)
        return None


def test_a_copy_tells_how_far_it_is(daemon, tmp_path):
    """Whoever makes it sees it grow, by the bytes that are there; for others it is no volume before it is whole."""
    directory, definition, size = daemon.base / "c", tmp_path / "copy.xml", 128 << 20
    definition.write_text("<volume><name>copy</name><capacity>1</capacity><target><format type='qcow2'/></target></volume>")
    drover(daemon, "pool-create-as", "c", "dir", "--target", directory, "--build")
    drover(daemon, "vol-create-as", "c", "v", str(size))
    block = os.urandom(1 << 20)
    with open(directory / "v", "r+b") as file:
        for _ in range(size >> 20):
            file.write(block)
    for _ in range(20):  # it may have come to its end before it could be stopped
        copy = Copy(daemon, definition)
        if copy.told:
            break
        copy.drover.communicate()
        drover(daemon, "vol-delete", "copy", "c")
    assert copy.told[0] == size
    status = procfs.read(f"/proc/{copy.pid}/status").decode()  # what reads images may do little
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status or b"libasan" in procfs.read(f"/proc/{copy.pid}/maps")
    percent, said = copy.told[1] * 100 // size, b""
    while f"\rCopy: [{percent:3} %]".encode() not in said:
        more = os.read(copy.drover.stderr.fileno(), 4096)
        assert more, said
        said += more
    assert "copy" not in daemon.virsh("vol-list", "c", driver="qemu")
    assert "no storage vol with matching" in daemon.virsh("vol-info", "copy", "c", driver="qemu", check=False)
    os.kill(copy.pid, signal.SIGCONT)
    out, rest = copy.drover.communicate()
    assert copy.drover.returncode == 0 and b"created from input vol v" in out and rest.endswith(b"[100 %]\n"), rest
    percents = [int(n) for n in re.findall(rb"\[ *(\d+) %\]", said + rest)]
    assert percents == sorted(percents) and percents[0] == 0
    assert "Copy: [100 %]" in drover(daemon, "vol-clone", "copy", "again", "c", "--progress", check=False)
    subprocess.run(["qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", directory / "again", directory / "v"], check=True)
    drover(daemon, "pool-destroy", "c")


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing")
def test_a_download_that_is_refused_at_its_end_has_failed(daemon):
    """As a server does that is full, or a quota: what it did not take is no file, and no success."""
    drover(daemon, "pool-create-as", "c", "dir", "--target", daemon.base / "c", "--build")
    drover(daemon, "vol-create-as", "c", "v", "1M")
    back = daemon.base / "back"
    done = subprocess.run(["strace", "-f", "-qq", "-o", daemon.base / "trace", "-P", back, "-e", "trace=close", "-e",
                           "inject=close:error=EDQUOT", cli.DROVER, "-c", daemon.uri(driver="qemu"), "vol-download", "v", back, "c"],
                          capture_output=True, text=True, timeout=120, check=False,
                          env=cli.ENVIRONMENT | {"ASAN_OPTIONS": "detect_leaks=0"})
    assert "INJECTED" in (daemon.base / "trace").read_text()
    assert done.returncode == 1 and f"cannot write '{back}': Disk quota exceeded" in done.stderr, done
    assert not back.exists()
    drover(daemon, "pool-destroy", "c")


def test_words_are_words_in_xml_whatever_is_in_them(daemon):
    drover(daemon, "pool-create-as", "c", "dir", "--target", daemon.base / "c", "--build")
    drover(daemon, "vol-create-as", "c", "base", "1M")
    word = "raw'/><x y='<&"
    shown = ElementTree.fromstring(drover(daemon, "vol-create-as", "c", word, "1M", "--format", word, "--backing-vol", "base",
                                          "--backing-vol-format", word, "--print-xml"))
    assert [shown.findtext("name"), *(element.get("type") for element in shown.iter("format"))] == [word] * 3
    drover(daemon, "pool-destroy", "c")
    shown = ElementTree.fromstring(drover(daemon, "pool-define-as", word, "netfs", "--source-host", word, "--source-path", word,
                                          "--source-format", word, "--target", word, "--print-xml"))
    assert [shown.findtext("name"), shown.findtext("target/path"), shown.find("source/host").get("name"),
            shown.find("source/dir").get("path"), shown.find("source/format").get("type")] == [word] * 5


def test_json_says_the_same(daemon):
    drover(daemon, "pool-create-as", "j", "dir", "--target", daemon.base / "j", "--build")
    drover(daemon, "vol-create-as", "j", "v", "1M")
    assert json.loads(drover(daemon, "-o", "json", "pool-list"))[0]["name"] == "j"
    assert json.loads(drover(daemon, "-o", "json", "vol-list", "j"))[0]["path"] == str(daemon.base / "j" / "v")
    assert json.loads(drover(daemon, "-o", "json", "vol-info", "v", "j"))["capacity"] == 1 << 20
    drover(daemon, "pool-destroy", "j")
    assert json.loads(drover(daemon, "-o", "json", "pool-list", "--all")) == []


def test_every_command_of_virsh_for_pools_and_volumes_is_there(daemon):
    """By virsh's own help; what reads tells the same as JSON."""
    names = [line.split()[0] for group in ("pool", "volume") for line in daemon.virsh("help", group, driver="qemu").splitlines()
             if line.startswith("    ")]
    assert len(names) >= 37 and {"pool-edit", "pool-event", "vol-wipe", "find-storage-pool-sources-as"} <= set(names)
    for name in names:
        assert name in drover(daemon, "help", name)
    drover(daemon, "pool-define-as", "e", "dir", "--target", daemon.base / "e")
    drover(daemon, "pool-start", "e", "--build")
    uuid = both(daemon, "pool-uuid", "e").strip()
    both(daemon, "pool-name", uuid)
    path = str(daemon.base / "e" / "v")
    drover(daemon, "vol-create-as", "e", "v", "1M")
    told = {"pool-uuid e": uuid, f"pool-name {uuid}": "e", "pool-info e": uuid, "pool-dumpxml e": uuid, "pool-capabilities": "logical",
            "pool-list --all": "e", "vol-list e": path, "vol-info v e": "v", "vol-key v e": path, "vol-path v e": path,
            f"vol-name {path}": "v", f"vol-pool {path}": "e", "vol-dumpxml v e": path}
    for command, word in told.items():
        assert word in json.dumps(json.loads(drover(daemon, "-o", "json", *command.split()))), command


def test_every_command_about_pools_and_volumes_speaks_json(daemon, tmp_path):
    asked, directory, data = set(), daemon.base / "z", tmp_path / "data"
    data.write_bytes(b"data" * 1024)

    def ask(*words):
        asked.add(words[0])
        return json.loads(drover(daemon, "-o", "json", *words))

    def file(text):
        (tmp_path / "text").write_text(text)
        return tmp_path / "text"

    def done(message, *words):
        assert ask(*words) == {"message": message.format(tmp_path / "text")}

    pool = f"<pool type='dir'><name>z</name><target><path>{directory}</path></target></pool>"
    volume = "<volume><name>{}</name><capacity>1048576</capacity></volume>"
    done("Pool z defined from {}", "pool-define", file(pool))
    done("Pool z built", "pool-build", "z")
    done("Pool z started", "pool-start", "z")
    done("Pool z marked as autostarted", "pool-autostart", "z")
    done("Pool z refreshed", "pool-refresh", "z")
    done("Vol a created", "vol-create-as", "z", "a", "1M")
    done("Vol b created from {}", "vol-create", "z", file(volume.format("b")))
    done("Vol c created from input vol a", "vol-create-from", "z", file(volume.format("c")), "a", "--inputpool", "z")
    done("Vol d cloned from a", "vol-clone", "a", "d", "z")
    assert ask("vol-upload", "a", data, "z") == ask("vol-download", "a", tmp_path / "back", "z", "--length", "4096") == {"bytes": 4096}
    assert "changed to 2M" in ask("vol-resize", "b", "2M", "z")["message"] and ask("vol-info", "b", "z")["capacity"] == 2 << 20
    done("Vol a wiped", "vol-wipe", "a", "z")
    done("Vol d deleted", "vol-delete", "d", "z")
    assert sorted(row["name"] for row in ask("vol-list", "z")) == ["a", "b", "c"]
    for command, key in (("vol-key", "key"), ("vol-path", "path")):
        assert ask(command, "a", "z") == {key: f"{directory}/a"}
    assert ask("vol-name", directory / "a") == {"name": "a"} and ask("vol-pool", directory / "a") == {"pool": "z"}
    assert ElementTree.fromstring(ask("vol-dumpxml", "a", "z")["xml"]).findtext("name") == "a"
    assert ElementTree.fromstring(ask("pool-dumpxml", "z")["xml"]).findtext("name") == "z"
    uuid = ask("pool-uuid", "z")["uuid"]
    assert ask("pool-name", uuid) == {"name": "z"} and ask("pool-info", "z")["uuid"] == uuid and ask("pool-list")[0]["name"] == "z"
    assert "lifecycle" in ask("pool-event", "--list") and ask("pool-capabilities")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cli.ENVIRONMENT, "VISUAL", "true")
        assert "message" in ask("pool-edit", "z")
    for name in "abc":
        ask("vol-delete", name, "z")
    done("Pool z destroyed", "pool-destroy", "z")
    done("Pool z has been undefined", "pool-undefine", "z")
    done("Pool z created from {}", "pool-create", file(pool))
    done("Pool z destroyed", "pool-destroy", "z")
    done("Pool z created", "pool-create-as", "z", "dir", "--target", directory)
    done("Pool z destroyed", "pool-destroy", "z")
    done("Pool z defined", "pool-define-as", "z", "dir", "--target", directory)
    done("Pool z deleted", "pool-delete", "z")
    assert {command["name"] for command in ask("help") if command["name"].startswith(("pool-", "vol-"))} - asked == set()


def test_a_pool_is_edited(daemon, tmp_path):
    """By drover and by virsh, with whatever editor is named; its definition says then what that wrote."""
    (tmp_path / "new").mkdir()
    drover(daemon, "pool-define-as", "e", "dir", "--target", tmp_path / "old")
    for program, directory in ((drover, "new"), (lambda d, *words: d.virsh(*words, driver="qemu"), "newer")):
        (tmp_path / directory).mkdir(exist_ok=True)
        editor = tmp_path / "editor"
        editor.write_text(f"#!/bin/sh\nexec sed -i 's,<path>.*</path>,<path>{tmp_path / directory}</path>,' \"$1\"\n")
        editor.chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDITOR", str(editor))
            patch.setenv("VISUAL", str(editor))
            patch.setitem(cli.ENVIRONMENT, "EDITOR", str(editor))
            patch.setitem(cli.ENVIRONMENT, "VISUAL", str(editor))
            assert "edited" in program(daemon, "pool-edit", "e")
        assert f"<path>{tmp_path / directory}</path>" in both(daemon, "pool-dumpxml", "e")


DEBIAN = pathlib.Path("/usr/share/osinfo/os/debian.org/debian-11.xml")


@pytest.mark.skipif(not DEBIAN.exists(), reason="osinfo-db is not installed")
def test_a_disk_has_to_hold_its_system(daemon):
    """STO-39: less than it needs is refused, less than it should have is a warning."""
    needs, wants = (int(ElementTree.parse(DEBIAN).findtext(f"os/resources/{which}/storage")) for which in ("minimum", "recommended"))
    drover(daemon, "pool-create-as", "o", "dir", "--target", daemon.base / "o", "--build")

    def make(name, size, variant="debian11"):
        return drover(daemon, "vol-create-as", "o", name, str(size), "--os-variant", variant, check=False)

    assert f"debian11 needs a disk of {needs >> 30}.00 GiB at least" in make("v", needs - 1)
    assert "no system is called 'amiga'" in make("v", wants, "amiga")
    assert os.listdir(daemon.base / "o") == []
    said = make("small", needs)
    assert f"warning: debian11 should have a disk of {wants >> 30}.00 GiB" in said and "Vol small created" in said
    said = make("right", wants)
    assert "warning" not in said and "Vol right created" in said


KINDS = ["dir", "fs", "netfs", "logical", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "gluster", "zfs", "vstorage"]


def test_completion_and_help_know_every_kind_of_pool_that_the_daemon_has(daemon):
    """STO-01: as pool-capabilities tells them."""
    kinds = ElementTree.fromstring(drover(daemon, "pool-capabilities")).findall("pool")
    assert sorted(kind.get("type") for kind in kinds if kind.get("supported") == "yes") == sorted(KINDS)
    script = drover(daemon, "completion")
    assert script.count(",".join(KINDS)) >= 5
    for command in ("pool-define-as", "find-storage-pool-sources"):
        assert all(kind in drover(daemon, "help", command) for kind in KINDS), command


def test_a_definition_from_words_is_what_virsh_makes_of_them(daemon):
    both(daemon, "pool-create-as", "n", "dir", "--target", "/t", "--print-xml")
    words = {"iscsi": ["--source-host", "h", "--source-dev", "iqn.x:y", "--target", "/t", "--source-initiator", "iqn.us",
                       "--auth-type", "chap", "--auth-username", "u", "--secret-usage", "k"],
             "rbd": ["--source-host", "h", "--source-name", "n", "--auth-type", "ceph", "--auth-username", "u",
                     "--secret-uuid", "d2b7c5a4-5b4e-4a6c-9d52-0d9f5f6c7e11"],
             "scsi": ["--target", "/t", "--adapter-name", "scsi_host3"],
             "netfs": ["--source-host", "h", "--source-path", "/p", "--target", "/t", "--source-format", "nfs",
                       "--source-protocol-ver", "4"]}
    for kind, more in words.items():
        assert "Pool n defined" in drover(daemon, "pool-define-as", "n", kind, *more)
        ours = [line for line in daemon.virsh("pool-dumpxml", "n", driver="qemu").splitlines() if "<uuid>" not in line]
        both(daemon, "pool-dumpxml", "n")
        daemon.virsh("pool-undefine", "n", driver="qemu")
        daemon.virsh("pool-define-as", "n", kind, *more, driver="qemu")
        theirs = [line for line in daemon.virsh("pool-dumpxml", "n", driver="qemu").splitlines() if "<uuid>" not in line]
        assert ours == theirs
        daemon.virsh("pool-undefine", "n", driver="qemu")


def test_sources_are_looked_for_as_virsh_does(daemon, tmp_path):
    spec = tmp_path / "spec"
    spec.write_text("<source><host name='127.0.0.1' port='1'/><initiator><iqn name='iqn.x:y'/></initiator></source>")
    for args in (["find-storage-pool-sources", "dir"], ["find-storage-pool-sources-as", "dir"],
                 ["find-storage-pool-sources", "iscsi-direct"], ["find-storage-pool-sources", "iscsi-direct", spec],
                 ["find-storage-pool-sources-as", "iscsi-direct", "127.0.0.1", "1", "iqn.x:y"],
                 ["find-storage-pool-sources", "no-such-kind"]):
        assert "Failed to find any" in both(daemon, *args, check=False)
    assert "--port needs --host" in drover(daemon, "find-storage-pool-sources-as", "iscsi", "--port", "1", check=False)
