"""What `make demo` does when the guest's kernel falls after its move, as it may where QEMU emulates."""
import os

import pytest

from lab import demo, probe

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="lab hosts need root")


@pytest.mark.limit(300)
def test_a_guest_that_begins_anew_is_shown_once_more_and_no_other_failure(monkeypatch, capsys):
    """The first guest is reset when it has moved, which it would itself after a panic; of the second something else fails."""
    if probe.accelerators()["linux"] != "tcg":
        pytest.skip("with KVM a guest that falls is a fault")
    move, moves = demo._move, []

    def moved(source, target, pulse, say):
        moves.append(pulse)
        if len(moves) == 2:
            raise demo.LabError("something else")
        began = move(source, target, pulse, say)
        mark = pulse.mark()
        target.virsh("reset", demo.GUEST)
        pulse.wait("^ready ", demo.BOOT_S, mark)
        return began

    monkeypatch.setattr(demo, "_move", moved)
    with pytest.raises(demo.LabError, match="something else") as failed:
        demo.run()
    assert not isinstance(failed.value, demo.BeganAnew) and len(moves) == 2
    said = capsys.readouterr().out
    assert said.count("The guest's kernel fell after the move and started anew") == 1 and "turned itself off" not in said
