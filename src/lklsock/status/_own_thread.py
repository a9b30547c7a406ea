"""A thread that stays one whatever is done to the modules of threads while it runs.

gevent replaces what `threading`, `select` and `time` have, and a thread that was started before is
then neither its own nor gevent's: joining it before a fork may wait for ever. What is used here is
what there was when this package was imported: all Python's, or all gevent's.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, get_native_id, start_new_thread
from collections.abc import Callable
from select import POLLIN as POLLIN
from select import POLLNVAL as POLLNVAL
from select import POLLOUT as POLLOUT
from select import poll as poll
from time import sleep as sleep

_GONE_S = 50e-6
_LOOKS = 2000


class OwnThread:
    """Runs a function on a thread, which does not keep the process from ending."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._running = allocate_lock()
        self._native_id = 0
        self._running.acquire()
        start_new_thread(self._run, ())

    def _run(self) -> None:
        self._native_id = get_native_id()
        try:
            self._function()
        finally:
            self._running.release()

    def join(self, timeout_s: float = -1) -> bool:
        """Waits for its end, and until the system has one thread less.

        Python counts the threads at a fork, and warns of them.

        Returns:
            False if the time is over before.
        """
        if not self._running.acquire(timeout=timeout_s):
            return False
        self._running.release()
        # A greenlet of gevent's has the thread of who waits.
        if self._native_id != get_native_id():
            for _ in range(_LOOKS):
                if not os.path.exists(f"/proc/self/task/{self._native_id}"):
                    break
                sleep(_GONE_S)
        return True
