"""MPTCP goodput over several shaped paths, beside the host's MPTCP on the same ones.

Each gateway's queue holds one bandwidth-delay product of its path, and drops what comes on top.
Both clients talk to the same server of the host, in turn. The receiver counts, for twenty seconds
from its first byte on. Needs root. "uneven" is also held against TCP on the better path alone; the
buffers of its kernels are tuned, all in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from figure import Figure, Target, alternate, main
from network import Path, shaped, why_not
from transfers import Place, measure, shaped_place

RUNS = 5
SECONDS = 20.0
MEGABIT = 1_000_000

_FAST = Path(100 * MEGABIT, delay_ms=5, queue_ms=10)
_SLOW = Path(20 * MEGABIT, delay_ms=30, queue_ms=60)


@dataclass(frozen=True)
class Layout:
    """Paths, and what is to be reached there. `settings` are for all kernels."""

    paths: Sequence[Path]
    target: Target
    settings: Sequence[str] = ()


_TUNED = ("net/ipv4/tcp_wmem=4096 2097152 4194304",)
"""A send buffer need not grow first; docs/performance.md advises it.

While the slower path makes good a loss the sender keeps all that the other one carries meanwhile:
3 MB here.
"""

LAYOUTS = {
    "two": Layout((_FAST, _FAST), Target("ratio", ">=", 0.99)),
    "uneven": Layout((_FAST, _SLOW), Target("ratio", ">=", 1.0), _TUNED),
    "four": Layout((_FAST,) * 4, Target("ratio", ">=", 0.99)),
}
_ALONE = Target("ratio", ">=", 0.95)


def _mbit_per_s(
    place: Place, kernel: str, protocol: str, direction: str, settings: Sequence[str]
) -> float:
    result = measure(place, kernel, protocol, direction, SECONDS, settings=settings)
    return float(result["bytes"] * 8 / result["seconds"] / MEGABIT)


def _figure(
    place: Place,
    name: str,
    way: str,
    layout: Layout,
    runs: int,
    target: Target,
    other: tuple[str, str],
) -> Figure:
    """The stack's MPTCP, and a kernel and protocol beside it."""
    direction = {"up": "out", "down": "in"}[way]
    return Figure(
        f"paths-{name}-{way}",
        "Mbit/s",
        alternate(
            runs,
            lambda: _mbit_per_s(place, "stack", "mptcp", direction, layout.settings),
            lambda: _mbit_per_s(place, *other, direction, layout.settings),
        ),
        target=target,
    )


def benchmark(runs: int) -> Iterator[Figure]:
    """Rows for what the client sends (up), and for what it receives (down)."""
    reason = why_not()
    if reason is not None:
        yield Figure("paths", skipped=reason)
        return
    for name, layout in LAYOUTS.items():
        with shaped(layout.paths) as network:
            place = shaped_place(network)
            for way in ("up", "down"):
                host = ("host", "mptcp")
                yield _figure(place, name, way, layout, runs, layout.target, host)
                if name == "uneven":
                    alone = ("stack", "tcp")
                    yield _figure(place, "better-alone", way, layout, runs, _ALONE, alone)


if __name__ == "__main__":
    main(benchmark, RUNS)
