"""Threads of a free-threaded Python: `make tox TOX_ARGUMENTS='-e 3.13t' TOX_PYTHONS=3.13t`."""

import hashlib
import os
import sys

import pytest
from own_process import in_own_process
from worlds import JOIN_S, Thread, connected, wired_stacks

from lklsock import Stack, mptcp, socket

THREADS = 8
BYTES = 1 << 20

pytestmark = pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="takes a free-threaded Python: make tox TOX_ARGUMENTS='-e 3.13t'",
)


def without_gil() -> bool:
    return not sys._is_gil_enabled()  # type: ignore[attr-defined,no-any-return,unused-ignore]


def send_all(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def digest_of_all(sock: socket.socket) -> str:
    received = hashlib.sha256()
    with sock:
        while piece := sock.recv(1 << 15):
            received.update(piece)
    return received.hexdigest()


@in_own_process
def test_the_extension_leaves_the_gil_off() -> None:
    with Stack():
        socket.socket().close()
    assert without_gil()


@in_own_process
def test_threads_with_connections_of_their_own_lose_nothing() -> None:
    with Stack(), socket.create_server(("127.0.0.1", 0), backlog=THREADS) as server:
        server.settimeout(JOIN_S)

        def serve() -> list[Thread]:
            return [Thread(digest_of_all, server.accept()[0]) for _ in range(THREADS)]

        serving = Thread(serve)
        data = [os.urandom(BYTES) for _ in range(THREADS)]
        clients = [socket.create_connection(server.getsockname()) for _ in data]
        senders = [Thread(send_all, *pair) for pair in zip(clients, data, strict=True)]
        for sender in senders:
            sender.result()
        received = {reader.result() for reader in serving.result()}
        assert received == {hashlib.sha256(sent).hexdigest() for sent in data}
        for client in clients:
            client.close()
    assert without_gil()


@in_own_process
def test_threads_share_one_socket_and_close_it_under_each_other() -> None:
    with Stack():
        for _ in range(10):
            sock = socket.socket(type=socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))

            def talk(sock: socket.socket = sock) -> int:
                done = 0
                try:
                    while True:
                        sock.sendto(b"x", sock.getsockname())
                        done += 1
                except OSError:
                    return done

            threads = [Thread(talk) for _ in range(THREADS)]
            while len(sock.recv(1)) != 1:
                pass
            sock.close()
            assert all(thread.result() >= 0 for thread in threads)
    assert without_gil()


@in_own_process
def test_stacks_run_side_by_side_in_threads() -> None:
    def transfer() -> None:
        left, right = wired_stacks(2)
        mptcp.preset("aggregate", stack=left)
        with connected(left, right) as (client, server):
            data = os.urandom(BYTES)
            sender = Thread(send_all, client, data)
            assert digest_of_all(server) == hashlib.sha256(data).hexdigest()
            sender.result()
        left.halt()
        right.halt()

    threads = [Thread(transfer) for _ in range(4)]
    for thread in threads:
        thread.result()
    assert without_gil()
