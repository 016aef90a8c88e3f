"""drover-img serve with TLS: who is let in, by certificate or key, and nobody in the clear."""

import json
import os
import shutil
import socket
import struct
import subprocess

import pytest

from droverd import free_port
from img_tools import failing, fill, needs_stock, ours, run, stock
from nbd_server import Authority, Serving
from waiting import wait_for

pytestmark = [needs_stock, pytest.mark.skipif(not shutil.which("nbdinfo") or not shutil.which("certtool"),
                                              reason="libnbd-bin or gnutls-bin is missing")]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Directories of credentials, made once."""
    place = tmp_path_factory.mktemp("pki")
    (place / "other").mkdir()
    authority, stranger = Authority(place), Authority(place / "other")  # of the same name, with another key
    found = {name: authority.directory(name, name == "server") for name in ("server", "anna", "bert")}
    found["stranger"] = stranger.directory("anna", False)
    # trusts our authority, comes with a certificate that ours does not know
    (found["stranger"] / "ca-cert.pem").write_bytes(authority.cert.read_bytes())
    found["authority"] = authority
    return found


def with_server(pki, *more):
    return ["--object", f"tls-creds-x509,id=t,endpoint=server,dir={pki['server']}{''.join(more)}", "--tls-creds", "t"]


def nbds(server, directory):
    return f"{server.uri.replace('nbd', 'nbds', 1)}{'&' if '?' in server.uri else '?'}tls-certificates={directory}"


def ended(link):
    """The other side closes, perhaps without having read all."""
    try:
        while link.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def refused(uri):
    done = subprocess.run(["nbdinfo", "--size", uri], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0, done
    return done.stderr


@pytest.mark.parametrize("tcp", [False, True])
def test_certificates_are_asked_for_and_checked(tmp_path, pki, tcp):
    raw = fill(tmp_path / "a.raw", 3 << 20)
    with Serving(tmp_path, raw, "-v", *with_server(pki), tcp=free_port() if tcp else None) as server:
        run("nbdcopy", nbds(server, pki["anna"]), tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == raw.read_bytes()
        run("nbdcopy", fill(tmp_path / "b.raw", 3 << 20, seed=2), nbds(server, pki["bert"]))
        assert refused(nbds(server, pki["stranger"]))
        wait_for("it says why", lambda: "certificate is refused" in server.said())
        assert "TLS" in refused(server.uri)
    assert raw.read_bytes() == (tmp_path / "b.raw").read_bytes()


def test_qemu_comes_in_by_its_own_options(tmp_path, pki):
    raw = fill(tmp_path / "a.raw", 3 << 20)
    with Serving(tmp_path, raw, "-r", *with_server(pki), tcp=free_port()) as server:
        port = server.uri.rpartition(":")[2].rstrip("/")
        node = f"driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={port},tls-creds=c"
        creds = ["--object", f"tls-creds-x509,id=c,endpoint=client,dir={pki['anna']}"]
        stock("compare", *creds, "--image-opts", f"driver=raw,file.filename={raw}", node)
        stock("convert", *creds, "--image-opts", node, "-O", "raw", tmp_path / "copy")
        stock("compare", *creds, "--image-opts", node.replace(",tls-creds=c", ""), node, code=2)
    assert (tmp_path / "copy").read_bytes() == raw.read_bytes()


def test_our_own_client_has_the_same_options(tmp_path, pki):
    """Source and target over TLS, by --image-opts and by json:, as stock qemu-img takes them (IMG-33)."""
    raw, place = fill(tmp_path / "a.raw", 3 << 20), tmp_path / "target"
    with open(place, "wb") as f:
        f.truncate(3 << 20)
    creds = ["--object", f"tls-creds-x509,id=c,endpoint=client,dir={pki['anna']}"]
    ports = [free_port(), free_port()]
    with Serving(tmp_path, raw, "-r", *with_server(pki), tcp=ports[0]), Serving(tmp_path, place, *with_server(pki), tcp=ports[1]):
        nodes = [f"driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={port},tls-creds=c" for port in ports]
        name = json.dumps({"driver": "raw", "file": {"driver": "nbd", "tls-creds": "c", "server": {
            "type": "inet", "host": "127.0.0.1", "port": str(ports[0])}}})
        ours("convert", *creds, "--image-opts", "-n", "--target-image-opts", *nodes)
        for program in (ours, stock):
            program("compare", *creds, "--image-opts", *nodes)
            program("map", *creds, f"json:{name}")
        failing("map", "--image-opts", nodes[0].replace(",tls-creds=c", ""))
        assert "No TLS credentials" in failing("map", "--image-opts", nodes[0])
        failing("map", *(word.replace(str(pki["anna"]), str(pki["stranger"])) for word in creds), "--image-opts", nodes[0])
        assert "client endpoint" in failing("map", "--object", f"tls-creds-x509,id=c,endpoint=server,dir={pki['server']}",
                                            "--image-opts", nodes[0])
    assert place.read_bytes() == raw.read_bytes()


def test_the_server_is_checked_unless_told_otherwise(tmp_path, pki):
    other = Authority(tmp_path, "other").directory("server", True)
    raw, port = fill(tmp_path / "a.raw", 1 << 20), free_port()
    options = ["--object", f"tls-creds-x509,id=t,endpoint=server,dir={other},verify-peer=off", "--tls-creds", "t"]
    anna = f"tls-creds-x509,id=c,endpoint=client,dir={pki['anna']}"
    with Serving(tmp_path, raw, "-r", *options, tcp=port):
        node = f"driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={port},tls-creds=c"
        failing("map", "--object", anna, "--image-opts", node)
        ours("map", "--object", f"{anna},verify-peer=off", "--image-opts", node)
    with Serving(tmp_path, raw, "-r", *options) as server:  # there is no name to check
        node = f"driver=nbd,server.type=unix,server.path={server.path},tls-creds=c"
        for program in (failing, lambda *words: stock(*words, code=1)):
            program("map", "--object", anna, "--image-opts", node)
        ours("map", "--object", f"{anna},verify-peer=off", "--image-opts", node)


def test_nothing_is_given_away_in_the_clear(tmp_path, pki):
    """No downgrade: before TLS every option but STARTTLS is refused, and the oldest way in ends the connection."""
    with Serving(tmp_path, fill(tmp_path / "a.raw", 1 << 20), "-x", "hidden", *with_server(pki)) as server:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(server.path)
            link.settimeout(120)
            assert link.recv(18, socket.MSG_WAITALL)[:8] == b"NBDMAGIC"
            link.sendall(struct.pack(">I", 3))
            for option, data in ((3, b""), (7, struct.pack(">I6sH", 6, b"hidden", 0)), (8, b""), (9, bytes(8))):
                link.sendall(b"IHAVEOPT" + struct.pack(">II", option, len(data)) + data)
                _, echoed, kind, length = struct.unpack(">QIII", link.recv(20, socket.MSG_WAITALL))
                assert (echoed, kind) == (option, 0x80000005)
                assert b"hidden" not in link.recv(length, socket.MSG_WAITALL)
            link.sendall(b"IHAVEOPT" + struct.pack(">II", 1, 6) + b"hidden")
            assert ended(link)
        with socket.socket(socket.AF_UNIX) as link:  # something else than a handshake behind STARTTLS
            link.connect(server.path)
            link.settimeout(120)
            link.recv(18, socket.MSG_WAITALL)
            link.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 5, 0) + b"IHAVEOPT" * 40)
            assert ended(link)
        assert refused(server.uri)


def test_only_the_names_that_are_allowed_come_in(tmp_path, pki):
    raw = fill(tmp_path / "a.raw", 1 << 20)
    with Serving(tmp_path, raw, *with_server(pki), "--tls-allow", "*CN=anna*") as server:
        run("nbdinfo", "--size", nbds(server, pki["anna"]))
        assert refused(nbds(server, pki["bert"]))
        wait_for("it says why", lambda: "is not among those allowed" in server.said())
    named = ["--object", "authz-simple,id=a,identity=O=Test\\,CN=bert".replace("\\,", ",,"), "--tls-authz", "a"]
    with Serving(tmp_path, raw, *with_server(pki), *named) as server:
        assert refused(nbds(server, pki["anna"]))
        run("nbdinfo", "--size", nbds(server, pki["bert"]))
    named = ["--object", "authz-simple,id=a,identity=O=Test,,CN=*", "--tls-authz", "a"]  # a name, not a pattern
    with Serving(tmp_path, raw, *with_server(pki), *named) as server:
        assert refused(nbds(server, pki["bert"]))
        wait_for("it says why", lambda: "is not among those allowed" in server.said())
    with Serving(tmp_path, raw, *with_server(pki, ",verify-peer=off")) as server:
        run("nbdinfo", "--size", nbds(server, pki["stranger"]))  # asked for nothing: encrypted only


def test_a_revoked_certificate_is_refused(tmp_path, pki):
    raw = fill(tmp_path / "a.raw", 1 << 20)
    pki["authority"].revoke(pki["bert"], pki["server"])
    try:
        with Serving(tmp_path, raw, *with_server(pki)) as server:
            run("nbdinfo", "--size", nbds(server, pki["anna"]))
            assert refused(nbds(server, pki["bert"]))
            wait_for("it says why", lambda: "revoked" in server.said())
    finally:
        (pki["server"] / "ca-crl.pem").unlink()


def test_a_key_with_a_password(tmp_path, pki):
    place = tmp_path / "locked"
    place.mkdir()
    for name in ("ca-cert.pem", "server-cert.pem"):
        (place / name).write_bytes((pki["server"] / name).read_bytes())
    subprocess.run(["certtool", "--to-p8", "--load-privkey", pki["server"] / "server-key.pem", "--password", "open sesame",
                    "--outfile", place / "server-key.pem"], check=True, capture_output=True, timeout=120)
    raw = fill(tmp_path / "a.raw", 1 << 20)
    options = ["--object", "secret,id=p,data=open sesame", "--object",
               f"tls-creds-x509,id=t,endpoint=server,dir={place},passwordid=p", "--tls-creds", "t"]
    with Serving(tmp_path, raw, *options) as server:
        run("nbdinfo", "--size", nbds(server, pki["anna"]))
    assert "server-key.pem" in failing("serve", "-f", "raw", "-k", tmp_path / "s", "--object",
                                       f"tls-creds-x509,id=t,endpoint=server,dir={place}", "--tls-creds", "t", raw)


def memory_of(process):
    """All that a process has of its own and can be read."""
    found = b""
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps, open(f"/proc/{process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            where, rights, *_ = line.split()
            begin, end = (int(word, 16) for word in where.split("-"))
            if rights.startswith("rw") and end - begin < 256 << 20:
                try:
                    memory.seek(begin)
                    found += memory.read(end - begin)
                except OSError:
                    continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="another process's memory is root's to read")
def test_of_keys_there_is_one_copy_in_memory(tmp_path):
    """The file's text is gone, and what a growing list and a growing buffer would have left behind."""
    raw, keys = fill(tmp_path / "a.raw", 1 << 20), tmp_path / "keys"
    keys.mkdir()
    known = [os.urandom(32) for _ in range(100)]
    (keys / "keys.psk").write_text("".join(f"user{i}:{key.hex()}\n" for i, key in enumerate(known)))
    with Serving(tmp_path, raw, "--object", f"tls-creds-psk,id=t,endpoint=server,dir={keys}", "--tls-creds", "t") as server:
        memory = memory_of(server.process)
    assert [memory.count(key.hex().encode()) for key in known] == [0] * 100
    assert [memory.count(key) for key in known] == [1] * 100


