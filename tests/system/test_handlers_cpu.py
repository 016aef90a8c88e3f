"""CPU definitions against the host and each other, through stock clients (DOM-37)."""
import pathlib
import subprocess
import xml.etree.ElementTree as ET

import libvirt
import pytest

import schemas


def host_cpu(conn):
    cpu = ET.fromstring(conn.getCapabilities()).find("./host/cpu")
    return ET.tostring(cpu, encoding="unicode")


def test_the_host_is_identical_to_itself(conn):
    assert conn.compareCPU(host_cpu(conn), 0) == libvirt.VIR_CPU_COMPARE_IDENTICAL


def test_an_old_model_is_a_subset_of_any_host(conn):
    assert conn.compareCPU("<cpu><model>486</model></cpu>", 0) == libvirt.VIR_CPU_COMPARE_SUPERSET


def test_what_the_host_lacks_is_incompatible_and_an_error_when_asked(conn):
    xml = "<cpu match='exact'><model>486</model><feature policy='require' name='3dnowext'/><feature policy='require' name='xop'/></cpu>"
    assert conn.compareCPU(xml, 0) == libvirt.VIR_CPU_COMPARE_INCOMPATIBLE
    with pytest.raises(libvirt.libvirtError) as failure:
        conn.compareCPU(xml, libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)
    assert failure.value.get_error_code() == libvirt.VIR_ERR_CPU_INCOMPATIBLE


def test_unknown_models_are_named(conn):
    with pytest.raises(libvirt.libvirtError, match="no CPU model 'Abacus'"):
        conn.compareCPU("<cpu><model>Abacus</model></cpu>", 0)


STOCK = pathlib.Path("/usr/share/libvirt/cpu_map/x86_features.xml")


@pytest.mark.skipif(not STOCK.exists(), reason="the CPU map of stock libvirt is not installed")
def test_every_feature_has_the_name_that_stock_hosts_give_it(conn):
    known = [feature.get("name") for feature in ET.parse(STOCK).getroot().iter("feature")]
    assert len(known) > 150
    features = "".join(f"<feature policy='optional' name='{name}'/>" for name in known)
    assert conn.compareCPU(f"<cpu><model>486</model>{features}</cpu>", 0) == libvirt.VIR_CPU_COMPARE_SUPERSET
    told = conn.baselineCPU([host_cpu(conn)], libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
    names = {feature.get("name") for feature in ET.fromstring(told).iter("feature")}
    assert names and names <= set(known)
    assert ("pclmuldq" in names) == ("pclmulqdq" in pathlib.Path("/proc/cpuinfo").read_text().split())


def test_a_baseline_runs_on_this_host_too(conn):
    old = "<cpu><model>Conroe</model><feature name='vmx'/></cpu>"
    common = conn.baselineCPU([old, "<cpu><model>Haswell</model></cpu>"], 0)
    assert ET.fromstring(common).findtext("model") == "Conroe"
    expanded = ET.fromstring(conn.baselineCPU([old, old], libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES))
    assert {"ssse3", "vmx", "fpu"} <= {f.get("name") for f in expanded.iter("feature")}
    own = conn.baselineCPU([host_cpu(conn)], 0)
    assert conn.compareCPU(own, 0) == libvirt.VIR_CPU_COMPARE_IDENTICAL


def test_virsh_compares_its_own_capabilities(daemon, tmp_path):
    uri = daemon.uri()
    caps = subprocess.run(["virsh", "-c", uri, "capabilities"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "caps.xml").write_text(caps)
    said = subprocess.run(["virsh", "-c", uri, "cpu-compare", tmp_path / "caps.xml"], capture_output=True, text=True, check=True)
    assert "is identical to host CPU" in said.stdout
    common = subprocess.run(["virsh", "-c", uri, "cpu-baseline", tmp_path / "caps.xml"], capture_output=True, text=True, check=True)
    assert "<cpu mode='custom' match='exact'>" in common.stdout


def test_capabilities_are_valid_by_the_schema_of_stock_tools(conn, tmp_path):
    schema = pathlib.Path("/usr/share/libvirt/schemas/capability.rng")
    if not schema.exists():
        pytest.skip("the schema is not installed")
    (tmp_path / "caps.xml").write_text(schemas.without_dots(conn.getCapabilities()))
    checked = subprocess.run(["xmllint", "--noout", "--relaxng", schema, tmp_path / "caps.xml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
