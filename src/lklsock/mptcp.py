"""Multipath TCP: what a connection does, and what the path manager of a stack shall do.

```python
from lklsock import mptcp

mptcp.preset("aggregate")                           # use all links, as they come and go

mptcp.limits(subflows=4, add_addr_accepted=4)       # or by hand
mptcp.endpoint_add("10.0.1.2", ifname="tap1")      # open subflows from here, too
sock.mptcp                                          # the same as mptcp.info(sock)
mptcp.subflows(sock)

for event in mptcp.events():
    print(event)                                    # SubflowClosed(token=..., local=..., ...)
```

Functions that take `stack` mean the current one by default; see `lklsock.stack.current_stack`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable

from ._mptcp_endpoints import (
    address_announce,
    address_remove,
    endpoint_add,
    endpoint_flags,
    endpoint_remove,
    endpoints,
    limits,
    subflow_create,
    subflow_destroy,
    subflow_priority,
)
from ._mptcp_events import (
    AddressAnnounced,
    AddressRemoved,
    ConnectionClosed,
    ConnectionCreated,
    ConnectionEstablished,
    Event,
    Events,
    ListenerClosed,
    ListenerCreated,
    Overflow,
    SubflowClosed,
    SubflowEstablished,
    SubflowEvent,
    SubflowPriority,
    Subscription,
)
from ._mptcp_info import Info, Subflow, TcpInfo, info, is_mptcp, subflows
from ._mptcp_paths import Paths
from ._mptcp_presets import PRESETS
from ._mptcp_state import Endpoint, Limits
from .stack import Stack, current_stack

__all__ = [
    "AddressAnnounced",
    "AddressRemoved",
    "ConnectionClosed",
    "ConnectionCreated",
    "ConnectionEstablished",
    "Endpoint",
    "Event",
    "Events",
    "Info",
    "Limits",
    "ListenerClosed",
    "ListenerCreated",
    "Overflow",
    "Paths",
    "Subflow",
    "SubflowClosed",
    "SubflowEstablished",
    "SubflowEvent",
    "SubflowPriority",
    "Subscription",
    "TcpInfo",
    "address_announce",
    "address_remove",
    "counters",
    "endpoint_add",
    "endpoint_flags",
    "endpoint_remove",
    "endpoints",
    "events",
    "info",
    "is_mptcp",
    "limits",
    "on_event",
    "paths",
    "preset",
    "subflow_create",
    "subflow_destroy",
    "subflow_priority",
    "subflows",
]

_paths: weakref.WeakKeyDictionary[Stack, Paths] = weakref.WeakKeyDictionary()


def preset(
    name: str,
    *,
    primary: str | None = None,
    backups: Iterable[str] = (),
    announce: bool = False,
    queue_bytes: int | None = None,
    stack: Stack | None = None,
) -> Paths:
    """Has all addresses of all links used, as they come and go.

    | preset | |
    |---|---|
    | "handover" | the first link carries all; the others are ready, and used when it is lost |
    | "aggregate" | all links carry together, for throughput |
    | "interactive" | as "aggregate", tuned for delay: short queues, losses found out soon |
    | "fullmesh" | each address is connected with each of the peer's |

    A link that loses its carrier loses its subflows at once, and gets new ones when it is back.
    Lost subflows are opened again. It takes the place of the preset that the stack had.

    Args:
        name: One of the above.
        primary: The first link's interface; None for the one that was added first.
        backups: Interfaces that carry when nothing else is left, whatever the preset says; see
            `Paths.set_backup`.
        announce: Tells peers of the addresses, and has them connect: for who listens.
        queue_bytes: What a subflow may hold, sent or not, with the kernel's overhead; None for the
            preset's. The less, the sooner another one takes over; a subflow carries no more than
            about half of it in a round trip time.
        stack: Whose.

    Returns:
        What ends it: `close()`, or the end of a `with` block.
    """
    if name not in PRESETS:
        raise ValueError(f"presets are {', '.join(PRESETS)}, not {name!r}")
    if isinstance(backups, str):
        raise TypeError(f"backups are several names: [{backups!r}]")
    stack = stack or current_stack()
    old = _paths.pop(stack, None)
    if old is not None:
        old.close()
    made = Paths(
        stack,
        PRESETS[name],
        primary=primary,
        backups=backups,
        announce=announce,
        queue_bytes=queue_bytes,
    )
    _paths[stack] = made
    return made


def paths(stack: Stack | None = None) -> Paths | None:
    """What `preset` has returned for the stack; None if it has no preset, or that was closed."""
    found = _paths.get(stack or current_stack())
    return None if found is None or found.closed else found


def events(stack: Stack | None = None, *, timeout_s: float | None = None) -> Events:
    """What happens to the stack's connections from now on: for `for` and `async for`.

    Args:
        stack: Whose.
        timeout_s: How long `for` waits for the next one, before it raises TimeoutError.
    """
    return Events(stack or current_stack(), timeout_s=timeout_s)


def on_event(callback: Callable[[Event], object], stack: Stack | None = None) -> Subscription:
    """Calls back for each event from now on, on a thread of the stack's; it must be quick.

    Returns:
        What ends it: `close()`, or the end of a `with` block.
    """
    return Subscription(stack or current_stack(), callback)


def counters(stack: Stack | None = None) -> dict[str, int]:
    """The stack's MPTCP counters, such as MPCapableSYNTX and MPJoinAckRx.

    Source: /proc/net/netstat, MPTcpExt; net/mptcp/mib.c.
    """
    return (stack or current_stack()).counters()["MPTcpExt"]
