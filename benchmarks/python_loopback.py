"""Round trips of one byte over loopback from Python, one thread, blocking sockets.

The stdlib's sockets are TCP. lklsock's are what a program gets that changes nothing but its import:
MPTCP; and TCP, for comparison.
"""

from __future__ import annotations

import socket as stdlib
import time
from collections.abc import Iterator
from typing import Any

from figure import Figure, Target, alternate, main

import lklsock
from lklsock import socket as ours

RUNS = 7
WARM_UP = 500
ROUND_TRIPS = 20_000


def _pair(module: Any) -> tuple[stdlib.socket, stdlib.socket]:
    """A connected pair of a module that looks like the stdlib's."""
    with module.create_server(("127.0.0.1", 0)) as listener:
        client = module.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
    return client, server


def _round_trips(client: stdlib.socket, server: stdlib.socket, count: int) -> None:
    for _ in range(count):
        client.send(b"x")
        server.recv(1)
        server.send(b"x")
        client.recv(1)


def _round_trip_us(module: Any) -> float:
    client, server = _pair(module)
    with client, server:
        _round_trips(client, server, WARM_UP)
        start = time.perf_counter()
        _round_trips(client, server, ROUND_TRIPS)
        return (time.perf_counter() - start) * 1e6 / ROUND_TRIPS


def benchmark(runs: int) -> Iterator[Figure]:
    """Rows for a stack that upgrades to MPTCP, and for one that does not."""
    for mode, name in (("prefer", "mptcp"), ("off", "tcp")):
        lklsock.default_stack().mptcp_mode = mode
        yield Figure(
            f"python-round-trip-{name}",
            "us",
            alternate(runs, lambda: _round_trip_us(ours), lambda: _round_trip_us(stdlib)),
            less_is_better=True,
            target=Target("ratio", ">=", 2),
        )


if __name__ == "__main__":
    main(benchmark, RUNS)
