"""The pool 'default' of a fresh install, which may be redefined elsewhere, or removed for good (STO-02)."""
import os
import xml.etree.ElementTree as ElementTree

import pytest
from droverd import Droverd
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="droverd needs root")


class Fresh(Droverd):
    """One that makes its default pool; virsh() talks to its QEMU driver."""

    def virsh(self, *args, **more):
        return super().virsh(*args, driver="qemu", **more)

    def restart(self):
        self.process.kill()
        self.process.wait()
        self.output.truncate(0)
        self.start()

    def target(self):
        return ElementTree.fromstring(self.virsh("pool-dumpxml", "default")).findtext("target/path")

    def pools(self):
        return self.virsh("pool-list", "--all", "--name").split()


@pytest.fixture(name="fresh")
def fixture_fresh():
    fresh = Fresh("default_pool = 1\n")
    wait_for("it runs", lambda: fresh.virsh("pool-list", "--name").split() == ["default"])
    yield fresh
    fresh.stop()


def test_a_first_start_makes_the_default_pool(fresh):
    """STO-02: in the daemon's own directories, as it is not the system's; started now and with the host."""
    assert "yes" in fresh.virsh("pool-list", "--autostart").splitlines()[2]
    images = fresh.base / "state" / "images"
    assert fresh.target() == str(images) and images.stat().st_mode & 0o777 == 0o711
    fresh.virsh("vol-create-as", "default", "v", "1M")
    assert fresh.virsh("vol-path", "v", "--pool", "default").strip() == f"{images}/v"
    fresh.restart()
    assert fresh.virsh("pool-list", "--name").split() == ["default"]
    assert "v" in fresh.virsh("vol-list", "default")


def test_an_upgrade_that_brings_the_default_pool_starts_it(fresh):
    """STO-02: what starts with the host started before; the pool was not there then. Stopped, it stays so."""
    wait_for("that is noted", lambda: [*(fresh.base / "run").rglob("autostarted")])
    fresh.virsh("pool-destroy", "default")
    fresh.virsh("pool-define-as", "other", "dir", "--target", fresh.base / "other")
    fresh.virsh("pool-autostart", "other")
    fresh.restart()
    assert fresh.virsh("pool-list", "--name").split() == []
    fresh.virsh("pool-undefine", "default")
    (fresh.base / "state" / "default-pool-made").unlink()
    fresh.restart()
    wait_for("it runs", lambda: fresh.virsh("pool-list", "--name").split() == ["default"])


def test_a_default_pool_that_was_defined_elsewhere_or_removed_stays_so(fresh):
    """STO-02: the next start does not make it again."""
    fresh.virsh("pool-destroy", "default")
    fresh.virsh("pool-undefine", "default")
    fresh.virsh("pool-define-as", "default", "dir", "--target", fresh.base / "elsewhere")
    fresh.restart()
    assert fresh.pools() == ["default"] and fresh.target() == str(fresh.base / "elsewhere")
    fresh.virsh("pool-undefine", "default")
    fresh.restart()
    assert fresh.pools() == []


def test_a_definition_of_that_name_that_cannot_be_read_is_left_alone(fresh):
    """STO-02: it may be on a disk that is not there yet."""
    fresh.virsh("pool-destroy", "default")
    definition = fresh.base / "etc" / "storage" / "default.xml"
    fresh.process.kill()
    fresh.process.wait()
    (fresh.base / "state" / "default-pool-made").unlink()
    definition.unlink()
    definition.symlink_to(fresh.base / "later.xml")
    fresh.restart()
    assert fresh.pools() == [] and definition.is_symlink()
    assert f"a definition is left out: '{definition}'" in fresh.said()


def test_a_start_that_was_killed_in_the_middle_makes_the_rest(fresh):
    """The link, the definition, the mark: whichever of them a crash left out, the next start has the pool."""
    fresh.virsh("pool-destroy", "default")
    definition = fresh.base / "etc" / "storage" / "default.xml"
    for left_out in ([], [definition]):
        fresh.process.kill()
        fresh.process.wait()
        for path in [fresh.base / "state" / "default-pool-made", *left_out]:
            path.unlink()
        fresh.restart()
        assert fresh.pools() == ["default"] and definition.exists()
        assert "yes" in fresh.virsh("pool-list", "--all", "--autostart").splitlines()[2]


@pytest.mark.parametrize("name, target", [("default", "mine"), ("mine", "state/images")])
def test_a_name_or_a_place_that_is_taken_is_left_alone(fresh, name, target):
    """What was defined before drover knew of a default pool."""
    fresh.virsh("pool-destroy", "default")
    fresh.virsh("pool-undefine", "default")
    fresh.virsh("pool-define-as", name, "dir", "--target", fresh.base / target)
    (fresh.base / "state" / "default-pool-made").unlink()
    fresh.restart()
    assert fresh.pools() == [name]
