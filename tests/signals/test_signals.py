"""Signals in blocking calls: handlers run at once, what they raise comes out, others go on."""

import asyncio
import os
import select
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from own_process import in_own_process
from worlds import tcp_pair, wired_stacks

from lklsock import socket

BULK = bytes(64 << 20)


class Rang(Exception):
    """Raised by a handler."""


def ring(number: int, frame: object) -> None:
    raise Rang


def soon() -> None:
    """This process gets the signal, again and again, for one may come before the call sleeps."""
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)


@contextmanager
def blocking_calls() -> Iterator[list[Callable[[], Any]]]:
    client, server = tcp_pair()
    listener = socket.create_server(("127.0.0.1", 0))
    datagram = socket.socket(type=socket.SOCK_DGRAM)
    datagram.bind(("127.0.0.1", 0))
    yield [
        lambda: server.recv(1),
        lambda: server.recv_into(bytearray(1)),
        listener.accept,
        lambda: datagram.recvfrom(1),
        lambda: client.sendall(BULK),
        lambda: client.send(BULK),
    ]
    for sock in (client, server, listener, datagram):
        sock.close()


@in_own_process
def test_what_a_handler_raises_ends_every_blocking_call() -> None:
    signal.signal(signal.SIGALRM, ring)
    with blocking_calls() as calls:
        for call in calls:
            start = time.monotonic()
            soon()
            with pytest.raises(Rang):
                call()
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert time.monotonic() - start < 20


@in_own_process
def test_ctrl_c_ends_a_recv() -> None:
    client, server = tcp_pair()
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    soon()
    with pytest.raises(KeyboardInterrupt):
        server.recv(1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    client.close()
    server.close()


@in_own_process
def test_handler_that_returns_neither_ends_a_call_nor_moves_its_deadline() -> None:
    rings: list[int] = []
    client, server = tcp_pair()
    signal.signal(signal.SIGALRM, lambda number, _: rings.append(number))
    soon()
    server.settimeout(1)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        server.recv(1)
    assert 1 <= time.monotonic() - start < 20
    assert rings
    server.settimeout(None)
    threading.Timer(0.3, client.send, [b"x"]).start()
    assert server.recv(1) == b"x"
    signal.setitimer(signal.ITIMER_REAL, 0)
    client.close()
    server.close()


@in_own_process
def test_wakeup_descriptor_is_written_during_a_recv() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    client, server = tcp_pair()
    signal.signal(signal.SIGALRM, lambda *_: None)
    before = signal.set_wakeup_fd(writer)
    server.settimeout(0.5)
    soon()
    with pytest.raises(TimeoutError):
        server.recv(1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.set_wakeup_fd(before)
    assert select.select([reader], [], [], 0)[0]
    assert os.read(reader, 1) == bytes([signal.SIGALRM])
    client.close()
    server.close()


@in_own_process
def test_signal_ends_lingering_and_the_socket_is_closed() -> None:
    client, server = tcp_pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 300))
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            client.send(BULK)
    signal.signal(signal.SIGALRM, ring)
    start = time.monotonic()
    soon()
    with pytest.raises(Rang):
        client.close()
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert time.monotonic() - start < 60
    assert client.fileno() == -1
    server.close()


@in_own_process
def test_what_a_handler_raises_ends_a_connect() -> None:
    left, _ = wired_stacks(delay_ms=1)
    left.interface("wire0").cut()
    signal.signal(signal.SIGALRM, ring)
    with left.socket() as sock:
        start = time.monotonic()
        soon()
        with pytest.raises(Rang):
            sock.connect(("10.0.0.2", 9))
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert time.monotonic() - start < 20


@in_own_process
def test_asyncio_hears_of_signals_while_sockets_wait() -> None:
    client, server = tcp_pair()
    client.setblocking(False)
    server.setblocking(False)

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        rang = asyncio.Event()
        loop.add_signal_handler(signal.SIGALRM, rang.set)
        receiving = asyncio.ensure_future(loop.sock_recv(server, 1))
        soon()
        await asyncio.wait_for(rang.wait(), 20)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert not receiving.done()
        await loop.sock_sendall(client, b"x")
        return await asyncio.wait_for(receiving, 20)

    assert asyncio.run(main()) == b"x"
    client.close()
    server.close()
