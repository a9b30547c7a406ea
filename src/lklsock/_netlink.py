"""A thread of its own for pyroute2.

Its sockets belong to the thread that made them, and it runs an event loop of its own, so that it
cannot be called where one runs. Here every call is made on one thread, and the caller waits.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import GeneratorType
from typing import Any

_OpenSocket = Callable[..., Any]
_Make = Callable[[_OpenSocket], Any]
_Job = tuple[Callable[[], Any], "Future[Any]"]


class NetlinkThread:
    """Runs clients of pyroute2, each made once."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._clients: dict[_Make, Client] = {}
        self._thread = threading.Thread(target=self._run, name="lklsock-netlink", daemon=True)
        self._thread.start()

    def client(self, make: _Make, open_socket: _OpenSocket) -> Client:
        """The client that `make(open_socket)` gives, for any thread to use."""
        client = self._clients.get(make)
        if client is None:
            made = self.call(lambda: self._clients.get(make) or Client(self, make(open_socket)))
            client = self._clients.setdefault(make, made)
        return client

    def call(self, function: Callable[[], Any]) -> Any:
        """What `function()` returns or raises, on the thread. A generator is run to its end."""
        future: Future[Any] = Future()
        self._jobs.put((function, future))
        return future.result()

    def close(self) -> None:
        """Closes the clients, and ends the thread."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            function, future = job
            try:
                result = function()
                future.set_result(tuple(result) if isinstance(result, GeneratorType) else result)
            except BaseException as error:
                future.set_exception(error)


class Client:
    """A client of pyroute2, whose methods run on the thread that it belongs to."""

    def __init__(self, thread: NetlinkThread, target: Any) -> None:
        self._thread = thread
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = self._thread.call(lambda: getattr(self._target, name))
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._thread.call(lambda: found(*args, **kwargs))
