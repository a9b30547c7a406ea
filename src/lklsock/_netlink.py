"""A thread of its own for netlink: pyroute2's clients, and whoever waits for the kernel's news.

pyroute2's sockets belong to the thread that made them, and it runs an event loop of its own, so
that it cannot be called where one runs. Here every call is made on one thread, and the caller
waits. Between calls the thread sleeps until a watched descriptor is readable or a time has come.
It ends before a fork, for a process that forks should have one thread, and starts again after it.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import logging
import os
import queue
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from types import GeneratorType
from typing import Any

from .errors import KernelError, KernelNotRunningError

_OpenSocket = Callable[..., Any]
_Make = Callable[[_OpenSocket], Any]
_Job = tuple[Callable[[], Any], "Future[Any]"]
_Callback = Callable[[], object]

_PATIENCE_S = 3600.0

log = logging.getLogger("lklsock")


class Timer:
    """A call to come, which can be cancelled."""

    def __init__(self, when: float, callback: _Callback) -> None:
        self.when = when
        self._callback: _Callback | None = callback

    @property
    def callback(self) -> _Callback | None:
        """What is to be called; None when cancelled."""
        return self._callback

    def cancel(self) -> None:
        """Has it not happen."""
        self._callback = None


class NetlinkThread:
    """Runs clients of pyroute2, each made once, and callbacks of descriptors and timers."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._clients: dict[_Make, Client] = {}
        self._watched: dict[int, _Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._poll = select.poll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.POLLIN)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._closed = False
        self._farewells: list[_Callback] = []
        _threads.add(self)

    @property
    def ident(self) -> int | None:
        """The thread's; None while it does not run."""
        return self._thread.ident if self._thread else None

    def _start(self) -> None:
        """Lock held."""
        make = functools.partial(threading.Thread, target=self._run, name="lklsock-netlink")
        try:
            self._thread = make(daemon=True)
        except RuntimeError:
            # A sub-interpreter has no daemons, and waits at its end for its threads; but first it
            # calls what is registered here.
            self._thread = make()
            threading._register_atexit(self.close)  # type: ignore[attr-defined]
        self._thread.start()

    def _end(self) -> None:
        """Lock held. Jobs that are behind it wait for the next start."""
        if self._thread is not None:
            self._jobs.put(None)
            os.eventfd_write(self._bell, 1)
            self._thread.join()
            self._thread = None

    def hold(self) -> None:
        """Ends the thread until `release`. Not from the thread itself."""
        if threading.get_ident() != self.ident:
            self._lock.acquire()
            self._holder = threading.get_ident()
            if not self._closed:
                self._end()

    def release(self) -> None:
        """After `hold`: starts the thread again if it has something to do."""
        if self._holder == threading.get_ident():
            self._holder = None
            if not self._closed and (self._watched or self._timers or not self._jobs.empty()):
                self._start()
            self._lock.release()

    def forget(self) -> None:
        """In a forked child: the thread is not there."""
        if not self._closed:
            os.close(self._bell)
        self._closed = True
        self._lock = threading.Lock()

    def client(self, make: _Make, open_socket: _OpenSocket) -> Client:
        """The client that `make(open_socket)` gives, for any thread to use."""
        client = self._clients.get(make)
        if client is None:
            made = Client(self, lambda: make(open_socket))
            self.call(made.target)
            client = self._clients.setdefault(make, made)
        return client

    def call(self, function: Callable[[], Any]) -> Any:
        """What `function()` returns or raises, on the thread. A generator is run to its end."""
        if threading.get_ident() == self.ident:
            return _run_to_end(function)
        future: Future[Any] = Future()
        self._submit((function, future))
        return future.result()

    def watch(self, fd: int, callback: _Callback) -> None:
        """Calls back on the thread whenever the descriptor is readable, until `unwatch`."""

        def register() -> None:
            self._watched[fd] = callback
            self._poll.register(fd, select.POLLIN)

        self.call(register)

    def unwatch(self, fd: int) -> None:
        """Ends `watch`; to be called before the descriptor is closed."""

        def unregister() -> None:
            if self._watched.pop(fd, None) is not None:
                self._poll.unregister(fd)

        self.call(unregister)

    def call_later(self, delay_s: float, callback: _Callback) -> Timer:
        """Calls back on the thread after a time. To be called on the thread."""
        timer = Timer(time.monotonic() + delay_s, callback)
        heapq.heappush(self._timers, (timer.when, next(self._numbers), timer))
        return timer

    def at_close(self, callback: _Callback) -> None:
        """Calls back on the thread before it ends for good. To be called on the thread."""
        self._farewells.append(callback)

    def not_at_close(self, callback: _Callback) -> None:
        """Ends `at_close`. To be called on the thread."""
        if callback in self._farewells:
            self._farewells.remove(callback)

    def close(self) -> None:
        """Closes the clients, and ends the thread."""
        if self._farewells and not self._closed:
            self.call(self._say_farewell)
        with self._lock:
            if not self._closed:
                self._closed = True
                self._end()
                os.close(self._bell)

    def _submit(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise KernelNotRunningError(
                    "the netlink client is that of a halted stack or a parent"
                )
            if self._thread is None:
                self._start()
            self._jobs.put(job)
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            for client in list(self._clients.values()):
                client.drop()

    def _serve(self) -> None:
        while True:
            for fd, _ in self._poll.poll(self._patience_ms()):
                if fd == self._bell:
                    os.eventfd_read(fd)
                elif fd in self._watched:
                    self._call_back(self._watched[fd])
            while self._timers and self._timers[0][0] <= time.monotonic():
                timer = heapq.heappop(self._timers)[2]
                if timer.callback is not None:
                    self._call_back(timer.callback)
            if not self._do_jobs():
                return

    def _do_jobs(self) -> bool:
        """Returns False when it is time to end."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return True
            if job is None:
                return False
            function, future = job
            try:
                future.set_result(_run_to_end(function))
            except BaseException as error:
                future.set_exception(error)

    def _patience_ms(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        # poll(2) takes no more than 24 days.
        left_s = min(self._timers[0][0] - time.monotonic(), _PATIENCE_S)
        return max(0.0, left_s) * 1e3

    def _say_farewell(self) -> None:
        for callback in list(self._farewells):
            self._call_back(callback)

    def _call_back(self, callback: _Callback) -> None:
        try:
            callback()
        except KernelError:
            # It was halted; who owns the watch hears of it when it calls.
            for fd in [fd for fd, other in self._watched.items() if other == callback]:
                self.unwatch(fd)
        except Exception:
            log.exception("netlink: a callback failed")


class Client:
    """A client of pyroute2, whose methods run on the thread that it belongs to.

    pyroute2's own object is made anew for each thread: after a fork it has no subscriptions.
    """

    def __init__(self, thread: NetlinkThread, make: Callable[[], Any]) -> None:
        self._thread = thread
        self._make = make
        self._target: Any = None

    def target(self) -> Any:
        """On the thread: pyroute2's object."""
        if self._target is None:
            self._target = self._make()
        return self._target

    def drop(self) -> None:
        """On the thread, which ends: closes pyroute2's object."""
        target, self._target = self._target, None
        if target is not None:
            target.close()

    def __getattr__(self, name: str) -> Any:
        found = self._thread.call(lambda: getattr(self.target(), name))
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._thread.call(
            lambda: getattr(self.target(), name)(*args, **kwargs)
        )


def _run_to_end(function: Callable[[], Any]) -> Any:
    result = function()
    return tuple(result) if isinstance(result, GeneratorType) else result


def open_iproute(open_socket: _OpenSocket) -> Any:
    """An `IPRoute` over a socket that `open_socket` opens."""
    from pyroute2 import IPRoute
    from pyroute2.netlink import NETLINK_ROUTE

    return IPRoute(use_socket=open_socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_ROUTE))


_threads: weakref.WeakSet[NetlinkThread] = weakref.WeakSet()


def _before_fork() -> None:
    for thread in list(_threads):
        thread.hold()


def _after_fork_in_parent() -> None:
    for thread in list(_threads):
        thread.release()


def _after_fork_in_child() -> None:
    for thread in list(_threads):
        thread.forget()
    _threads.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
