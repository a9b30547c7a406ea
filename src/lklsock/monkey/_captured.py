"""What other modules took out of `socket` before it was patched.

`from socket import socket` keeps the class that was there at the time, in a module or in one of
its classes. That is found and changed. A class that derives from the original cannot be changed
any more; what a closure, a default argument or a table holds is somebody's own: both are told of.
"""

from __future__ import annotations

import gc
import sys
from types import CellType, FunctionType, ModuleType

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

# They keep originals on purpose: this package, the patched modules, and who else patches them.
_EXCLUDED = frozenset(("lklsock", "socket", "_socket", "posix", "gevent", "eventlet"))

# Derives from the original for good, and has a way of its own to the stack's sockets.
_LEFT_ALONE = frozenset(("ssl.SSLSocket",))


def rebind(swaps: Iterable[tuple[Any, Any]]) -> list[str]:
    """Changes what modules and their classes hold.

    Args:
        swaps: Pairs of what is looked for, and what takes its place.

    Returns:
        What was changed, as "module.attribute".
    """
    news = {id(old): new for old, new in swaps}
    changed = []
    for name, contents in _modules():
        for attribute, value in list(contents.items()):
            if id(value) in news:
                contents[attribute] = news[id(value)]
                changed.append(f"{name}.{attribute}")
            elif isinstance(value, type) and value.__module__ == name:
                changed.extend(_rebind_in_class(value, news))
    return sorted(changed)


def _rebind_in_class(cls: type, news: dict[int, Any]) -> Iterator[str]:
    for attribute, value in list(vars(cls).items()):
        held = value.__func__ if isinstance(value, staticmethod) else value
        if id(held) not in news:
            continue
        new = news[id(held)]
        try:
            setattr(cls, attribute, new if held is value else staticmethod(new))
        except (AttributeError, TypeError):
            continue
        yield f"{cls.__module__}.{cls.__qualname__}.{attribute}"


def subclasses(original: type, ours: type) -> list[str]:
    """The classes that derive from the original and not from ours, as "module.Class"."""
    found = []
    rest: list[type] = [original]
    cls: type
    while rest:
        for cls in rest.pop().__subclasses__():
            name = f"{cls.__module__}.{cls.__qualname__}"
            if not (ours in cls.__mro__ or _is_excluded(cls.__module__) or name in _LEFT_ALONE):
                found.append(name)
                rest.append(cls)
    return sorted(found)


def holders(original: Any) -> list[str]:
    """The functions that hold the original in a default argument or in a closure.

    Asks the garbage collector, which takes milliseconds.
    """
    found: set[str] = set()
    containers = [
        container
        for container in gc.get_referrers(original)
        if isinstance(container, (CellType, dict, tuple))
    ]
    for container in containers:
        if isinstance(container, CellType):
            owners = [
                owner
                for closure in gc.get_referrers(container)
                if isinstance(closure, tuple)
                for owner in gc.get_referrers(closure)
            ]
        else:
            owners = gc.get_referrers(container)
        found.update(
            f"{owner.__module__}.{owner.__qualname__}()"
            for owner in owners
            if isinstance(owner, FunctionType)
            and not _is_excluded(owner.__module__)
            and _uses(owner, container)
        )
    return sorted(found)


def _uses(function: FunctionType, container: Any) -> bool:
    """Whether it does so in running, and not in an annotation."""
    if container is function.__defaults__ or container is function.__kwdefaults__:
        return True
    names = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    # What super() goes by is the class that the function belongs to.
    return any(cell is container and name != "__class__" for name, cell in names)


def _modules() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, module in list(sys.modules.items()):
        # Not isinstance(): what cffi makes says that it is a module, and has no __dict__.
        if issubclass(type(module), ModuleType) and not _is_excluded(name):
            # Asked in this way, a module that is loaded lazily stays unloaded.
            yield name, object.__getattribute__(module, "__dict__")


def _is_excluded(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _EXCLUDED
