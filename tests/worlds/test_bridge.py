"""bridge(): a host descriptor that carries the data of a connection."""

import errno
import os
import socket as host_socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

import pytest
from both import DEADLINE_S, SEEN, listener, made, use
from own_process import in_own_process

from lklsock import socket


def tcp_pair() -> tuple[Any, Any]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), DEADLINE_S)
        accepted, _ = server.accept()
    accepted.settimeout(DEADLINE_S)
    return client, accepted


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_descriptor_carries_data_and_both_ends(seen: bool) -> None:
    client, server = tcp_pair()
    if seen:
        client.fileno()
    number = client.bridge()
    assert client.fileno() == -1
    with host_socket.socket(fileno=number) as carrier, server:
        carrier.settimeout(DEADLINE_S)
        carrier.sendall(b"ping")
        assert server.recv(10) == b"ping"
        server.sendall(b"pong")
        assert carrier.recv(10) == b"pong"
        carrier.shutdown(host_socket.SHUT_WR)
        assert server.recv(1) == b""
        server.sendall(b"after")
        server.shutdown(socket.SHUT_WR)
        assert carrier.recv(10) == b"after"
        assert carrier.recv(10) == b""


@in_own_process
def test_subprocess_reads_and_writes_it() -> None:
    client, server = tcp_pair()
    number = client.bridge()
    program = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    with subprocess.Popen([sys.executable, "-c", program], stdin=number, stdout=number) as process:
        os.close(number)
        with server:
            server.sendall(b"shout")
            server.shutdown(socket.SHUT_WR)
            assert server.recv(10) == b"SHOUT"
            assert server.recv(10) == b""
        assert process.wait(DEADLINE_S) == 0


@in_own_process
def test_multiprocessing_connection_over_tcp() -> None:
    client, server = tcp_pair()
    with Connection(client.bridge()) as left, Connection(server.bridge()) as right:
        for thing in ({"a": [1, 2]}, bytes(1 << 16)):
            left.send(thing)
            assert right.poll(DEADLINE_S)
            assert right.recv() == thing
        right.send("back")
        assert left.recv() == "back"


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_host_socket_is_its_own_bridge(seen: bool) -> None:
    cls = use()
    with listener("host") as server, made(cls, host_socket.SOCK_STREAM, seen) as sock:
        sock.connect(server.getsockname())
        other, _ = server.accept()
        number = sock.bridge()
        with other:
            other.sendall(b"x")
            os.set_blocking(number, True)
            assert os.read(number, 10) == b"x"
            os.close(number)
            assert other.recv(1) == b""


@in_own_process
def test_only_a_connection_is_bridged() -> None:
    with socket.socket() as sock:
        with pytest.raises(OSError) as caught:
            sock.bridge()
        assert caught.value.errno == errno.ENOTCONN
        assert sock.fileno() >= 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError) as caught:
            sock.bridge()
        assert caught.value.errno == errno.EOPNOTSUPP
