"""drover's commands for devices of the host, beside stock virsh on one droverd."""
import select
import subprocess
import uuid

import libvirt
import pytest
from cli import DROVER, ENVIRONMENT, as_json, compare, drover, virsh
from droverd import Droverd
from waiting import PATIENCE_S, EventLoop, wait_for

from lab import native


@pytest.fixture(scope="module", name="uri")
def fixture_uri():
    daemon = Droverd()
    yield daemon.uri(driver="qemu")
    daemon.stop()


@pytest.fixture(scope="module", name="pci")
def fixture_pci(uri):
    """The name of a device that nobody takes away meanwhile."""
    names = drover(uri, "nodedev-list --cap pci").out.split()
    return names[0] if names else "computer"


@pytest.mark.parametrize("command", [
    "nodedev-list --cap pci", "nodedev-list --cap system", "nodedev-list --cap system,pci", "nodedev-list --cap mdev",
    "nodedev-list --inactive", "nodedev-list --cap nonsense", "nodedev-list --all --inactive", "nodedev-list --tree --cap pci",
    "nodedev-list --tree --inactive", "nodedev-info computer", "nodedev-info nosuch", "nodedev-dumpxml computer",
    "nodedev-dumpxml nosuch", "nodedev-dumpxml computer --xpath //uuid", "nodedev-dumpxml computer --xpath //uuid --wrap",
    "nodedev-event --list", "nodedev-event --event nonsense", "nodedev-event"])
def test_both_print_the_same(uri, command):
    compare(uri, command)


def test_a_pci_function_is_shown_as_virsh_shows_it(uri, pci):
    for command in ("nodedev-info", "nodedev-dumpxml"):
        compare(uri, [command, pci])


def same_twice(uri, command):
    """What both print of a list that others change now and then; None: it changed between the three."""
    first, theirs, last = drover(uri, command), virsh(uri, command), drover(uri, command)
    return (first, theirs) if first.out == last.out else None


@pytest.mark.parametrize("command", ["nodedev-list", "nodedev-list --all", "nodedev-list --tree"])
def test_lists_and_the_tree_are_those_of_virsh(uri, command):
    for _ in range(20):
        said = same_twice(uri, command)
        if said:
            assert (said[0].status, said[0].out) == (said[1].status, said[1].out)
            assert "computer\n" in said[0].out
            return
    pytest.skip("links of this machine come and go all the time")


@pytest.mark.parametrize("command", ["nodedev-detach {}", "nodedev-detach {} --driver vfio", "nodedev-dettach {}", "nodedev-reattach {}",
                                     "nodedev-reset {}", "nodedev-destroy {}", "nodedev-undefine {}", "nodedev-start {}",
                                     "nodedev-autostart {}", "nodedev-autostart {} --disable"])
def test_what_droverd_does_not_do_is_refused_in_words(uri, pci, command):
    said = compare(uri, command.format(pci))
    assert said.status == 1 and "not supported" in said.err, said
    assert drover(uri, command.format("nosuch")).err.startswith("error: Could not find matching device 'nosuch'\n")


@pytest.mark.parametrize("command", ["nodedev-create", "nodedev-create --validate", "nodedev-define", "nodedev-define --validate"])
def test_devices_are_not_made(uri, command, tmp_path):
    path = tmp_path / "device.xml"
    path.write_text("<device><parent>computer</parent><capability type='mdev'><type id='x'/></capability></device>")
    said = compare(uri, [*command.split(), str(path)])
    assert said.status == 1 and "not supported" in said.err, said


def test_help_says_who_does_what_droverd_does_not(uri):
    assert "droverd shows devices of the host" in drover(uri, "help nodedev-detach").out


def test_json_of_devices(uri):
    assert {"name": "computer"} in as_json(uri, "nodedev-list")
    tree = {device["name"]: device["parent"] for device in as_json(uri, "nodedev-list --tree --all")}
    assert tree["computer"] is None and all(parent is None or parent in tree for parent in tree.values())
    assert as_json(uri, "nodedev-info computer") == {"name": "computer", "parent": None, "active": True, "persistent": False,
                                                     "autostart": False}
    assert as_json(uri, "nodedev-event --list") == ["lifecycle", "update"]


