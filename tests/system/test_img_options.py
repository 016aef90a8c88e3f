"""Every option of qemu-img's commands is taken as qemu-img takes it: accepted or refused, with its exit status (IMG-38, IMG-39)."""

import os
import re
import shutil
import subprocess

import pytest

from img_tools import OURS, STOCK, needs_stock

pytestmark = needs_stock

SECRET = "secret,id=s,data=x"

# Each line runs in a directory of its own that holds raw (1 MiB, data), a.qcow2 (over base.qcow2, snapshot one, bitmap b),
# base.qcow2, plain.qcow2 and old.qcow2 (compat 0.10).
LINES = f"""
create
create -f qcow2 new 1M
create -q -f qcow2 -o cluster_size=4k,lazy_refcounts=on new 1M
create -f qcow2 -b base.qcow2 -F qcow2 new
create -f qcow2 -b base.qcow2 new
create -f qcow2 -u -b gone -F qcow2 new 1M
create -f qcow2 -b gone -F qcow2 new 1M
create -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 new
create -f qcow2 new
create -f qcow2 new 1M extra
create -f nonsense new 1M
create -f qcow2 -o nonsense=1 new 1M
create -f qcow2 -o cluster_size=1000 new 1M
create -f qcow2 -o help
create -o help
create -f raw --object {SECRET} new 1M
create --object nonsense,id=x new 1M
create -e new 1M
create -6 new 1M
create --nonsense new 1M
create new -1M
create new 1M -q
create -f qcow2 -o ? new
create -f vmdk -o help new
create -o help -f nonsense new
create -f qcow2 -o help,cluster_size=4k new 1M
create -f qcow2 -o size=2M new
create -f qcow2 -o size=2M new 1M
create -f qcow2 -o preallocation=nonsense new 1M
create -f qcow2 -o compat=v2 new 1M
create -f qcow2 -o compat=2 new 1M
create -f qcow2 -o refcount_bits=3 new 1M
create -f qcow2 -o compat=0.10,lazy_refcounts=on new 1M
create -f qcow2 -o compat=0.10,compression_type=zstd new 1M
create -f qcow2 -o extended_l2=on,cluster_size=4k new 1M
create -f qcow2 -o data_file_raw=on new 1M
create -f qcow2 -o lazy_refcounts new 1M
create -f qcow2 -b base.qcow2 -F nonsense new
create -f qcow2 -F qcow2 new 1M
create -f qcow2 -b base.qcow2 -F qcow2 new 512k
create -f raw -b base.qcow2 -F qcow2 new
create -f qcow2 new 513
create new 8E
create new 16E
create -f vmdk -o adapter_type=nonsense new 1M
create -f vhdx -o log_size=1000 new 1M
create -f parallels -o cluster_size=1000 new 1M
create -f luks new 1M
create --object secret,id=s new 1M
create --object secret,id=s,data=x,file=y new 1M
create --object secret,data=x new 1M
create --object qom-type=secret,id=s,data=x new 1M
info
info raw
info -f raw raw
info -f qcow2 raw
info --output=json a.qcow2
info --output=human a.qcow2
info --output=nonsense a.qcow2
info --backing-chain a.qcow2
info -U a.qcow2
info --force-share a.qcow2
info --object {SECRET} a.qcow2
info --image-opts driver=qcow2,file.filename=a.qcow2
info --image-opts driver=qcow2,file.driver=file,file.filename=a.qcow2,read-only=on
info --image-opts -f qcow2 driver=qcow2,file.filename=a.qcow2
info gone
info a.qcow2 raw
info --help
info json:{{"driver":"raw","file.filename":"raw"}}
info json:{{"driver":"nonsense"}}
info json:{{
info --image-opts raw
info --image-opts file.filename=a.qcow2
info --image-opts driver=qcow2,file.filename=a.qcow2,nonsense=1
check a.qcow2
check -q -f qcow2 a.qcow2
check -f raw raw
check -r leaks a.qcow2
check -r all a.qcow2
check -r nonsense a.qcow2
check --output=json a.qcow2
check --output json a.qcow2
check -U a.qcow2
check -T none a.qcow2
check -T nonsense a.qcow2
check gone
check
check --image-opts driver=qcow2,file.filename=a.qcow2
check -r all -U a.qcow2
check -r all -f raw raw
check -p a.qcow2
convert
convert raw
convert raw new
convert -f raw -O qcow2 raw new
convert -c -O qcow2 raw new
convert -c -O raw raw new
convert -p -O qcow2 raw new
convert -q -p -O qcow2 raw new
convert -O qcow2 -t none raw new
convert -O qcow2 -t nonsense raw new
convert -O qcow2 -T directsync raw new
convert -O qcow2 -T nonsense raw new
convert -n -O qcow2 raw plain.qcow2
convert -n -O qcow2 raw gone
convert -n -O raw plain.qcow2 raw
convert --target-is-zero -n -O qcow2 raw plain.qcow2
convert --target-is-zero -O qcow2 raw new
convert -n --target-image-opts raw driver=qcow2,file.filename=plain.qcow2
convert --target-image-opts raw driver=qcow2,file.filename=plain.qcow2
convert -n -O qcow2 --target-image-opts raw driver=qcow2,file.filename=plain.qcow2
convert --image-opts -O qcow2 driver=raw,file.filename=raw new
convert --image-opts -f raw -O qcow2 driver=raw,file.filename=raw new
convert -O qcow2 -o cluster_size=4k raw new
convert -O qcow2 -o nonsense=4k raw new
convert -O qcow2 -o help raw new
convert -O nonsense raw new
convert -l one -O raw a.qcow2 new
convert -l snapshot.name=one -O raw a.qcow2 new
convert -l snapshot.id=1 -O raw a.qcow2 new
convert -l gone -O raw a.qcow2 new
convert -s one -O raw a.qcow2 new
convert -S 0 -O qcow2 raw new
convert -S 64k -O raw raw new
convert -S 100 -O raw raw new
convert -S nonsense -O raw raw new
convert -m 4 -O raw raw new
convert -m 0 -O raw raw new
convert -m 17 -O raw raw new
convert -m 4 -W -O raw raw new
convert -W -O raw raw new
convert -r 100M -O raw raw new
convert -r nonsense -O raw raw new
convert -C -O raw raw new
convert -C -S 4k -O raw raw new
convert -C -c -O qcow2 raw new
convert --salvage -O qcow2 raw new
convert --salvage -C -O qcow2 raw new
convert -B base.qcow2 -F qcow2 -O qcow2 a.qcow2 new
convert -B base.qcow2 -O qcow2 a.qcow2 new
convert -o backing_file=base.qcow2,backing_fmt=qcow2 -O qcow2 a.qcow2 new
convert -F qcow2 -O qcow2 a.qcow2 new
convert --bitmaps -O qcow2 a.qcow2 new
convert --bitmaps -O raw a.qcow2 new
convert --bitmaps -O qcow2 raw new
convert --bitmaps --skip-broken-bitmaps -O qcow2 a.qcow2 new
convert --skip-broken-bitmaps -O qcow2 a.qcow2 new
convert --bitmaps -O qcow2 a.qcow2 a.qcow2 new
convert -O raw raw raw new
convert -U -O raw raw new
convert gone new
convert -f qcow2 raw new
convert -O qcow2 -o ? raw new
convert -O qcow2 -o preallocation=metadata raw new
convert -O qcow2 -o backing_file=gone raw new
convert -O vdi -c raw new
convert -S 512 -O raw raw new
convert -S -1 -O raw raw new
convert -r -1 -O raw raw new
convert -l one -l two -O raw a.qcow2 new
convert -l one -O raw a.qcow2 plain.qcow2 new
convert -l one -O raw raw new
convert -B base.qcow2 -F qcow2 -O raw a.qcow2 new
convert -B base.qcow2 -F nonsense -O qcow2 a.qcow2 new
convert -6 -O raw raw new
convert -e -O raw raw new
convert -n -O qcow2 base.qcow2 base.qcow2
convert -O qcow2 raw raw
commit a.qcow2
commit -q -f qcow2 a.qcow2
commit -d a.qcow2
commit -p a.qcow2
commit -b base.qcow2 a.qcow2
commit -b gone a.qcow2
commit -t none a.qcow2
commit -t nonsense a.qcow2
commit -r 100M a.qcow2
commit plain.qcow2
commit raw
commit
commit --image-opts driver=qcow2,file.filename=a.qcow2
commit -r nonsense a.qcow2
commit -b ./base.qcow2 a.qcow2
commit -U a.qcow2
compare raw raw
compare raw plain.qcow2
compare -s raw raw
compare -s raw a.qcow2
compare -p raw raw
compare -q raw raw
compare -f raw -F raw raw raw
compare -f qcow2 raw raw
compare -T none -f raw -F raw raw raw
compare -T nonsense raw raw
compare -U raw raw
compare raw
compare raw gone
compare --image-opts driver=raw,file.filename=raw driver=raw,file.filename=raw
compare -f nonsense raw raw
compare raw raw raw
compare -r raw raw
map a.qcow2
map --output=json a.qcow2
map --output=nonsense a.qcow2
map -s 64k -l 64k --output=json a.qcow2
map --start-offset=64k --max-length=64k a.qcow2
map -s nonsense a.qcow2
map -U a.qcow2
map -f qcow2 a.qcow2
map -f qcow2 raw
map
map -s 2M a.qcow2
map -l 0 a.qcow2
map -s 1 -l 1 --output=json a.qcow2
measure --size 1M
measure --size 1M -O qcow2
measure -O qcow2 raw
measure -O qcow2 -l one a.qcow2
measure -O qcow2 -l gone a.qcow2
measure --output=json -O qcow2 raw
measure -O qcow2 -o cluster_size=4k raw
measure -O nonsense raw
measure -O vdi raw
measure --size 1M raw
measure -U -O qcow2 raw
measure -f raw -O qcow2 raw
measure --size nonsense
measure
measure -O qcow2 -o help
measure --size 1M -l one
measure --size 1M -f raw
measure --size 0 -O qcow2
measure -O qcow2 raw raw
measure -O qcow2 gone
rebase -b base.qcow2 -F qcow2 a.qcow2
rebase -b "" a.qcow2
rebase -u -b gone -F qcow2 a.qcow2
rebase -u -b "" a.qcow2
rebase -b gone -F qcow2 a.qcow2
rebase -b base.qcow2 a.qcow2
rebase -p -b "" a.qcow2
rebase -q -t none -T none -b "" a.qcow2
rebase -t nonsense -b "" a.qcow2
rebase -f qcow2 -b "" a.qcow2
rebase -U -b "" a.qcow2
rebase -b base.qcow2 -F nonsense a.qcow2
rebase -b base.qcow2 -F qcow2 raw
rebase a.qcow2
rebase
rebase -u -b base.qcow2 a.qcow2
rebase -b "" plain.qcow2
rebase -b a.qcow2 -F qcow2 a.qcow2
rebase -b "" gone
resize plain.qcow2 2M
resize plain.qcow2 +1M
resize plain.qcow2 -512k
resize --shrink plain.qcow2 -512k
resize -q plain.qcow2 +1M
resize -f raw raw 2M
resize raw 2M
resize raw 512k
resize --preallocation=falloc plain.qcow2 +1M
resize --preallocation=metadata plain.qcow2 +1M
resize --preallocation=nonsense plain.qcow2 +1M
resize --preallocation=full --shrink plain.qcow2 -512k
resize plain.qcow2 nonsense
resize plain.qcow2
resize plain.qcow2 0
resize --image-opts driver=qcow2,file.filename=plain.qcow2 +1M
resize
resize plain.qcow2 1M
resize plain.qcow2 -1
resize --shrink plain.qcow2 -2M
resize --shrink plain.qcow2 -1M
resize plain.qcow2 + 1M
resize plain.qcow2 +1E
resize --preallocation=falloc -f raw raw 2M
resize --shrink base.qcow2 512k
resize -f qcow2 raw 2M
snapshot a.qcow2
snapshot -l a.qcow2
snapshot -c two plain.qcow2
snapshot -a one plain.qcow2
snapshot -a gone plain.qcow2
snapshot -d one a.qcow2
snapshot -d gone a.qcow2
snapshot -l -c two a.qcow2
snapshot -l raw
snapshot -c two raw
snapshot -q -l a.qcow2
snapshot -U -l a.qcow2
snapshot -U -c two plain.qcow2
snapshot -l --image-opts driver=qcow2,file.filename=a.qcow2
snapshot
snapshot -c one plain.qcow2
snapshot -d "" plain.qcow2
snapshot -a one -d one plain.qcow2
snapshot -l a.qcow2 raw
snapshot -l old.qcow2
amend -o compat=0.10 plain.qcow2
amend -o compat=1.1 old.qcow2
amend -o lazy_refcounts=on plain.qcow2
amend -o nonsense=on plain.qcow2
amend -f qcow2 -p -q -o lazy_refcounts=on plain.qcow2
amend -t none -o lazy_refcounts=on plain.qcow2
amend -t nonsense -o lazy_refcounts=on plain.qcow2
amend --force -o lazy_refcounts=on plain.qcow2
amend -o size=2M plain.qcow2
amend -o cluster_size=4k plain.qcow2
amend -o help -f qcow2
amend -o size=2M raw
amend plain.qcow2
amend
amend -o ? -f qcow2
amend -o refcount_bits=3 base.qcow2
amend -o lazy_refcounts=on old.qcow2
amend -o compat=nonsense base.qcow2
amend -o preallocation=full plain.qcow2
amend -o size=512k base.qcow2
bitmap --add plain.qcow2 new
bitmap --add -g 4k -f qcow2 plain.qcow2 new
bitmap --add --disable plain.qcow2 new
bitmap --clear --disable a.qcow2 b
bitmap --remove a.qcow2 b
bitmap --remove a.qcow2 gone
bitmap --merge b a.qcow2 b
bitmap a.qcow2 b
bitmap --add a.qcow2
bitmap --add raw new
bitmap --enable a.qcow2 b
bitmap --add --disable --enable plain.qcow2 new
bitmap --add -g 1000 plain.qcow2 new
bitmap --add -g 4G plain.qcow2 new
bitmap --add a.qcow2 b
bitmap --add old.qcow2 b
bitmap --merge b -b a.qcow2 -F qcow2 --add plain.qcow2 n2
bitmap --merge b -b a.qcow2 plain.qcow2 b
bitmap -b a.qcow2 --add plain.qcow2 n2
bitmap -F qcow2 --add plain.qcow2 n2
bitmap -g 4k --clear a.qcow2 b
bitmap --add plain.qcow2 n2 extra
dd if=raw of=new
dd bs=4k count=2 skip=1 if=raw of=new
dd -f raw -O qcow2 if=raw of=new
dd -U if=raw of=new
dd if=raw
dd of=new
dd bs=0 if=raw of=new
dd bs=nonsense if=raw of=new
dd nonsense=1 if=raw of=new
dd if=gone of=new
dd
dd -f qcow2 if=raw of=new
dd bs=1M count=0 if=raw of=new
dd bs=1M skip=2 if=raw of=new
dd bs=3 count=5 if=raw of=new
dd count=-1 if=raw of=new
dd if= of=new
dd seek=1 if=raw of=new
dd if=raw of=new conv=notrunc
bench -c 10 raw
bench -c 10 -d 4 -s 4k -f raw raw
bench -c 10 -w --flush-interval=5 -f raw raw
bench -c 10 -w --flush-interval=5 --no-drain -f raw raw
bench -c 10 -w --pattern=7 -f raw raw
bench -c 10 -o 4k -S 8k -f raw raw
bench -c 10 -t none -f raw raw
bench -c 10 -t nonsense -f raw raw
bench -c 10 -n -f raw raw
bench -c 10 -i threads -f raw raw
bench -c 10 -i nonsense -f raw raw
bench -c 10 -q -f raw raw
bench -c 10 -U -f raw raw
bench -c nonsense raw
bench
bench -c 0 raw
bench -c 10 -d nonsense raw
bench -c 10 -w --pattern=256 -f raw raw
bench -c 10 --flush-interval=5 -f raw raw
bench -c 10 -w --no-drain -f raw raw
bench -c 10 -i native -f raw raw
bench -c 10 -f qcow2 raw
bench -c 10 -s 2M -f raw raw
nonsense
--help
--version
-V
-h
""".strip().splitlines()

# Where we differ on purpose, and why.
DIFFERENT = {
    "convert -O qcow2 -t nonsense raw new": "stock leaves what it had begun to make",
    "convert --bitmaps -O raw a.qcow2 new": "stock leaves what it had begun to make",
    "amend -o compat=0.10 plain.qcow2": "an image with snapshots keeps its version here",
}
PRINTED_DIFFERENTLY = {
    **{line: "our own words" for line in LINES if line.split()[-1] in ("--help", "--version", "-V", "-h")
       or (" -o help" in line or " -o ?" in line) and "nonsense" not in line and not line.startswith("measure")},
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


@pytest.mark.skipif(not shutil.which("nbdkit"), reason="nbdkit is missing")
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
