"""drover's commands for networks and interfaces beside those of stock virsh, on the test driver's network."""
import subprocess

import pytest
from cli import DROVER, as_json, compare, drover, virsh
from droverd import Droverd
from waiting import wait_for

XML = "<network><name>made</name><uuid>11111111-2222-3333-4444-555555555577</uuid>{}</network>"
LOST = ["net-info nosuch", "net-dumpxml nosuch", "net-start nosuch", "net-autostart nosuch", "net-update default add nonsense '<x/>'",
        "net-update default add dns-txt '<txt/>'", "net-start default", "iface-dumpxml nosuch", "net-list --name --uuid"]


@pytest.fixture(scope="module")
def uri():
    daemon = Droverd()
    yield daemon.uri()
    daemon.stop()


@pytest.mark.parametrize("command", [
    "net-list", "net-list --all", "net-list --inactive", "net-list --name", "net-list --uuid", "net-list --all --transient",
    "net-list --autostart", "net-info default", "net-name dd8fe884-6c02-601e-7551-cca97df1c5df", "net-uuid default",
    "net-dumpxml default", "net-dumpxml default --inactive", "net-dhcp-leases default", "net-port-list default",
    "net-dumpxml default --xpath //bridge", "iface-list", "iface-list --all", "iface-list --inactive", "iface-mac lo",
    "iface-name 00:00:00:00:00:00", "iface-dumpxml lo", *LOST])
def test_what_is_printed_is_what_virsh_prints(uri, command):
    compare(uri, command)


def test_a_network_lives_and_ends(uri, tmp_path):
    """NET-04, NET-05, NET-11 to NET-15"""
    file = tmp_path / "net.xml"
    file.write_text(XML.format(""))
    host = "<host mac='52:54:00:00:00:09' ip='192.168.122.9'/>"
    for command, says in (
            (f"net-define {file}", f"Network made defined from {file}\n\n"), ("net-start made", "Network made started\n\n"),
            ("net-autostart made", "Network made marked as autostarted\n\n"),
            ("net-autostart made --disable", "Network made unmarked as autostarted\n\n"),
            (f'net-update default add ip-dhcp-host "{host}" --live --config',
             "Updated network default persistent config and live state\n"),
            (f'net-update default delete ip-dhcp-host "{host}" --live', "Updated network default live state\n"),
            (f'net-update default delete ip-dhcp-host "{host}" --config', "Updated network default persistent config\n"),
            ("net-destroy made", "Network made destroyed\n\n"), ("net-undefine made", "Network made has been undefined\n\n"),
            (f"net-create {file}", f"Network made created from {file}\n\n"), ("net-destroy made", "Network made destroyed\n\n")):
        said = drover(uri, command)
        assert (said.status, said.out.strip()) == (0, says.strip()), said


def test_answers_come_as_json(uri):
    assert as_json(uri, "net-list") == [{"name": "default", "state": "active", "autostart": True, "persistent": True}]
    assert as_json(uri, "net-info default")["bridge"] == "virbr0"
    assert as_json(uri, "net-list --name") == [{"name": "default"}]
    assert {"name": "lo", "state": "inactive", "mac_address": "00:00:00:00:00:00"} in as_json(uri, "iface-list --all")


def test_a_network_is_described_in_words_and_elements(uri, tmp_path):
    """As with guests, by commands that virsh got in 9.7: title, description, and what applications keep; each change tells."""
    waiting = subprocess.Popen([DROVER, "-c", uri, "net-event", "--network", "default", "--event", "metadata-change", "--timeout", "100"],
                               stdout=subprocess.PIPE, text=True)

    def told():
        assert drover(uri, "net-desc default --live --config --title Usual one").out.strip() == "Network title updated successfully"
        return waiting.poll() is not None
    try:
        wait_for("the event", told)
        assert waiting.stdout.read().startswith("event 'metadata-change' for network default: type title, uri N/A\n")
    finally:
        waiting.kill()
        waiting.wait()
        waiting.stdout.close()
    assert drover(uri, "net-desc default --title").out.strip() == "Usual one"
    assert as_json(uri, "net-list --title")[0]["title"] == "Usual one"
    assert drover(uri, "net-desc default").out.strip() == "No description for network: default"
    assert drover(uri, "net-desc default two words --config").out.strip() == "Network description updated successfully"
    assert "<description>two words</description>" in drover(uri, "net-dumpxml default --inactive").out
    assert "<description>" not in drover(uri, "net-dumpxml default").out
    assert drover(uri, ["net-metadata", "default", "urn:x", "--key", "k", "--set", "<a b='1'/>"]).out.strip() == "Metadata modified"
    assert drover(uri, "net-metadata default urn:x").out.strip() == "<a b='1'/>" and "<k:a xmlns:k='urn:x' b='1'/>" in drover(uri, "net-dumpxml default").out
    assert drover(uri, "net-metadata default urn:x --remove").out.strip() == "Metadata removed"
    for command, says in (("net-metadata default urn:x", "has no such metadata: urn:x"), ("net-metadata default urn:x --set '<a/>'", "key is required"),
                          ("net-metadata default urn:x --key k --set '<a'", "metadata"), ("net-desc nosuch", "no network with matching name"),
                          ("net-desc default --live --config", "one definition")):
        said = drover(uri, command)
        assert said.status == 1 and says in said.err, said
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho edited > \"$1\"\n")
    editor.chmod(0o755)
    assert drover(uri, "net-desc default --edit --live", env={"VISUAL": str(editor)}).status == 0
    assert as_json(uri, "net-desc default") == {"description": "edited"}
    assert drover(uri, "net-desc default --title ''").status == 0
    readonly = drover(uri, "net-desc default other", "-r")
    assert readonly.status == 1 and "read only" in readonly.err


def test_a_port_is_made_and_deleted_as_with_virsh(uri, tmp_path):
    file = tmp_path / "port.xml"
    port = "11111111-2222-3333-4444-555555555588"
    file.write_text(f"<networkport><uuid>{port}</uuid><owner><name>o</name><uuid>{port}</uuid></owner>"
                    "<mac address='52:54:00:00:00:01'/></networkport>")
    for program in (drover, virsh):
        assert program(uri, f"net-port-create default {file}").out.strip() == f"Network port {port} created from {file}"
        assert as_json(uri, "net-port-list default --uuid") == [{"uuid": port}]
        assert "exists" in program(uri, f"net-port-create default {file}").err
        assert "<name>o</name>" in program(uri, f"net-port-dumpxml default {port}").out
        assert program(uri, f"net-port-delete default {port}").out.strip() == f"Network port {port} deleted"
    said = drover(uri, f"net-port-delete default {port}")  # virsh 9.0 calls this a success
    assert said.status == 1 and "Network port not found" in said.err
    file.write_text("<networkport/>")
    compare(uri, f"net-port-create default {file}")


def test_names_of_networks_are_completed(uri):
    assert drover(uri, "complete network de", "-q").out == "default\n"
    assert drover(uri, "complete interface l", "-q").out == "lo\n"
    assert drover(uri, "complete pool nosuch", "-q").out == ""


def test_a_definition_is_edited(uri, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i \"s/delay='0'/delay='7'/\" \"$1\"\n")
    editor.chmod(0o755)
    said = drover(uri, "net-edit default", env={"VISUAL": str(editor)})
    assert said.out.strip() == "Network default XML configuration edited.", said
    assert "delay='7'" in drover(uri, "net-dumpxml default --inactive").out