def test_names_are_completed(uri):
    assert "computer" in drover(uri, "complete nodedev comp", "-q").out.split()


class Elsewhere(Droverd):
    """In a network of its own, where links come and go as the test says."""

    space = f"drover-{uuid.uuid4().hex[:8]}"

    def around(self):
        return ["ip", "netns", "exec", self.space]

    def ip(self, *words):
        subprocess.run([*self.around(), "ip", *words], check=True, timeout=PATIENCE_S)


@pytest.fixture(scope="module", name="elsewhere")
def fixture_elsewhere():
    subprocess.run(["ip", "netns", "add", Elsewhere.space], check=True)
    daemon = Elsewhere()
    yield daemon
    daemon.stop()
    subprocess.run(["ip", "netns", "delete", Elsewhere.space], check=True)


def test_devices_that_come_and_go_are_told_of(elsewhere):
    """By the names that the list has; one that is called otherwise goes and comes."""
    EventLoop.start()
    connection = libvirt.open(elsewhere.uri(driver="qemu"))
    heard = []
    connection.nodeDeviceEventRegisterAny(None, libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE,
                                          lambda _c, device, event, _d, _o: heard.append((device.name(), event)), None)
    elsewhere.ip("link", "add", "one", "address", "52:54:00:00:00:01", "type", "veth", "peer", "name", "two", "address",
                 "52:54:00:00:00:02")
    names = {"net_one_52_54_00_00_00_01", "net_two_52_54_00_00_00_02"}
    came, went = libvirt.VIR_NODE_DEVICE_EVENT_CREATED, libvirt.VIR_NODE_DEVICE_EVENT_DELETED
    wait_for("both ends", lambda: {(name, came) for name in names} <= set(heard))
    assert names <= {device.name() for device in connection.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET)}
    elsewhere.ip("link", "set", "two", "name", "three")
    wait_for("the other name", lambda: {("net_two_52_54_00_00_00_02", went), ("net_three_52_54_00_00_00_02", came)} <= set(heard))
    elsewhere.ip("link", "delete", "one")
    wait_for("their end", lambda: {("net_one_52_54_00_00_00_01", went), ("net_three_52_54_00_00_00_02", went)} <= set(heard))
    assert len(heard) == len(set(heard))
    connection.close()


@pytest.mark.parametrize("program", [DROVER, "virsh"])
def test_a_device_whose_state_changed_is_told_of(elsewhere, program):
    """As udev's 'change' in libvirt: by the name that the list has, to who listens for that and for nothing else."""
    elsewhere.ip("link", "add", "u0", "address", "52:54:00:00:00:03", "type", "veth", "peer", "name", "v0")
    words = [program, "-c", elsewhere.uri(driver="qemu"), "nodedev-event", "--event", "update"]
    waiting = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**ENVIRONMENT, **native.environment(words)})

    def told():
        """When it listens is not said."""
        subprocess.run([*elsewhere.around(), "sh", "-c", "echo change > /sys/class/net/u0/uevent"], check=True)
        return select.select([waiting.stdout], [], [], 1)[0]
    wait_for("an event", told)
    assert waiting.communicate(timeout=PATIENCE_S)[0].startswith("event 'update' for node device net_u0_52_54_00_00_00_03")
    elsewhere.ip("link", "delete", "u0")


@pytest.mark.parametrize("program", [DROVER, "virsh"])
def test_both_print_what_comes(elsewhere, program):
    words = [program, "-c", elsewhere.uri(driver="qemu"), "nodedev-event", "--event", "lifecycle"]
    waiting = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**ENVIRONMENT, **native.environment(words)})

    def told():
        """When it listens is not said: links come until it has heard of one."""
        elsewhere.ip("link", "add", "name", "d0", "type", "veth", "peer", "name", "e0")
        elsewhere.ip("link", "delete", "d0")
        elsewhere.ip("link", "add", "name", "d0", "type", "veth", "peer", "name", "e0")
        heard = select.select([waiting.stdout], [], [], 1)[0]
        elsewhere.ip("link", "delete", "d0")
        return heard
    wait_for("an event", told)
    assert waiting.communicate(timeout=PATIENCE_S)[0].startswith("event 'lifecycle' for node device net_")
