"""The connection that a forking server has just accepted is its child's to serve."""

import os
import select
import socketserver
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from own_process import in_own_process

import lklsock
from lklsock import KernelNotRunningError, socket

DEADLINE_S = 20.0
MEGABYTE = bytes(range(250)) * 4000


@contextmanager
def accepted_last() -> Any:
    """A client, and the end of the connection to it that this thread has just accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), DEADLINE_S)
        server, _ = listener.accept()
    server.settimeout(DEADLINE_S)
    with client:
        yield client, server


@contextmanager
def child(serve: Callable[[], None]) -> Any:
    """A forked child that serves; what follows must not wait for it in vain."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            serve()
            status = 0
        finally:
            os._exit(status)
    yield
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@in_own_process
def test_forking_server_serves_connections_of_the_stack() -> None:
    lklsock.patch(policy="all")

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            text = f"{os.getpid()} {self.client_address} {self.connection.getpeername()}"
            self.wfile.write(self.rfile.readline() + text.encode())

    class Server(socketserver.ForkingTCPServer):
        def verify_request(self, *args: Any) -> bool:
            return True

    with Server(("127.0.0.1", 0), Handler) as server:
        for number in range(3):
            with socket.create_connection(server.server_address, DEADLINE_S) as client:
                server.handle_request()
                client.sendall(b"%d\n" % number)
                answer = b"".join(iter(lambda: client.recv(100), b"")).decode()
                line, rest = answer.split("\n")
                pid, name = rest.split(" ", 1)
                assert line == str(number)
                assert int(pid) != os.getpid()
                assert name == f"{client.getsockname()} {client.getsockname()}"


@pytest.mark.parametrize("seen", [False, True])
@in_own_process
def test_child_has_all_of_a_connection(seen: bool) -> None:
    with accepted_last() as (client, server):
        if seen:
            server.fileno()
        names = server.getsockname(), server.getpeername()

        def serve() -> None:
            assert (server.getsockname(), server.getpeername()) == names
            assert select.select([server], [], [], DEADLINE_S)[0]
            with server.makefile("rb") as lines:
                assert lines.readline() == b"all of it\n"
            server.sendall(MEGABYTE)
            server.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""
            server.close()

        with child(serve):
            server.close()
            client.sendall(b"all of it\n")
            received = b""
            while data := client.recv(65536):
                received += data
            assert received == MEGABYTE
            client.shutdown(socket.SHUT_WR)


@in_own_process
def test_what_the_child_has_sent_goes_out_when_the_parent_closes() -> None:
    with accepted_last() as (client, server):
        with child(lambda: server.sendall(b"early")):
            pass
        server.close()
        assert client.recv(10) == b"early"
        assert client.recv(10) == b""


@in_own_process
def test_connection_ends_with_the_last_of_parent_and_child() -> None:
    go_on, told = os.pipe()
    with accepted_last() as (client, server):
        with child(lambda: os.read(go_on, 1) and None):
            server.close()
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            os.write(told, b".")
        client.settimeout(DEADLINE_S)
        assert client.recv(1) == b""


@in_own_process
def test_parent_goes_on_with_what_it_does_not_close() -> None:
    with accepted_last() as (client, server):
        with child(lambda: None):
            client.sendall(b"ping")
            assert server.recv(10) == b"ping"
        server.sendall(b"pong")
        assert client.recv(10) == b"pong"
        server.close()
        assert client.recv(10) == b""


@in_own_process
def test_only_the_connection_accepted_last_is_the_childs() -> None:
    with accepted_last() as (_, first), accepted_last() as (_, second):

        def serve() -> None:
            for sock in (first, second):
                sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                second.recv(1)
            with pytest.raises(KernelNotRunningError):
                first.recv(1)

        with child(serve):
            pass
        first.close()
        second.close()
