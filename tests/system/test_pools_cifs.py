"""Pools of what an SMB server exports, and one that AppArmor keeps from its directory, in the lab machine (STO-04, STO-11)."""
import pytest
from inside import MIB, Inside, names

from lab.machine import Machine

pytestmark = pytest.mark.limit(600)  # a machine that is emulated, on one that may be busy
PACKAGES = ("samba", "samba-libs", "samba-common-bin", "libpopt0", "libtalloc2", "libtevent0", "libtdb1", "libldb2", "libwbclient0",
            "cifs-utils", "apparmor")
# the kernel asks for these by itself where a modprobe is in its own root
MODULES = "cifs ecb ctr hmac md5 sha256_generic sha512_generic cmac aes_generic ghash_generic ccm gcm seqiv"
CONFIG = """[global]
server role = standalone server
interfaces = lo
bind interfaces only = yes
disable netbios = yes
smb ports = 445
map to guest = Bad User
guest account = nobody
load printers = no
log file = /run/samba/log
private dir = /run/samba
lock directory = /run/samba
state directory = /run/samba
cache directory = /run/samba
pid directory = /run/samba
ncalrpc dir = /run/samba
[images]
path = /srv/smb
guest ok = yes
read only = no
force user = root
"""
SERVER = f"""set -e
modprobe -a {MODULES}
mkdir -p /run/samba /var/log/samba /srv/smb /var/lib/shared
mount -t tmpfs -o size=64m,mode=777 tmpfs /srv/smb
cat > /run/smb.conf
smbd -D -s /run/smb.conf
head -c 3000000 /dev/urandom > /run/data
"""
# everything but one directory
PROFILE = """profile lab-drover flags=(attach_disconnected) {
  capability, network, mount, umount, pivot_root, ptrace, signal, unix,
  / rw, /** rwmlkix,
  deny /**/forbidden/ rw, deny /**/forbidden/** rw,
}
"""


@pytest.fixture(scope="module", name="host")
def fixture_host():
    with Machine(packages=PACKAGES) as machine:
        machine.run(["sh", "-c", SERVER], stdin=CONFIG)
        yield Inside(machine)


def test_a_share_is_a_pool(host):
    """STO-04, STO-11: mounted and unmounted; what the server refuses is told in mount's words."""
    _, _, started, refused, other = host.ask("pool-define-as s netfs --source-host 127.0.0.1 --source-path images --source-format cifs "
                                  "--target /var/lib/shared", "pool-build s", "pool-start s",
                                  "pool-create-as t netfs --source-host 127.0.0.1 --source-path nowhere --source-format cifs "
                                  "--target /mnt", "pool-list --name")
    assert "error" not in started, started
    assert "mount: mount error(2): No such file or directory" in refused and other.split() == ["s"]
    made = host.ask("vol-create-as s one 8M --format qcow2", "vol-create-as s two 4M --allocation 4M",
                    "vol-upload two /run/data --pool s", "vol-clone two three --pool s", "vol-resize three 8M --pool s",
                    "vol-list s", "vol-dumpxml three s")
    assert not any("error" in said for said in made) and names(made[5]) == {"one", "two", "three"}
    mounts, _, there = host.shell("cat /proc/mounts; echo @; cmp -n 3000000 /run/data /srv/smb/three; ls -A /srv/smb").partition("@\n")
    assert "//127.0.0.1/images /var/lib/shared cifs" in mounts and set(there.split()) == {"one", "two", "three"}
    assert f"<capacity unit='bytes'>{8 * MIB}<" in made[6]


def test_a_share_is_found_mounted_by_the_next_daemon_and_unmounted(host):
    """What a crash left half made is removed then."""
    host.shell("touch /srv/smb/.drover-part-half")
    host.restart()
    there, *_ = host.ask("vol-list s", "vol-delete one s", "vol-delete two s", "vol-delete three s", "pool-destroy s")
    assert names(there) == {"one", "two", "three"}
    left = host.shell("cat /proc/mounts; echo @; ls -A /srv/smb")
    assert "/var/lib/shared" not in left and left.endswith("@\n")


def test_a_directory_that_apparmor_forbids_is_said_to_be_so(host):
    """The profile by its name: mode and owner would have let it in."""
    host.kill()
    host.shell("mkdir -p /srv/forbidden /srv/allowed; mount -t securityfs securityfs /sys/kernel/security; apparmor_parser -r", stdin=PROFILE)
    host.start(around="aa-exec -p lab-drover --")
    said, other = host.ask("pool-create-as f dir --target /srv/forbidden", "pool-create-as a dir --target /srv/allowed")
    assert "cannot open directory '/srv/forbidden': user 0 may not use '/srv/forbidden' (mode 0755, owner 0, group 0): mode and ACL " \
           "would let it, the AppArmor profile lab-drover (enforce) does not" in said
    assert "error" not in other
