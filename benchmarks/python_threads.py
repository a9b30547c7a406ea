"""Two threads of one Python program, talking over loopback with blocking sockets.

The stdlib's sockets are TCP, lklsock's are what a program gets that changes nothing but its import:
MPTCP.
"""

from __future__ import annotations

import socket as stdlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from figure import Figure, Target, alternate, main
from python_pair import connected_pair

from lklsock import socket as ours

RUNS = 7
WARM_UP = 200
ROUND_TRIPS = 5_000
BULK_BYTES = 1 << 30
CHUNK_BYTES = 256 << 10


def _beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _echo(sock: stdlib.socket, count: int) -> None:
    for _ in range(count):
        sock.send(sock.recv(1))


def _round_trip_us(module: Any) -> float:
    client, server = connected_pair(module)
    with client, server:
        thread = _beside(lambda: _echo(server, WARM_UP + ROUND_TRIPS))
        for i in range(WARM_UP + ROUND_TRIPS):
            if i == WARM_UP:
                start = time.perf_counter()
            client.send(b"x")
            client.recv(1)
        took_s = time.perf_counter() - start
        thread.join()
    return took_s * 1e6 / ROUND_TRIPS


def _bulk_gbit_per_s(module: Any) -> float:
    client, server = connected_pair(module)
    with client, server:
        chunk = bytes(CHUNK_BYTES)

        def send() -> None:
            for _ in range(BULK_BYTES // CHUNK_BYTES):
                client.sendall(chunk)

        thread = _beside(send)
        buffer = bytearray(CHUNK_BYTES)
        start = time.perf_counter()
        left = BULK_BYTES
        while left:
            left -= server.recv_into(buffer)
        took_s = time.perf_counter() - start
        thread.join()
    return BULK_BYTES * 8 / took_s / 1e9


def benchmark(runs: int) -> Iterator[Figure]:
    """Round trips, and bulk."""
    measured: tuple[tuple[str, str, Callable[[Any], float], bool], ...] = (
        ("python-threads-round-trip", "us", _round_trip_us, True),
        ("python-threads-bulk", "Gbit/s", _bulk_gbit_per_s, False),
    )
    for name, unit, measure, less_is_better in measured:
        yield Figure(
            name,
            unit,
            alternate(runs, lambda m=measure: m(ours), lambda m=measure: m(stdlib)),  # type: ignore[misc]
            less_is_better=less_is_better,
            target=Target("ratio", ">=", 1),
        )


if __name__ == "__main__":
    main(benchmark, RUNS)
