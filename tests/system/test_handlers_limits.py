"""The limits of droverd.conf, really enforced: told by the order of answers, never by the time they take."""
import os
import select
import socket
import struct

import frames
import libvirt
import pytest
from droverd import Droverd, free_port
from frames import OK, Wire, string
from waiting import PATIENCE_S

CREATE = 9
GUEST = "<domain type='test'><name>{0}</name><uuid>{1}</uuid><memory>65536</memory><os><type>hvm</type></os></domain>"


@pytest.fixture()
def start():
    running = []

    def begin(conf):
        running.append(Droverd(conf))
        return running[-1]

    yield begin
    for daemon in running:
        daemon.stop()


def define(daemon, *names):
    """Guests that are off, as arguments of calls about them."""
    conn = libvirt.open(daemon.uri())
    doms = [conn.defineXML(GUEST.format(n, f"11111111-2222-3333-4444-5555555556{i:02}")) for i, n in enumerate(names)]
    args = [string(d.name()) + d.UUID() + struct.pack(">i", -1) for d in doms]
    conn.close()
    return args


def has_answer(wire):
    return bool(select.select([wire.socket], [], [], 0)[0])


def ask(wire, proc, payload=b""):
    wire.serial += 1
    wire.send(frames.frame(proc, payload, serial=wire.serial))
    return wire.serial


def test_one_client_too_many_waits_for_another_to_leave_CFG_02(start):
    port = free_port()
    daemon = start("max_clients = 3\nmax_anonymous_clients = 3\n"
                   f'listen_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{port}"\n')
    clients = [Wire(daemon.socket(), "test:///default"), Wire(daemon.socket(readonly=True), "test:///default")]
    remote = libvirt.open(f"test+tcp://127.0.0.1:{port}/default")
    late = Wire(daemon.socket())
    ask(late, frames.AUTH_LIST)
    assert remote.isAlive() and remote.getHostname()
    for client in clients:
        assert client.call(frames.GET_HOSTNAME).status == OK
    assert not has_answer(late)
    remote.close()
    assert late.answer().status == OK


def test_many_who_connect_at_once_are_all_let_in_CFG_02(start):
    daemon = start("max_anonymous_clients = 0\n")
    crowd = [Wire(daemon.socket(readonly=index % 2 == 1)) for index in range(200)]
    for client in crowd:
        ask(client, frames.AUTH_LIST)
    for client in crowd:
        assert client.answer().status == OK
    for client in crowd:
        client.socket.close()
    assert Wire(daemon.socket(), "test:///default").call(frames.GET_HOSTNAME).status == OK


def test_strangers_do_not_keep_others_out_CFG_04(start):
    daemon = start("max_anonymous_clients = 2\n")
    known = Wire(daemon.socket(), "test:///default")
    strangers = [Wire(daemon.socket()) for _ in range(2)]
    for stranger in strangers:
        assert stranger.call(frames.GET_HOSTNAME).status != OK
    late = Wire(daemon.socket())
    ask(late, frames.AUTH_LIST)
    assert known.call(frames.GET_HOSTNAME).status == OK and not has_answer(late)
    assert strangers[0].call(frames.AUTH_LIST).status == OK
    assert late.answer().status == OK


def test_strangers_who_stay_silent_are_shown_out_CFG_04_CFG_13(start):
    port = free_port()
    seconds = 4  # in which a busy machine lets this one speak, too
    daemon = start(f"max_anonymous_clients = 2\nanonymous_timeout = {seconds}\n"
                   f'listen_tcp = 1\nauth_tcp = "none"\nlisten_addr = "127.0.0.1"\ntcp_port = "{port}"\n')
    known = Wire(daemon.socket(), "test:///default")
    silent, remote = Wire(daemon.socket()), socket.create_connection(("127.0.0.1", port))
    at = remote.getsockname()
    assert silent.call(frames.GET_HOSTNAME).status != OK  # to say anything else is no way to stay
    late = Wire(daemon.socket())
    assert late.call(frames.AUTH_LIST).status == OK  # waits for a place
    for stranger in (silent.socket, remote):
        stranger.settimeout(PATIENCE_S)
        assert stranger.recv(1) == b""
    said = daemon.said()
    assert f"process {os.getpid()} of user {os.getuid()} has not authenticated for {seconds} s (anonymous_timeout)" in said
    assert f"{at[0]}:{at[1]} has not authenticated for {seconds} s (anonymous_timeout)" in said
    assert known.call(frames.GET_HOSTNAME).status == OK and late.call(frames.AUTH_LIST).status == OK


def test_calls_over_the_limit_are_queued_not_failed_CFG_06_CFG_09(start):
    daemon = start("min_workers = 1\nmax_workers = 1\nmax_requests = 1\n")
    guests = define(daemon, "a", "b", "c")
    clients = [Wire(daemon.socket(), "test:///default") for _ in guests]
    for client, guest in zip(clients, guests):
        ask(client, CREATE, guest)
    for client in clients:
        assert client.answer().status == OK


def test_one_client_does_not_get_more_than_its_share_CFG_11(start):
    daemon = start("max_client_requests = 1\n")
    guest, = define(daemon, "a")
    greedy, other = Wire(daemon.socket(), "test:///default"), Wire(daemon.socket(), "test:///default")
    first, second = ask(greedy, CREATE, guest), ask(greedy, frames.GET_HOSTNAME)
    assert other.call(frames.GET_HOSTNAME).status == OK
    assert [greedy.answer().serial, greedy.answer().serial] == [first, second]


def test_within_its_share_a_quick_call_overtakes_a_slow_one_CFG_11(start):
    daemon = start("max_client_requests = 5\n")
    guest, = define(daemon, "a")
    client = Wire(daemon.socket(), "test:///default")
    # in one piece: the daemon has both when it begins with the first
    client.send(frames.frame(CREATE, guest, serial=101) + frames.frame(frames.GET_HOSTNAME, serial=102))
    assert [client.answer().serial, client.answer().serial] == [102, 101]


def test_a_destroy_needs_no_ordinary_worker_CFG_08(start):
    daemon = start("min_workers = 1\nmax_workers = 1\nmax_requests = 1\nprio_workers = 1\n")
    guests = define(daemon, "a", "b")
    busy, waiting, urgent = (Wire(daemon.socket(), "test:///default") for _ in range(3))
    ask(busy, CREATE, guests[0])
    ask(waiting, CREATE, guests[1])
    conn = libvirt.open(daemon.uri())
    conn.lookupByName("test").destroy()
    assert not conn.lookupByName("test").isActive()
    assert busy.answer().status == OK and waiting.answer().status == OK
    assert urgent.call(frames.GET_HOSTNAME).status == OK
    conn.close()
