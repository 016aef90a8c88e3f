"""What `meson install` puts in place runs from there, helpers included."""
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest
from droverd import Droverd
from img_tools import needs_stock
from nbd_server import Serving

from lab.paths import PROGRAMS


@pytest.fixture()
def place(tmp_path):
    """Where everything was installed."""
    done = subprocess.run(["meson", "install", "-C", PROGRAMS, "--no-rebuild", "--quiet", "--destdir", tmp_path],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture()
def installed(place, monkeypatch):
    program = next(place.glob("**/sbin/droverd"))
    monkeypatch.setenv("DROVERD", str(program))
    daemon = Droverd("libvirt_sockets = 0\n")
    yield daemon
    daemon.stop()


def test_directories_of_stock_tools_come_with_it(installed, tmp_path):
    """INS-20: virt-install fetches into one and puts disks into the other, and expects to find both."""
    lines = next(tmp_path.glob("**/tmpfiles.d/drover.conf")).read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("d ")] == ["/var/lib/libvirt/images", "/var/lib/libvirt/boot"]


@pytest.mark.skipif(not shutil.which("systemctl"), reason="systemd is not installed")
def test_the_units_are_enabled_and_name_what_is_there(place):
    """CFG-14, LIFE-49: at boot, with both sockets; a reload is the signal that disturbs no guest, and an end ends the daemon alone."""
    subprocess.run(["systemctl", "--root", place, "enable", "droverd.service"], capture_output=True, text=True, check=True)
    wanted = {f"{path.parent.name}/{path.name}" for path in (place / "etc/systemd/system").glob("*.wants/*")}
    assert wanted == {"multi-user.target.wants/droverd.service", "sockets.target.wants/droverd.socket",
                      "sockets.target.wants/droverd-ro.socket"}
    unit = next(place.glob("**/lib/systemd/system/droverd.service")).read_text()
    program = re.search(r"^ExecStart=(\S+)$", unit, re.M)[1]
    assert os.access(f"{place}{program}", os.X_OK)
    assert "\nExecReload=/bin/kill -HUP $MAINPID\n" in unit and "\nKillMode=process\n" in unit


def test_a_firewall_is_told_of_the_ports_of_migration(place):
    """CON-06: one more than droverd gives out."""
    service = ET.parse(next(place.glob("**/firewalld/services/drover-migration.xml")))
    assert [port.attrib for port in service.iter("port")] == [{"protocol": "tcp", "port": "49152-49216"}]


@pytest.mark.skipif(os.geteuid() != 0, reason="droverd runs as root")
def test_an_installed_droverd_finds_its_helpers(installed, tmp_path):
    """STO-08: a pool is a helper's work."""
    uri = f"qemu+unix:///system?socket={installed.socket()}"

    def virsh(*words):
        return subprocess.run(["virsh", "-q", "-c", uri, *words], capture_output=True, text=True, check=True).stdout

    (tmp_path / "images").mkdir()
    virsh("pool-create-as", "p", "dir", "--target", str(tmp_path / "images"))
    virsh("vol-create-as", "p", "v.qcow2", "16M", "--format", "qcow2")
    assert virsh("vol-list", "p").split() == ["v.qcow2", str(tmp_path / "images" / "v.qcow2")]


@needs_stock
def test_an_installed_drover_img_finds_its_server(place):
    """IMG-33: serve is the work of drover-nbd, which stands elsewhere and links what drover-img does not."""
    program, image = next(place.glob("**/bin/drover-img")), place / "image"
    server = next(place.glob("**/drover-nbd"))
    assert server.parent != program.parent
    subprocess.run([program, "create", "-q", "-f", "qcow2", image, "3M"], check=True)
    with Serving(place, image, format="qcow2", program=(program, "serve")) as serving:
        said = subprocess.run(["qemu-img", "info", "-f", "raw", serving.uri], capture_output=True, text=True, check=True).stdout
    assert "virtual size: 3 MiB" in said
    for name in ("drover-img.1", "drover-img"):  # the manual page, and the completion
        assert any(name in each.name and "bin" not in each.parts for each in place.glob("**/*")), name
    server.unlink()
    done = subprocess.run([program, "serve", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "drover-nbd, which is not installed" in done.stderr
