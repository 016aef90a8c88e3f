"""The lab machine, and what of droverd only shows on its kernel: control groups of version 2."""
import os
import pathlib

import packets
import pytest
from droverd import BARE

from inside import until

from lab import guest
from lab.machine import Machine
from lab.paths import PROGRAMS, LabError

LVM = ("lvm2", "libdevmapper1.02.1", "libdevmapper-event1.02.1", "libaio1")
LACKING = "dm_mod iscsi_tcp target_core_mod nfsd nbd loop 8021q sch_netem nf_conntrack_bridge nft_reject_bridge".split()
GROUP = "/sys/fs/cgroup"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("the lab machine needs root")
    disk = tmp_path_factory.mktemp("machine") / "disk"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
    with Machine(packages=LVM, disks=(disk,), numa_nodes=2) as made:
        yield made


def test_its_kernel_has_what_others_lack(machine):
    machine.run(["modprobe", "-a", *LACKING])
    machine.run(["pvcreate", "/dev/vda"])
    machine.run(["vgcreate", "vg", "/dev/vda"])
    machine.run(["lvcreate", "-L", "8M", "-n", "lv", "vg"])
    assert machine.run(["blockdev", "--getsize64", "/dev/vg/lv"]).stdout == f"{8 << 20}\n"
    assert machine.run(["cat", "/sys/devices/system/node/online"]).stdout == "0-1\n"


def test_commands_tell_how_they_ended(machine):
    assert machine.run(["sh", "-c", "cat; echo bad >&2; exit 3"], check=False, stdin="in").__dict__ == {
        "args": ["sh", "-c", "cat; echo bad >&2; exit 3"], "returncode": 3, "stdout": "in", "stderr": "bad\n"}
    with pytest.raises(LabError, match="failed .3.: bad"):
        machine.run(["sh", "-c", "echo bad >&2; exit 3"])
    assert machine.run(["no-such-program"], check=False).returncode == 127


XML = """<domain type='qemu'>
  <name>g</name><memory unit='MiB'>128</memory><vcpu>2</vcpu>
  <memtune><hard_limit unit='MiB'>700</hard_limit></memtune>
  <cputune><shares>512</shares><period>100000</period><quota>50000</quota><vcpupin vcpu='1' cpuset='1'/></cputune>
  <blkiotune><weight>300</weight></blkiotune>
  <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>"""


START = (f": > /run/droverd.log; setsid {PROGRAMS}/droverd >> /run/droverd.log 2>&1 < /dev/null & "
         f"{until('grep -q is.ready /run/droverd.log')} || {{ cat /run/droverd.log >&2; exit 1; }}")


@pytest.fixture(scope="module")
def virsh(machine):
    """Stock virsh on a droverd in the machine."""
    config = "libvirt_sockets = 1\n" + BARE
    machine.run(["sh", "-c", "mkdir -p /etc/drover && cat > /etc/drover/droverd.conf"], stdin=config)
    machine.run(["sh", "-c", START])
    yield lambda *words, **options: machine.run(["virsh", *words], **options)
    machine.run(["sh", "-c", "for pid in $(pidof droverd qemu-system-x86_64); do kill $pid; done"], check=False)


def test_limits_and_pins_hold_on_version_2(machine, virsh):
    image = guest.build()
    machine.run(["sh", "-c", "cat > /run/g.xml"], stdin=XML.format(kernel=image.kernel, initrd=image.initrd))
    virsh("create", "/run/g.xml", timeout=300)
    pid = machine.run(["pidof", "qemu-system-x86_64"]).stdout.strip()
    where = machine.run(["cat", f"/proc/{pid}/cgroup"]).stdout
    assert where.startswith("0::/") and "drover" in where, where
    group = pathlib.PurePath(GROUP + where.removeprefix("0::").strip())

    def limit(name):
        for directory in (group, *group.parents):
            done = machine.run(["cat", directory / name], check=False)
            if done.returncode == 0 and "drover" in str(directory) and done.stdout.split()[0] not in ("max", "default"):
                return done.stdout.split()
        return None

    assert limit("memory.max") == [str(700 << 20)]
    assert limit("cpu.max") == ["100000", "100000"]  # the quota of both virtual CPUs
    assert "512" in virsh("schedinfo", "g").stdout
    virsh("memtune", "g", "--hard-limit", str(800 << 10))
    assert limit("memory.max") == [str(800 << 20)]
    assert virsh("vcpupin", "g", "1").stdout.split()[-1] == "1"
    assert virsh("domstats", "g", "--cpu-total").stdout.count("cpu.time=")
    virsh("destroy", "g")
    machine.run(["sh", "-c", until(f"! test -d {group}")])


