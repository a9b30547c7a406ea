"""What happened, and the figures in it.

All times are of one clock, CLOCK_MONOTONIC: both ends are on one machine.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from .plan import CUT_PATH, PATHS, Plan

# A path is in use when it carries more than this share of what it could.
_IN_USE = 0.1
_WAIT_MS = 50
# The other path has taken over when the program gets this share of what one gives, for a while.
_TAKEN_OVER = 0.8
_TAKEN_OVER_NS = 400_000_000
# A path carried data, not only what keeps a connection up, from this share of all on.
_CARRIED = 0.01


class Sample(NamedTuple):
    """What the far end had got by then."""

    ns: int
    delivered: int
    """Bytes that its program had received."""
    paths: list[int]
    """Bytes that had come on each path."""


class Interval(NamedTuple):
    """A time without data at the far end."""

    from_ns: int
    until_ns: int

    @property
    def ms(self) -> float:
        """Its length."""
        return (self.until_ns - self.from_ns) / 1e6


class Rates(NamedTuple):
    """What happened between two samples: Mbit/s."""

    ns: int
    """The middle."""
    delivered: float
    paths: list[float]


@dataclass
class Record:
    """A transfer.

    Attributes:
        plan: What was to happen.
        kernel: The release of the embedded one.
        samples: What the far end had got, in order.
        gaps: When it got nothing for a while.
        start_ns: When the first byte was sent.
        end_ns: When the far end had all.
        cut_ns: When the cut began.
        mend_ns: When it ended.
        subflows: TCP connections that the MPTCP connection had at its end.
        sent_bytes: By the near end's program.
        sent_sha256: Of these.
        received_bytes: By the far end's program.
        received_sha256: Of these.
    """

    plan: Plan
    kernel: str = ""
    samples: list[Sample] = field(default_factory=list)
    gaps: list[Interval] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0
    cut_ns: int | None = None
    mend_ns: int | None = None
    subflows: int = 0
    sent_bytes: int = 0
    sent_sha256: str = ""
    received_bytes: int = 0
    received_sha256: str = ""

    def seconds(self, ns: int) -> float:
        """The time since the start."""
        return (ns - self.start_ns) / 1e9

    def rates(self, samples: list[Sample] | None = None) -> list[Rates]:
        """What happened between each two samples: these, or all."""
        samples = self.samples if samples is None else samples
        rates = []
        for old, new in pairwise(samples):
            mbit = 8e3 / max(new.ns - old.ns, 1)
            paths = [(n - o) * mbit for o, n in zip(old.paths, new.paths, strict=True)]
            rates.append(
                Rates((old.ns + new.ns) // 2, (new.delivered - old.delivered) * mbit, paths)
            )
        return rates

    @property
    def path_bytes(self) -> list[int]:
        """What came on each path, headers and repetitions included."""
        if not self.samples:
            return [0] * len(PATHS)
        return [n - o for o, n in zip(self.samples[0].paths, self.samples[-1].paths, strict=True)]

    @property
    def waits(self) -> list[Interval]:
        """The gaps that are long enough to notice."""
        return [gap for gap in self.gaps if gap.ms >= _WAIT_MS]

    @property
    def stall(self) -> Interval | None:
        """The longest gap that did not end before the cut, nor begin after it was mended."""
        if self.cut_ns is None:
            return None
        until_ns = self.end_ns if self.mend_ns is None else self.mend_ns
        near = [g for g in self.gaps if g.until_ns >= self.cut_ns and g.from_ns <= until_ns]
        return max(near, key=lambda gap: gap.ms, default=None)

    @property
    def stall_ms(self) -> float:
        """The length of `stall`; 0 if the far end did not notice the cut."""
        return 0.0 if self.stall is None else self.stall.ms

    @property
    def recovered_ms(self) -> float | None:
        """How long after the cut the other path had taken over; None if not before its end."""
        if self.cut_ns is None or self.mend_ns is None:
            return None
        wanted = _TAKEN_OVER * self.plan.rate_mbit
        for sample in self.samples[self._first(self.cut_ns) : self._first(self.mend_ns)]:
            later = self.samples[self._first(sample.ns + _TAKEN_OVER_NS) :][:1]
            rates = self.rates([sample, *later])
            waiting = any(gap.from_ns < sample.ns < gap.until_ns for gap in self.waits)
            if rates and rates[0].delivered > wanted and not waiting:
                return (sample.ns - self.cut_ns) / 1e6
        return None

    @property
    def back_ms(self) -> float | None:
        """How long after the end of the cut the path was in use again; None if it was not."""
        if self.mend_ns is None:
            return None
        for rates in self.rates():
            used = rates.paths[CUT_PATH] > _IN_USE * self.plan.rate_mbit
            if rates.ns >= self.mend_ns and used:
                return (rates.ns - self.mend_ns) / 1e6
        return None

    def _first(self, ns: int) -> int:
        """The index of the first sample that is not before."""
        return bisect_left(self.samples, (ns,))

    def problems(self) -> list[str]:
        """What did not come out as it shall."""
        problems = []
        if self.sent_bytes != self.received_bytes:
            problems.append(f"{self.sent_bytes} bytes sent, {self.received_bytes} received")
        elif self.sent_sha256 != self.received_sha256:
            problems.append("the bytes received are not those sent")
        if self.cut_ns is None or self.mend_ns is None:
            problems.append("no path was cut")
        for path, carried in zip(PATHS, self.path_bytes, strict=True):
            if carried <= _CARRIED * self.received_bytes:
                problems.append(f"{path.name} carried no data")
        return problems

    def summary(self) -> dict[str, object]:
        """The figures, for a program to read."""
        took_s = max(self.seconds(self.end_ns), 1e-9)
        return {
            "ok": not self.problems(),
            "problems": self.problems(),
            "peer": self.plan.peer,
            "kernel": self.kernel,
            "rate_mbit": self.plan.rate_mbit,
            "delay_ms": self.plan.delay_ms,
            "seconds": round(took_s, 3),
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
            "sent_sha256": self.sent_sha256,
            "received_sha256": self.received_sha256,
            "mean_mbit": round(self.received_bytes * 8e-6 / took_s, 2),
            "paths": {
                path.name: {"bytes": carried, "cut": number == CUT_PATH}
                for number, (path, carried) in enumerate(zip(PATHS, self.path_bytes, strict=True))
            },
            "subflows": self.subflows,
            "cut_s": None if self.cut_ns is None else round(self.seconds(self.cut_ns), 3),
            "mend_s": None if self.mend_ns is None else round(self.seconds(self.mend_ns), 3),
            "stall_ms": round(self.stall_ms, 1),
            "recovered_ms": None if self.recovered_ms is None else round(self.recovered_ms, 1),
            "back_ms": None if self.back_ms is None else round(self.back_ms, 1),
        }
