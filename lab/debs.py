"""Debian packages, unpacked under build/ and never installed: the guest's kernel, a static busybox, the stock peer.

A package is downloaded once (`apt-get download`, which needs no root) and unpacked once (`dpkg -x`).
"""

import re
import shutil

from .paths import BUILD, LabError, locked, run


def depends(package, fields=("Depends", "Pre-Depends")):
    """The names a package depends on, first alternative each, virtual packages included."""
    names = []
    for line in run(["apt-cache", "show", "--no-all-versions", package]).splitlines():
        field, _, value = line.partition(": ")
        if field in fields:
            names += [re.split(r"[ (|:]", item.strip())[0] for item in value.split(",")]
    return names


def unpack(package):
    """The directory that holds the files of one package."""
    tree = BUILD / "deb" / package
    if tree.is_dir():
        return tree
    with locked(f"deb-{package}"):
        if tree.is_dir():
            return tree
        work = BUILD / "deb" / f".{package}.part"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=5", "download", package], cwd=work)
        except LabError as failure:
            raise LabError(f"cannot download {package}: {failure}; is the package list fresh (apt-get update)?") from None
        archive = next(work.glob("*.deb"))
        run(["dpkg", "-x", archive, work / "tree"])
        (work / "tree").rename(tree)
        shutil.rmtree(work)
    return tree
