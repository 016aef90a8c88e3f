"""What the guides advise and no machine can check stands in docs/operating.md, in words that a person can use."""
import pathlib
import re

import pytest
from droverd import find_program

TEXT = (pathlib.Path(__file__).resolve().parents[2] / "docs/operating.md").read_text()
ARGUMENTS = [("none",), ("5.4, 64-bit", "divider=10 notsc lpj=n"), ("5.4, x86", "divider=10 clocksource=acpi_pm lpj=n"),
             ("5.3, 64-bit", "divider=10 notsc"), ("5.3, x86", "divider=10 clocksource=acpi_pm"), ("4.8, 64-bit", "notsc divider=10"),
             ("4.8, x86", "clock=pmtmr divider=10"), ("3.9", "none")]


def test_kernel_arguments_of_old_guests_are_a_table():
    """CLK-19: as the guide has them, row by row."""
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| ")]
    found = rows[rows.index(["guest", "arguments"]) + 1:][:len(ARGUMENTS)]
    for (guest, arguments), wanted in zip(found, ARGUMENTS, strict=True):
        assert arguments == wanted[-1] and guest.startswith(wanted[0] if len(wanted) > 1 else "RHEL 5.4"), (guest, arguments)


def test_what_the_docs_say_of_the_defaults_is_so():
    """CON-38, CON-39, CON-62, CON-42: by the sample of the file, which has every key at its default."""
    sample = (pathlib.Path(find_program()).parent / "gen/daemon/droverd.conf").read_text()
    for line in ("remote_display_port_min = 5900", "remote_display_port_max = 65535", "dump_guest_core = 0", 'migration_cache_check = "auto"',
                 'migration_converge = "report"', 'mac_prefix = "52:54:00"', "migration_port_min = 49152", "migration_port_max = 49215"):
        assert f"\n#{line}\n" in sample, line


MISPRINTS = ("brtcl", "capabilites", "mulitpath", "xen_image _t", "guest-synch-delimited", "policycoreutilis", "`virsh stop", "<vcpus>", "on_shutdown")


def test_misprints_of_the_guides_are_not_ours():
    """CON-12, CON-28, CON-51, CON-56"""
    top = pathlib.Path(__file__).resolve().parents[2]
    for path in [top / "README.md", *(top / "docs").glob("*.md")]:
        assert not [word for word in MISPRINTS if word in path.read_text()], path


@pytest.mark.parametrize("words", [
    "`/usepmtimer`",  # CLK-20, CON-33
    "ssh-keygen -t ed25519", "`authorized_keys` 0600",  # REM-22
    "qemu+ssh://host.example.org/system",  # REM-28
    "(vnc-tls 1)", "vnc_tls_x509_verify",  # REM-29
    "16509", "16514", "5900 and up", "49152 to 49216", "SSH needs 22 only",  # REM-30
    "ssh -X HOST virt-manager",  # REM-31
    "5634 to 6166", "`remote_display_port_max = 6166`", "`firewall-cmd --add-service drover-migration`",  # CON-38
    "`dump_guest_core`", "set it to 1",  # CON-39
    "`auto`, the default", "`strict` is the guides' rule",  # CON-62
    "`00:16:3e` is what the guides' generator",  # CON-24
    "`drover migrate --max-pause`, end it by themselves",  # CON-42, CON-72
    "turn the machine's power off and on",  # CPU-03
    "Xen guests were never to be overcommitted",  # CPU-17
    "up to ten times for light desktops",  # MEM-03
    "a busy host, stalled processes",  # MEM-06
    "tried with the real load",  # MEM-12
])
def test_advice_is_given(words):
    assert words in re.sub(r"\s+", " ", TEXT)
