"""What a host socket has for a core in a forked child, where its kernel socket is out of reach."""

from __future__ import annotations

import os
import select
import time
from _socket import socket as HostSocket


class HostAlone:
    """Nobody counts the host socket's readiness any more: it is asked each time.

    Has what `_worlds.HostHalf` calls of an `_lkl.Socket`.

    Args:
        host: Not owned.
    """

    __slots__ = ("_host",)

    def __init__(self, host: HostSocket) -> None:
        self._host = host

    @property
    def lkl_fd(self) -> int:
        """-1 when closed."""
        return self._host.fileno()

    def wait(self, events: int, deadline_ns: int | None, /) -> int:
        """Like `_lkl.Socket.wait`."""
        patience_ms = None
        if deadline_ns is not None:
            patience_ms = max(0, deadline_ns - time.monotonic_ns()) / 1e6
        return self._ask(events, patience_ms)

    def poll(self) -> int:
        """Like `_lkl.Socket.poll`."""
        return self._ask(select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP, 0)

    def _ask(self, events: int, patience_ms: float | None) -> int:
        poll = select.poll()
        poll.register(self._host, events)
        return sum(mask for _, mask in poll.poll(patience_ms))

    def shadow(self) -> int:
        """A descriptor that shows the readiness: the host socket's own."""
        return os.dup(self._host.fileno())

    def shadow_move(self, fd: int, /) -> None:
        """There is nothing to tell."""

    def join_host(self, host_fd: int, /) -> None:
        """There is nothing to tell."""

    def leave_host(self) -> None:
        """There is nothing to tell."""

    def refresh(self, came_short: int, /) -> None:
        """There is nothing to tell."""

    def close(self) -> None:
        """There is nothing to close."""
