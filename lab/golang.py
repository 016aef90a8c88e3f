"""Go and libraries for it, as Debian has them, unpacked and never installed; and programs built with them."""

import os
import shutil

from . import debs
from .paths import BUILD, digest, locked, run

VERSION = "1.19"


def root():
    """The tree that Go works from. Debian splits it over two packages; what is generated is beside the programs."""
    tree = BUILD / "go" / "root"
    programs, sources = (debs.unpack(f"golang-{VERSION}-{part}") / "usr" for part in ("go", "src"))
    with locked("go-root"):
        if tree.is_dir():
            return tree
        part = tree.with_name(".root.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name in ("bin", "pkg", "VERSION"):
            (part / name).symlink_to(programs / f"lib/go-{VERSION}" / name)
        for package in (sources, programs):
            run(["cp", "-al", package / f"share/go-{VERSION}/src", part])
        part.rename(tree)
    return tree


def program(source, *libraries):
    """The path of the program made from one source file and packages of libraries."""
    output = BUILD / "go" / f"{source.stem}-{digest(source)}"
    if output.exists():
        return output
    tree = root()
    paths = ":".join(str(debs.unpack(package) / "usr/share/gocode") for package in libraries)
    environment = {"PATH": os.environ["PATH"], "GOROOT": str(tree), "GOPATH": paths, "GOCACHE": str(BUILD / "go" / "cache"),
                   "HOME": str(BUILD / "go"), "GO111MODULE": "off", "GOFLAGS": "-p=1", "GOPROXY": "off", "CGO_ENABLED": "0"}
    with locked("go"):
        part = output.with_name(f".{output.name}")
        run([tree / "bin/go", "build", "-o", part, source], env=environment)
        part.replace(output)
    return output