@pytest.mark.limit(300)
def test_whatever_ends_the_daemons_group_leaves_its_guests(machine, virsh):
    """CFG-14: every process in the daemon's own group is killed, and those below it; guests are not among them."""
    group = f"{GROUP}/droverd.service"
    machine.run(["sh", "-c", "cat > /run/k.xml"], stdin="<domain type='qemu'><name>k</name><memory unit='MiB'>16</memory>"
                "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices/></domain>")
    enter = f"mkdir -p {group}; for pid in $(pidof droverd); do echo $pid > {group}/cgroup.procs; done"
    machine.run(["sh", "-c", enter])
    virsh("create", "/run/k.xml", timeout=300)
    guest = machine.run(["pidof", "qemu-system-x86_64"]).stdout
    machine.run(["sh", "-c", f"echo 1 > {group}/cgroup.kill; {until('! pidof droverd > /dev/null')}"])
    assert machine.run(["pidof", "qemu-system-x86_64"]).stdout == guest
    machine.run(["sh", "-c", START])
    assert virsh("domstate", "k").stdout.strip() == "running"
    assert machine.run(["pidof", "qemu-system-x86_64"]).stdout == guest
    virsh("destroy", "k")


REJECTED = """
import select, socket, sys
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))
ear.bind(("g1", 0x800))
ear.send(bytes.fromhex(sys.argv[1]))
while select.select([ear], [], [], 60)[0]:
    got, where = ear.recvfrom(65535)
    if where[2] != 4 and got[23] == 1:  # ICMP, not what we sent
        sys.exit(print(got[34], got[35]))
sys.exit("no answer came")
"""


def test_filters_follow_connections_and_refuse(machine, virsh):
    """NET-38: answers of accepted connections pass, others do not; what is rejected is told so, with the kernel's help."""
    mine, other = "52:54:00:00:00:01", "52:54:00:00:00:02"
    machine.run(["modprobe", "-a", "bridge", "veth", "nf_conntrack_bridge", "nft_meta_bridge", "nft_reject_bridge", "nft_ct",
                 "nft_connlimit"])
    machine.run(["sh", "-c", "ip link add t0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 && ip link set t0 up && for n in 1 2; do "
                             "ip link add p$n type veth peer name g$n; ip link set p$n master t0 up; ip link set g$n up; done; " + packets.forwards("p1", "p2")])
    machine.run(["sh", "-c", "cat > /root/f.xml"], stdin="<filter name='lookups'>"
                "<rule action='accept' direction='out' priority='100'><udp dstportstart='53'/></rule>"
                "<rule action='drop' direction='in' priority='50'><udp dstportstart='1000' connlimit-above='5'/></rule>"
                "<rule action='accept' direction='in' priority='90' statematch='false'><icmp type='3'/></rule>"
                "<rule action='reject' direction='out' priority='200'><udp dstportstart='25'/></rule>"
                "<rule action='drop' direction='inout' priority='1000'><all/></rule></filter>")
    machine.run(["sh", "-c", "cat > /root/b.xml"], stdin=f"<filterbinding><portdev name='p1'/><mac address='{mine}'/>"
                                                         "<filterref filter='lookups'/></filterbinding>")
    virsh("nwfilter-define", "/root/f.xml")
    virsh("nwfilter-binding-create", "/root/b.xml")
    question = packets.udp(mine, "10.9.0.5", 1000, 53)
    answer = packets.udp(other, "10.9.0.99", 53, 1000, to="10.9.0.5", to_mac=mine)
    others = [packets.udp(other, "10.9.0.99", 53, 1001, to="10.9.0.5", to_mac=mine), packets.udp(other, "10.9.0.98", 53, 1000, to="10.9.0.5", to_mac=mine)]
    arp = packets.arp(other, "10.9.0.99")
    assert packets.pass_through(machine, "g2", "g1", [answer], arp) == []
    assert packets.pass_through(machine, "g1", "g2", [packets.udp(mine, "10.9.0.5", 1000, 54)], question) == []
    assert packets.pass_through(machine, "g2", "g1", [answer, *others], arp) == [0]
    refused = packets.udp(mine, "10.9.0.5", 1000, 25)
    assert machine.run(["/usr/bin/python3", "-c", REJECTED, refused.hex()]).stdout == "3 3\n"  # port unreachable
    # connections are counted for each source: another's first passes when the first one's second does not
    machine.run(["sh", "-c", "cat > /root/f.xml"], stdin="<filter name='lookups'>"
                "<rule action='drop' direction='in' priority='50'><udp dstportstart='7' connlimit-above='1'/></rule>"
                "<rule action='accept' direction='in' priority='60'><udp dstportstart='7'/></rule>"
                "<rule action='drop' direction='inout' priority='1000'><all/></rule></filter>")
    virsh("nwfilter-define", "/root/f.xml")
    asking = [packets.udp(other, f"10.9.0.{host}", port, 7, to="10.9.0.5", to_mac=mine) for host, port in ((97, 2001), (97, 2002), (96, 2003))]
    assert packets.pass_through(machine, "g2", "g1", asking, arp) == [0, 2]
    virsh("nwfilter-binding-delete", "p1")
    assert "limit" not in machine.run(["nft", "list", "ruleset"]).stdout
    assert packets.pass_through(machine, "g2", "g1", others, arp) == [0, 1]
