"""The host's pollers on kernel sockets, beside its own sockets and pipes."""

import os
import select
import selectors
import socket as host_socket
from collections.abc import Callable
from typing import Any

import pytest
from own_process import in_own_process
from worlds import Thread, tcp_pair

from lklsock import Stack, socket
from lklsock.link import Wire

DEADLINE_S = 20.0
BULK = bytes(1 << 20)
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
POLLERS = ["SelectSelector", "PollSelector", "EpollSelector"]


def selector(name: str) -> Callable[..., dict[Any, int]]:
    """One of the module's, as a function: what it finds of some objects, within a time."""

    def ready(events: dict[Any, int], timeout_s: float = DEADLINE_S) -> dict[Any, int]:
        with getattr(selectors, name)() as made:
            for each, mask in events.items():
                made.register(each, mask)
            return {key.fileobj: mask for key, mask in made.select(timeout_s)}

    return ready


def fill(sock: Any) -> int:
    """Sends until it would block."""
    sock.setblocking(False)
    sent = 0
    try:
        while True:
            sent += sock.send(BULK)
    except BlockingIOError:
        return sent


@pytest.mark.parametrize("poller", POLLERS)
@in_own_process
def test_stack_host_and_pipe_are_told_apart(poller: str) -> None:
    ready = selector(poller)
    client, server = tcp_pair()
    left, right = host_socket.socketpair()
    reader, writer = os.pipe()
    watched: dict[Any, int] = dict.fromkeys((server, right, reader), READ)
    with client, server, left, right:
        assert ready(watched, 0) == {}
        expected = set()
        for one, make in (
            (server, lambda: client.send(b"x")),
            (reader, lambda: os.write(writer, b"x")),
            (right, lambda: left.send(b"x")),
        ):
            make()
            expected.add(one)
            assert ready({one: READ}) == {one: READ}
            assert set(ready(watched)) == expected
        assert server.recv(1) == b"x"
        assert set(ready(watched)) == {right, reader}
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("poller", POLLERS)
@in_own_process
def test_writable_ends_with_a_full_buffer_and_comes_back(poller: str) -> None:
    ready = selector(poller)
    client, server = tcp_pair()
    with client, server:
        assert ready({client: READ | WRITE}) == {client: WRITE}
        for _ in range(2):
            left = fill(client)
            assert ready({client: READ | WRITE}, 0) == {}
            while left:
                left -= len(server.recv(1 << 20))
            assert ready({client: READ | WRITE}) == {client: WRITE}


@pytest.mark.parametrize("poller", POLLERS)
@in_own_process
def test_a_listener_is_readable_for_each_that_waits(poller: str) -> None:
    ready = selector(poller)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert ready({listener: READ}, 0) == {}
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        for client in clients:
            assert ready({listener: READ}) == {listener: READ}
            listener.accept()[0].close()
            client.close()
        assert ready({listener: READ}, 0) == {}


@pytest.mark.parametrize("poller", POLLERS)
@in_own_process
def test_the_end_is_readable_and_a_reset_is_both(poller: str) -> None:
    ready = selector(poller)
    client, server = tcp_pair()
    with client, server:
        server.shutdown(socket.SHUT_WR)
        assert ready({client: READ}) == {client: READ}
        assert client.recv(1) == b""
        client.send(b"unread")
        assert ready({server: READ}) == {server: READ}
        # Closed with data unread: a reset.
        server.close()
        poll = select.poll()
        poll.register(client, 0)
        assert poll.poll(DEADLINE_S * 1000)[0][1] & select.POLLHUP
        assert ready({client: READ | WRITE}) == {client: READ | WRITE}


@pytest.mark.parametrize("poller", POLLERS)
@pytest.mark.parametrize("outcome", ["connected", "refused", "timed out"])
@in_own_process
def test_a_connect_is_writable_when_it_is_decided(poller: str, outcome: str) -> None:
    ready = selector(poller)
    stack = Stack()
    near, _far = Wire.pair()
    stack.add_link(near, addresses=["10.1.0.1/24"])
    with stack, socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        if outcome == "refused":
            listener.close()
        elif outcome == "timed out":
            # Nobody answers there.
            address = ("10.1.0.2", 9)
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.fileno()
            error = sock.connect_ex(address)
            if outcome == "timed out":
                assert error == 115
                assert ready({sock: WRITE}, 0.1) == {}
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                return
            assert error in (0, 111, 115)
            assert ready({sock: WRITE}) == {sock: WRITE}
            late = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert (late or error) in ((0, 115) if outcome == "connected" else (111,))
    stack.halt()


@pytest.mark.parametrize("poller", POLLERS)
@in_own_process
def test_datagrams_are_readable_until_the_last_is_read(poller: str) -> None:
    ready = selector(poller)
    with (
        socket.socket(type=socket.SOCK_DGRAM) as receiver,
        socket.socket(type=socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        assert ready({receiver: READ | WRITE}) == {receiver: WRITE}
        for _ in range(3):
            sender.sendto(b"x", receiver.getsockname())
        for _ in range(3):
            assert ready({receiver: READ}) == {receiver: READ}
            receiver.recv(1)
        assert ready({receiver: READ | WRITE}) == {receiver: WRITE}


@in_own_process
def test_epoll_level_tells_again_edge_once_and_oneshot_until_armed() -> None:
    pairs = [tcp_pair() for _ in range(3)]
    level, edge, once = (server for _, server in pairs)
    with select.epoll() as epoll:
        epoll.register(level, select.EPOLLIN)
        epoll.register(edge, select.EPOLLIN | select.EPOLLET)
        epoll.register(once, select.EPOLLIN | select.EPOLLONESHOT)

        def told(*socks: Any) -> bool:
            """Whether these are, all of them and no other."""
            numbers: set[int] = set()
            while numbers < {sock.fileno() for sock in socks}:
                events = epoll.poll(DEADLINE_S)
                assert events
                numbers.update(number for number, _ in events)
            return numbers == {sock.fileno() for sock in socks}

        for client, _ in pairs:
            client.send(b"x")
        assert told(level, edge, once)
        assert told(level)
        epoll.modify(once, select.EPOLLIN | select.EPOLLONESHOT)
        assert told(level, once)
        for _, server in pairs:
            server.setblocking(False)
            assert server.recv(10) == b"x"
            with pytest.raises(BlockingIOError):
                server.recv(10)
        assert epoll.poll(0) == []
        for client, _ in pairs:
            client.send(b"y")
        assert told(level, edge)
    for pair in pairs:
        for sock in pair:
            sock.close()


@in_own_process
def test_a_poller_in_another_thread_wakes_up() -> None:
    client, server = tcp_pair()
    with client, server:
        waiting = Thread(select.select, [server], [], [], DEADLINE_S)
        client.send(b"x")
        assert waiting.result()[0] == [server]
