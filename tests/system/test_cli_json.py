"""`drover -o json`: every command there is says what it says as one document, with all facts of its text (CON-30).

Commands about pools, volumes, networks, filters and interfaces have tables of their own (test_cli_storage.py,
test_cli_networks_json.py); a command that is in none of them fails the last test here.
"""
import json
import re

import pytest
from cli import TRIES, drover
from droverd import Droverd
from test_cli_read import GUEST

ELSEWHERE = ("net-", "nwfilter-", "iface-", "pool-", "vol-", "find-storage-pool-")
SECRET = "<secret ephemeral='no' private='no'><uuid>6d5e1a4c-0000-4000-8000-0000000000aa</uuid><usage type='volume'><volume>/v</volume></usage></secret>"
UUID = "6d5e1a4c-0000-4000-8000-0000000000aa"
DISK = "<disk type='file' device='disk'><source file='/images/b.img'/><target dev='vdb' bus='virtio'/></disk>"

# What they print holds facts; every word of it is in the document.
TELL = """
list | list --all | list --all --title | list --name | list --uuid | list --id | dominfo one | dominfo off | domstate one --reason
domid one | domid off | domname one | domuuid one | domcontrol one | domblklist one | domblklist one --details | domiflist one
domif-getlink one 52:54:00:00:00:01 | domblkinfo one --all | domblkinfo one --all --human | domblkerror one | domjobinfo one
vcpucount one | vcpucount one --maximum --live | vcpuinfo one | vcpupin one | emulatorpin one | iothreadinfo one | schedinfo one
memtune one | numatune one | blkiotune one | domiftune one 52:54:00:00:00:01 | desc one | desc one --title | dumpxml one
dumpxml one --xpath //target | domstats one | domstats | domxml-to-native qemu-argv one | hostname | uri | version | version --daemon
nodeinfo | nodecpumap | nodecpustats | nodecpustats --percent | nodememstats | freecell | freecell --all | freepages --all | capabilities
domcapabilities | maxvcpus | cpu-models x86_64 | nodedev-list | nodedev-list --tree | nodedev-info computer | nodedev-dumpxml computer
event --list | secret-list | secret-dumpxml UUID | secret-get-value UUID | help | help list | help domain | echo a b | pwd
cpu-compare FILE:cpu | cpu-baseline FILE:cpu | hypervisor-cpu-compare FILE:cpu | domifaddr one | sysinfo | node-memory-tune
attach-disk one /x vdc --print-xml | attach-interface one network default --print-xml | detach-disk one vda --print-xml
change-media one hdc --eject --print-xml | domif-setlink one 52:54:00:00:00:01 up --print-xml | man | completion | complete domain o
host-check | migrate-getspeed one | migrate-getmaxdowntime one | dommemstat one | cpu-stats one --total | domblkstat one vda
domifstat one 52:54:00:00:00:01 | domlaunchsecinfo one | nodesevinfo | domtime one | guestvcpus one | guestinfo one | blkdeviotune one vda
migrate-compcache one | metadata one http://nobody | domdisplay one | vncdisplay one | ttyconsole one | domhostname one | domfsinfo one
"""
# What they do is done; the confirmation, or an empty object, is the document.
ACT = """
secret-define FILE:secret | secret-set-value UUID --base64 c2VjcmV0 | define FILE:off | start off | suspend off | resume off | reset off
desc off new --title | setmem off 65536 | setvcpus off 2 | schedinfo off cpu_shares=1024 | attach-device off FILE:disk
detach-device off FILE:disk | attach-disk off /images/c.img vdb | detach-disk off vdb | attach-interface off network default --config
detach-interface off network --config | update-device off FILE:disk --config | change-media off hdc /x.iso --insert | reboot off
autostart off | send-key off KEY_A | inject-nmi off | managedsave off | managedsave-dumpxml off | managedsave-edit off
managedsave-define off FILE:off | managedsave-remove off | domrename off away | domrename away off | edit off | setmaxmem off 131072
set-lifecycle-action off poweroff destroy --config | save off FILE:saved | restore FILE:saved | dump off FILE:dumped | shutdown off
screenshot off FILE:shot | save-image-dumpxml FILE:saved | save-image-define FILE:saved FILE:off | save-image-edit FILE:saved
migrate-setspeed off 100 | migrate-setmaxdowntime off 300 | iothreadadd off 1 | iothreadset off 1 | iothreadpin off 1 0 | iothreaddel off 1
domiftune off 52:54:00:00:00:02 --inbound 100 --config | blockresize off vda 1M | setvcpu off 1 --enable | domjobabort off | destroy off | undefine off
create FILE:off | destroy off | secret-undefine UUID | connect | cd / | quit | exit | allocpages 4 0 | domdirtyrate-calc one
migrate one test:///x | migrate-postcopy one | migrate-limit one 1 | evacuate qemu+tcp://127.0.0.1:1/system | import-libvirt --dry-run
dompmsuspend one mem | dompmwakeup one | domfsfreeze one | domfsthaw one | domfstrim one | set-user-password one u p
get-user-sshkeys one u | set-user-sshkeys one u --reset | guest-agent-timeout one --timeout 1 | qemu-agent-command one {}
qemu-monitor-command one {} | qemu-attach 1 | send-process-signal one 1 term | domblkthreshold one vda 1 | detach-device-alias one none
domxml-from-native qemu-argv FILE:cpu | hypervisor-cpu-baseline FILE:cpu | nodedev-create FILE:cpu | nodedev-define FILE:cpu
nodedev-destroy computer | nodedev-undefine computer | nodedev-start computer | nodedev-autostart computer | nodedev-detach computer
nodedev-reattach computer | nodedev-reset computer | console off | event --event lifecycle --timeout 1 | secret-event --event lifecycle --timeout 1
nodedev-event --event lifecycle --timeout 1 | qemu-monitor-event --timeout 1
"""
# It would suspend the machine that runs the tests.
NOT_ASKED = {"nodesuspend"}

