"""What a check has come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "no", "cannot tell"]


@dataclass(frozen=True)
class Check:
    """A line of `doctor`."""

    name: str
    verdict: Verdict
    detail: str
    remedy: tuple[str, ...] = ()
    """Commands that would help, as a shell takes them."""
    essential: bool = False
    """Nothing works without."""

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.verdict:<12} {self.name:<16} {self.detail}"
        for command in self.remedy:
            yield f"{'':<30}$ {command}"
