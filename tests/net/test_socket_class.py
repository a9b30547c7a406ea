"""The class, where it has to do for a kernel socket what the stdlib leaves to the host's."""

import errno
import fcntl
import io
import os
import socket as stdlib
import tempfile
from typing import Any

import pytest
from own_process import in_own_process
from worlds import Thread, tcp_pair

from lklsock import socket


def is_non_blocking(sock: Any) -> bool:
    return bool(fcntl.fcntl(sock, fcntl.F_GETFL) & os.O_NONBLOCK)


@in_own_process
def test_proto_is_what_was_asked_for() -> None:
    for proto in (0, socket.IPPROTO_TCP):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, proto) as sock:
            assert sock.proto == proto
            assert f"proto={proto}" in repr(sock)
            assert sock.getsockopt(socket.SOL_SOCKET, 38) == socket.IPPROTO_TCP
    with socket.socket() as sock, sock.dup() as copy:
        assert copy.proto == 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            assert client.proto == socket.IPPROTO_TCP, "getaddrinfo said so"
            with listener.accept()[0] as server:
                assert server.proto == listener.proto == 0


@in_own_process
def test_socket_of_a_descriptor_is_what_the_program_says_it_is() -> None:
    sock = socket.socket()
    with socket.socket(fileno=sock.detach()) as found:
        assert (found.family, found.type, found.proto) == (
            socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
        )
        number = found.detach()
    with socket.socket(99, 77 | socket.SOCK_CLOEXEC, 23, number) as told:
        assert (told.family, told.type, told.proto) == (99, 77, 23)
    with socket.socket(type=socket.SOCK_DGRAM) as datagram:
        with socket.fromfd(datagram.fileno(), -1, -1, -1) as copy:
            assert copy.proto == socket.IPPROTO_UDP


@in_own_process
def test_descriptor_blocks_as_the_socket_does() -> None:
    with socket.socket() as sock:
        assert not is_non_blocking(sock)
        for timeout_s in (0, None, 5, None, 0.0, 2.5):
            sock.settimeout(timeout_s)
            assert is_non_blocking(sock) == (timeout_s is not None)
        sock.setblocking(True)
        assert not is_non_blocking(sock)
    with socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        assert is_non_blocking(sock)
        assert sock.gettimeout() == 0


@in_own_process
def test_descriptor_made_non_blocking_by_fcntl_does_not_block() -> None:
    client, server = tcp_pair()
    with client, server:
        os.set_blocking(client.fileno(), False)
        assert client.gettimeout() is None
        calls = (
            lambda: client.recv(1),
            lambda: client.recv_into(bytearray(1)),
            lambda: client.recvmsg(1),
            lambda: client.sendall(bytes(50_000_000)),
        )
        for call in calls:
            with pytest.raises(BlockingIOError):
                call()
        os.set_blocking(client.fileno(), True)
        receiving = Thread(client.recv, 1)
        server.send(b"x")
        assert receiving.result() == b"x"


def received(server: Any) -> bytes:
    parts = []
    while part := server.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@in_own_process
def test_sendfile_takes_offset_and_count_and_leaves_the_file_behind_them() -> None:
    data = os.urandom(1_500_000)
    cases = ((0, None), (7, None), (0, 10), (1000, 1_200_000), (len(data) - 5, 100))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        for offset, count in cases:
            client, server = tcp_pair()
            with server:
                receiving = Thread(received, server)
                with client:
                    expected = data[offset:][:count]
                    assert client.sendfile(file, offset, count) == len(expected)
                    assert file.tell() == offset + len(expected)
                assert receiving.result() == expected


@in_own_process
def test_sendfile_gives_up_on_what_is_no_file() -> None:
    client, server = tcp_pair()
    with client, server:
        assert client.sendfile(io.BytesIO(b"from memory")) == 11
        assert server.recv(100) == b"from memory"
        with tempfile.TemporaryFile() as file:
            assert client.sendfile(file) == 0
            file.write(b"abc")
            file.flush()
            client.setblocking(False)
            with pytest.raises(ValueError, match="non-blocking"):
                client.sendfile(file)
        with pytest.raises(ValueError, match="binary mode"), open(__file__) as text:
            client.sendfile(text)


@in_own_process
def test_sendfile_stops_at_the_timeout() -> None:
    client, server = tcp_pair()
    with client, server, tempfile.TemporaryFile() as file:
        file.truncate(100_000_000)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.sendfile(file)
        assert 0 < file.tell() < 100_000_000


@in_own_process
def test_interfaces_are_named_as_by_the_stdlib() -> None:
    with pytest.raises(OSError) as missing:
        socket.if_indextoname(4711)
    assert missing.value.errno == errno.ENXIO
    for index, error in (("1", TypeError), (-1, OverflowError), (2**64, OverflowError)):
        with pytest.raises(error):
            stdlib.if_indextoname(index)  # type: ignore[arg-type]
        with pytest.raises(error):
            socket.if_indextoname(index)  # type: ignore[arg-type]
