"""What goes on in the stacks of a running process: for people, for programs, from outside.

```python
from lklsock import status

status.serve()                              # `python -m lklsock status` can ask this process now
shown = status.snapshot()                   # the same in the program itself: typed, and quick
for connection in shown.connections:
    print(connection.protocol, connection.remote, [s.tcp.rtt_us for s in connection.subflows])
```

`serve` listens on a unix socket that only the process's user, and root, can reach:
`lklsock/PID.sock` in $XDG_RUNTIME_DIR or /run/user/UID, else `/tmp/lklsock-UID/PID.sock`. It is
served by a small thread of its own, which sleeps until somebody asks, ends before a fork, and
starts again after it; a forked child serves itself once a stack of it has started. The commands
`run`, `demo`, `proxy` and `gateway` serve unless LKLSOCK_STATUS=0 is set; with LKLSOCK_STATUS=1 in
the environment, all that import lklsock do.

`python -m lklsock status --json` prints a `Process` as one JSON object: the names are those of the
classes here, tuples are lists, sets are sorted lists. `version` is that of the shape: it grows when
something is removed or changes its meaning, not when something is added.
"""

from __future__ import annotations

from ._server import Server, serve, serve_by_default

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from ._connections import Connection, Listener, SubflowStatus
    from ._snapshot import (
        VERSION,
        DhcpStatus,
        Dns,
        LinkStatus,
        Memory,
        Process,
        Snapshot,
        process,
        snapshot,
    )

__all__ = [
    "VERSION",
    "Connection",
    "DhcpStatus",
    "Dns",
    "LinkStatus",
    "Listener",
    "Memory",
    "Process",
    "Server",
    "Snapshot",
    "SubflowStatus",
    "process",
    "serve",
    "serve_by_default",
    "snapshot",
]

_CONNECTIONS = ("Connection", "Listener", "SubflowStatus")


def __getattr__(name: str) -> Any:
    """Imports what is asked for: a program that serves has nothing of it until somebody asks."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "_connections" if name in _CONNECTIONS else "_snapshot"
    return getattr(import_module(f".{home}", __name__), name)
