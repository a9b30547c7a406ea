"""Streams of patched programs: where they connect and listen decides in which world they live."""

import errno
import select
import socket as host_socket
from typing import Any

import pytest
from both import DEADLINE_S, SEEN, address, listener, lives, made, peer, readable, use
from own_process import in_own_process

STREAM = host_socket.SOCK_STREAM


def talk(sock: Any, other: Any) -> None:
    """Both directions, the end, and what is seen of them where there is a descriptor."""
    other.settimeout(DEADLINE_S)
    sock.sendall(b"ping")
    assert other.recv(10) == b"ping"
    other.sendall(b"pong")
    assert readable(sock)
    assert sock.recv(10) == b"pong"
    assert select.select([sock], [sock], [], 0) == ([], [sock], [])
    other.shutdown(host_socket.SHUT_WR)
    assert readable(sock)
    assert sock.recv(10) == b""


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", ["host", "stack"])
@in_own_process
def test_connect_decides(world: str, seen: bool) -> None:
    cls = use()
    with listener(world) as server, made(cls, STREAM, seen) as sock:
        number = sock.fileno() if seen else None
        sock.setsockopt(host_socket.IPPROTO_TCP, host_socket.TCP_NODELAY, 1)
        sock.setsockopt(host_socket.SOL_SOCKET, host_socket.SO_KEEPALIVE, 1)
        sock.connect(server.getsockname())
        assert lives(sock) == (
            "Socket" if world == "stack" else "HostHalf" if seen else "plain host"
        )
        if seen:
            assert sock.fileno() == number
        assert sock.gettimeout() == DEADLINE_S
        assert sock.getpeername() == server.getsockname()
        assert sock.getsockopt(host_socket.IPPROTO_TCP, host_socket.TCP_NODELAY)
        assert sock.getsockopt(host_socket.SOL_SOCKET, host_socket.SO_KEEPALIVE)
        other, name = server.accept()
        with other:
            assert name == sock.getsockname()
            talk(sock, other)


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_rules_come_before_the_default(seen: bool) -> None:
    loopback = peer("stack").create_server
    with listener("host") as on_host:
        port = on_host.getsockname()[1]
        cls = use([{"to": "127.0.0.1", "port": f"{port}", "world": "stack"}])
        with loopback(("127.0.0.1", port)) as server, made(cls, STREAM, seen) as sock:
            sock.connect(("127.0.0.1", port))
            assert lives(sock) == "Socket"
            server.accept()[0].close()
        with made(cls, STREAM, seen) as sock:
            sock.connect_ex(("127.0.0.2", port))
            assert lives(sock) == ("HostHalf" if seen else "plain host")


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", ["host", "stack"])
@in_own_process
def test_refused_connection_is_told(world: str, seen: bool) -> None:
    cls = use()
    with listener(world) as server:
        name = server.getsockname()
    with made(cls, STREAM, seen) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(name)
    with made(cls, STREAM, seen) as sock:
        sock.setblocking(False)
        assert sock.connect_ex(name) in (errno.EINPROGRESS, errno.ECONNREFUSED)
        assert select.select([], [sock], [], DEADLINE_S)[1]


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", ["host", "stack"])
@in_own_process
def test_connect_without_blocking_shows_when_it_is_done(world: str, seen: bool) -> None:
    cls = use()
    with listener(world) as server, made(cls, STREAM, seen) as sock:
        sock.setblocking(False)
        assert sock.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
        assert select.select([], [sock], [], DEADLINE_S)[1] == [sock]
        assert sock.getsockopt(host_socket.SOL_SOCKET, host_socket.SO_ERROR) == 0
        other, _ = server.accept()
        with other:
            with pytest.raises(BlockingIOError):
                sock.recv(1)
            talk(sock, other)


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", ["host", "stack"])
@in_own_process
def test_full_peer_blocks_a_sender_until_it_reads(world: str, seen: bool) -> None:
    cls = use()
    with listener(world) as server, made(cls, STREAM, seen) as sock:
        sock.connect(server.getsockname())
        other, _ = server.accept()
        with other:
            sock.setblocking(False)
            sent = 0
            with pytest.raises(BlockingIOError):
                while True:
                    sent += sock.send(bytes(1 << 20))
            assert select.select([], [sock], [], 0)[1] == []
            other.settimeout(DEADLINE_S)
            while sent:
                sent -= len(other.recv(min(sent, 1 << 20)))
            assert select.select([], [sock], [], DEADLINE_S)[1] == [sock]


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", ["host", "stack"])
@in_own_process
def test_bind_to_an_address_decides(world: str, seen: bool) -> None:
    cls = use()
    with made(cls, STREAM, seen) as sock:
        sock.setsockopt(host_socket.SOL_SOCKET, host_socket.SO_REUSEADDR, 1)
        sock.bind((address(world), 0))
        sock.listen()
        assert lives(sock) == (
            "Socket" if world == "stack" else "HostHalf" if seen else "plain host"
        )
        for _ in range(2):
            other = peer(world).create_connection(sock.getsockname())
            with other:
                assert readable(sock)
                accepted, name = sock.accept()
                with accepted:
                    assert type(accepted) is cls
                    assert name == other.getsockname()
                    assert accepted.gettimeout() is None
                    talk(accepted, other)


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("family", [host_socket.AF_INET, host_socket.AF_INET6])
@in_own_process
def test_wildcard_listener_takes_connections_of_both_worlds(family: int, seen: bool) -> None:
    cls = use()
    loopback = "127.0.0.1" if family == host_socket.AF_INET else "::1"
    with made(cls, STREAM, seen, family) as sock:
        if family == host_socket.AF_INET6:
            sock.setsockopt(host_socket.IPPROTO_IPV6, host_socket.IPV6_V6ONLY, 1)
        sock.bind(("", 0))
        port = sock.getsockname()[1]
        sock.listen()
        assert sock.getsockname()[1] == port
        for world in ("host", "stack", "stack", "host"):
            with peer(world).create_connection((loopback, port), DEADLINE_S) as other:
                assert readable(sock)
                accepted, name = sock.accept()
                with accepted:
                    assert type(accepted) is cls
                    assert name[:2] == other.getsockname()[:2]
                    assert lives(accepted) == ("Socket" if world == "stack" else "plain host")
                    talk(accepted, other)
        assert select.select([sock], [], [], 0)[0] == []
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            sock.accept()


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_blocking_accept_wakes_for_either_world(seen: bool) -> None:
    import threading

    cls = use()
    with made(cls, STREAM, seen) as sock:
        sock.bind(("", 0))
        sock.listen()
        for world in ("host", "stack") * 5:
            accepted: list[Any] = []
            thread = threading.Thread(target=lambda got=accepted: got.append(sock.accept()[0]))
            thread.start()
            peer(world).create_connection(("127.0.0.1", sock.getsockname()[1])).close()
            thread.join(DEADLINE_S)
            accepted[0].close()


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", ["host", "stack"])
@in_own_process
def test_wildcard_bind_decides_nothing_for_who_connects(world: str, seen: bool) -> None:
    cls = use()
    with listener(world) as server, made(cls, STREAM, seen) as sock:
        sock.bind(("0.0.0.0", 0))
        port = sock.getsockname()[1]
        assert port
        sock.connect(server.getsockname())
        assert lives(sock) == (
            "Socket" if world == "stack" else "HostHalf" if seen else "plain host"
        )
        assert sock.getsockname()[1] == port
        other, name = server.accept()
        assert name[1] == port
        with other:
            talk(sock, other)


