"""`python -c` to the first byte over a loopback socket, with the stdlib's module and with ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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


def _start_ms(first_line: str, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    # Waiting for the end of the output: waiting for the process with a timeout polls, more and
    # more seldom.
    subprocess.run(
        [sys.executable, "-c", first_line + PROGRAM],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        timeout=DEADLINE_S,
    )
    return (time.perf_counter() - start) * 1e3


def benchmark(runs: int) -> Iterator[Figure]:
    """One row."""
    ours, stdlib = "from lklsock import socket", "import socket"
    with tempfile.TemporaryDirectory() as cache:
        # pip compiles what it installs; a checkout may have been told to keep no bytecode.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        _start_ms(ours, environment)
        _start_ms(stdlib, environment)
        yield Figure(
            "python-start",
            "ms",
            alternate(
                runs,
                lambda: _start_ms(ours, environment),
                lambda: _start_ms(stdlib, environment),
            ),
            less_is_better=True,
            target=Target("added", "<=", 30),
        )


if __name__ == "__main__":
    main(benchmark, RUNS)
