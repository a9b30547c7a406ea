"""A socket of which it is not known yet in which world it lives, and how that is decided."""

from __future__ import annotations

import errno
import os
from _socket import socket as HostSocket
from _thread import RLock
from contextlib import suppress
from socket import AF_INET, MSG_FASTOPEN, SOCK_DGRAM, SOCK_STREAM

from . import _ledger, _lkl, _shadow
from ._options import is_hint
from ._policy import Policy
from ._shadow import Kind
from ._worlds import BothWorlds, HostHalf, halves, world_of

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

# Tries to find a port that is free in both worlds.
_PORT_TRIES = 32
# What the host says that has no IPv6: then a wildcard is the stack's alone.
_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


class Undecided:
    """A socket that may still come to live in either world, shared by all who use it.

    It begins in the kernel. What is called on it goes to its backend, which changes with what
    becomes known: a kernel socket, `BothWorlds`, or `HostHalf`.

    Args:
        core: The kernel's.
        kind: What it was made as, with the options that were set so far.
        policy: Decides.
    """

    __slots__ = ("_is_noted", "_kind", "_lock", "backend", "core", "policy")

    def __init__(self, core: _lkl.Socket, kind: Kind, policy: Policy) -> None:
        self.core = core
        self.backend: Any = core
        self.policy = policy
        self._kind = kind
        self._lock = RLock()
        self._is_noted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def note(self, world: _ledger.World | None = None) -> None:
        """Notes where it lives, the first time.

        Args:
            world: If None, that of the backend.
        """
        if self._is_noted:
            return
        self._is_noted = True
        if world is None:
            is_both = isinstance(self.backend, BothWorlds)
            world = "both" if is_both else "stack" if self.backend is self.core else "host"
        _ledger.note_socket(world, world != "host" and self._kind.upgraded)

    def bind_wildcard(self, address: Any) -> None:
        """Binds to a port of all addresses, in both worlds if a listener would be in both."""
        with self._lock:
            if self.backend is not self.core:
                # It is bound already: the kernel says so.
                self.core.bind(address)
            elif self.policy.listen == "both":
                self._bind_both(address)
            else:
                self.core.bind(address)
            if self._kind.type == SOCK_DGRAM:
                self.note()

    def _bind_both(self, address: Any) -> None:
        # An IPv6 address has more.
        wildcard, port, *more = address
        for attempt in range(_PORT_TRIES):
            host = self._new_host((wildcard, port, *more))
            if host is None:
                self.core.bind(address)
                return
            try:
                self.core.bind((wildcard, host.getsockname()[1], *more))
            except OSError as error:
                host.close()
                if port or error.errno != errno.EADDRINUSE or attempt == _PORT_TRIES - 1:
                    raise
                continue
            except BaseException:
                host.close()
                raise
            self.backend = BothWorlds(self.core, host, self.policy)
            return

    def _new_host(self, address: Any) -> HostSocket | None:
        """A socket of the host, bound. None: the host has not this family."""
        try:
            return self.make_host(address)
        except OSError as error:
            if error.errno in _NO_FAMILY:
                return None
            raise

    def make_host(self, address: Any = None) -> HostSocket:
        """A socket of the host with this one's options, bound if an address is given."""
        kind = self._kind
        host = HostSocket(kind.family, kind.type, kind.proto)
        try:
            host.setblocking(False)
            for setting in kind.settings or ():
                try:
                    host.setsockopt(*setting)
                except OSError:
                    level, option = setting[:2]
                    if not is_hint(level, option):
                        raise
                    _ledger.note_option(level, option, "remembered")
            if address is not None:
                host.bind(address)
        except BaseException:
            host.close()
            raise
        return host

    def listen_both(self, backlog: int) -> None:
        """Listens in both worlds."""
        with self._lock:
            if self.backend is self.core and not self.getsockname()[1]:
                self.bind_wildcard(("0.0.0.0" if self._kind.family == AF_INET else "::", 0))
            self.backend.listen(backlog)
            self.note()

    def to_stack(self) -> _lkl.Socket:
        """Decides for the kernel."""
        with self._lock:
            if isinstance(self.backend, BothWorlds):
                self.backend.half.leave().close()
            self.backend = self.core
            return self.core

    def leave(self) -> HostSocket:
        """Decides for the host. The kernel socket is still open.

        Returns:
            A socket as this one, bound as it was.
        """
        with self._lock:
            if isinstance(self.backend, BothWorlds):
                return self.backend.half.leave()
            name: Any = self.core.getsockname()
            return self.make_host(name if name[1] else None)

    def to_host(self) -> HostHalf:
        """Decides for the host; the kernel socket stays, for its shadow."""
        with self._lock:
            if isinstance(self.backend, HostHalf):
                return self.backend
            host = self.leave()
            self.core.leave_kernel()
            self._kind.upgraded = self._kind.required = False
            half = HostHalf(self.core, host)
            if host.type == SOCK_DGRAM:
                half.join()
            self.backend = half
            return half

    def sendto(self, data: Any, flags: int, address: Any, /) -> int | None:
        self._send_towards(flags, address)
        self.note()
        return self.backend.sendto(data, flags, address)  # type: ignore[no-any-return]

    def sendmsg(
        self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
    ) -> int | None:
        if address is not None:
            self._send_towards(flags, address)
            self.note()
        return self.backend.sendmsg(buffers, ancdata, flags, address)  # type: ignore[no-any-return]

    def _send_towards(self, flags: int, address: Any) -> None:
        """What is sent to the host needs a socket there."""
        if self.backend is not self.core or world_of(self.policy, address) != "host":
            return
        if self._kind.type == SOCK_STREAM:
            if flags & MSG_FASTOPEN:
                self.to_host()
            return
        with self._lock:
            if self.backend is self.core:
                self.backend = BothWorlds(self.core, self._companion(), self.policy)

    def _companion(self) -> HostSocket:
        """A host socket for datagrams, on the same port if it can be had."""
        name: Any = self.core.getsockname()
        if name[1]:
            with suppress(OSError):
                return self.make_host(name)
        return self.make_host()


def _after_fork() -> None:
    """In a forked child: host sockets go on, under the numbers that are known of them."""
    hosts = {half: half.forked() for half in halves()}
    numbers = _shadow.open_numbers() if hosts else {}
    for shadow in _shadow.shadows():
        backend: Any = shadow.backend
        if isinstance(backend, Undecided):
            backend = backend.backend
        if isinstance(backend, BothWorlds):
            backend = backend.half
        host = hosts.get(backend)
        if host is not None:
            shadow.become(host.fileno(), numbers)


os.register_at_fork(after_in_child=_after_fork)
