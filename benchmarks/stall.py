"""The longest silence when one of two paths is cut at half time, beside the host's MPTCP.

The paths are those of `paths`. Each run cuts one of them, in turn: everything on it is dropped,
both ways, and neither end is told. The figure is the longest time in which the receiving program
got no byte, the first second apart. Needs root.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from figure import Figure, Target, alternate, main
from network import PATH_COUNT, shaped, why_not
from transfers import Place, measure, shaped_place

RUNS = 10
SECONDS = 6.0
SETTLE_S = 1.0
TARGET = Target("lklsock", "<=", 250.0)


def _stall_ms(place: Place, kernel: str, direction: str, path: int) -> float:
    def cut() -> None:
        time.sleep(SECONDS / 2)
        place.network.set_cut(path, True)

    try:
        result = measure(
            place,
            kernel,
            "mptcp",
            direction,
            SECONDS,
            settle_s=SETTLE_S,
            while_running=cut,
        )
    finally:
        place.network.set_cut(path, False)
    return float(result["gap_s"] * 1e3)


def _row(place: Place, name: str, direction: str, runs: int) -> Figure:
    paths = {kernel: itertools.cycle(range(PATH_COUNT)) for kernel in ("stack", "host")}
    return Figure(
        f"stall-{name}",
        "ms",
        alternate(
            runs,
            lambda: _stall_ms(place, "stack", direction, next(paths["stack"])),
            lambda: _stall_ms(place, "host", direction, next(paths["host"])),
        ),
        less_is_better=True,
        target=TARGET,
    )


def benchmark(runs: int) -> Iterator[Figure]:
    """A row for what the client sends (up), and one for what it receives (down)."""
    reason = why_not()
    if reason is not None:
        yield Figure("stall", skipped=reason)
        return
    with shaped() as network:
        place = shaped_place(network)
        yield _row(place, "up", "out", runs)
        yield _row(place, "down", "in", runs)


if __name__ == "__main__":
    main(benchmark, RUNS)
