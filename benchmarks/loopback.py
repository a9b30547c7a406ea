"""Loopback from C, one thread: round trips of one byte, and bulk.

Congestion control is cubic on both sides. The bulk rows named "default" leave each kernel its own
default: what a host is set to otherwise shows there, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from figure import Figure, Pair, Target, main
from programs import library, numbers

RUNS = 7
ROUND_TRIP = Target("ratio", ">=", 4)
BULK = {"tcp": Target("ratio", ">=", 2), "mptcp": Target("ratio", ">=", 4)}


def _pairs(scale: float, *arguments: object) -> list[Pair]:
    return [
        (stack * scale, host * scale) for stack, host in numbers("loopback", library(), *arguments)
    ]


def benchmark(runs: int) -> Iterator[Figure]:
    """Rows for TCP and MPTCP; round trips by IPv4 and IPv6."""
    for protocol in ("tcp", "mptcp"):
        for version in (4, 6):
            yield Figure(
                f"loopback-round-trip-{protocol}-v{version}",
                "us",
                _pairs(1e-3, "round-trip", protocol, version, "cubic", runs),
                less_is_better=True,
                target=ROUND_TRIP,
            )
    for protocol in ("tcp", "mptcp"):
        for congestion in ("cubic", "default"):
            yield Figure(
                f"loopback-bulk-{protocol}-{congestion}",
                "Gbit/s",
                _pairs(8e-9, "bulk", protocol, 4, congestion, runs),
                target=BULK[protocol],
            )


if __name__ == "__main__":
    main(benchmark, RUNS)
