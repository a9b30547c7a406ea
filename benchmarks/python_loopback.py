"""Loopback from Python, one thread, blocking sockets: round trips of one byte, connections.

The stdlib's sockets are TCP. lklsock's are what a program gets that changes nothing but its import:
MPTCP; and TCP, for comparison.
"""

from __future__ import annotations

import socket as stdlib
import time
from collections.abc import Iterator
from typing import Any

from figure import Figure, Target, alternate, main
from python_pair import connected_pair

import lklsock
from lklsock import socket as ours

RUNS = 7
WARM_UP = 500
ROUND_TRIPS = 20_000
CONNECTIONS = 1_000


def _round_trips(client: stdlib.socket, server: stdlib.socket, count: int) -> None:
    for _ in range(count):
        client.send(b"x")
        server.recv(1)
        server.send(b"x")
        client.recv(1)


def _round_trip_us(module: Any) -> float:
    client, server = connected_pair(module)
    with client, server:
        _round_trips(client, server, WARM_UP)
        start = time.perf_counter()
        _round_trips(client, server, ROUND_TRIPS)
        return (time.perf_counter() - start) * 1e6 / ROUND_TRIPS


def _connections(module: Any, listener: stdlib.socket, count: int) -> None:
    address = listener.getsockname()
    for _ in range(count):
        client = module.create_connection(address)
        server, _ = listener.accept()
        client.close()
        server.close()


def _connect_close_us(module: Any) -> float:
    with module.create_server(("127.0.0.1", 0)) as listener:
        _connections(module, listener, CONNECTIONS // 10)
        start = time.perf_counter()
        _connections(module, listener, CONNECTIONS)
        return (time.perf_counter() - start) * 1e6 / CONNECTIONS


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
        yield Figure(
            f"python-connect-close-{name}",
            "us",
            alternate(runs, lambda: _connect_close_us(ours), lambda: _connect_close_us(stdlib)),
            less_is_better=True,
            target=Target("ratio", ">=", 1),
        )


if __name__ == "__main__":
    main(benchmark, RUNS)
