"""Encrypted images in both directions between drover-img and stock tools (IMG-08, CON-15): luks, qcow2 with LUKS, aes."""

import base64
import json
import os
import subprocess

import pytest

from img_tools import OURS, STOCK, failing, fill, needs_stock, ours, stock

pytestmark = needs_stock

SECRET = ["--object", "secret,id=sec0,data=a password"]
OTHER = ["--object", "secret,id=sec1,data=another one"]
QUICK = "iter-time=10"
PROGRAM = {ours: OURS, stock: STOCK}

ESSIV = "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha1"

# Stock takes seconds of processor time to create one, whatever iter-time says; and it aborts on aes-192 with cbc.
CASES = [(ours, "luks", options) for options in ("", "cipher-alg=aes-128", "cipher-alg=aes-192,hash-alg=sha384", ESSIV,
                                                  "cipher-alg=serpent-256,hash-alg=sha512",
                                                  "cipher-alg=twofish-128,ivgen-alg=plain,hash-alg=ripemd160",
                                                  "cipher-alg=cast5-128,cipher-mode=cbc,ivgen-alg=plain64")]
CASES += [(ours, "qcow2", ""), (ours, "qcow2", ESSIV), (stock, "luks", ""), (stock, "qcow2", ESSIV)]


def created(run, format, path, options="", size="4M", secret=SECRET):
    prefix = "encrypt." if format == "qcow2" else ""
    words = [f"{prefix}{word}" for word in ["key-secret=sec0", QUICK, *filter(None, options.split(","))]]
    if format == "qcow2":
        words.append("encrypt.format=luks")
    # qemu-img times itself and gives up when the machine is busy meanwhile
    for _ in range(50):
        done = subprocess.run([PROGRAM[run], "create", "-q", "-f", format, *secret, "-o", ",".join(words), path, size],
                              capture_output=True, text=True)
        if "Unable to get accurate CPU usage" not in done.stderr:
            break
    assert done.returncode == 0, done


def node(format, path, secret="sec0"):
    return f"driver={format},file.filename={path},{'encrypt.' if format == 'qcow2' else ''}key-secret={secret}"


def io(image, *commands):
    words = [word for command in commands for word in ("-c", command)]
    out = subprocess.run(["qemu-io", *SECRET, "--image-opts", *words, image], capture_output=True, text=True, check=True)
    assert "failed" not in out.stdout, out


@pytest.mark.parametrize("creator, format, options", CASES)
def test_what_one_encrypts_the_other_reads(tmp_path, creator, format, options):
    reader = ours if creator is stock else stock
    image, raw = tmp_path / "a", tmp_path / "a.raw"
    fill(raw, 3 << 20)
    created(creator, format, image, options)
    # written by the one that made it, then in part by qemu-io, read by both
    creator("convert", "-n", *SECRET, "--image-opts", "--target-image-opts", f"driver=raw,file.filename={raw}",
            node(format, image))
    io(node(format, image), "write -P 7 3000000 70000")
    subprocess.run(["qemu-io", "-f", "raw", "-c", "truncate 4M", "-c", "write -P 7 3000000 70000", str(raw)], check=True,
                   capture_output=True)
    if not (format == "luks"):  # what nobody wrote is noise in a luks container
        for run in (reader, creator):
            run("compare", *SECRET, "--image-opts", node(format, image), f"driver=raw,file.filename={raw}")
    for run in (reader, creator):
        run("convert", *SECRET, "--image-opts", "-O", "raw", node(format, image), tmp_path / "b.raw")
        with open(raw, "rb") as a, open(tmp_path / "b.raw", "rb") as b:
            assert a.read(3070000) == b.read(3070000)
    if format == "qcow2":
        stock("check", "-q", *SECRET, "--image-opts", node(format, image))
        ours("check", "-q", *SECRET, "--image-opts", node(format, image))


@pytest.mark.parametrize("format", ["luks", "qcow2"])
def test_info_shows_the_header_as_stock_does_and_asks_for_no_password(tmp_path, format):
    image = tmp_path / "a"
    created(ours, format, image, ESSIV)
    assert ours("info", image) == stock("info", image)
    assert json.loads(ours("info", "--output=json", image)) == json.loads(stock("info", "--output=json", image))
    assert "key-secret' is required for cipher" in failing("map", image)
    wrong = ["--object", "secret,id=sec0,data=a passworD"]
    assert "Invalid password, cannot unlock any keyslot" in failing("map", *wrong, "--image-opts", node(format, image))
    assert "No secret with id 'gone'" in failing("map", "--image-opts", node(format, image, "gone"))


