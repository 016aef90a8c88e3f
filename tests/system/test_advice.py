"""What the guides advise and no machine can check stands in docs/operating.md, in words that a person can use."""
import pathlib
import re

import pytest

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


@pytest.mark.parametrize("words", [
    "`/usepmtimer`",  # CLK-20, CON-33
    "ssh-keygen -t ed25519", "`authorized_keys` 0600",  # REM-22
    "qemu+ssh://host.example.org/system",  # REM-28
    "(vnc-tls 1)", "vnc_tls_x509_verify",  # REM-29
    "16509", "16514", "5900 and up", "49152 to 49216", "SSH needs 22 only",  # REM-30
    "ssh -X HOST virt-manager",  # REM-31
    "turn the machine's power off and on",  # CPU-03
    "Xen guests were never to be overcommitted",  # CPU-17
    "up to ten times for light desktops",  # MEM-03
    "a busy host, stalled processes",  # MEM-06
    "tried with the real load",  # MEM-12
])
def test_advice_is_given(words):
    assert words in re.sub(r"\s+", " ", TEXT)
