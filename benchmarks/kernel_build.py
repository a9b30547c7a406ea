"""How long a clean build of the kernel takes, its source being there already."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator

from figure import Figure, Target, main
from programs import PROJECT, run

DEADLINE_S = 3600.0


def _build_s() -> float:
    os.environ.pop("LKLSOCK_KERNEL_LIB", None)
    command = [sys.executable, str(PROJECT / "third_party" / "lkl" / "kernel_build.py")]
    with tempfile.TemporaryDirectory() as place:
        # Fetches and unpacks the source, if that has not been done.
        run(*command, "--output", place, deadline_s=DEADLINE_S)
        start = time.perf_counter()
        run(*command, "--clean", "--output", place, deadline_s=DEADLINE_S)
        return time.perf_counter() - start


def benchmark(runs: int) -> Iterator[Figure]:
    """One row."""
    yield Figure(
        "kernel-build",
        "s",
        single=[_build_s() for _ in range(runs)],
        target=Target("lklsock", "<=", 180),
    )


if __name__ == "__main__":
    main(benchmark, 1)
