"""What MPTCP tells of connections as it happens.

Source: linux/mptcp_pm.h, enum mptcp_event_type; net/mptcp/pm_kernel.c.
"""

from __future__ import annotations

import errno
import socket as _stdlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._interface import index_to_name

if TYPE_CHECKING:
    from ._socket import socket
    from .stack import Stack

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_GENERIC = 16
_SO_RCVBUFFORCE = 33
_RECEIVE_BYTES = 1 << 16
_DENY_JOIN_ID0 = 1

SocketAddress = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True)
class Event:
    """Something happened to a connection."""

    token: int
    """Of the connection, as `Info.token`; 0 where there is none."""


@dataclass(frozen=True)
class ConnectionCreated(Event):
    """A connection was made; subflows cannot be added yet."""

    local: SocketAddress
    remote: SocketAddress
    server_side: bool
    """Whether the peer made it."""
    join_id0_denied: bool
    """Whether the peer wants no more subflows to the address that was connected to."""


@dataclass(frozen=True)
class ConnectionEstablished(ConnectionCreated):
    """A connection can have subflows from now on."""


@dataclass(frozen=True)
class ConnectionClosed(Event):
    """A connection has ended."""


@dataclass(frozen=True)
class AddressAnnounced(Event):
    """The peer has told of an address."""

    id: int
    address: str
    port: int


@dataclass(frozen=True)
class AddressRemoved(Event):
    """The peer has lost an address."""

    id: int


@dataclass(frozen=True)
class SubflowEvent(Event):
    """Something happened to a subflow."""

    local: SocketAddress
    remote: SocketAddress
    local_id: int
    remote_id: int
    backup: bool
    ifname: str | None
    """The interface that it is bound to."""


@dataclass(frozen=True)
class SubflowEstablished(SubflowEvent):
    """A subflow beyond the first carries data from now on."""


@dataclass(frozen=True)
class SubflowClosed(SubflowEvent):
    """A subflow has ended, or was never answered."""

    error: int
    """An errno, or 0."""
    reset_reason: int | None
    """The peer's, RFC 8684 section 3.6; None if it sent no reset."""


@dataclass(frozen=True)
class SubflowPriority(SubflowEvent):
    """The peer has made a subflow a backup, or no backup any more."""


@dataclass(frozen=True)
class ListenerCreated(Event):
    """The kernel listens for an endpoint with a port."""

    local: SocketAddress


@dataclass(frozen=True)
class ListenerClosed(ListenerCreated):
    """The kernel listens no more for an endpoint with a port."""


@dataclass(frozen=True)
class Overflow(Event):
    """More happened than could be queued: some events before this one are missing."""


class Events:
    """The events of a stack's MPTCP from now on, as they come: iterate over it.

    In a coroutine, `async for`. It ends when it is closed. Events wait in a queue of limited size;
    where that overflows, an `Overflow` comes in the place of what is lost.

    Args:
        stack: Whose.
        timeout_s: How long iteration waits for one, before it raises TimeoutError; None: for ever.
        queue_bytes: What may wait; an event takes about 1 kB of it.
    """

    def __init__(
        self, stack: Stack, *, timeout_s: float | None = None, queue_bytes: int = 1 << 20
    ) -> None:
        self._stack = stack
        self._sock = open_events(stack, queue_bytes)
        self._sock.settimeout(timeout_s)
        self._waiting: list[Event] = []

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Event:
        while not self._waiting:
            try:
                self._waiting = read_events(self._stack, self._sock)
            except OSError as error:
                if error.errno == errno.EBADF:
                    raise StopIteration from None
                raise
        return self._waiting.pop(0)

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        import asyncio

        while not self._waiting:
            if self._sock.fileno() < 0:
                raise StopAsyncIteration
            readable = asyncio.get_running_loop().create_future()
            _wake_when_readable(self._sock.fileno(), readable)
            await readable
            self._sock.settimeout(0)
            self._waiting = read_events(self._stack, self._sock)
        return self._waiting.pop(0)

    def fileno(self) -> int:
        """A descriptor that is readable when there are events."""
        return self._sock.fileno()

    def close(self) -> None:
        """Ends iteration, in whatever thread."""
        self._sock.close()


