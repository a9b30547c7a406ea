"""`python -c` to the first byte over a loopback socket, with the stdlib's module and with ours."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from figure import Figure, Target, alternate, main
from programs import DEADLINE_S

RUNS = 21
PROGRAM = """
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.send(b"x")
assert peer.recv(1) == b"x"
"""


def _start_ms(first_line: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", first_line + PROGRAM], check=True, timeout=DEADLINE_S)
    return (time.perf_counter() - start) * 1e3


def benchmark(runs: int) -> Iterator[Figure]:
    """One row."""
    yield Figure(
        "python-start",
        "ms",
        alternate(
            runs,
            lambda: _start_ms("from lklsock import socket"),
            lambda: _start_ms("import socket"),
        ),
        less_is_better=True,
        target=Target("added", "<=", 30),
    )


if __name__ == "__main__":
    main(benchmark, RUNS)
