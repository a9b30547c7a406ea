"""An asyncio echo server and its clients, in one event loop, over loopback.

Each client sends 64 bytes and waits for them to come back, again and again; the figure is round
trips a second of all clients together. The program is the same for both: lklsock's run is patched.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator

from figure import Figure, Target, alternate, main

import lklsock

RUNS = 5
ROUND_TRIPS = 20_000
MESSAGE = b"m" * 64
CLIENTS = (100, 1000)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, round_trips: int
) -> None:
    for _ in range(round_trips):
        writer.write(MESSAGE)
        await reader.readexactly(len(MESSAGE))


async def _round_trips_per_s(clients: int) -> float:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    address = server.sockets[0].getsockname()
    streams = [await asyncio.open_connection(*address[:2]) for _ in range(clients)]
    await asyncio.gather(*(_talk(*stream, 1) for stream in streams))
    each = ROUND_TRIPS // clients
    start = time.perf_counter()
    await asyncio.gather(*(_talk(*stream, each) for stream in streams))
    took_s = time.perf_counter() - start
    for _, writer in streams:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in streams))
    server.close()
    await server.wait_closed()
    return each * clients / took_s


def _on_host(clients: int) -> float:
    return asyncio.run(_round_trips_per_s(clients))


def _on_stack(clients: int) -> float:
    with lklsock.patched(policy="all"):
        return asyncio.run(_round_trips_per_s(clients))


def benchmark(runs: int) -> Iterator[Figure]:
    """One row for each number of clients."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for clients in CLIENTS:
        yield Figure(
            f"python-asyncio-echo-{clients}",
            "1/s",
            alternate(runs, lambda n=clients: _on_stack(n), lambda n=clients: _on_host(n)),  # type: ignore[misc]
            target=Target("ratio", ">=", 1),
        )


if __name__ == "__main__":
    main(benchmark, RUNS)
