"""A stack on a TAP against the host's kernel, and the host against itself over veth.

Bulk with TSO, out of the stack and into it, and round trips of one byte; TCP over one path, MPTCP
over two. Needs root.
"""

from __future__ import annotations

from collections.abc import Iterator

from figure import Figure, Target, alternate, main
from network import direct, why_not
from transfers import Place, direct_place, measure

RUNS = 5
BULK_S = 2.5
BULK_SETTLE_S = 0.5
ECHO_S = 1.0

_TARGETS = {"out": 1.2, "in": 0.9, "round-trip": 1.0}


def _gbit_per_s(place: Place, kernel: str, protocol: str, direction: str) -> float:
    result = measure(place, kernel, protocol, direction, BULK_S, settle_s=BULK_SETTLE_S)
    return float(result["bytes"] * 8 / result["seconds"] / 1e9)


def _round_trip_us(place: Place, kernel: str, protocol: str) -> float:
    return float(measure(place, kernel, protocol, "round-trip", ECHO_S)["mean_us"])


def bulk(place: Place, protocol: str, direction: str, runs: int) -> Figure:
    """The row of one protocol and direction."""
    return Figure(
        f"tap-bulk-{direction}-{protocol}",
        "Gbit/s",
        alternate(
            runs,
            lambda: _gbit_per_s(place, "stack", protocol, direction),
            lambda: _gbit_per_s(place, "host", protocol, direction),
        ),
        target=Target("ratio", ">=", _TARGETS[direction]),
    )


def echo(place: Place, protocol: str, runs: int) -> Figure:
    """The row of one protocol."""
    return Figure(
        f"tap-echo-{protocol}",
        "us",
        alternate(
            runs,
            lambda: _round_trip_us(place, "stack", protocol),
            lambda: _round_trip_us(place, "host", protocol),
        ),
        less_is_better=True,
        target=Target("ratio", ">=", _TARGETS["round-trip"]),
    )


def benchmark(runs: int) -> Iterator[Figure]:
    """All rows."""
    reason = why_not()
    if reason is not None:
        yield Figure("tap", skipped=reason)
        return
    with direct() as network:
        place = direct_place(network)
        for protocol in ("tcp", "mptcp"):
            yield echo(place, protocol, runs)
            yield bulk(place, protocol, "out", runs)
            yield bulk(place, protocol, "in", runs)


if __name__ == "__main__":
    main(benchmark, RUNS)
