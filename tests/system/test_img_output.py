"""What drover-img prints is what stock qemu-img prints, word for word and key by key (IMG-14, IMG-24, IMG-38, IMG-39)."""

import json
import os
import re
import shutil
import subprocess

import pytest

from img_tools import OURS, STOCK, fill, io, needs_stock, stock

pytestmark = needs_stock

SECRET = ["--object", "secret,id=s,data=x"]

# Images by name, made with these words: by stock qemu-img, the encrypted ones by us.
IMAGES = {
    "raw": "create -f raw raw 3M",
    "v3": "create -f qcow2 v3 3M",
    "plain": "create -f qcow2 plain 3M",
    "v2": "create -f qcow2 -o compat=0.10,cluster_size=4k v2 3M",
    "zstd": "create -f qcow2 -o compression_type=zstd,extended_l2=on,lazy_refcounts=on zstd 3M",
    "packed": "convert -c -O qcow2 filled packed",
    "over": "create -f qcow2 -b v3 -F qcow2 over 4M",
    "overraw": "create -f qcow2 -b filled -F raw overraw",
    "third": "create -f qcow2 -b over -F qcow2 third",
    "narrow": "create -f qcow2 -o refcount_bits=1,cluster_size=512 narrow 3M",
    "huge": "create -f qcow2 -o cluster_size=2M huge 2P",
    "orphan": "create -u -f qcow2 -b gone -F qcow2 orphan 1M",
    "lostdata": "create -f qcow2 -o data_file=lost.raw lostdata 1M",
    "over.qcow": "create -f qcow -b filled -F raw over.qcow",
    "over.qed": "create -f qed -b filled -F raw over.qed",
    "two.vmdk": "convert -O vmdk -o subformat=twoGbMaxExtentSparse filled two.vmdk",
    "twoflat.vmdk": "convert -O vmdk -o subformat=twoGbMaxExtentFlat filled twoflat.vmdk",
    "fixed.vpc": "convert -O vpc -o subformat=fixed filled fixed.vpc",
    "fixed.vhdx": "convert -O vhdx -o subformat=fixed filled fixed.vhdx",
    "empty": "create -f raw empty 0",
    "data": "create -f qcow2 -o data_file=data.raw,data_file_raw=on data 3M",
    "locked": "create -f qcow2 -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=100 locked 3M",
    "luks": "create -f luks -o key-secret=s,iter-time=100 luks 3M",
    "qcow": "convert -O qcow filled qcow",
    "qed": "convert -O qed filled qed",
    "vdi": "convert -O vdi filled vdi",
    "vmdk": "convert -O vmdk filled vmdk",
    "flat.vmdk": "convert -O vmdk -o subformat=monolithicFlat filled flat.vmdk",
    "stream.vmdk": "convert -O vmdk -o subformat=streamOptimized filled stream.vmdk",
    "vpc": "convert -O vpc filled vpc",
    "vhdx": "convert -O vhdx filled vhdx",
    "parallels": "convert -O parallels filled parallels",
    "over.vmdk": "create -f vmdk -b vmdk -F vmdk over.vmdk",
}
QCOW2 = ("v3", "plain", "v2", "zstd", "over", "overraw", "data")
# Where we know more: vhdx's blocks stand somewhere, and the files of qcow and vpc images can be checked.
MAPPED_BY_US = ("vhdx", "fixed.vhdx")
CHECKED_BY_US = ("qcow", "over.qcow", "vpc", "fixed.vpc")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("output")
    fill(place / "filled", 3 << 20)
    for name, line in IMAGES.items():
        words = line.split()
        # Stock cannot make an encrypted image on a busy machine: it wants to measure how fast that is.
        program = [OURS, words[0], *SECRET] if "key-secret=s" in line else [STOCK, words[0]]
        subprocess.run([*program, *words[1:]], cwd=place, check=True, stdout=subprocess.DEVNULL)
    for name in QCOW2:
        run_io(place, name, "write -P 1 0 100k", "write -z 1M 128k", "discard 2M 64k")
    for name, second in (("one", False), ("another, with a longer name", True)):
        stock("snapshot", "-c", name, place / "v3")
        run_io(place, "v3", f"write -P {2 + second} 60k 200k")
    for name in ("a", "b"):
        stock("bitmap", "--add", "-g", "4k", place / "v3", name)
    stock("bitmap", "--disable", place / "v3", "b")
    with open(place / "leaking", "wb") as out:
        out.write((place / "plain").read_bytes() + bytes(65536 * 3))
        out.seek(2 * 65536 + 2 * 8)
        out.write(b"\0\1")
    with open(place / "corrupt", "wb") as out:
        out.write((place / "plain").read_bytes())
        out.seek(2 * 65536 + 2 * 5)
        out.write(b"\0\0")
    (place / "lost.raw").unlink()
    (place / "cut").write_bytes((place / "v3").read_bytes()[:100000])
    (place / "junk").write_bytes(b"QFI\xfb" + b"\xff" * 600)
    return place


