"""Deadlines, and the one place that waits.

A kernel's sockets never block. A call that would is tried, then waits here for the socket to get
ready, and is tried again: until it is done, the deadline passes, or a signal handler raises.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from _thread import allocate_lock
from collections.abc import Callable
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET

from . import _lkl
from .errors import KernelNotRunningError

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

_END = _lkl.RDHUP | _lkl.HUP

_REST_S = 0.0005
_REST_MAX_S = 0.02

# The interpreter is on its way out, and has halted the kernels.
_ending = False

# Whether a program has set SO_RCVTIMEO or SO_SNDTIMEO on any socket: hardly one does, and asking
# the kernel before each wait has a price.
_kernel_timeouts = False


def kernel_timeouts_used() -> None:
    """Tells that from now on blocking calls have to look at SO_RCVTIMEO and SO_SNDTIMEO."""
    global _kernel_timeouts
    _kernel_timeouts = True


def process_ends() -> None:
    """Tells that from now on nobody may be told of what becomes of the kernels."""
    global _ending
    _ending = True


def would_block(number: int = errno.EAGAIN) -> BlockingIOError:
    """The error of a call that cannot be done now, on a socket that does not block."""
    return BlockingIOError(number, os.strerror(number))


class Limit:
    """How long one call may wait for `events` of a socket, all its waits together.

    `timeout_s` is the socket's: None to block, 0 never to. A blocking socket obeys SO_RCVTIMEO and
    SO_SNDTIMEO, as in socket(7): the call then ends as if it did not block. With 0 for `events`
    each wait says what it is for, and these two don't count.
    """

    __slots__ = ("_deadline_ns", "_events", "_in_vain", "_never", "_sock", "_timed_out")

    def __init__(self, sock: _lkl.Socket, events: int, timeout_s: float | None) -> None:
        self._sock = sock
        self._events = events
        self._never = timeout_s == 0
        self._timed_out = timeout_s is not None
        self._in_vain = 0
        self._deadline_ns: int | None = None
        if timeout_s:
            self._deadline_ns = _after(round(timeout_s * 1e9))
        elif timeout_s is None and events and _kernel_timeouts:
            self._deadline_ns = _kernel_deadline_ns(sock, events)

    def wait(self, late: int = errno.EAGAIN, events: int = 0) -> int:
        """Sleeps until the socket is ready.

        Args:
            late: The errno when a socket that does not block would have to sleep.
            events: What for, if not what was said at the beginning.

        Returns:
            The events that are up; ERR and HUP come unasked.

        Raises:
            TimeoutError: The socket's timeout has passed.
            BlockingIOError: The socket does not block, or SO_RCVTIMEO or SO_SNDTIMEO has passed.
        """
        if self._never:
            raise would_block(late)
        try:
            mask = self._sock.wait(events or self._events, self._deadline_ns)
        except KernelNotRunningError:
            if _ending:
                # A daemon thread: as with a host socket, it is still waiting when all ends.
                _wait_for_ever()
            raise
        if mask:
            if mask == _lkl.ERR:
                self._rest()
            return mask
        if self._timed_out:
            raise TimeoutError("timed out")
        raise would_block(late)

    def _rest(self) -> None:
        """Pauses if it was woken like that before, and the call had still nothing to do.

        Then it is the error queue that is not empty. Only the program can empty it, and until then
        the socket is ready in a way that does not help.
        """
        self._in_vain += 1
        if self._in_vain > 1:
            time.sleep(min(_REST_S * self._in_vain, _REST_MAX_S))


def until(
    sock: _lkl.Socket,
    events: int,
    timeout_s: float | None,
    attempt: Callable[..., T | None],
    *args: object,
) -> T | None:
    """Waits for `events` and calls `attempt(*args)` until it gives something.

    Returns:
        What `attempt` gave; None when nothing can come any more, for the receiving side is shut
        down. (A blocking call of the kernel would tell that from "nothing yet" by itself.)
    """
    limit = Limit(sock, events, timeout_s)
    while True:
        mask = limit.wait()
        result = attempt(*args)
        if result is not None or mask & _END:
            return result


def _kernel_deadline_ns(sock: _lkl.Socket, events: int) -> int | None:
    option = SO_RCVTIMEO if events & _lkl.IN else SO_SNDTIMEO
    value = sock.getsockopt(SOL_SOCKET, option, 16)
    assert isinstance(value, bytes)
    seconds, microseconds = struct.unpack("qq", value)
    timeout_ns = seconds * 1_000_000_000 + microseconds * 1000
    return _after(timeout_ns) if timeout_ns else None


def _wait_for_ever() -> None:
    lock = allocate_lock()
    with lock:
        lock.acquire()


def _after(timeout_ns: int) -> int:
    return min(time.monotonic_ns() + timeout_ns, 2**63 - 1)
