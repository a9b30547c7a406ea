"""MPTCP goodput over two paths of 100 Mbit/s with 10 ms round trip time, beside the host's MPTCP.

Both clients use the same shaped paths to the same server of the host. The receiver counts, for ten
seconds from its first byte on. Needs root.
"""

from __future__ import annotations

from collections.abc import Iterator

from figure import Figure, Target, alternate, main
from network import shaped, why_not
from transfers import Place, measure, shaped_place

RUNS = 3
SECONDS = 10.0
TARGET = Target("ratio", ">=", 0.99)


def _mbit_per_s(place: Place, kernel: str, direction: str) -> float:
    result = measure(place, kernel, "mptcp", direction, SECONDS)
    return float(result["bytes"] * 8 / result["seconds"] / 1e6)


def _row(place: Place, name: str, direction: str, runs: int) -> Figure:
    return Figure(
        f"paths-{name}",
        "Mbit/s",
        alternate(
            runs,
            lambda: _mbit_per_s(place, "stack", direction),
            lambda: _mbit_per_s(place, "host", direction),
        ),
        target=TARGET,
    )


def benchmark(runs: int) -> Iterator[Figure]:
    """A row for what the client sends (up), and one for what it receives (down)."""
    reason = why_not()
    if reason is not None:
        yield Figure("paths", skipped=reason)
        return
    with shaped() as network:
        place = shaped_place(network)
        yield _row(place, "up", "out", runs)
        yield _row(place, "down", "in", runs)


if __name__ == "__main__":
    main(benchmark, RUNS)
