"""Patched programs after a fork: the host half of a socket goes on, the stack half is an error."""

import select
import socket as host_socket
from typing import Any

import pytest
from both import DEADLINE_S, SEEN, listener, made, peer, readable, use
from forked import in_child
from own_process import in_own_process

from lklsock import KernelNotRunningError

STREAM = host_socket.SOCK_STREAM
DGRAM = host_socket.SOCK_DGRAM


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_workers_accept_what_comes_to_the_host_half_of_a_listener(seen: bool) -> None:
    cls = use()
    with made(cls, STREAM, seen) as sock:
        sock.bind(("", 0))
        port = sock.getsockname()[1]
        sock.listen()

        def check() -> None:
            assert sock.getsockname()[1] == port
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                sock.accept()
            sock.settimeout(DEADLINE_S)
            for _ in range(2):
                assert not select.select([sock], [], [], 0)[0]
                with host_socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
                    assert readable(sock)
                    accepted, name = sock.accept()
                    assert name == client.getsockname()
                    client.sendall(b"ping")
                    assert accepted.recv(10) == b"ping"
                    accepted.close()
            sock.close()

        in_child(check)
        in_child(lambda: in_child(check))
        # The parent has both, as before.
        for world in ("host", "stack"):
            with peer(world).create_connection(("127.0.0.1", port), DEADLINE_S) as client:
                assert readable(sock)
                accepted, name = sock.accept()
                assert name[:2] == client.getsockname()[:2]
                accepted.close()


@in_own_process
def test_connection_of_the_host_goes_on_under_its_descriptors() -> None:
    cls = use()
    with listener("host") as server, made(cls, STREAM, True) as sock:
        sock.connect(server.getsockname())
        number, copy = sock.fileno(), sock.dup()
        other, _ = server.accept()

        def check() -> None:
            assert sock.fileno() == number
            assert not select.select([number, copy], [], [], 0)[0]
            other.sendall(b"ping")
            assert set(select.select([number, copy], [], [], DEADLINE_S)[0]) == {number, copy}
            assert sock.recv(10) == b"ping"
            assert not select.select([number, copy], [], [], 0)[0]
            copy.sendall(b"pong")
            copy.close()
            again = cls(fileno=sock.detach())
            again.sendall(b"!")
            again.close()

        in_child(check)
        other.settimeout(DEADLINE_S)
        assert other.recv(5, host_socket.MSG_WAITALL) == b"pong!"
        sock.sendall(b"still")
        other.close()
        copy.close()


@pytest.mark.parametrize("seen", SEEN)
@in_own_process
def test_datagrams_of_the_host_go_on_and_those_to_the_stack_are_an_error(seen: bool) -> None:
    cls = use()
    with made(cls, DGRAM, seen) as sock:
        sock.bind(("", 0))
        port = sock.getsockname()[1]

        def check() -> None:
            with host_socket.socket(type=DGRAM) as other:
                other.settimeout(DEADLINE_S)
                other.sendto(b"ping", ("127.0.0.1", port))
                data, name = sock.recvfrom(10)
                assert data == b"ping"
                sock.sendto(b"pong", name)
                assert other.recv(10) == b"pong"
            with pytest.raises(KernelNotRunningError):
                sock.sendto(b"x", ("192.0.2.1", 9))

        in_child(check)


@in_own_process
def test_socket_of_the_stack_stays_the_parents() -> None:
    cls = use()
    with listener("stack") as server, made(cls, STREAM, True) as sock:
        sock.connect(server.getsockname())

        def check() -> None:
            for call in (lambda: sock.recv(1), lambda: sock.send(b"x")):
                with pytest.raises(KernelNotRunningError):
                    call()

        in_child(check)
        checked: Any = server.accept()[0]
        checked.close()
