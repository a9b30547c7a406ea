"""A trivial system call from C: in a loop, and after 30 ms without one.

"evicted" also fills the caches with something else before the call, for stack and host alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from figure import Figure, Target, main
from programs import library, numbers

RUNS = 9
COLD_US = Target("lklsock", "<=", 10)


def benchmark(runs: int) -> Iterator[Figure]:
    """Rows for the hot, the idle and the idle and evicted call."""
    for how, name, unit, ns_per_unit, target in (
        ("hot", "call", "ns", 1, Target("lklsock", "<=", 45)),
        ("idle", "call-idle", "us", 1000, COLD_US),
        ("evicted", "call-evicted", "us", 1000, COLD_US),
    ):
        yield Figure(
            name,
            unit,
            [
                (stack / ns_per_unit, host / ns_per_unit)
                for stack, host in numbers("calls", library(), how, runs)
            ],
            less_is_better=True,
            target=target,
        )


if __name__ == "__main__":
    main(benchmark, RUNS)
