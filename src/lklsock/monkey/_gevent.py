"""gevent, whose own patching and ours do not go together.

Its sockets let other greenlets run while they wait, and are the host's. Ours hold the whole
thread, and with it every greenlet: a program whose greenlets talk to each other would hang. So
where gevent has replaced `socket.socket`, it stays gevent's.
"""

from __future__ import annotations

import sys
from importlib import import_module

from ._import_hook import forget, when_imported

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_ADVICE = (
    "so the program's sockets are gevent's, and the host's. To have them in the stack, use"
    " gevent.monkey.patch_all(socket=False, ssl=False, dns=False) before or after lklsock.patch():"
    " then a socket that waits holds all greenlets, unless it is used in gevent's threadpool, or"
    " does not block and is waited for with gevent.select"
)
BEFORE = f"gevent has patched the module socket before lklsock.patch(), {_ADVICE}"
AFTER = f"gevent patches the module socket after lklsock.patch(), {_ADVICE}"


def has_patched() -> bool:
    """Whether `socket.socket` is gevent's."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def watch(tell: Callable[[], None]) -> None:
    """Calls `tell()` when gevent is about to patch the module `socket`."""

    def subscriber(event: object) -> None:
        is_patching = type(event).__name__ == "GeventWillPatchModuleEvent"
        if is_patching and getattr(event, "module_name", None) == "socket":
            tell()

    def subscribe(_: ModuleType) -> None:
        events = import_module("gevent.events")
        events.subscribers.append(subscriber)
        _subscriptions.append((events.subscribers, subscriber))

    when_imported("gevent.monkey", subscribe)


def unwatch() -> None:
    """Ends it."""
    forget("gevent.monkey")
    while _subscriptions:
        subscribers, subscriber = _subscriptions.pop()
        if subscriber in subscribers:
            subscribers.remove(subscriber)


_subscriptions: list[tuple[list[Callable[[object], None]], Callable[[object], None]]] = []
