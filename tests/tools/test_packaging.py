"""The systemd units keep guests alive and pass the daemon both sockets; the manual page is whole."""
import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = TOP / "packaging"


def unit(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(PACKAGING / name)
    return parser


def test_stopping_the_service_leaves_guests_alone():
    service = unit("droverd.service.in")["Service"]
    assert service["KillMode"] == "process"
    assert service["Delegate"] == "yes"
    assert service["Type"] == "notify"
    assert service["ExecReload"].split()[-2:] == ["-HUP", "$MAINPID"]
    assert service["RuntimeDirectoryPreserve"] == "yes"


@pytest.mark.parametrize("name, path, mode", [
    ("droverd.socket", "libvirt-sock", "0770"),
    ("droverd-ro.socket", "libvirt-sock-ro", "0777"),
])
def test_each_socket_says_what_it_may(name, path, mode):
    socket = unit(name)["Socket"]
    assert socket["ListenStream"] == f"/run/drover/{path}"
    # droverd takes a passed socket whose name ends in -ro as read-only
    assert socket["FileDescriptorName"] == path
    assert socket["SocketMode"] == mode
    assert name in unit("droverd.service.in")["Unit"]["Requires"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine")
def test_systemd_finds_nothing_to_complain_about(tmp_path):
    for path in PACKAGING.glob("*.socket"):
        shutil.copy(path, tmp_path)
    text = (PACKAGING / "droverd.service.in").read_text()
    (tmp_path / "droverd.service").write_text(re.sub(r"@sbindir@/droverd", "/bin/true", text))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
                          capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "droverd" in line]
    assert complaints == []


def test_the_manual_page_names_every_option_and_key_and_formats_without_a_complaint(tmp_path):
    subprocess.run([sys.executable, TOP / "tools" / "gen.py", "man", tmp_path], check=True)
    page = (tmp_path / "droverd.8").read_text().replace("\\-", "-")
    facts = {name: tomllib.loads((TOP / "facts" / name).read_text()) for name in ("droverd.toml", "config.toml")}
    for row in facts["droverd.toml"]["option"]:
        assert f"--{row['name']}" in page
    for row in facts["config.toml"]["key"]:
        assert f".B {row['name']}\n" in page
    if not shutil.which("man"):
        pytest.skip("no man here")
    done = subprocess.run(["man", "--warnings=all", "-l", tmp_path / "droverd.8"], capture_output=True, text=True, check=False,
                          env={**os.environ, "MANWIDTH": "200", "LC_ALL": "C"})
    assert done.returncode == 0 and done.stderr == "" and "--check-config" in done.stdout