@pytest.mark.parametrize("format", ["luks", "qcow2"])
@pytest.mark.parametrize("run, other", [(ours, stock), (stock, ours)], ids=["ours", "stock"])
def test_key_slots_are_changed(tmp_path, format, run, other):
    image, p = tmp_path / "a", "encrypt." if format == "qcow2" else ""
    created(ours, format, image)

    def amend(options, program=run, code=0, secret="sec0"):
        program("amend", *SECRET, *OTHER, "--image-opts", "-o", options, node(format, image, secret), code=code)

    amend(f"{p}state=active,{p}new-secret=sec1,{p}keyslot=5,{p}{QUICK}")
    for program in (run, other):
        program("map", "--output=json", *OTHER, "--image-opts", node(format, image, "sec1"))
    for program in (run, other):  # what both refuse
        amend(f"{p}state=active,{p}new-secret=sec1,{p}keyslot=5", program, 1)
        amend(f"{p}state=active,{p}new-secret=sec1,{p}keyslot=8", program, 1)
        amend(f"{p}state=active", program, 1)
        amend(f"{p}state=inactive", program, 1)
        amend(f"{p}state=inactive,{p}keyslot=3", program, 1)
    amend(f"{p}state=inactive,{p}old-secret=sec0")
    for program in (run, other):
        program("map", "--output=json", *SECRET, "--image-opts", node(format, image), code=1)
        program("map", "--output=json", *OTHER, "--image-opts", node(format, image, "sec1"))
        amend(f"{p}state=inactive,{p}keyslot=5", program, 1, "sec1")


def test_the_old_aes_is_read_and_not_written(tmp_path):
    image, raw, new = tmp_path / "a", tmp_path / "a.raw", tmp_path / "b"
    stock("create", "-q", "-f", "qcow2", *SECRET, "-o", "encrypt.format=aes,encrypt.key-secret=sec0", image, "4M")
    io(node("qcow2", image), "write -P 5 10000 2M")
    assert ours("info", image) == stock("info", image)
    ours("convert", *SECRET, "--image-opts", "-O", "raw", node("qcow2", image), raw)
    stock("compare", *SECRET, "--image-opts", node("qcow2", image), f"driver=raw,file.filename={raw}")
    assert "can only be read" in failing("resize", *SECRET, "--image-opts", node("qcow2", image), "+1M")
    assert "can only be read" in failing("create", "-f", "qcow2", "-o", "encryption=on", new, "1M")
    ours("convert", *SECRET, "--image-opts", "-O", "qcow2", "-o",
         f"encrypt.format=luks,encrypt.key-secret=sec0,encrypt.{QUICK}", node("qcow2", image), new)
    stock("compare", *SECRET, "--image-opts", node("qcow2", new), f"driver=raw,file.filename={raw}")


