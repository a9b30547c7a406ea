"""Datagram sockets of patched programs: each datagram goes to its world, and comes from either."""

import errno
import select
import socket as host_socket
from typing import Any

import pytest
from both import DEADLINE_S, SEEN, address, lives, made, peer, readable, use
from own_process import in_own_process

DATAGRAM = host_socket.SOCK_DGRAM
WORLDS = ["host", "stack"]


def receiver(world: str) -> Any:
    """A bound socket in a world."""
    sock = peer(world).socket(host_socket.AF_INET, DATAGRAM)
    sock.settimeout(DEADLINE_S)
    sock.bind((address(world), 0))
    return sock


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", WORLDS)
@in_own_process
def test_connect_decides(world: str, seen: bool) -> None:
    cls = use()
    with receiver(world) as other, made(cls, DATAGRAM, seen) as sock:
        sock.connect(other.getsockname())
        assert lives(sock) == (
            "Socket" if world == "stack" else "HostHalf" if seen else "plain host"
        )
        sock.send(b"ping")
        assert other.recvfrom(10) == (b"ping", sock.getsockname())
        other.sendto(b"pong", sock.getsockname())
        assert readable(sock)
        assert sock.recv(10) == b"pong"
        assert select.select([sock], [sock], [], 0) == ([], [sock], [])


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", WORLDS)
@in_own_process
def test_bind_to_an_address_decides(world: str, seen: bool) -> None:
    cls = use()
    with receiver(world) as other, made(cls, DATAGRAM, seen) as sock:
        sock.bind((address(world), 0))
        assert lives(sock) == (
            "Socket" if world == "stack" else "HostHalf" if seen else "plain host"
        )
        other.sendto(b"ping", sock.getsockname())
        assert readable(sock)
        assert sock.recvfrom(10) == (b"ping", other.getsockname())
        assert select.select([sock], [], [], 0)[0] == []


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_unbound_socket_sends_each_datagram_to_its_world(seen: bool) -> None:
    cls = use()
    with made(cls, DATAGRAM, seen) as sock:
        for world in ("stack", "host", "host", "stack"):
            with receiver(world) as other:
                sock.sendto(world.encode(), other.getsockname())
                data, name = other.recvfrom(10)
                assert data == world.encode()
                other.sendto(b"answer", name)
                assert readable(sock)
                assert sock.recvfrom(10) == (b"answer", other.getsockname())
                assert select.select([sock], [sock], [], 0) == ([], [sock], [])
                assert sock.sendmsg([b"a", b"b"], [], 0, other.getsockname()) == 2
                assert other.recv(10) == b"ab"


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("family", [host_socket.AF_INET, host_socket.AF_INET6])
@in_own_process
def test_wildcard_takes_datagrams_of_both_worlds(family: int, seen: bool) -> None:
    cls = use()
    loopback = "127.0.0.1" if family == host_socket.AF_INET else "::1"
    with made(cls, DATAGRAM, seen, family) as sock:
        sock.bind(("", 0))
        port = sock.getsockname()[1]
        for world in WORLDS * 3:
            with peer(world).socket(family, DATAGRAM) as other:
                other.sendto(b"ping", (loopback, port))
                assert readable(sock)
                buffer = bytearray(10)
                count, name = sock.recvfrom_into(buffer)
                assert (bytes(buffer[:count]), name[1]) == (b"ping", other.getsockname()[1])
        assert select.select([sock], [], [], 0)[0] == []
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


@in_own_process
def test_neither_world_starves_the_other() -> None:
    cls = use()
    with cls(host_socket.AF_INET, DATAGRAM) as sock:
        sock.bind(("", 0))
        name = "127.0.0.1", sock.getsockname()[1]
        for world in WORLDS:
            with peer(world).socket(host_socket.AF_INET, DATAGRAM) as other:
                for _ in range(10):
                    other.sendto(world.encode(), name)
        assert {sock.recv(10) for _ in range(4)} == {b"host", b"stack"}


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", WORLDS)
@in_own_process
def test_wildcard_bind_decides_nothing_for_who_connects(world: str, seen: bool) -> None:
    cls = use()
    with receiver(world) as other, made(cls, DATAGRAM, seen) as sock:
        sock.bind(("", 0))
        port = sock.getsockname()[1]
        sock.connect(other.getsockname())
        assert sock.getsockname()[1] == port
        sock.send(b"ping")
        data, name = other.recvfrom(10)
        assert (data, name[1]) == (b"ping", port)
        other.sendto(b"pong", name)
        assert readable(sock)
        assert sock.recv(10) == b"pong"


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", WORLDS)
@in_own_process
def test_wildcard_is_in_one_world_if_the_policy_says_so(world: str, seen: bool) -> None:
    from lklsock._policy import Policy

    cls = use(Policy(listen=world))  # type: ignore[arg-type]
    with made(cls, DATAGRAM, seen) as sock:
        sock.bind(("", 0))
        port = sock.getsockname()[1]
        with peer(world).socket(host_socket.AF_INET, DATAGRAM) as other:
            other.sendto(b"ping", ("127.0.0.1", port))
            assert sock.recv(10) == b"ping"
        other_world = "host" if world == "stack" else "stack"
        with peer(other_world).socket(host_socket.AF_INET, DATAGRAM) as other:
            other.bind(("127.0.0.1", port))


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_nobody_there_is_told(seen: bool) -> None:
    cls = use()
    with receiver("host") as other:
        name = other.getsockname()
    with made(cls, DATAGRAM, seen) as sock:
        sock.connect(name)
        sock.send(b"x")
        assert readable(sock)
        with pytest.raises(ConnectionRefusedError):
            sock.recv(1)
        assert select.select([sock], [], [], 0)[0] == []


@in_own_process
def test_options_are_set_in_both_worlds() -> None:
    cls = use()
    with cls(host_socket.AF_INET, DATAGRAM) as sock:
        sock.setsockopt(host_socket.SOL_SOCKET, host_socket.SO_BROADCAST, 1)
        sock.bind(("", 0))
        sock.setsockopt(host_socket.SOL_SOCKET, host_socket.SO_RCVBUF, 1 << 16)
        host = sock._lkl.backend.half
        assert host.getsockopt(host_socket.SOL_SOCKET, host_socket.SO_BROADCAST)
        assert host.getsockopt(host_socket.SOL_SOCKET, host_socket.SO_RCVBUF) == 1 << 17


@in_own_process
def test_port_taken_in_one_world_is_taken() -> None:
    cls = use()
    for world in WORLDS:
        with peer(world).socket(host_socket.AF_INET, DATAGRAM) as other:
            other.bind(("", 0))
            with cls(host_socket.AF_INET, DATAGRAM) as sock, pytest.raises(OSError) as caught:
                sock.bind(("", other.getsockname()[1]))
            assert caught.value.errno == errno.EADDRINUSE