SILENT = {"quit", "exit", "ttyconsole"}
LINES = {"evacuate"}  # one document for each guest, as it goes
ROUNDED = {"dominfo", "vcpuinfo", "domblkinfo", "cpu-stats", "nodecpumap", "man", "completion", "help", "host-check", "domblkstat", "domifstat"}
COUNTERS = {"domstats", "nodecpustats", "nodememstats", "freecell", "freepages", "dommemstat"}  # they go on between two commands


def lines(text):
    return [line.strip() for row in text.strip().splitlines() for line in row.split(" | ")]


def command_of(line):
    return line.split()[0]


@pytest.fixture(scope="module", name="world")
def fixture_world(tmp_path_factory):
    base = tmp_path_factory.mktemp("json")
    for n, name in enumerate(("one", "off"), 1):
        (base / name).write_text(GUEST.format(name=name, n=n))
    (base / "secret").write_text(SECRET)
    (base / "disk").write_text(DISK)
    (base / "cpu").write_text("<cpu><arch>x86_64</arch><model>qemu64</model></cpu>")
    daemon = Droverd()

    def ask(line, *options):
        return drover(daemon.uri(), line.replace("FILE:", f"{base}/").replace("UUID", UUID), *options, env={"EDITOR": "true", "VISUAL": ""})

    for line in ("define FILE:one", "define FILE:off", "start one", "secret-define FILE:secret", "secret-set-value UUID --base64 c2VjcmV0"):
        assert ask(line).status == 0
    yield ask
    daemon.stop()


def scalars(document):
    """All that a document holds, as text; a number of bytes, seconds and the like as it is."""
    if isinstance(document, dict):
        return [word for key, value in document.items() for word in [key, *scalars(value)]]
    if isinstance(document, list):
        return [word for value in document for word in scalars(value)]
    return [str(document)]


def facts(text):
    """Numbers, paths, addresses and identities: every word with a digit or a slash in it."""
    return {word.strip("(){}[]'\",:;") for word in text.split() if re.search(r"[0-9/]", word)}


def lacking(text, document):
    """Facts of the text that the document has not."""
    held = set(" ".join(scalars(document)).split()) | set(scalars(document))
    missing = {fact for fact in facts(text) if fact not in held and fact.split("=")[-1] not in held}
    return {fact for fact in missing if not any(fact in word for word in held)}


@pytest.mark.parametrize("line", lines(TELL))
def test_the_document_has_all_facts_of_the_text(world, line):
    for _ in range(TRIES):  # devices of the machine, for one, come and go between the two
        text, said = world(line, "-q"), world(line, "-o", "json")
        assert text.status == said.status, said
        if said.status:
            assert said.err or said.out or command_of(line) in SILENT, said
            assert not said.out or json.loads(said.out)
            return
        document = json.loads(said.out)
        assert document or not text.out.strip()
        if command_of(line) in ROUNDED | COUNTERS or not lacking(text.out, document):
            return
    assert not lacking(text.out, document), said


@pytest.mark.parametrize("line", lines(ACT))
def test_what_is_done_is_one_document(world, line):
    said = world(line, "-o", "json")
    assert said.status == 0 and said.out or said.err or command_of(line) in SILENT or "events_received" in said.out, said
    for document in said.out.splitlines() if command_of(line) in LINES else [said.out or "{}"]:
        assert isinstance(json.loads(document), (dict, list))


def test_sizes_are_numbers_and_what_is_not_there_is_null(world):
    def of(line):
        said = world(line, "-o", "json")
        assert said.status == 0, said
        return json.loads(said.out)

    assert of("domblkinfo one --all --human")[1] == {"target": "hdc", "capacity": None, "allocation": None, "physical": None}
    assert of("domblklist one")[1] == {"target": "hdc", "source": None} and of("domif-getlink one 52:54:00:00:00:01")["state"] == "down"
    running, off = of("dominfo one"), of("dominfo test")
    assert running["persistent"] is True and running["autostart"] is False and isinstance(running["cpu_time_ns"], int)
    assert set(off) == set(running)
    assert all(isinstance(value, (int, float)) for value in of("nodecpustats --percent").values())


def test_most_of_them_had_something_to_tell(world):
    assert sum(world(line, "-o", "json").status == 0 for line in lines(TELL)[::4]) > 18


def test_no_command_is_left_out(world):
    there = {command["name"] for command in json.loads(world("help", "-o", "json").out)}
    asked = {command_of(line) for line in lines(TELL) + lines(ACT)}
    assert {name for name in there if not name.startswith(ELSEWHERE)} - asked == NOT_ASKED
