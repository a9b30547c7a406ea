"""How large the kernel's library (stripped) and a wheel are, MB of 10^6 bytes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figure import Figure, Target, main
from programs import PROJECT, library, run

WHEEL_DEADLINE_S = 900.0


def _stripped_bytes(path: str) -> int:
    with tempfile.TemporaryDirectory() as place:
        stripped = Path(place, "stripped.so")
        run("strip", "-o", str(stripped), path)
        return stripped.stat().st_size


def _wheel_bytes() -> int:
    with tempfile.TemporaryDirectory() as place:
        run(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--wheel-dir", place, str(PROJECT)),
            deadline_s=WHEEL_DEADLINE_S,
        )
        (wheel,) = Path(place).glob("*.whl")
        return wheel.stat().st_size


def benchmark(runs: int) -> Iterator[Figure]:
    """A row for the library and one for the wheel, which is built for that."""
    del runs
    yield Figure(
        "size-library",
        "MB",
        single=[_stripped_bytes(library()) / 1e6],
        target=Target("lklsock", "<=", 5),
    )
    yield Figure(
        "size-wheel", "MB", single=[_wheel_bytes() / 1e6], target=Target("lklsock", "<=", 2.5)
    )


if __name__ == "__main__":
    main(benchmark, 1)
