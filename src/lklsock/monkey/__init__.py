"""Patching: the module `socket` of a running program makes the stack's sockets.

```python
import lklsock

lklsock.patch()                             # first of all, or after other imports
import requests

with lklsock.patched(policy="all"):         # or for a while
    ...

@lklsock.patched()                          # or for each call, of async functions, too
def main(): ...

print(lklsock.report())                     # what came of it
```

Patching concerns the whole process. Sockets that were made before stay what they are.
"""

from __future__ import annotations

import functools
import sys
from _thread import RLock

from .._policy import Rule
from . import _patching

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ._report import Report

    _Function = TypeVar("_Function", bound=Callable[..., Any])

__all__ = ["Rule", "is_patched", "original", "patch", "patched", "report", "unpatch"]

_Settings = dict[str, object]

_lock = RLock()
# What patch() asked for, if it was called, and each patched() that is entered and not left.
_base: _Settings | None = None
_layers: list[_Settings] = []


def patch(
    *,
    socket: bool | None = None,
    ssl: bool | None = None,
    dns: bool | None = None,
    policy: Any = None,
    listen: str | None = None,
    mptcp: str | None = None,
) -> None:
    """Has the stdlib's modules make the stack's sockets, for every module that uses them.

    Called again, it changes what it names, and leaves the rest as it is.

    Args:
        socket: The module `socket`. True if never named, as the next two.
        ssl: Contexts of the module `ssl` wrap sockets of the stack. False: they are
            refused, with a TypeError.
        dns: Names are resolved through the stack, where it has nameservers.
        policy: Which sockets live in the stack. "default": those that are not for loopback; "all":
            every one of AF_INET, AF_INET6, AF_NETLINK and AF_PACKET; or rules, the first that fits
            decides: [Rule(to="10.0.0.0/8", port="5432", world="host")], or mappings like that.
        listen: Where a socket is that listens, or takes datagrams, on all addresses: "both", which
            is the default, "host" or "stack"; with the policy "all", "stack" is the default.
        mptcp: The default stack's `mptcp_mode`: "prefer", "require" or "off". If never named, it
            stays what it is: "prefer", unless the program has set it.

    Raises:
        ValueError: There is no such policy, world or mode. Nothing was changed.

    Warns:
        PatchWarning: Another library gets in the way.
    """
    global _base
    named = _named(socket=socket, ssl=ssl, dns=dns, policy=policy, listen=listen, mptcp=mptcp)
    with _lock:
        _base = {**(_base or {}), **named}
        for layer in _layers:
            layer.update(named)
        _apply()


def unpatch() -> None:
    """Gives the stdlib's modules back what is still ours in them. Sockets stay what they are."""
    global _base
    with _lock:
        _base = None
        _layers.clear()
        _apply()


class patched:
    """Patches for a while: `with patched():`, or `@patched()` in front of a function.

    It takes what `patch` takes. An inner one changes what it names, and its end undoes that.
    It concerns every thread and task, not only the one that is inside.
    """

    def __init__(
        self,
        *,
        socket: bool | None = None,
        ssl: bool | None = None,
        dns: bool | None = None,
        policy: Any = None,
        listen: str | None = None,
        mptcp: str | None = None,
    ) -> None:
        self._named = _named(
            socket=socket, ssl=ssl, dns=dns, policy=policy, listen=listen, mptcp=mptcp
        )
        self._entered: list[_Settings] = []

    def __enter__(self) -> None:
        layer = dict(self._named)
        with _lock:
            self._entered.append(layer)
            _layers.append(layer)
            _apply()

    def __exit__(self, *exc_info: object) -> None:
        with _lock:
            layer = self._entered.pop()
            # Two may be alike, and unpatch() may have dropped it.
            _layers[:] = [other for other in _layers if other is not layer]
            _apply()

    def __call__(self, function: _Function) -> _Function:
        """Decorates a function, a generator function, or an async function."""
        import inspect  # takes a while, too

        wrapper: Callable[..., Any]
        if isinstance(function, type) or inspect.isasyncgenfunction(function):
            raise TypeError(f"use `with patched():` inside of {function.__qualname__}")
        if inspect.iscoroutinefunction(function):

            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return (yield from function(*args, **kwargs))

        else:

            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return functools.wraps(function)(wrapper)  # type: ignore[return-value]


def is_patched() -> bool:
    """Whether `socket.socket` is ours."""
    return _patching.is_patched()


def original(module: str, name: str) -> Any:
    """What `name` of a module is without patching, such as `original("socket", "socket")`."""
    return _patching.original(module, name)


def report() -> Report:
    """What patching came to. `print(report())` is for people."""
    from ._report import make

    return make()


def patch_from_environment(text: str) -> None:
    """Patches as LKLSOCK_PATCH says; what cannot be done is told of, and the program goes on."""
    from . import _environment

    try:
        patch(**_environment.settings(text))
    except ValueError as error:
        sys.stderr.write(f"lklsock: not patched: {error}\n")


def _named(**settings: object) -> _Settings:
    named = {name: value for name, value in settings.items() if value is not None}
    _patching.check(named)
    return named


def _apply() -> None:
    """Makes it so. Lock held."""
    if _base is None and not _layers:
        _patching.apply(None)
        return
    settings = dict(_base or {})
    for layer in _layers:
        settings.update(layer)
    _patching.apply(settings)