def _wake_when_readable(fd: int, future: Any) -> None:
    loop = future.get_loop()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(fd, wake)
    future.add_done_callback(lambda _: loop.remove_reader(fd))


def open_events(stack: Stack, queue_bytes: int = 1 << 20) -> socket:
    """A socket that receives the events of a stack."""
    from ._mptcp_netlink import PathManager

    group = stack.netlink_client(PathManager.over).events_group()
    sock = stack.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _NETLINK_GENERIC)
    sock.setsockopt(_stdlib.SOL_SOCKET, _SO_RCVBUFFORCE, queue_bytes)
    sock.bind((0, 0))
    sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    return sock


def read_events(stack: Stack, sock: socket) -> list[Event]:
    """The next ones that `sock` has received; it waits for them as the socket does.

    Raises:
        OSError: TimeoutError, BlockingIOError; EBADF: the socket was closed.
    """
    from ._mptcp_netlink import event_messages

    try:
        data = sock.recv(_RECEIVE_BYTES)
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            return [Overflow(0)]
        raise
    found = (_event(stack, message) for message in event_messages(data))
    return [event for event in found if event is not None]


def _event(stack: Stack, message: Any) -> Event | None:
    from . import _mptcp_netlink as netlink

    def get(name: str) -> Any:
        return message.get_attr(f"MPTCP_ATTR_{name}")

    def end(side: str) -> SocketAddress:
        port = get("SPORT" if side == "S" else "DPORT") or 0
        return (get(f"{side}ADDR4") or get(f"{side}ADDR6") or "", port)

    token: int = get("TOKEN") or 0
    kind: int = message["cmd"]
    if kind in (netlink.EVENT_CREATED, netlink.EVENT_ESTABLISHED):
        made = ConnectionCreated if kind == netlink.EVENT_CREATED else ConnectionEstablished
        denied = bool((get("FLAGS") or 0) & _DENY_JOIN_ID0)
        return made(token, end("S"), end("D"), bool(get("SERVER_SIDE")), denied)
    if kind == netlink.EVENT_CLOSED:
        return ConnectionClosed(token)
    if kind == netlink.EVENT_ANNOUNCED:
        return AddressAnnounced(token, get("REM_ID") or 0, *end("D"))
    if kind == netlink.EVENT_REMOVED:
        return AddressRemoved(token, get("REM_ID") or 0)
    if kind in (netlink.EVENT_LISTENER_CREATED, netlink.EVENT_LISTENER_CLOSED):
        opened = kind == netlink.EVENT_LISTENER_CREATED
        return (ListenerCreated if opened else ListenerClosed)(token, end("S"))
    index = get("IF_IDX")
    subflow = (
        token,
        end("S"),
        end("D"),
        get("LOC_ID") or 0,
        get("REM_ID") or 0,
        bool(get("BACKUP")),
        _name(stack, index) if index else None,
    )
    if kind == netlink.EVENT_SUB_ESTABLISHED:
        return SubflowEstablished(*subflow)
    if kind == netlink.EVENT_SUB_CLOSED:
        return SubflowClosed(*subflow, get("ERROR") or 0, get("RESET_REASON"))
    if kind == netlink.EVENT_SUB_PRIORITY:
        return SubflowPriority(*subflow)
    # A newer kernel knows more of them.
    return None


def _name(stack: Stack, index: int) -> str | None:
    try:
        return index_to_name(stack.kernel, index)
    except OSError:
        # It has gone meanwhile.
        return None


class Subscription:
    """Calls back for each event of a stack's MPTCP, on the stack's netlink thread, until closed."""

    def __init__(self, stack: Stack, callback: Callable[[Event], object]) -> None:
        self._stack = stack
        self._callback = callback
        self._sock = open_events(stack)
        self._sock.setblocking(False)
        self._fd = self._sock.fileno()
        self._thread = stack.netlink_thread()
        self._thread.watch(self._fd, self._read)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it. No callback runs once this has returned, unless it is called by one."""
        if self._stack.state == "running":
            self._thread.unwatch(self._fd)
        self._sock.close()

    def _read(self) -> None:
        try:
            events = read_events(self._stack, self._sock)
        except BlockingIOError:
            return
        for event in events:
            self._callback(event)