def test_keys_known_to_both(tmp_path):
    raw, keys = fill(tmp_path / "a.raw", 3 << 20), tmp_path / "keys"
    keys.mkdir()
    (keys / "keys.psk").write_text("# who may come in\nanna:" + "5a" * 32 + "\nbert:" + "5b" * 32 + "\n")
    for name, key in (("anna", "5a"), ("bert", "5b"), ("wrong", "5c")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.psk").write_text(f"{'anna' if name == 'wrong' else name}:{key * 32}\n")
    options = ["--object", f"tls-creds-psk,id=t,endpoint=server,dir={keys}", "--tls-creds", "t"]
    with Serving(tmp_path, raw, "-r", *options, "--tls-allow", "anna") as server:
        def uri(user, directory):
            return (f"nbds+unix://{user}@/?socket={server.path}&tls-psk-file={tmp_path}/{directory}/keys.psk")
        run("nbdinfo", "--size", uri("anna", "anna"))
        ours("compare", "-f", "raw", "-F", "raw", raw, uri("anna", "anna"))
        assert refused(uri("anna", "wrong")) and refused(uri("bert", "bert")) and refused(server.uri)
        node = f"driver=nbd,server.type=unix,server.path={server.path},tls-creds=c"
        for program in (ours, stock):
            program("compare", "--object", f"tls-creds-psk,id=c,endpoint=client,username=anna,dir={tmp_path}/anna",
                    "--image-opts", f"driver=raw,file.filename={raw}", node)


def test_credentials_that_cannot_be_loaded_are_named(tmp_path, pki):
    raw = fill(tmp_path / "a.raw", 1 << 20)

    def said(object_words):
        return failing("serve", "-f", "raw", "-k", tmp_path / "s", "--object", object_words, "--tls-creds", "t", raw)

    assert "ca-cert.pem" in said(f"tls-creds-x509,id=t,endpoint=server,dir={tmp_path}")
    assert "server-cert.pem" in said(f"tls-creds-x509,id=t,endpoint=server,dir={pki['anna']}")
    assert "server endpoint" in said(f"tls-creds-x509,id=t,endpoint=client,dir={pki['anna']}")
    assert "priority" in said(f"tls-creds-x509,id=t,endpoint=server,dir={pki['server']},priority=NOTHING")
    assert "keys.psk" in said(f"tls-creds-psk,id=t,endpoint=server,dir={tmp_path}")
    assert "'dir' is missing" in said("tls-creds-x509,id=t,endpoint=server")
    assert "not found" in said(f"tls-creds-x509,id=t,endpoint=server,dir={pki['server']},x=y")
    (tmp_path / "keys.psk").write_text("no key here\n")
    assert "USER:KEY" in said(f"tls-creds-psk,id=t,endpoint=server,dir={tmp_path}")