@in_own_process
def test_port_taken_in_one_world_is_taken() -> None:
    cls = use()
    with host_socket.create_server(("", 0)) as server:
        name = "", server.getsockname()[1]
        with cls() as sock:
            with pytest.raises(OSError) as caught:
                sock.bind(name)
            assert caught.value.errno == errno.EADDRINUSE
    with peer("stack").create_server(("", 0)) as server:
        name = "", server.getsockname()[1]
        with cls() as sock:
            with pytest.raises(OSError) as caught:
                sock.bind(name)
            assert caught.value.errno == errno.EADDRINUSE
            # Nothing is left of it in the other world.
            host_socket.create_server(name).close()


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("world", ["host", "stack"])
@in_own_process
def test_listeners_are_in_one_world_if_the_policy_says_so(world: str, seen: bool) -> None:
    from lklsock._policy import Policy

    cls = use(Policy(listen=world))  # type: ignore[arg-type]
    other_world = "host" if world == "stack" else "stack"
    with made(cls, STREAM, seen) as sock:
        sock.bind(("", 0))
        sock.listen()
        name = "127.0.0.1", sock.getsockname()[1]
        with peer(world).create_connection(name):
            sock.accept()[0].close()
        with pytest.raises(ConnectionRefusedError):
            peer(other_world).create_connection(name)


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_all_is_the_stacks_under_the_policy_all(seen: bool) -> None:
    cls = use("all")
    with made(cls, STREAM, seen) as sock, peer("stack").create_server(("127.0.0.1", 0)) as server:
        sock.connect(server.getsockname())
        assert lives(sock) == "Socket"
        other, _ = server.accept()
        with other:
            talk(sock, other)


@in_own_process
def test_other_families_are_the_hosts_and_raw_sockets_the_stacks() -> None:
    cls = use()
    for family in (host_socket.AF_UNIX, host_socket.AF_NETLINK):
        kind = STREAM if family == host_socket.AF_UNIX else host_socket.SOCK_RAW
        with cls(family, kind) as sock:
            assert lives(sock) == "plain host"
    with cls(host_socket.AF_INET, host_socket.SOCK_RAW, host_socket.IPPROTO_ICMP) as sock:
        assert lives(sock) == "Socket"


@in_own_process
def test_every_duplicate_follows_the_decision() -> None:
    cls = use()
    with listener("host") as server, cls() as sock, sock.dup() as copy:
        sock.connect(server.getsockname())
        other, _ = server.accept()
        with other:
            other.sendall(b"ab")
            assert copy.recv(1) == b"a"
            number = sock.detach()
            with cls(fileno=number) as again:
                assert again.fileno() == number
                assert again.recv(1) == b"b"
                assert lives(again) == "HostHalf"


@in_own_process
def test_plain_host_socket_detaches_and_comes_back() -> None:
    cls = use()
    with listener("host") as server, cls() as sock:
        sock.connect(server.getsockname())
        other, _ = server.accept()
        with other, cls(fileno=sock.detach()) as again:
            assert (again.family, again.type) == (host_socket.AF_INET, STREAM)
            talk(again, other)


@in_own_process
def test_names_are_resolved_before_the_decision() -> None:
    cls = use()
    with listener("host") as server, cls() as sock:
        sock.connect(("localhost", server.getsockname()[1]))
        assert lives(sock) == "plain host"


@in_own_process
def test_closing_frees_both_worlds() -> None:
    cls = use()
    for seen in SEEN:
        sock = made(cls, STREAM, seen)
        sock.bind(("", 0))
        sock.listen()
        name = sock.getsockname()
        sock.close()
        for world in ("host", "stack"):
            peer(world).create_server(name).close()
