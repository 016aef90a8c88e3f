"""Every option of qemu-img's commands is taken as qemu-img takes it: accepted or refused, with its exit status (IMG-38, IMG-39)."""

import os
import re
import shutil
import subprocess

import pytest

from img_lines import LINES
from img_tools import OURS, STOCK, needs_stock
from loops import loop_device

pytestmark = needs_stock

# Where we differ on purpose, and why.
DIFFERENT = {
    "convert -O qcow2 -t nonsense raw new": "stock leaves what it had begun to make",
    "convert --bitmaps -O raw a.qcow2 new": "stock leaves what it had begun to make",
    "amend -o compat=0.10 plain.qcow2": "an image with snapshots keeps its version here",
}
PRINTED_DIFFERENTLY = {
    **{line: "our own words" for line in LINES if line.split()[-1] in ("--help", "--version", "-V", "-h")
       or (" -o help" in line or " -o ?" in line) and "nonsense" not in line and line != "create -o help"
       and not line.startswith(("measure", "amend -o help raw", "amend -f raw", "amend -f vdi"))},
    **{line: "what is refused is not announced" for line in (
        "create -f qcow2 -o preallocation=nonsense new 1M", "create -f qcow2 -o compat=2 new 1M", "create -f qcow2 -F qcow2 new 1M",
        "bench -c 10 -s 2M -f raw raw")},
    **{f"check -r {what} a.qcow2": "stock opens the bitmaps first, which leaks what it then mends" for what in ("leaks", "all")},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("options")

    def run(*args):
        subprocess.run([STOCK, *args], cwd=place, check=True, stdout=subprocess.DEVNULL)

    (place / "raw").write_bytes(os.urandom(1 << 20))
    run("create", "-q", "-f", "qcow2", "base.qcow2", "1M")
    run("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "a.qcow2")
    run("snapshot", "-c", "one", "a.qcow2")
    run("bitmap", "--add", "a.qcow2", "b")
    run("create", "-q", "-f", "qcow2", "plain.qcow2", "1M")
    run("snapshot", "-c", "one", "plain.qcow2")
    run("create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old.qcow2", "1M")
    run("create", "-q", "-f", "qcow2", "many.qcow2", "1M")
    for name in ("one", "two", "3", "2"):  # a name that is another's id
        run("snapshot", "-c", name, "many.qcow2")
    run("create", "-q", "-u", "-f", "qcow2", "-b", "gone", "-F", "qcow2", "orphan", "1M")
    run("create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "prem", "1M")
    run("create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "oraw")
    run("create", "-q", "-f", "qcow2", "-o", "data_file=df.raw", "df", "1M")
    run("create", "-q", "-f", "qcow2", "-o", "data_file=dg.raw", "dg", "1M")
    (place / "dg.raw").unlink()
    run("convert", "-c", "-O", "qcow2", "raw", "packed")
    for format in ("vmdk", "vdi", "vpc", "qcow", "vhdx", "parallels"):
        run("create", "-q", "-f", format, f"t.{format}", "1M")
    run("create", "-q", "-f", "vdi", "-o", "static=on", "static.vdi", "4M")
    run("create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "two.vmdk", "1M")
    (place / "odd").write_bytes(b"x" * 123457)
    (place / "dir").mkdir()
    return place


def shown(text):
    """What is printed, but for how long it took and how often the progress was told between its beginning and its end."""
    text = re.sub(r"Run completed in [0-9.]+ seconds", "Run completed", text)
    return re.sub(r"(    \(0\.00/100%\)\r)(?:    \([0-9.]+/100%\)\r)*(    \(100\.00/100%\)\r)", r"\1\2", text)


def status(program, words, files, place):
    """Its exit status, whether it made the file, what it printed; that it said something where it failed."""
    shutil.copytree(files, place)
    done = subprocess.run([program, *words], cwd=place, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    made = os.path.exists(os.path.join(place, "new"))
    shutil.rmtree(place)
    assert done.returncode >= 0, done
    return (done.returncode, made), shown(done.stdout.decode()), done.stderr.decode().strip()


@pytest.mark.parametrize("command", sorted({line.split()[0] for line in LINES}))
def test_options_are_taken_as_stock_takes_them(files, tmp_path, command):
    """The same status, the same output on the same stream, byte for byte; errors may say more."""
    wrong = []
    for line in (line for line in LINES if line.split()[0] == command):
        words = ["" if word == '""' else word for word in line.split()]
        mine, printed, said = status(OURS, words, files, tmp_path / "there")
        theirs, stock_printed, stock_said = status(STOCK, words, files, tmp_path / "there")
        assert (mine != theirs) >= (line in DIFFERENT), f"{line} is not different any more"
        assert (printed != stock_printed) >= (line in PRINTED_DIFFERENTLY), f"{line} prints the same now"
        if mine != theirs and line not in DIFFERENT:
            wrong.append(f"{line}: {mine} {said[:150]} | stock {theirs} {stock_said[:150]}")
        elif printed != stock_printed and line not in DIFFERENT and line not in PRINTED_DIFFERENTLY:
            wrong.append(f"{line}: printed\n{printed}--- stock\n{stock_printed}")
        elif mine[0] and bool(said) != bool(stock_said) and line not in DIFFERENT:
            wrong.append(f"{line}: said {said} | stock {stock_said}")
    assert not wrong, "\n".join(wrong)


def listed(program, words):
    """The names and types of the options that -o help lists, and what stands before and behind them."""
    text = subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout
    return [line.split(" - ")[0].rstrip() for line in text.splitlines()]


# What one has and the other has not: of the file below sparse formats, which would reserve nothing; old AES; what stock takes and
# drops when it measures or converts.
LISTED_BY_ONE = ("preallocation=<str>", "encrypt.format=<str>", "encrypt.key-secret=<str>", "encryption=<bool (on/off)>", "backing_file=<str>",
                 "backing_fmt=<str>")


@pytest.mark.parametrize("words", ["create", "create new", "convert -O raw", "amend"])
@pytest.mark.parametrize("format", ["raw", "qcow2", "luks", "vdi", "vmdk", "vpc", "vhdx", "parallels", "qcow"])
def test_help_lists_the_options_that_stock_lists(tmp_path, words, format):
    if words == "amend" and format not in ("qcow2", "luks"):
        pytest.skip("cannot be amended")
    command, *names = words.split()
    names = ["-O", format, "a", "new"] if command == "convert" else ["-f", format, *names]
    mine, theirs = (listed(program, [command, *names, "-o", "help"]) for program in (OURS, STOCK))
    left_out = [f"  {each}" for each in LISTED_BY_ONE] if format not in ("raw", "qcow2") else []
    if command == "amend" and format == "qcow2":
        left_out = ["  data_file=<str>", "  data_file_raw=<bool (on/off)>"]
    assert [line for line in mine if line not in left_out] == [line for line in theirs if line not in left_out]


def test_under_the_name_of_stock_it_tells_the_version_it_stands_for(tmp_path):
    """Scripts look for these words before they trust what follows."""
    link = tmp_path / "qemu-img"
    link.symlink_to(OURS)
    for option in ("--version", "-V", "--help"):
        said = subprocess.run([link, option], capture_output=True, text=True, check=True).stdout
        assert re.match(r"qemu-img version 7\.2\.\d+ \(drover-img [0-9.]+\)\n", said), said
    assert subprocess.run([link, "info", "gone"], capture_output=True, text=True).stderr.startswith("qemu-img: ")
    assert subprocess.run([OURS, "-V"], capture_output=True, text=True, check=True).stdout.startswith("drover-img version ")


def test_objects_are_taken_as_json_and_listed(files):
    secret = '{"qom-type": "secret", "id": "s", "data": "x"}'
    mine, theirs = (subprocess.run([program, "info", "--object", secret, "raw"], cwd=files, capture_output=True, text=True, check=True)
                    for program in (OURS, STOCK))
    assert mine.stdout == theirs.stdout
    wrong = subprocess.run([OURS, "info", "--object", '{"id": "s"}', "raw"], cwd=files, capture_output=True, text=True)
    assert wrong.returncode == 1 and "'qom-type' is missing" in wrong.stderr
    ours, stock = (set(subprocess.run([program, "create", "--object", "help"], capture_output=True, text=True, check=True).stdout.splitlines())
                   for program in (OURS, STOCK))
    assert "  secret" in ours and ours <= stock
    for program in (OURS, STOCK):
        said = subprocess.run([program, "create", "--object", "secret,help"], capture_output=True, text=True, check=True).stdout
        assert [line.split("=")[0] for line in said.splitlines()] == ["secret options:", "  data", "  file", "  format", "  iv", "  keyid"]


@pytest.mark.parametrize("step", ["4k", "12k", "300k", "1000k", "3004k"])
def test_bench_writes_where_stock_writes(tmp_path, step):
    """The offsets go around at the end of the image, to other places than before."""
    written = []
    for program in (OURS, STOCK):
        image = tmp_path / "raw"
        image.write_bytes(bytes(1 << 20))
        subprocess.run([program, "bench", "-w", "--pattern=7", "-c", "40", "-d", "1", "-o", "8k", "-S", step, "-f", "raw", image],
                       check=True, stdout=subprocess.DEVNULL)
        written.append(image.read_bytes())
    assert written[0] == written[1] and written[0].count(7) == 40 * 4096


def test_a_data_file_is_renamed_as_stock_renames_it(tmp_path):  # IMG-39
    content = os.urandom(1 << 20)
    found = []
    for program in (STOCK, OURS):
        place = tmp_path / os.path.basename(program)
        place.mkdir()
        (place / "raw").write_bytes(content)
        subprocess.run([STOCK, "convert", "-O", "qcow2", "-o", "data_file=old,data_file_raw=on", "raw", "image"], cwd=place,
                       check=True)
        (place / "old").rename(place / "moved")
        (place / "old").write_bytes(bytes(1 << 20))  # what is named is opened before it is named otherwise
        subprocess.run([program, "amend", "-o", "data_file=moved,data_file_raw=off", "image"], cwd=place, check=True)
        (place / "old").unlink()
        for other in (STOCK, OURS):
            subprocess.run([other, "compare", "-f", "raw", "-F", "qcow2", "raw", "image"], cwd=place, check=True)
        subprocess.run([STOCK, "check", "-q", "image"], cwd=place, check=True)
        found.append(subprocess.run([STOCK, "info", "image"], cwd=place, check=True, capture_output=True, text=True).stdout)
    assert found[0] == found[1] and "data file: moved" in found[0] and "data file raw: false" in found[0]
    was = (place / "image").read_bytes()
    refused = subprocess.run([OURS, "amend", "-o", f"data_file={'x' * 400}", "image"], cwd=place, capture_output=True, text=True)
    assert refused.returncode == 1 and "too long" in refused.stderr and (place / "image").read_bytes() == was


@pytest.mark.parametrize("old", (1 << 20, 1000000, 700))
@pytest.mark.parametrize("words", (("1000001",), ("+1",), ("--shrink", "1000"), ("--shrink", "-300"), ("--preallocation=falloc", "1100003"),
                                   ("--preallocation=full", "+77")))
def test_a_raw_file_becomes_as_long_as_stock_makes_it(tmp_path, old, words):  # IMG-39
    content = os.urandom(old)
    found = []
    for program in (STOCK, OURS):
        image = tmp_path / "raw"
        image.write_bytes(content)
        done = subprocess.run([program, "resize", "-q", "-f", "raw", *words[:-1], image, words[-1]], stderr=subprocess.DEVNULL)
        found.append((done.returncode, image.read_bytes()))
    assert found[0] == found[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_a_device_stays_as_long_as_it_is(tmp_path):  # IMG-20
    with loop_device(tmp_path / "node", 1) as node:
        for size in ("512k", "1000001", "2M", "1M"):
            done = [subprocess.run([program, "resize", "-q", "--shrink", "-f", "raw", node, size], stderr=subprocess.PIPE).returncode
                    for program in (STOCK, OURS)]
            assert done == [int(size != "1M")] * 2, size


def test_salvage_takes_what_can_be_read(tmp_path):
    """A disk with a bad spot: the copy has zeros there and the rest, and the spot is told."""
    place = tmp_path / "copy"
    (tmp_path / "bad").touch()
    script = """
    case "$1" in
        get_size) echo 1048576 ;;
        pread) if [ "$4" -lt 525312 ] && [ $(($4 + $3)) -gt 524288 ]; then echo "EIO bad spot" >&2; exit 1; fi
               head -c "$3" /dev/zero | tr '\\0' x ;;
        *) exit 2 ;;
    esac"""
    for options, code in (([], 1), (["--salvage"], 0)):
        done = subprocess.run(["nbdkit", "-U", "-", "sh", "-", "--run",
                               f'"{OURS}" convert {" ".join(options)} -f raw -O raw "$uri" "{place}"'], input=script,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done
        assert place.exists() == (code == 0)
    assert done.stderr.count("zeros take its place") == 2
    content = place.read_bytes()
    assert content == b"x" * 524288 + bytes(1024) + b"x" * (1048576 - 525312)
