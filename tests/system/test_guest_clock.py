"""The real-time clock and the timers of guests, as QEMU has them when a stock client starts one (CLK rows)."""
import datetime
import json
import pathlib
import time
import xml.etree.ElementTree as ElementTree
import zoneinfo

import pytest
from mortal import processes

UTC = datetime.timezone.utc


@pytest.fixture(scope="module")
def daemon(live_daemon):
    return live_daemon


@pytest.fixture()
def start(daemon, place):
    """Start a guest with this clock, held before its first instruction."""
    def begin(clock, check=True):
        file = place / "clock.xml"
        file.write_text(f"<domain type='qemu'><name>clock</name><memory unit='MiB'>16</memory><os>"
                        f"<type arch='x86_64' machine='pc'>hvm</type></os>{clock}</domain>")
        return daemon.virsh("create", file, "--paused", check=check)
    yield begin
    daemon.virsh("destroy", "clock", check=False)


def monitor(daemon, command, **arguments):
    request = json.dumps({"execute": command, "arguments": arguments})
    return json.loads(daemon.virsh("qemu-monitor-command", "clock", request))["return"]


def rtc(daemon):
    """What the chip shows, which knows of no time zone, as seconds."""
    shown = monitor(daemon, "qom-get", path="/machine", property="rtc-time")
    return datetime.datetime(shown["tm_year"] + 1900, shown["tm_mon"] + 1, shown["tm_mday"], shown["tm_hour"], shown["tm_min"],
                             shown["tm_sec"], tzinfo=UTC).timestamp()


def zone_s(name):
    return datetime.datetime.now(zoneinfo.ZoneInfo(name)).utcoffset().total_seconds()


def local_s():
    return datetime.datetime.now().astimezone().utcoffset().total_seconds()


@pytest.mark.parametrize("clock, ahead_s", [
    ("", lambda: 0), ("<clock offset='utc'/>", lambda: 0), ("<clock offset='localtime'/>", local_s),
    ("<clock offset='timezone' timezone='Europe/Paris'/>", lambda: zone_s("Europe/Paris")),
    ("<clock offset='timezone' timezone='America/St_Johns'/>", lambda: zone_s("America/St_Johns")),
    ("<clock offset='variable' adjustment='123456'/>", lambda: 123456),
    ("<clock offset='variable' adjustment='-86400' basis='localtime'/>", lambda: local_s() - 86400),
], ids=["none", "utc", "localtime", "paris", "newfoundland", "variable", "variable-local"])
def test_the_clock_shows_the_time_that_its_definition_says(daemon, start, clock, ahead_s):
    """CLK-01 to CLK-05: and the definition says it again."""
    begun = time.time()
    start(clock)
    written = ElementTree.fromstring(clock or "<clock offset='utc'/>").attrib
    assert ElementTree.fromstring(daemon.virsh("dumpxml", "clock")).find("clock").attrib.items() >= written.items()
    shown = rtc(daemon) - ahead_s()
    assert begun - 2 <= shown <= time.time() + 2


def test_a_clock_can_begin_at_any_time(daemon, start):
    begun = time.time()
    start("<clock offset='absolute' start='1000000000'/>")
    assert 0 <= rtc(daemon) - 1_000_000_000 <= time.time() - begun + 2


@pytest.mark.parametrize("clock, said", [
    ("<clock offset='timezone' timezone='Mars/Olympus_Mons'/>", "knows no time zone 'Mars/Olympus_Mons'"),
    ("<clock offset='timezone'/>", "needs a 'timezone'"),
    ("<clock offset='sideways'/>", "sideways"),
    ("<clock offset='utc'><timer name='platform'/></clock>", "no timer 'platform'"),
    ("<clock offset='utc'><timer name='rtc' track='boot'/></clock>", "track='boot' is not supported"),
    ("<clock offset='utc'><timer name='pit' tickpolicy='merge'/></clock>", "tickpolicy='merge' is not supported"),
    ("<clock offset='utc'><timer name='pit'/><timer name='pit'/></clock>", "'pit' is there twice"),
    ("<clock offset='utc'><timer present='no'/></clock>", "name"),
])
def test_a_clock_that_cannot_be_had_is_refused_by_name(daemon, start, clock, said):
    """CLK-01, CLK-04, CLK-07 to CLK-10."""
    assert said in start(clock, check=False)
    assert "clock" not in daemon.virsh("list", "--all", "--name").split()


def test_the_sample_of_the_guide_starts(daemon, start):
    """CLK-03, CLK-09, CLK-10, CLK-13, CLK-14."""
    start("<clock offset='localtime'><timer name='rtc' tickpolicy='catchup' track='guest'/><timer name='pit' tickpolicy='delay'/>"
          "<timer name='hpet' present='no'/></clock>")
    pid, = processes(daemon.virsh("domuuid", "clock").strip())
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    following = {(word, words[i + 1]) for i, word in enumerate(words[:-1])}
    assert {("-rtc", "base=localtime,clock=vm,driftfix=slew"), ("-global", "kvm-pit.lost_tick_policy=delay")} <= following
    assert any(word == "-machine" and "hpet=off" in value for word, value in following)


@pytest.mark.parametrize("present", ["yes", "no"])
def test_a_timer_is_there_or_not(daemon, start, present):
    """CLK-13: the HPET among the machine's devices, as its own firmware tables are made from."""
    start(f"<clock offset='utc'><timer name='hpet' present='{present}'/></clock>")
    assert ("dev: hpet" in daemon.virsh("qemu-monitor-command", "clock", "--hmp", "info qtree")) == (present == "yes")
