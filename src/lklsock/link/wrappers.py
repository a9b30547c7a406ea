"""Wrappers: links over links."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from .. import _lkl
from .description import Link

_PCAP_MODE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_Impairment = tuple[int, int, int, int, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Direction:
    """What happens to frames on their way in one direction.

    Attributes:
        delay_ms: Added to each.
        jitter_ms: More or less delay by up to this, evenly.
        loss: The part that is lost, 0-1.
        reorder: The part that goes at once, past those delayed, 0-1.
        duplicate: The part that comes twice, 0-1.
        rate_bit_per_s: 0 for no limit.
        queue_bytes: What may wait for the rate; 0 for 100 ms worth, at least 64 kB.
    """

    delay_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    reorder: float = 0
    duplicate: float = 0
    rate_bit_per_s: int = 0
    queue_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("delay_ms", "jitter_ms", "rate_bit_per_s", "queue_bytes"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, as {getattr(self, name)} is")
        for name in ("loss", "reorder", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0-1, not {getattr(self, name)}")
        if self.queue_bytes >= 2**32:
            raise ValueError("queue_bytes must be less than 4 GiB")

    def packed(self) -> _Impairment:
        """As the extension takes it."""
        return (
            round(self.delay_ms * 1e6),
            round(self.jitter_ms * 1e6),
            round(self.rate_bit_per_s),
            round(self.queue_bytes),
            float(self.loss),
            float(self.reorder),
            float(self.duplicate),
        )


@dataclass(frozen=True)
class Impair:
    """Makes a link worse: delay, loss, reordering, duplication, a rate; and lets it be cut.

    Attributes:
        link: The link, or another wrapper around one.
        delay_ms, jitter_ms, loss, reorder: As in `Direction`, for both directions.
        rate_bit_per_s, queue_bytes: As in `Direction`, for each direction.
        seed: Makes loss, jitter, reordering and duplication repeatable.
        tx: What leaves the stack, where it differs from the rest; see `Direction`.
        rx: What comes in.
    """

    link: AnyLink
    delay_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    reorder: float = 0
    duplicate: float = 0
    rate_bit_per_s: int = 0
    queue_bytes: int = 0
    seed: int = 0
    tx: Direction | None = None
    rx: Direction | None = None

    def __post_init__(self) -> None:
        _check_wrapped(self.link)
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be 0 to 2**64 - 1, not {self.seed}")
        self.directions()

    def directions(self) -> tuple[_Impairment, _Impairment]:
        """What leaves and what comes in, as the extension takes it."""
        both = Direction(
            delay_ms=self.delay_ms,
            jitter_ms=self.jitter_ms,
            loss=self.loss,
            reorder=self.reorder,
            duplicate=self.duplicate,
            rate_bit_per_s=self.rate_bit_per_s,
            queue_bytes=self.queue_bytes,
        )
        return (self.tx or both).packed(), (self.rx or both).packed()

    def wrap(self, link: _lkl.Link) -> _lkl.Link:
        """Wraps the open link."""
        return link.impair(self.seed, *self.directions())


@dataclass(frozen=True)
class Pcap:
    """Writes what passes a link to a capture file, which Wireshark and tcpdump read.

    Attributes:
        link: The link, or another wrapper around one.
        path: The file; an existing one is replaced. A forked child writes one of its own, with its
            process id before the suffix: out.pcap, and out.1234.pcap.
        snaplen: Bytes of each frame; 0 for all.
    """

    link: AnyLink
    path: str | os.PathLike[str]
    snaplen: int = 0

    def __post_init__(self) -> None:
        _check_wrapped(self.link)
        if not 0 <= self.snaplen < 2**32:
            raise ValueError(f"snaplen must not be negative, as {self.snaplen} is")

    def wrap(self, link: _lkl.Link) -> _lkl.Link:
        """Wraps the open link."""
        fd = os.open(self.path, _PCAP_MODE, 0o644)
        try:
            return link.pcap(fd, self.snaplen)
        except BaseException:
            os.close(fd)
            raise


AnyLink = Link | Impair | Pcap


def innermost(link: AnyLink) -> Link:
    """The link inside all wrappers."""
    while not isinstance(link, Link):
        link = link.link
    return link


def wrapped(link: AnyLink, opened: _lkl.Link) -> _lkl.Link:
    """The open innermost link, in the wrappers of `link`."""
    return opened if isinstance(link, Link) else link.wrap(wrapped(link.link, opened))


def for_child(link: AnyLink) -> AnyLink:
    """The link as a forked child opens it."""
    if isinstance(link, Link):
        return link
    inner = for_child(link.link)
    if isinstance(link, Pcap):
        root, suffix = os.path.splitext(os.fspath(link.path))
        return dataclasses.replace(link, link=inner, path=f"{root}.{os.getpid()}{suffix}")
    return dataclasses.replace(link, link=inner)


def with_attributes(link: Link, **given: Any) -> Link:
    """The link with those attributes replaced that are given: not None, not empty."""
    return dataclasses.replace(link, **{name: value for name, value in given.items() if value})


def _check_wrapped(link: object) -> None:
    if not isinstance(link, (Link, Impair, Pcap)):
        raise TypeError(f"link must be a link or a wrapper around one, not {type(link).__name__}")
