"""Patching: a running program's `socket` module on our stacks, without a change to the program.

```python
import lklsock

lklsock.patch()
import requests             # before or after: what was imported earlier is patched, too
```
"""

from __future__ import annotations

import socket as _stdlib
from _thread import RLock

from . import socket as _mirror

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["is_patched", "original", "patch", "unpatch"]

# The stdlib's other functions that make sockets look the class up when they are called.
_REPLACED = ("socket", "if_indextoname", "if_nameindex", "if_nametoindex")

_ORIGINALS: dict[str, Any] = {name: getattr(_stdlib, name) for name in _REPLACED}
_REPLACEMENTS: dict[str, Any] = {name: getattr(_mirror, name) for name in _REPLACED}

_lock = RLock()


def patch() -> None:
    """Has the stdlib's module `socket` make our sockets. Once more does nothing."""
    with _lock:
        for name, replacement in _REPLACEMENTS.items():
            setattr(_stdlib, name, replacement)


def unpatch() -> None:
    """Gives the module `socket` back what is still ours in it. Sockets stay as they are."""
    with _lock:
        for name, replacement in _REPLACEMENTS.items():
            if getattr(_stdlib, name) is replacement:
                setattr(_stdlib, name, _ORIGINALS[name])


def is_patched() -> bool:
    """Whether `socket.socket` is ours."""
    return _stdlib.socket is _REPLACEMENTS["socket"]


def original(module: str, name: str) -> Any:
    """What `module.name` was before patching, such as `original("socket", "socket")`."""
    if module == "socket" and name in _ORIGINALS:
        return _ORIGINALS[name]
    from importlib import import_module

    return getattr(import_module(module), name)
