"""Stacks, connections and transfers for the tests."""

import contextlib
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from lklsock import Stack, mptcp, socket
from lklsock._interface import Interface
from lklsock.link import Impair, Wire

JOIN_S = 30.0


class Thread(threading.Thread):
    """A thread whose result, or exception, `result` gives."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._call = function, args
        self._outcome: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        function, args = self._call
        try:
            self._outcome = function(*args)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(JOIN_S)
        assert not self.is_alive(), "the thread did not end"
        if self._error is not None:
            raise self._error
        return self._outcome


def tcp_pair(family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """Two ends of a loopback connection in the current stack."""
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((host, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        accepted, _ = server.accept()
    return client, accepted


def wired_stacks(paths: int = 1, **impairment: Any) -> tuple[Stack, Stack]:
    """Two stacks with a wire for each path: 10.N.0.1 and .2, fd0N::1 and ::2.

    The wires' interfaces are wire0, wire1, ... in both. What is given impairs each direction, and
    is on the left side only.
    """
    left, right = Stack(hostname="left"), Stack(hostname="right")
    for path in range(paths):
        near, far = Wire.pair()
        left.add_link(
            Impair(near, seed=path, **impairment),
            addresses=[f"10.{path}.0.1/24", f"fd0{path}::1/64"],
            gateway=[f"10.{path}.0.2", f"fd0{path}::2"],
        )
        right.add_link(
            far,
            addresses=[f"10.{path}.0.2/24", f"fd0{path}::2/64"],
            gateway=[f"10.{path}.0.1", f"fd0{path}::1"],
        )
    return left, right


@contextlib.contextmanager
def connected(
    left: Stack, right: Stack, host: str = "10.0.0.2"
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection from one stack to another.

    The listener is for all addresses, and stays open: the kernel takes subflows only where one is.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with right:
        listener = socket.create_server(("", 0), family=family)
    with listener:
        with left:
            client = socket.create_connection((host, listener.getsockname()[1]), timeout=JOIN_S)
        with client:
            listener.settimeout(JOIN_S)
            server, _ = listener.accept()
            with server:
                client.settimeout(JOIN_S)
                server.settimeout(JOIN_S)
                yield client, server


def allow_subflows(*stacks: Stack) -> None:
    for stack in stacks:
        mptcp.limits(stack, subflows=8, add_addr_accepted=8)


def exchange(client: socket.socket, server: socket.socket) -> None:
    """A byte there and one back: then both know that the other speaks MPTCP."""
    client.sendall(b"?")
    assert server.recv(1) == b"?"
    server.sendall(b"!")
    assert client.recv(1) == b"!"


def await_true(predicate: Callable[[], bool], client: socket.socket, server: socket.socket) -> None:
    """Exchanges bytes until something is so that the kernels bring about by themselves."""
    for _ in range(2000):
        if predicate():
            return
        exchange(client, server)
        pause()
    raise AssertionError("it did not come about")


def await_that(predicate: Callable[[], object], what: str = "") -> None:
    """Waits until something is so that the kernel, or another program, brings about by itself."""
    deadline = time.monotonic() + JOIN_S
    while not predicate():
        assert time.monotonic() < deadline, what or "it did not come about"
        pause()


def await_carrier(interface: Interface, carrier: bool = True) -> None:
    """Until the interface has it, or has it no more."""
    for _ in range(round(JOIN_S / 0.005)):
        if interface.carrier == carrier:
            return
        pause()
    raise AssertionError(f"carrier did not become {carrier}")


def pause(seconds: float = 0.005) -> None:
    """Lets the kernels' timers run."""
    threading.Event().wait(seconds)


@contextlib.contextmanager
def joined(host: str = "10.0.0.2", **impairment: Any) -> Iterator[tuple[Any, ...]]:
    """Two stacks, and a connection between them with a subflow on each of two paths."""
    left, right = wired_stacks(2, **impairment)
    allow_subflows(left, right)
    # Announced by the right side: so that its answers take the same path.
    mptcp.endpoint_add("fd01::2" if ":" in host else "10.1.0.2", flags=["signal"], stack=right)
    with connected(left, right, host) as (client, server):
        for sock in (client, server):
            await_true(lambda sock=sock: sock.mptcp.subflows == 1, client, server)
        yield left, right, client, server


class Sending:
    """Random bytes into a socket, in a thread, and then its end."""

    def __init__(self, sock: socket.socket, size: int) -> None:
        self._thread = Thread(self._send, sock, size)

    def digest(self) -> str:
        """Waits until all is sent. Returns its SHA-256."""
        digest: str = self._thread.result()
        return digest

    @staticmethod
    def _send(sock: socket.socket, size: int) -> str:
        source, digest, left = random.Random(1), hashlib.sha256(), size
        while left:
            chunk = source.randbytes(min(left, 1 << 18))
            digest.update(chunk)
            sock.sendall(chunk)
            left -= len(chunk)
        sock.shutdown(socket.SHUT_WR)
        return digest.hexdigest()


class Receiving:
    """All that comes from a socket, in a thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.received = 0
        self._moved = threading.Condition()
        self._thread = Thread(self._receive, sock)

    def await_received(self, count: int) -> None:
        """Waits until so many bytes have arrived."""
        with self._moved:
            assert self._moved.wait_for(lambda: self.received >= count, JOIN_S), (
                f"{self.received} bytes arrived, not {count}"
            )

    def digest(self) -> str:
        """Waits for the end. Returns the SHA-256 of all."""
        digest: str = self._thread.result()
        return digest

    def _receive(self, sock: socket.socket) -> str:
        digest = hashlib.sha256()
        while chunk := sock.recv(1 << 18):
            digest.update(chunk)
            with self._moved:
                self.received += len(chunk)
                self._moved.notify_all()
        return digest.hexdigest()


class Transfer:
    """Random bytes from one socket to another, in two threads, hashed at both ends."""

    def __init__(self, sender: socket.socket, receiver: socket.socket, size: int) -> None:
        self.size = size
        self._sending = Sending(sender, size)
        self._receiving = Receiving(receiver)
        self.await_received = self._receiving.await_received

    @property
    def received(self) -> int:
        """Bytes that have arrived."""
        return self._receiving.received

    def finish(self) -> None:
        """Waits for the end, and checks that it is all there."""
        sent = self._sending.digest()
        received = self._receiving.digest()
        assert self.received == self.size
        assert received == sent