def run_io(place, name, *commands):
    here = os.getcwd()
    os.chdir(place)
    try:
        io(name, *commands)
    finally:
        os.chdir(here)


def said(program, place, words):
    done = subprocess.run([program, *words], cwd=place, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def both(place, *words):
    return said(OURS, place, words), said(STOCK, place, words)


def same_json(mine, theirs):
    """The same keys in the same order, laid out in the same way."""
    assert mine[:2] == theirs[:2]
    assert not mine[1] or json.loads(mine[1])


@pytest.mark.parametrize("name", [*IMAGES, "leaking", "corrupt", "cut", "junk", "missing"])
def test_info_says_the_same(files, name):
    same_json(*both(files, "info", "--output=json", name))
    mine, theirs = both(files, "info", name)
    assert mine[:2] == theirs[:2]


@pytest.mark.parametrize("name", ["over", "overraw", "v3", "third", "orphan", "over.vmdk", "over.qcow", "over.qed"])
def test_info_of_a_chain_says_the_same(files, name):
    same_json(*both(files, "info", "--backing-chain", "--output=json", name))
    mine, theirs = both(files, "info", "--backing-chain", name)
    assert mine[:2] == theirs[:2]


@pytest.mark.parametrize("name", [*IMAGES, "leaking", "corrupt", "cut", "junk", "missing"])
def test_check_says_the_same(files, name):
    opened = [*SECRET, "--image-opts", f"driver=qcow2,file.filename={name},encrypt.key-secret=s"] if name == "locked" else [name]
    if name == "luks":
        opened = [*SECRET, "--image-opts", f"driver=luks,file.filename={name},key-secret=s"]
    mine, theirs = both(files, "check", *opened)
    if theirs[0] == 63 and mine[0] == 0:  # we check formats that stock does not
        assert name in CHECKED_BY_US
        return
    assert mine[:2] == theirs[:2]
    mine, theirs = both(files, "check", "--output=json", *opened)
    assert mine[:2] == theirs[:2]


@pytest.mark.parametrize("name, status", [("v3", 0), ("vdi", 0), ("leaking", 3), ("corrupt", 2), ("raw", 63), ("missing", 1)])
def test_check_tells_by_its_status_what_it_found(files, name, status):
    """IMG-01"""
    code, _, error = said(OURS, files, ["check", name])
    assert code == status
    assert status != 63 or "does not support checks" in error


@pytest.mark.parametrize("words", ["convert -p -O qcow2 filled new", "rebase -p -b raw -F raw overraw", "commit -p over"])
def test_progress_rises_from_nothing_to_all(files, tmp_path, words):
    """IMG-04"""
    code, printed, _ = on_copies(OURS, files, tmp_path / "there", words.split())
    shares = [float(share) for share in re.findall(r"\((\d+\.\d\d)/100%\)", printed)]
    assert code == 0 and shares == sorted(shares) and shares[0] == 0 and shares[-1] == 100


@pytest.mark.parametrize("name", [name for name in IMAGES if name not in ("locked", "luks", *MAPPED_BY_US)])
def test_map_says_the_same(files, name):
    same_json(*both(files, "map", "--output=json", name))
    same_json(*both(files, "map", "--output=json", "-s", "50k", "-l", "1M", name))
    mine, theirs = both(files, "map", name)
    assert mine[:2] == theirs[:2]


@pytest.mark.parametrize("options", ["", "-O qcow2", "-O raw", "-O qcow2 -o cluster_size=4k,refcount_bits=1", "-O qcow2 -o extended_l2=on",
                                     "-O qcow2 -o preallocation=full", "-O qcow2 -o compat=0.10"])
def test_measure_says_the_same(files, options):
    for source in (["--size", "5G"], ["filled"], ["v3"], ["over"], ["packed"], ["vdi"]):
        same_json(*both(files, "measure", "--output=json", *options.split(), *source))
        mine, theirs = both(files, "measure", *options.split(), *source)
        assert mine[:2] == theirs[:2]


# What prints something besides; each line runs on copies of these files.
LINES = """
create -f raw new 1M
create -f qcow2 new 1M
create -f qcow2 -o cluster_size=4k,lazy_refcounts=on,compat=0.10,refcount_bits=16 new 1M
create -f qcow2 -o preallocation=metadata,extended_l2=on,compression_type=zstd new 1M
create -f qcow2 -b v3 -F qcow2 new
create -f qcow2 -o data_file=new.raw,data_file_raw=on new 1M
create -f vdi new 1M
create -f vdi -o static=on new 1M
create -f vmdk new 1M
create -f vmdk -o subformat=streamOptimized,adapter_type=lsilogic new 1M
create -f vpc new 1M
create -f vpc -o force_size=on,subformat=fixed new 1M
create -f vhdx new 1M
create -f vhdx -o block_size=1M new 1M
create -f parallels new 1M
create -f qcow new 1M
create -f qed new 1M
convert -O qcow2 raw new
compare filled vdi
compare raw filled2
compare -q raw filled
resize v3 +1M
resize -f raw raw 4M
snapshot -l v3
snapshot -l v2
commit over
commit -d over
rebase -b overraw -F qcow2 over
rebase -u -b v2 -F qcow2 over
amend -o lazy_refcounts=on v3
bitmap --remove v3 a
check -r leaks leaking
check -r all leaking
check -r all corrupt
dd if=raw of=new bs=1M count=1
""".strip().splitlines()
# These cannot be made by us, and stock says how the default was chosen.
NOT_OURS = ("create -f qed new 1M",)


def on_copies(program, files, place, words):
    shutil.copytree(files, place)
    done = said(program, place, words)
    shutil.rmtree(place)
    return done


@pytest.mark.parametrize("line", [line for line in LINES if line not in NOT_OURS])
def test_the_rest_says_the_same(files, tmp_path, line):
    mine = on_copies(OURS, files, tmp_path / "there", line.split())
    theirs = on_copies(STOCK, files, tmp_path / "there", line.split())
    if "-r" in line.split():  # our repair writes new counts, behind what is there
        mine, theirs = ((code, re.sub("Image end offset: .*", "", text), error) for code, text, error in (mine, theirs))
    assert mine[:2] == theirs[:2], (mine[2], theirs[2])


def synopsis():
    """Each command of stock with the options that its help lists."""
    text = subprocess.run([STOCK, "--help"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^  ([a-z]+) (.*)$", text.split("Command syntax:")[1].split("Command parameters:")[0], re.M)
    return [(name, sorted(set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", args)))) for name, args in found]


def test_every_option_in_the_help_of_stock_is_known_here():
    commands = synopsis()
    assert len(commands) >= 15
    for command, options in commands:
        for option in options:
            # An option that takes an argument is satisfied with this one; a file follows never.
            done = subprocess.run([OURS, command, option, "1"], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
            assert not re.search("invalid option|unrecognized option|ambiguous", done.stderr), (command, option, done.stderr)


def test_help_is_given_where_it_is_asked_for():
    whole = subprocess.run([OURS, "--help"], capture_output=True, text=True, check=True).stdout
    for command, _ in synopsis():
        assert f"\n  {command} " in whole
        for option in ("-h", "--help"):
            done = subprocess.run([OURS, command, option], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0 and done.stdout.startswith(f"usage: drover-img {command} "), done
