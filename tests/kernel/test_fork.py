"""fork(2): the child never touches its parent's kernels."""

import pytest
from forked import in_child
from own_process import in_own_process

from lklsock import KernelNotRunningError, Stack, default_stack, socket


def exchange() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"here")
                assert accepted.recv(16) == b"here"


@in_own_process
def test_child_is_refused_by_the_parents_kernel() -> None:
    stack = Stack()
    sock = stack.socket()

    def check() -> None:
        assert stack.state == "forked"
        for call in (sock.getsockname, sock.fileno, lambda: sock.recv(1)):
            with pytest.raises(KernelNotRunningError, match="fork"):
                call()
        sock.close()

    in_child(check)
    assert stack.state == "running"
    assert sock.getsockname() == ("0.0.0.0", 0)
    sock.close()


@in_own_process
def test_child_boots_a_default_stack_of_its_own() -> None:
    exchange()

    def check() -> None:
        assert default_stack().state == "forked"
        exchange()
        assert default_stack().state == "running"
        # And so does a grandchild.
        in_child(exchange)

    for _ in range(3):
        in_child(check)
    exchange()


@in_own_process
def test_fork_while_connections_work_breaks_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    for number in range(20):
        client.sendall(b"%d" % number)
        in_child(lambda: None)
        assert accepted.recv(16) == b"%d" % number
    client.close()
    accepted.close()
