"""Many connections in one process: the memory of an idle one, and 10,000 that answer.

Both ends are in the process and count as two connections. Memory is the process's resident set,
which is where the stack's buffers are; the host's kernel keeps its own elsewhere, so that there is
no figure to set beside it.
"""

from __future__ import annotations

import resource
import select
import socket as stdlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from figure import Figure, Target, main
from programs import DEADLINE_S

import lklsock
from lklsock import socket as ours

RUNS = 3
IDLE_PAIRS = 1_000
MANY_PAIRS = 5_000
DESCRIPTORS = 20_000
MEMORY_BYTES = 1 << 30
PAGE_BYTES = resource.getpagesize()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _pairs(count: int) -> list[tuple[stdlib.socket, stdlib.socket]]:
    with ours.create_server(("127.0.0.1", 0), backlog=128) as listener:
        address = listener.getsockname()
        return [(ours.create_connection(address), listener.accept()[0]) for _ in range(count)]


def _talk(pairs: list[tuple[stdlib.socket, stdlib.socket]]) -> None:
    for client, server in pairs:
        client.send(b"x")
        server.send(server.recv(1))
        assert client.recv(1) == b"x"


def _idle() -> float:
    _talk(_pairs(10))
    before = _resident_bytes()
    pairs = _pairs(IDLE_PAIRS)
    _talk(pairs)
    return (_resident_bytes() - before) / (2 * IDLE_PAIRS) / 1024


def _many() -> tuple[float, float, float]:
    """Descriptors a connection without and with a poller, and how many answered."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    before = _descriptors()
    pairs = _pairs(MANY_PAIRS)
    _talk(pairs)
    unpolled = (_descriptors() - before) / (2 * MANY_PAIRS)
    poller = select.epoll()
    servers = {server.fileno(): server for _, server in pairs}
    polled = (_descriptors() - before - 1) / MANY_PAIRS
    for number in servers:
        poller.register(number, select.EPOLLIN)
    for client, _ in pairs:
        client.send(b"x")
    answered = 0
    while answered < MANY_PAIRS:
        ready = poller.poll(DEADLINE_S, 1000)
        assert ready, "some connections do not answer"
        for number, _ in ready:
            servers[number].send(servers[number].recv(1))
        answered += len(ready)
    assert all(client.recv(1) == b"x" for client, _ in pairs)
    return unpolled, polled, 2.0 * answered


def _alone(what: str) -> list[float]:
    """The numbers that a fresh process measures."""
    command = [sys.executable, __file__, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [float(word) for word in done.stdout.split()]


def benchmark(runs: int) -> Iterator[Figure]:
    """Memory, then many."""
    yield Figure(
        "python-idle-connection",
        "KiB",
        single=[_alone("--idle")[0] for _ in range(runs)],
        less_is_better=True,
        target=Target("lklsock", "<=", 24),
    )
    unpolled, polled, answered = _alone("--many")
    yield Figure("python-fds-unpolled", "fds", single=[unpolled], less_is_better=True)
    yield Figure("python-fds-polled", "fds", single=[polled], less_is_better=True)
    yield Figure(
        "python-connections-answering",
        "",
        single=[answered],
        target=Target("lklsock", ">=", 2 * MANY_PAIRS),
    )


if __name__ == "__main__":
    if sys.argv[1:] in (["--idle"], ["--many"]):
        lklsock.set_default_stack(lklsock.Stack(memory_bytes=MEMORY_BYTES))
        print(_idle() if sys.argv[1] == "--idle" else " ".join(map(str, _many())))
    else:
        main(benchmark, RUNS)
