"""One row: a figure of lklsock, the host's of the same run, and what is to be reached."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Pair = tuple[float, float]
"""lklsock's figure and the host's, measured one right after the other."""


@dataclass(frozen=True)
class Target:
    """What is to be reached.

    Attributes:
        of: "lklsock", "ratio", or "added": what lklsock takes more than the host.
        relation: ">=" or "<=".
        value: The bound, in the figure's unit or as a ratio.
    """

    of: str
    relation: str
    value: float

    def __str__(self) -> str:
        before, after = {"lklsock": ("", ""), "ratio": ("", "x"), "added": ("+", "")}[self.of]
        return f"{self.relation} {before}{self.value:g}{after}"

    def is_met(self, figure: Figure) -> bool | None:
        """Whether a figure reaches it; None if it has none."""
        value = {"lklsock": figure.lklsock, "ratio": figure.ratio, "added": figure.added}[self.of]
        if value is None:
            return None
        return value >= self.value if self.relation == ">=" else value <= self.value


@dataclass
class Figure:
    """A measured row.

    Attributes:
        name: Of the row.
        unit: Of the figures.
        runs: Pairs, in the order measured.
        single: Figures of lklsock alone, where the host has none to go beside them.
        less_is_better: Then the ratio is host / lklsock: above 1 is always faster than the host.
        target: None for a row that only informs.
        skipped: Why it could not be measured.
    """

    name: str
    unit: str = ""
    runs: list[Pair] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    less_is_better: bool = False
    target: Target | None = None
    skipped: str | None = None

    @property
    def lklsock(self) -> float | None:
        """The median of lklsock's figures."""
        values = [run[0] for run in self.runs] or self.single
        return statistics.median(values) if values else None

    @property
    def host(self) -> float | None:
        """The median of the host's figures."""
        return statistics.median(run[1] for run in self.runs) if self.runs else None

    @property
    def ratio(self) -> float | None:
        """How many times as good as the host: the ratio of the medians."""
        ours, theirs = self.lklsock, self.host
        if not ours or not theirs:
            return None
        return theirs / ours if self.less_is_better else ours / theirs

    @property
    def added(self) -> float | None:
        """What lklsock takes more than the host, in the figure's unit."""
        ours, theirs = self.lklsock, self.host
        return None if ours is None or theirs is None else ours - theirs

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none, or no figure."""
        return None if self.target is None else self.target.is_met(self)

    def as_json(self) -> str:
        """The figure as one line."""
        row: dict[str, Any] = {"name": self.name}
        if self.skipped is not None:
            return json.dumps(row | {"skipped": self.skipped})
        row |= {
            "unit": self.unit,
            "lklsock": self.lklsock,
            "host": self.host,
            "ratio": self.ratio,
            "added": self.added,
            "target": None if self.target is None else str(self.target),
            "met": self.met,
            "runs": self.runs or self.single,
        }
        return json.dumps(row)


Benchmark = Callable[[int], Iterator[Figure]]
"""Takes the number of runs, gives rows."""


def alternate(runs: int, lklsock: Callable[[], float], host: Callable[[], float]) -> list[Pair]:
    """Measures both in turn; who goes first alternates, too."""
    pairs: list[Pair] = []
    for i in range(runs):
        if i % 2:
            theirs = host()
            pairs.append((lklsock(), theirs))
        else:
            ours = lklsock()
            pairs.append((ours, host()))
    return pairs


def main(benchmark: Benchmark, runs: int, arguments: Sequence[str] | None = None) -> None:
    """The command line of a benchmark that runs alone: prints a JSON line for each row."""
    # So that what was made on the host is removed then, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--runs", type=int, default=runs, help="how often (default: %(default)s)")
    for figure in benchmark(parser.parse_args(arguments).runs):
        print(figure.as_json(), flush=True)
