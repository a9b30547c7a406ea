"""fileno(): one descriptor for every poller of the host, beside the host's own sockets."""

import asyncio
import os
import select
import selectors
import socket as host_socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from own_process import in_own_process
from worlds import Thread, tcp_pair

from lklsock import socket

BULK = bytes(1 << 20)


def poll_mask(sock: Any) -> int:
    poller = select.poll()
    poller.register(sock, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    return dict(poller.poll(0)).get(sock.fileno(), 0)


@in_own_process
def test_no_descriptor_until_asked_for() -> None:
    client, server = tcp_pair()
    before = len(os.listdir("/proc/self/fd"))
    more = [tcp_pair() for _ in range(10)]
    for pair in [*more, (client, server)]:
        pair[0].sendall(b"x")
        assert pair[1].recv(1) == b"x"
    assert len(os.listdir("/proc/self/fd")) == before
    number = client.fileno()
    assert client.fileno() == number
    assert os.fstat(number)
    for pair in [*more, (client, server)]:
        for sock in pair:
            sock.close()
    assert client.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


@in_own_process
def test_poll_follows_the_socket_as_on_the_host() -> None:
    def masks(client: Any, server: Any) -> list[int]:
        seen = [poll_mask(client)]
        server.sendall(b"x")
        select.select([client], [], [], 10)
        seen.append(poll_mask(client))
        client.recv(10)
        seen.append(poll_mask(client))
        client.setblocking(False)
        try:
            while True:
                client.send(BULK)
        except BlockingIOError:
            seen.append(poll_mask(client))
        server.setblocking(False)
        while select.select([server], [client], [], 0.2)[0]:
            server.recv(1 << 20)
        seen.append(poll_mask(client))
        server.shutdown(host_socket.SHUT_WR)
        select.select([client], [], [], 10)
        seen.append(poll_mask(client))
        server.close()
        return seen

    client, server = tcp_pair()
    ours = masks(client, server)
    client.close()
    with host_socket.create_server(("127.0.0.1", 0)) as listener:
        host_client = host_socket.create_connection(listener.getsockname())
        host_server, _ = listener.accept()
    hosts = masks(host_client, host_server)
    host_client.close()
    assert ours == hosts


@in_own_process
def test_reset_is_a_hang_up() -> None:
    client, server = tcp_pair()
    with client:
        assert poll_mask(client) == select.POLLOUT
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        poller = select.poll()
        poller.register(client, 0)
        (_, mask), *_ = poller.poll(10000)
        assert mask & select.POLLHUP
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@in_own_process
def test_select_and_epoll_take_both_worlds() -> None:
    client, server = tcp_pair()
    left, right = host_socket.socketpair()
    with client, server, left, right, select.epoll() as epoll:
        assert select.select([server, right], [], [], 0) == ([], [], [])
        client.send(b"x")
        assert select.select([server, right], [], [], 10)[0] == [server]
        left.send(b"y")
        assert select.select([server, right], [], [], 10)[0] == [server, right]
        epoll.register(server, select.EPOLLIN | select.EPOLLET)
        epoll.register(right, select.EPOLLIN | select.EPOLLET)
        assert {fd for fd, _ in epoll.poll(10, 10)} == {server.fileno(), right.fileno()}
        assert epoll.poll(0) == []
        assert server.recv(10) == b"x"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(10)
        client.send(b"z")
        assert epoll.poll(10) == [(server.fileno(), select.EPOLLIN)]


@in_own_process
def test_listener_is_readable_while_its_queue_is_not_empty() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert poll_mask(listener) == 0
        with (
            socket.create_connection(listener.getsockname()),
            socket.create_connection(listener.getsockname()),
        ):
            for _ in range(2):
                assert poll_mask(listener) == select.POLLIN
                listener.accept()[0].close()
            assert poll_mask(listener) == 0


@in_own_process
def test_connecting_socket_becomes_writable_when_connected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        sock.setblocking(False)
        sock.fileno()
        assert sock.connect_ex(listener.getsockname()) in (0, 115)
        assert select.select([], [sock], [], 10)[1] == [sock]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert sock.getpeername() == listener.getsockname()
        address = listener.getsockname()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.fileno()
        sock.connect_ex(address)
        assert select.select([], [sock], [], 10)[1] == [sock]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111


@in_own_process
def test_descriptor_leads_back_to_the_socket() -> None:
    client, server = tcp_pair()
    client.sendall(b"abc")
    number = server.detach()
    assert server.fileno() == -1
    again = socket.socket(fileno=number)
    assert (again.family, again.type, again.proto) == (2, 1, 6)
    assert again.recv(1) == b"a"
    copy = again.dup()
    assert copy.fileno() != again.fileno()
    again.close()
    assert copy.recv(1) == b"b"
    third = socket.fromfd(copy.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    copy.close()
    # The descriptor still follows: what was read is not readable.
    assert poll_mask(third) == select.POLLIN | select.POLLOUT
    assert third.recv(10) == b"c"
    assert poll_mask(third) == select.POLLOUT
    third.close()
    assert client.recv(1) == b""
    client.close()


@in_own_process
def test_detached_descriptor_belongs_to_the_program() -> None:
    client, server = tcp_pair()
    number = server.detach()
    del server
    client.sendall(b"x")
    assert select.select([number], [], [], 10)[0] == [number]
    os.close(number)
    # The number may be anything now.
    with open("/dev/null") as other:
        assert other.fileno() == number
        with pytest.raises(OSError, match="non-socket"):
            socket.socket(fileno=number)
    client.close()


@contextmanager
def ending() -> Iterator[tuple[Any, Any]]:
    """A connection that has ended at its second side when the block is over."""
    client, server = tcp_pair()
    with client:
        client.settimeout(2)
        yield client, server
        assert client.recv(1) == b""


def goes_quiet(sock: Any, peer: Any) -> bool:
    """Whether its readiness comes, and goes when what came is received."""
    peer.sendall(b"x")
    assert select.select([sock], [], [], 2)[0]
    assert sock.recv(1) == b"x"
    return not select.select([sock], [], [], 0)[0]


@in_own_process
def test_connection_ends_with_its_detached_descriptor() -> None:
    with ending() as (_client, server):
        os.close(server.detach())


@pytest.mark.parametrize("copy_first", [True, False])
@in_own_process
def test_detached_number_keeps_the_connection_when_the_objects_are_closed(copy_first: bool) -> None:
    with ending() as (client, server):
        numbers = server.fileno(), server.dup()
        # Whichever of the two the readiness was withdrawn through.
        detached, closed = (numbers[1], server) if copy_first else (server, numbers[1])
        number, other = detached.detach(), closed.fileno()
        assert goes_quiet(closed, client)
        closed.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(other)
        client.sendall(b"x")
        assert select.select([number], [], [], 2)[0]
        with socket.socket(fileno=number) as again:
            assert again.recv(1) == b"x"
            assert goes_quiet(again, client)
            again.detach()
        os.close(number)


@in_own_process
def test_object_on_a_copy_does_not_end_what_was_detached() -> None:
    with ending() as (client, server):
        number = server.detach()
        for _ in range(2):
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as copy:
                assert goes_quiet(copy, client)
        with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as copy:
            os.close(number)
            assert goes_quiet(copy, client)


@in_own_process
def test_each_of_two_detached_numbers_will_do() -> None:
    with ending() as (client, server):
        first, second = server.dup().detach(), server.detach()
        os.close(second)
        with socket.socket() as stranger:
            stranger.fileno()
        with socket.socket(fileno=first) as again:
            assert goes_quiet(again, client)


@pytest.mark.parametrize("detached_first", [True, False])
@in_own_process
def test_programs_own_copy_of_a_detached_number_will_do(detached_first: bool) -> None:
    with ending() as (client, server):
        number = server.detach() if detached_first else server.fileno()
        copy = os.dup(number)
        os.close(number)
        if not detached_first:
            server.detach()
        with socket.socket() as stranger:
            stranger.fileno()
        with socket.socket(fileno=copy) as again:
            assert goes_quiet(again, client)


@in_own_process
def test_number_closed_behind_an_objects_back_leaves_its_copies_right() -> None:
    with ending() as (client, server):
        number, copy = server.fileno(), server.dup()
        os.close(number)
        with copy, socket.fromfd(copy.fileno(), socket.AF_INET, socket.SOCK_STREAM) as another:
            assert goes_quiet(another, client)
            assert goes_quiet(copy, client)
        server.detach()


@in_own_process
def test_detaching_what_the_program_has_closed_ends_it() -> None:
    with ending() as (_client, server):
        os.close(server.fileno())
        server.detach()


@in_own_process
def test_last_object_that_is_detached_leaves_no_other_number() -> None:
    with ending() as (_client, server):
        server.fileno()
        copy = server.dup()
        server.close()
        os.close(copy.detach())


@in_own_process
def test_selectors_serve_an_echo_server() -> None:
    selector = selectors.DefaultSelector()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        selector.register(listener, selectors.EVENT_READ)

        def serve(connections: int) -> None:
            while connections:
                for key, _ in selector.select(10):
                    sock: Any = key.fileobj
                    if sock is listener:
                        accepted, _ = listener.accept()
                        accepted.setblocking(False)
                        selector.register(accepted, selectors.EVENT_READ)
                    elif data := sock.recv(65536):
                        sock.send(data)
                    else:
                        selector.unregister(sock)
                        sock.close()
                        connections -= 1

        serving = Thread(serve, 5)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
        for number in range(50):
            for client in clients:
                client.sendall(b"%d" % number)
            for client in clients:
                assert client.recv(10) == b"%d" % number
        for client in clients:
            client.close()
        serving.result()
    selector.close()


@in_own_process
def test_asyncio_streams_carry_megabytes() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def client(address: Any) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, address)
        reader, writer = await asyncio.open_connection(sock=sock)

        async def send() -> None:
            for _ in range(4):
                writer.write(BULK)
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert len(await reader.readexactly(4 * len(BULK))) == 4 * len(BULK)
        assert await reader.read(1) == b""
        await sending
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = await asyncio.start_server(echo, sock=listener)
        async with server:
            await asyncio.wait_for(
                asyncio.gather(*(client(listener.getsockname()) for _ in range(4))), 40
            )

    asyncio.run(main())


@in_own_process
def test_asyncio_sock_calls_and_datagrams() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        client, server = tcp_pair()
        for sock in (client, server):
            sock.setblocking(False)
        receiving = asyncio.create_task(loop.sock_recv(server, 100))
        await asyncio.sleep(0)
        await loop.sock_sendall(client, b"x")
        assert await asyncio.wait_for(receiving, 10) == b"x"
        client.close()
        server.close()

        datagram = socket.socket(type=socket.SOCK_DGRAM)
        datagram.bind(("127.0.0.1", 0))
        datagram.setblocking(False)
        received = loop.create_future()

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                received.set_result((data, addr))

        transport, _ = await loop.create_datagram_endpoint(Protocol, sock=datagram)
        address = transport.get_extra_info("sockname")
        transport.sendto(b"datagram", address)
        assert await asyncio.wait_for(received, 10) == (b"datagram", address)
        transport.close()
        await asyncio.sleep(0)

    asyncio.run(main())


@in_own_process
def test_closing_one_object_closes_its_number_for_all() -> None:
    client, server = tcp_pair()
    with server:
        other, copy = socket.socket(fileno=client.fileno()), client.dup()
        client.close()
        # The number was home to the readiness.
        copy.send(b"x")
        assert server.recv(1) == b"x"
        with pytest.raises(OSError, match="Bad file descriptor"):
            other.close()
        copy_too = socket.socket(fileno=copy.fileno())
        copy.close()
        assert server.recv(1) == b""
        with pytest.raises(OSError, match="Bad file descriptor"):
            copy_too.send(b"x")
        with pytest.raises(OSError, match="Bad file descriptor"):
            copy_too.setblocking(False)
        copy_too.detach()


@in_own_process
def test_close_of_a_number_ends_the_kernel_socket() -> None:
    client, server = tcp_pair()
    with server:
        number = client.fileno()
        socket.close(number)
        assert server.recv(1) == b""
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        for call in (client.getpeername, client.close):
            with pytest.raises(OSError, match="Bad file descriptor"):
                call()
    left, right = host_socket.socketpair()
    socket.close(left.detach())
    assert right.recv(1) == b""
    right.close()


@in_own_process
def test_an_object_without_its_number_is_collected_quietly() -> None:
    client, server = tcp_pair()
    with server:
        socket.socket(fileno=client.fileno()).close()
        with pytest.warns(ResourceWarning, match="unclosed"):
            del client
