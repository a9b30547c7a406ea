"""What is going to happen: two paths, a transfer, a cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

PORT = 5001
PREFIX_LEN = 24
SEED = 20240612

# Enough for a sender that a busy machine holds up for a while.
_QUEUE_S = 0.04
_QUEUE_BYTES_MIN = 65536
# The cut comes when both paths have found their speed, and ends early enough to see the path back.
_CUT_AT = 0.3
_MEND_AT = 0.6
# What the kernel may have taken of the program and not sent yet, Mbit.
_UNSENT_MBIT = 64.0
_DRAIN_S = 20.0
# For starting, and for drawing on a slow machine.
_SPARE_S = 60.0


class Path(NamedTuple):
    """A path: its interface at both ends, and the addresses. Source of these: RFC 5737."""

    name: str
    near: str
    far: str


PATHS = (
    Path("path1", "192.0.2.1", "192.0.2.2"),
    Path("path2", "198.51.100.1", "198.51.100.2"),
)
CUT_PATH = 0
"""Which one is cut: the one that the connection was opened on."""


@dataclass(frozen=True)
class Plan:
    """Sending for some seconds over two paths that are alike, of which one is cut for a while.

    Attributes:
        seconds: How long it sends.
        rate_mbit: Of each path, each way, Mbit/s.
        delay_ms: Of each path, each way.
        peer: "wire": another process, with a stack of its own; "host": the host's kernel.
    """

    seconds: float = 8.0
    rate_mbit: float = 50.0
    delay_ms: float = 5.0
    peer: str = "wire"

    @property
    def rate_bit_per_s(self) -> int:
        """Of each path, each way."""
        return max(round(self.rate_mbit * 1e6), 1)

    @property
    def queue_bytes(self) -> int:
        """What may wait in front of a path."""
        return max(round(self.rate_bit_per_s / 8 * _QUEUE_S), _QUEUE_BYTES_MIN)

    @property
    def cut_s(self) -> float:
        """When the cut begins, after the first byte."""
        return self.seconds * _CUT_AT

    @property
    def mend_s(self) -> float:
        """When it ends."""
        return self.seconds * _MEND_AT

    @property
    def drain_s(self) -> float:
        """What is under way when the sending ends has come by then."""
        return _DRAIN_S + _UNSENT_MBIT / self.rate_mbit + self.delay_ms / 100

    @property
    def deadline_s(self) -> float:
        """What takes longer is hanging."""
        return self.seconds + self.drain_s + _SPARE_S