def test_overlays_of_encrypted_images(tmp_path):
    base, top, raw = tmp_path / "base", tmp_path / "top", tmp_path / "raw"
    created(ours, "qcow2", base)
    io(node("qcow2", base), "write -P 1 0 2M")
    ours("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
    subprocess.run(["qemu-io", *SECRET, "--image-opts", "-c", "write -P 2 1M 100k",
                    f"driver=qcow2,file.filename={top},backing.{node('qcow2', base).replace(',', ',backing.')}"],
                   check=True, capture_output=True)
    chain = f"driver=qcow2,file.filename={top},backing.{node('qcow2', base).replace(',', ',backing.')}"
    ours("convert", *SECRET, "--image-opts", "-O", "raw", chain, raw)
    stock("compare", *SECRET, "--image-opts", chain, f"driver=raw,file.filename={raw}")
    assert "required for cipher" in failing("convert", "-O", "raw", top, tmp_path / "none")
    ours("commit", *SECRET, "--image-opts", chain)
    stock("compare", *SECRET, "--image-opts", node("qcow2", base), f"driver=raw,file.filename={raw}")
    stock("check", "-q", *SECRET, "--image-opts", node("qcow2", base))


def test_encrypted_images_grow_shrink_and_keep_snapshots(tmp_path):
    image, raw = tmp_path / "a", tmp_path / "raw"
    created(ours, "qcow2", image)
    io(node("qcow2", image), "write -P 1 0 4M")
    ours("snapshot", *SECRET, "--image-opts", "-c", "one", node("qcow2", image))
    io(node("qcow2", image), "write -P 2 1M 777777")
    ours("resize", *SECRET, "--image-opts", node("qcow2", image), "+1M")
    ours("snapshot", *SECRET, "--image-opts", "-a", "one", node("qcow2", image))
    ours("convert", *SECRET, "--image-opts", "-O", "raw", node("qcow2", image), raw)
    with open(raw, "rb") as f:
        assert f.read() == bytes([1]) * (4 << 20)
    stock("check", "-q", *SECRET, "--image-opts", node("qcow2", image))
    luks = tmp_path / "l"
    created(ours, "luks", luks)
    ours("resize", *SECRET, "--image-opts", node("luks", luks), "+1M")
    ours("resize", *SECRET, "--shrink", "--image-opts", node("luks", luks), "3M")
    stock("compare", *SECRET, "--image-opts", node("luks", luks), node("luks", luks))


def test_measure_counts_the_header(tmp_path):
    raw = fill(tmp_path / "raw", 5 << 20)
    mine = json.loads(ours("measure", "--output=json", *SECRET, "-O", "luks", "-o", "key-secret=sec0", "--size", "5G"))
    assert mine == {"required": (5 << 30) + 2068480, "fully-allocated": (5 << 30) + 2068480}
    # stock measures an encrypted qcow2 by making it, and may find itself too slow: it says that of the plain one, and the
    # whole clusters of the header
    plain = json.loads(stock("measure", "--output=json", "-O", "qcow2", "-f", "raw", raw))
    options = "encrypt.format=luks,encrypt.key-secret=sec0"
    mine = json.loads(ours("measure", "--output=json", *SECRET, "-O", "qcow2", "-o", options, "-f", "raw", raw))
    assert mine == {key: size + (2 << 20) for key, size in plain.items()}


def test_secrets_from_files_in_base64_and_encrypted(tmp_path):
    image, password = tmp_path / "a", tmp_path / "password"
    created(ours, "luks", image)
    password.write_bytes(b"a password")
    coded = base64.b64encode(b"a password").decode()
    master = bytes(range(32))
    sealed = subprocess.run(["openssl", "enc", "-aes-256-cbc", "-K", master.hex(), "-iv", "00" * 15 + "07", "-a"],
                            input=b"a password", capture_output=True, check=True).stdout.decode().strip()
    iv = base64.b64encode(bytes(15) + b"\x07").decode()
    for objects in ([f"secret,id=sec0,file={password}"], [f"secret,id=sec0,data={coded},format=base64"],
                    [f"qom-type=secret,id=sec0,file={password},format=raw"],
                    [f"secret,id=m,data={base64.b64encode(master).decode()},format=base64",
                     f"secret,id=sec0,data={sealed},keyid=m,iv={iv},format=base64"]):
        words = [word for o in objects for word in ("--object", o)]
        for run in (stock, ours):
            run("map", "--output=json", *words, "--image-opts", node("luks", image))
    for bad in ("secret,id=s", f"secret,id=s,data=x,file={password}", "secret,data=x", "secret,id=s,data=x,format=hex",
                "secret,id=s,data=*,format=base64", "secret,id=s,file=/gone", "secret,id=s,data=x,colour=red"):
        for run in (stock, ours):
            run("map", "--output=json", "--object", bad, "--image-opts", node("luks", image), code=1)


def test_a_password_is_in_no_file_of_an_interrupted_create(tmp_path):
    """What is written is the container under its temporary name, and nothing of it stays when there is no room."""
    assert "cipher" in failing("create", "-q", "-f", "luks", *SECRET, "-o", "key-secret=sec0,cipher-alg=rot13",
                               tmp_path / "a", "1M")
    assert "required" in failing("create", "-q", "-f", "luks", tmp_path / "a", "1M")
    assert os.listdir(tmp_path) == []
