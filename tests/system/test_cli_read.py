"""What drover prints is what stock virsh prints, on one droverd (CON-30, LIFE-01 to LIFE-33)."""
import json

import pytest
from cli import as_json, compare, drover, virsh
from droverd import Droverd

GUEST = """<domain type='test'><name>{name}</name><uuid>6d5e1a4c-0000-4000-8000-00000000000{n}</uuid><memory unit='MiB'>64</memory><vcpu>2</vcpu>
<os><type>hvm</type></os><devices>
<disk type='file' device='disk'><source file='/images/{name}.img'/><target dev='vda' bus='virtio'/></disk>
<disk type='block' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
<interface type='network'><mac address='52:54:00:00:00:0{n}'/><source network='default'/><target dev='vnet{n}'/>
<model type='virtio'/><link state='down'/></interface>
</devices></domain>"""

SAME = """
list | list --all | list --inactive | list --all --title | list --all --managed-save | list --state-paused
list --uuid --all | list --name --all | list --id --all | list --all --uuid --name | list --transient | list --table --name
domstate one | domstate one --reason | domstate --domain one | domid one | domid off | domname 1 | domuuid one | domuuid off
domblklist one | domblklist one --details | domblklist off --inactive | domiflist one | domiflist off
domif-getlink one 52:54:00:00:00:01 | domif-getlink off vnet2 | domif-getlink one nosuch
dumpxml one | dumpxml off | dumpxml one --inactive | dumpxml one --xpath //target | dumpxml one --xpath //disk --wrap
dumpxml one --xpath //nothing --wrap | dumpxml one --xpath //mac
hostname | nodeinfo | nodecpumap | nodecpumap --pretty | maxvcpus | capabilities | domcapabilities
event --list | domcontrol one | ttyconsole one | vncdisplay off | domdisplay off | managedsave-remove one
domstate nosuch | dominfo nosuch | dumpxml nosuch | start one | domid | domid one two | domstate one --reason=1 | nosuch
list --foo | domstate --domain | help nosuch | reboot one --mode foo | setvcpus one 0
attach-disk one /dev/null vdb --print-xml | attach-disk one /x.iso hdc --type cdrom --mode readonly --print-xml
attach-disk one /x.iso hdd --type cdrom --print-xml
attach-disk one /i vdc --driver qemu --subdriver qcow2 --cache none --address pci:0000.00.03.0 --print-xml
attach-disk one n vdc --source-protocol nbd --source-host-name h:10809 --serial s1 --wwn 5000c50015ea71aa --print-xml
attach-interface one network default --print-xml
attach-interface one bridge br0 --mac 52:54:00:00:00:09 --model virtio --inbound 100,200 --print-xml
detach-disk one vda --print-xml | detach-disk one vdz | detach-interface one network --print-xml
detach-interface one bridge | change-media one hdc --eject | change-media one vda --eject
change-media one hdc /x.iso --insert --print-xml | domif-setlink one 52:54:00:00:00:01 up --print-xml
echo a b | echo --shell "a b" "c'd" | echo --xml "<a b='c'>"
"""
COUNTERS = "dominfo one | dominfo off | nodecpustats | nodememstats | freecell | freecell --all | freecell 0"


def commands(text):
    return [command.strip() for line in text.strip().splitlines() for command in line.split(" | ")]


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    daemon = Droverd()
    directory = tmp_path_factory.mktemp("guests")
    for n, name in enumerate(("one", "off"), 1):
        path = directory / f"{name}.xml"
        path.write_text(GUEST.format(name=name, n=n))
        daemon.virsh("define", path)
    daemon.virsh("destroy", "test")
    daemon.virsh("start", "one")
    yield daemon.uri()
    daemon.stop()


@pytest.mark.parametrize("command", commands(SAME))
def test_both_print_the_same(uri, command):
    compare(uri, command)


@pytest.mark.parametrize("command", commands(COUNTERS))
def test_both_print_the_same_but_for_counters(uri, command):
    compare(uri, command, counters=True)


@pytest.mark.parametrize("command", ["list --all", "list --all --name", "domblklist one", "start one", "dumpxml one"])
def test_quiet_is_as_quiet(uri, command):
    compare(uri, command, "-q")


def test_a_cdrom_is_called_cdrom(uri):
    """CON-25"""
    assert "for a CD use 'cdrom'" in drover(uri, "attach-disk one /x.iso hdd --type hdd").err
    assert "device='cdrom'" in drover(uri, "attach-disk one /x.iso hdd --type cdrom --print-xml").out


def test_tunnelled_has_two_spellings(uri):
    """CON-07"""
    for spelling in ("--tunnelled", "--tunneled"):
        said = drover(uri, f"migrate nosuch qemu+tcp://x/system --live --p2p {spelling}")
        assert said.err == "error: failed to get domain 'nosuch'\n"


def test_a_guest_is_found_by_all_its_names(uri):
    uuid = virsh(uri, "domuuid one").out.strip()
    ident = virsh(uri, "domid one").out.strip()
    for name in ("one", ident, uuid, uuid.replace("-", "")):
        assert drover(uri, ["domuuid", name]).out.strip() == uuid


def test_a_readonly_connection_reads_and_changes_nothing(uri):
    assert drover(uri, "dominfo one", "-r").status == 0
    said = compare(uri, "destroy one", "-r")
    assert said.status == 1 and "read only access" in said.err


@pytest.mark.parametrize("command", ["list --all", "dominfo one", "domstate one --reason", "domblklist one", "domiflist one",
                                     "nodeinfo", "freecell --all", "nodecpustats", "version --daemon", "uri", "help list",
                                     "event --list", "dumpxml one", "suspend one", "resume one", "domid off"])
def test_every_kind_of_answer_is_one_json_document(uri, command):
    assert as_json(uri, command)


def test_all_that_is_read_can_be_read_as_json(uri):
    told = 0
    for command in commands(SAME) + commands(COUNTERS):
        said = drover(uri, command, "-o", "json")
        if said.status == 0:
            json.loads(said.out)
            told += 1
    assert told > 60


def test_json_has_types(uri):
    guests = {guest["name"]: guest for guest in as_json(uri, "list --all")}
    assert guests["off"]["id"] is None and isinstance(guests["one"]["id"], int)
    info = as_json(uri, "dominfo one")
    assert info["max_memory_kib"] == 65536 and info["cpus"] == 2 and info["persistent"] is True and info["autostart"] is False


def test_events_come_as_stock_virsh_shows_them(uri):
    for program in (drover, virsh):
        assert program(uri, "event --event lifecycle --timeout 1").out == "event loop timed out\nevents received: 0\n\n"
