"""Kernel modules out of an unpacked kernel package: which others one needs, and what it answers to."""

import re


def chains(kernel, names):
    """For each of the modules: the files to load in order, itself last."""
    files = {file.stem.replace("-", "_"): file for file in kernel.glob("lib/modules/**/*.ko")}
    order = {}

    def with_needs(name):
        file = files[name.replace("-", "_")]
        if file not in order:
            order[file] = []
            info = file.read_bytes()
            needs = re.search(rb"\0depends=([^\0]*)\0", info).group(1).decode().split(",")
            order[file] = [need for name in filter(None, needs) for need in with_needs(name)]
        return [*order[file], file]

    return [list(dict.fromkeys(with_needs(name))) for name in names]


def aliases(file):
    """What devices call it, as in modules.alias."""
    return [alias.decode() for alias in re.findall(rb"\0alias=([^\0]+)", file.read_bytes())]


def unsigned(file):
    """The module without its signature, which takes an emulated CPU 20 ms to check and nobody here asks for."""
    module = file.read_bytes()
    magic = b"~Module signature appended~\n"
    if not module.endswith(magic):
        return module
    length = int.from_bytes(module[-len(magic) - 4 : -len(magic)], "big")
    return module[: -len(magic) - 12 - length]
