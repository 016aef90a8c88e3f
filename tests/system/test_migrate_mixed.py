"""Moves between drover and a stock libvirtd, in both directions, by stock virsh (MIG-08, MIG-23): managed by the client, and
driven by the source's daemon."""
import re
import types

import pytest
from test_migrate_refusals import check_moved, guests_of, running, state_of
from waiting import wait_for

from lab.paths import LabError

WAYS = pytest.mark.parametrize("options", [[], ["--p2p"]], ids=["managed", "p2p"])


@pytest.fixture()
def mixed(lab):
    """Hosts "ours" with droverd and "stock" with libvirtd."""
    ours, stock = lab.host("ours", kvm=True), lab.host("stock", stock=True)
    daemon = ours.droverd({"listen_tcp": 1, "auth_tcp": "none"})
    libvirtd = stock.libvirtd()
    yield types.SimpleNamespace(lab=lab, ours=ours, stock=stock, daemon=daemon, libvirtd=libvirtd)
    assert daemon.stop() == 0, daemon.tail()
    assert "Sanitizer" not in daemon.log.read_text(errors="replace"), daemon.tail()


def way(mixed, source, target):
    """The two hosts as the helpers for moves know them: from a to b."""
    return types.SimpleNamespace(lab=mixed.lab, a=getattr(mixed, source), b=getattr(mixed, target))


NOT_OURS = {"Time elapsed w/o network", "Downtime w/o network"}


def told(host):
    """What a destination tells of the move that is over."""
    return dict(re.findall("(.*?): +(.*?) *\n", host.virsh("domjobinfo", "--completed", "g")))


@pytest.mark.limit(180)
@WAYS
def test_a_guest_moves_from_drover_to_libvirt_and_back(mixed, options):
    out, home = way(mixed, "ours", "stock"), way(mixed, "stock", "ours")
    with running(out) as pulse:
        out.a.virsh("migrate", "--live", *options, "g", "qemu+tcp://stock/system", timeout=120)
        check_moved(out, pulse)
        account = told(out.b)
        home.a.virsh("migrate", "--live", *options, "g", "qemu+tcp://ours/system", timeout=120)
        check_moved(home, pulse)
        assert state_of(home.b, "g") == "running"
        assert set(account) - NOT_OURS <= set(told(home.b)), "what one destination tells of a move the other does"
        assert {"Memory total", "Memory processed", "Total downtime", "Time elapsed", "Page size"} <= set(account)


@pytest.mark.limit(180)
def test_a_guest_moves_from_libvirt_to_drover_paused_and_persistent(mixed):
    there = way(mixed, "stock", "ours")
    with running(there, verb="define") as pulse:
        there.a.virsh("migrate", "--suspend", "--persistent", "--undefinesource", "g", "qemu+tcp://ours/system", timeout=120)
        assert state_of(there.b, "g") == "paused" and guests_of(there.a, "--all") == []
        assert guests_of(there.b, "--all", "--persistent") == ["g"]
        there.b.virsh("resume", "g")
        check_moved(there, pulse)


@pytest.mark.limit(180)
@pytest.mark.parametrize("source, target", [("ours", "stock"), ("stock", "ours")])
def test_a_mixed_move_that_is_aborted_leaves_the_guest_at_home(mixed, source, target):
    pair = way(mixed, source, target)
    with running(pair) as pulse:
        move = pair.a.popen(["virsh", "-q", "migrate", "--live", "--bandwidth", "1", "g", f"qemu+tcp://{target}/system"],
                            stderr=-1)
        wait_for("memory moves", lambda: "Memory processed" in pair.a.virsh("domjobinfo", "g"))
        pair.a.virsh("domjobabort", "g")
        assert move.wait(120) != 0
        move.stderr.close()
        assert state_of(pair.a, "g") == "running"
        wait_for("the other is rid of it", lambda: guests_of(pair.b, "--all") == [])
        assert pulse.verify()[0]


@pytest.mark.limit(180)
def test_a_libvirt_that_refuses_the_guest_says_why(mixed):
    pair = way(mixed, "ours", "stock")
    pair.a.ip("link add only-here type bridge", "link set only-here up")
    with running(pair, devices="<interface type='bridge'><source bridge='only-here'/><model type='virtio'/></interface>"):
        for options in ([], ["--p2p"]):
            with pytest.raises(LabError, match="only-here"):
                pair.a.virsh("migrate", "--live", *options, "g", "qemu+tcp://stock/system", timeout=120)
            assert state_of(pair.a, "g") == "running" and guests_of(pair.b, "--all") == []
