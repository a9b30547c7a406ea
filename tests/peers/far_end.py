"""The kernel's own test program on the host's kernel, as the other end of a stack's connection."""

import contextlib
import hashlib
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from host_network import command
from worlds import JOIN_S, Receiving, Sending, pause

from lklsock import _counters, mptcp, socket

PORT = 12000
CONNECTION_S = 20
_ESTABLISHED = 1
_LISTENS = "0A"


# When a path is lost, the host's own poll() and write() may be at odds, and its program, which
# takes EAGAIN after POLLOUT for an error, gives up: that says nothing of the stack's end.
_NO_ROOM = "write: Resource temporarily unavailable"


class FarEnd:
    """One `mptcp_connect`: sends a file, keeps what comes, both at once."""

    def __init__(self, program: str, *arguments: str, size: int) -> None:
        self._directory = tempfile.TemporaryDirectory()
        sent, self._received = (Path(self._directory.name, name) for name in ("sent", "received"))
        self.content = random.Random(2).randbytes(size)
        sent.write_bytes(self.content)
        self.sent = hashlib.sha256(self.content).hexdigest()
        with self._received.open("wb") as sink:
            self._process = subprocess.Popen(
                [program, "-j", "-t", str(CONNECTION_S), "-p", str(PORT), "-i", sent, *arguments],
                stdout=sink,
                stderr=subprocess.PIPE,
                text=True,
            )

    def received(self) -> str:
        """Waits until it ends. Returns the SHA-256 of what came."""
        _, complaints = self._process.communicate(timeout=JOIN_S)
        if complaints.strip() == _NO_ROOM:
            pytest.skip("the host's kernel told its program of room that there was not")
        assert not self._process.returncode and not complaints, complaints
        return hashlib.sha256(self._received.read_bytes()).hexdigest()

    def kept(self) -> bytes:
        """Waits until it ends, well or not. Returns what came."""
        self._process.communicate(timeout=JOIN_S)
        return self._received.read_bytes()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._directory.cleanup()


class Swap:
    """Each end sends its bytes to the other, and both are compared by their SHA-256."""

    def __init__(self, near: Any, far: FarEnd, size: int) -> None:
        self._far = far
        self._sending = Sending(near, size)
        self._receiving = Receiving(near)
        self.await_received = self._receiving.await_received

    def finish(self) -> None:
        """Waits for the end, and checks that it is all there."""
        # It says what it does not like.
        far_received = self._far.received()
        assert self._receiving.digest() == self._far.sent
        assert far_received == self._sending.digest()


@contextlib.contextmanager
def connected(
    program: str, stack_is: str, address: str, *arguments: str, size: int = 1_000_000
) -> Iterator[tuple[Any, FarEnd]]:
    """A connection between the stack and the program.

    Args:
        program: The path of `mptcp_connect`.
        stack_is: "client", or "server".
        address: "10.0.0.%d": 1 is the host, and 2 the stack.
        arguments: More for the program.
        size: What it sends, bytes.

    Yields:
        The stack's end, and the program.
    """
    if stack_is == "client":
        with contextlib.closing(FarEnd(program, *arguments, "-l", "::", size=size)) as far:
            await_listener(PORT)
            with socket.create_connection((address % 1, PORT), timeout=JOIN_S) as near:
                yield near, far
        return
    with socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.settimeout(JOIN_S)
        with contextlib.closing(FarEnd(program, *arguments, address % 2, size=size)) as far:
            near, _ = server.accept()
            with near:
                near.settimeout(JOIN_S)
                yield near, far


def await_true(predicate: Callable[[], bool]) -> None:
    """Waits until something is so that programs and kernels bring about by themselves."""
    deadline = time.monotonic() + JOIN_S
    while not predicate():
        assert time.monotonic() < deadline, "it did not come about"
        pause()


def await_flows(near: Any, count: int) -> None:
    """Waits until the connection has so many subflows, all of them established."""
    await_true(lambda: [flow.tcp.state for flow in mptcp.subflows(near)] == [_ESTABLISHED] * count)


def await_listener(port: int) -> None:
    """Waits until a program of the host listens."""
    await_true(lambda: any(_listens(line, port) for line in _host_sockets()))


def _host_sockets() -> list[str]:
    return [
        line
        for name in ("tcp", "tcp6")
        for line in Path("/proc/net", name).read_text().splitlines()[1:]
    ]


def _listens(line: str, port: int) -> bool:
    _, local, _, state = line.split()[:4]
    return state == _LISTENS and int(local.rpartition(":")[2], 16) == port


def add_host_endpoint(address: str, *flags: str) -> None:
    """Gives the host's path manager an address to use.

    It is not bound to its device: a stack answers by the path of the address that was called.
    """
    command("ip", "mptcp", "endpoint", "add", address, *flags)
    if "subflow" in flags:
        # What leaves from it takes its path.
        path, network = int(address[3]), address[:-1]
        family, table = "-6" if ":" in address else "-4", str(100 + path)
        route = ("default", "via", f"{network}2", "dev", f"tap{path}", "table", table)
        command("ip", family, "route", "replace", *route)
        command("ip", family, "rule", "add", "from", f"{network}1", "lookup", table)


def host_counters() -> dict[str, int]:
    """The MPTCP counters of the host, in the namespace of this process."""
    return _counters.parse(lambda path: Path(path).read_bytes())["MPTcpExt"]
