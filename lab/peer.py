"""The stock peer: Debian's own libvirtd, unpacked under build/ and run only inside lab hosts.

Its files are laid over the host's /usr and /etc (setup.sh), so it finds everything where it was built to look, and the
machine has nothing installed.
"""

import shutil

from . import debs
from .paths import BUILD, digest, locked

PACKAGES = (
    "libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-daemon-system", "libpcap0.8",
    # what its networks call
    "iptables", "libip4tc2", "libip6tc2", "libxtables12", "libnetfilter-conntrack3", "libnfnetlink0",
)  # fmt: skip
PARTS = ("usr", "etc")


def tree():
    """The directory with the peer's usr and etc, merged from its packages."""
    target = BUILD / "peer" / digest(*PACKAGES)
    if target.is_dir():
        return target
    unpacked = [debs.unpack(package) for package in PACKAGES]
    with locked("peer"):
        if target.is_dir():
            return target
        work = BUILD / "peer" / ".part"
        shutil.rmtree(work, ignore_errors=True)
        for source in unpacked:
            for part in PARTS:
                if (source / part).is_dir():
                    shutil.copytree(source / part, work / part, symlinks=True, dirs_exist_ok=True)
        for name in ("iptables", "ip6tables", "ebtables"):  # as the packages' alternatives have it
            (work / "usr/sbin" / name).symlink_to("xtables-nft-multi")
        work.rename(target)
    return target
