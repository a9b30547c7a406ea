"""A Linux network stack inside your process, with Multipath TCP.

Change one import, and the program's sockets are served by a complete Linux 6.12 network stack that
runs in the process itself, as an ordinary user:

```python
from lklsock import socket                    # instead of: import socket

server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.mptcp                                  # not None: it is an MPTCP connection
```

The stack is its own little host: it has a loopback interface, and no way out until you give it
links. `lklsock.stack` has the stacks, `lklsock.link` what they can be connected to:

```python
import lklsock
from lklsock.link import Tap

stack = lklsock.default_stack()
stack.add_link(Tap("tap0"), addresses=["10.0.0.2/24"], gateway="10.0.0.1")
stack.add_link(Tap("tap1"), addresses=["10.0.1.2/24"], gateway="10.0.1.1")
```

With two links MPTCP has two paths. Have every connection use both:

```python
lklsock.mptcp.preset("aggregate")
```

Each survives the loss of either link, and loses no byte.

Errors of the network are `OSError`, as ever; those of a kernel are `lklsock.KernelError`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing itself takes a while to import

if TYPE_CHECKING:
    from typing import Any

    from . import config, dns, errors, link, monkey, mptcp, socket, stack, status
    from .errors import (
        ConfigError,
        KernelBootError,
        KernelError,
        KernelNotRunningError,
        KernelPanicError,
        PatchWarning,
    )
    from .monkey import is_patched, original, patch, patched, report, unpatch
    from .stack import Stack, current_stack, default_stack, set_default_stack

__all__ = [
    "ConfigError",
    "KernelBootError",
    "KernelError",
    "KernelNotRunningError",
    "KernelPanicError",
    "PatchWarning",
    "Stack",
    "config",
    "current_stack",
    "default_stack",
    "dns",
    "errors",
    "is_patched",
    "link",
    "monkey",
    "mptcp",
    "original",
    "patch",
    "patched",
    "report",
    "set_default_stack",
    "socket",
    "stack",
    "status",
    "unpatch",
]

_HOMES = {
    "ConfigError": "errors",
    "KernelBootError": "errors",
    "KernelError": "errors",
    "KernelNotRunningError": "errors",
    "KernelPanicError": "errors",
    "PatchWarning": "errors",
    "Stack": "stack",
    "current_stack": "stack",
    "default_stack": "stack",
    "is_patched": "monkey",
    "original": "monkey",
    "patch": "monkey",
    "patched": "monkey",
    "report": "monkey",
    "set_default_stack": "stack",
    "unpatch": "monkey",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and no more: a program that makes one socket starts at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = import_module(f".{_HOMES.get(name, name)}", __name__)
    return getattr(home, name) if name in _HOMES else home


if os.environ.get("LKLSOCK_STATUS") == "1":
    from .status import serve_by_default

    serve_by_default()
