"""Backends of a socket that lives on the host, in both worlds, or in it is not known yet which.

Each has the methods of `_lkl.Socket`, so the class above has no special case. They hold a hidden,
non-blocking socket of the host, whose readiness counts in the kernel socket that carries the
shadow.
"""

from __future__ import annotations

import errno
import os
from _socket import socket as HostSocket
from _thread import RLock
from collections.abc import Callable
from contextlib import suppress
from socket import AF_INET, MSG_FASTOPEN, SO_ERROR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET

from . import _ledger, _lkl
from ._options import is_hint
from ._policy import Policy, is_wildcard
from ._shadow import Kind

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

_IN = _lkl.IN
_OUT = _lkl.OUT
# Tries to find a port that is free in both worlds.
_PORT_TRIES = 32
# What the host says that has no IPv6: then a wildcard is the stack's alone.
_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


class HostHalf:
    """A socket of the host behind a kernel socket whose own half is closed, or is not asked.

    Args:
        core: Carries the shadow, and is what sleepers sleep on.
        host: Non-blocking; owned from now on.
    """

    __slots__ = ("_core", "_host", "_joined", "_left", "_stream")

    def __init__(self, core: _lkl.Socket, host: HostSocket) -> None:
        self._core = core
        self._host = host
        self._joined = False
        self._left = False
        self._stream = host.type == SOCK_STREAM

    @property
    def lkl_fd(self) -> int:
        """That of the kernel socket which carries the shadow; -1 when closed."""
        return self._core.lkl_fd

    def __del__(self) -> None:
        if not self._left:
            self.close()

    def join(self) -> None:
        """Counts the host socket's readiness from now on."""
        if not self._joined:
            self._core.join_host(self._host.fileno())
            self._joined = True

    def close(self) -> None:
        # In this order: a number that is closed may become a stranger's.
        self._core.close()
        self._host.close()

    def leave(self) -> HostSocket:
        """Gives the host socket back, no longer counted."""
        if self._joined:
            self._core.leave_host()
        self._left = True
        return self._host

    def _call(self, direction: int, function: Callable[..., T], *args: Any) -> T | None:
        """Calls, and tells the shadow. None: it would block, for want of `direction`."""
        came_short = 0
        try:
            return function(*args)
        except BlockingIOError:
            came_short = direction
            return None
        finally:
            self._core.refresh(came_short)

    def _note_short(self, direction: int, count: int, asked: int) -> None:
        """A stream that gave, or took, less than it was asked for is empty, or full."""
        if self._stream and count < asked:
            self._core.refresh(direction)

    # ---- names and connections

    def bind(self, address: Any, /) -> None:
        self._host.bind(address)
        if not self._stream:
            self.join()

    def listen(self, backlog: int, /) -> None:
        self._host.listen(backlog)
        self.join()

    def accept(self) -> tuple[HostSocket, Any] | None:
        answer = self._call(_IN, self._host._accept)  # type: ignore[attr-defined]
        if answer is None:
            return None
        fd, address = answer
        return HostSocket(fileno=fd), address

    def connect(self, address: Any, /) -> int:
        error = self._host.connect_ex(address)
        if error in (0, errno.EINPROGRESS):
            self.join()
        self._core.refresh(_OUT if error == errno.EINPROGRESS else 0)
        return error

    def shutdown(self, how: int, /) -> None:
        self._call(0, self._host.shutdown, how)

    def getsockname(self) -> Any:
        return self._host.getsockname()

    def getpeername(self) -> Any:
        return self._host.getpeername()

    # ---- data

    def send(self, data: Any, flags: int = 0, /) -> int | None:
        sent = self._call(_OUT, self._host.send, data, flags)
        if sent is not None:
            self._note_short(_OUT, sent, memoryview(data).nbytes)
        return sent

    def sendto(self, data: Any, flags: int, address: Any, /) -> int | None:
        sent = self._call(_OUT, self._host.sendto, data, flags, address)
        if self._stream:
            self.join()
        return sent

    def sendmsg(self, *args: Any) -> int | None:
        return self._call(_OUT, self._host.sendmsg, *args)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes | None:
        data = self._call(_IN, self._host.recv, bufsize, flags)
        if data is not None:
            self._note_short(_IN, len(data), bufsize)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int | None:
        count = self._call(_IN, self._host.recv_into, buffer, nbytes, flags)
        if count is not None:
            self._note_short(_IN, count, nbytes or memoryview(buffer).nbytes)
        return count

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any] | None:
        return self._call(_IN, self._host.recvfrom, bufsize, flags)

    def recvfrom_into(
        self, buffer: Any, nbytes: int = 0, flags: int = 0, /
    ) -> tuple[int, Any] | None:
        return self._call(_IN, self._host.recvfrom_into, buffer, nbytes, flags)

    def recvmsg(self, *args: Any) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any] | None:
        return self._call(_IN, self._host.recvmsg, *args)

    def recvmsg_into(self, *args: Any) -> tuple[int, list[tuple[int, int, bytes]], int, Any] | None:
        return self._call(_IN, self._host.recvmsg_into, *args)

    # ---- options and readiness

    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> int | bytes:
        value = self._host.getsockopt(level, option, buflen)
        # SO_ERROR takes the error away.
        self._core.refresh(0)
        return value

    def setsockopt(self, *args: Any) -> None:
        self._host.setsockopt(*args)
        self._core.refresh(0)

    def getsockopt_buffer(self, level: int, option: int, value: Any, /) -> bytes:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def bridge(self) -> int:
        # It carries data as it is.
        host = self.leave()
        self._core.close()
        host.setblocking(True)
        return host.detach()

    def wait(self, events: int, deadline_ns: int | None, /) -> int:
        return self._core.wait(events, deadline_ns)

    def poll(self) -> int:
        return self._core.poll()

    def shadow(self) -> int:
        return self._core.shadow()


class BothWorlds:
    """A socket of the kernel and one of the host, bound to the same port of all addresses.

    A listener takes connections of either, fairly; datagrams come from either, and go where the
    policy says. A stream joins the two when it listens.
    """

    __slots__ = ("_policy", "_turn", "core", "half")

    def __init__(self, core: _lkl.Socket, host: HostSocket, policy: Policy) -> None:
        self.core = core
        self.half = HostHalf(core, host)
        self._policy = policy
        self._turn = False
        if host.type == SOCK_DGRAM:
            self.half.join()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def close(self) -> None:
        self.half.close()

    def listen(self, backlog: int, /) -> None:
        self.core.listen(backlog)
        self.half.listen(backlog)

    def _either(self, name: str, *args: Any) -> Any:
        self._turn = not self._turn
        halves = (self.core, self.half) if self._turn else (self.half, self.core)
        for half in halves:
            answer = getattr(half, name)(*args)
            if answer is not None:
                return answer
        return None

    def accept(self) -> Any:
        return self._either("accept")

    def recv(self, *args: Any) -> Any:
        return self._either("recv", *args)

    def recv_into(self, *args: Any) -> Any:
        return self._either("recv_into", *args)

    def recvfrom(self, *args: Any) -> Any:
        return self._either("recvfrom", *args)

    def recvfrom_into(self, *args: Any) -> Any:
        return self._either("recvfrom_into", *args)

    def recvmsg(self, *args: Any) -> Any:
        return self._either("recvmsg", *args)

    def recvmsg_into(self, *args: Any) -> Any:
        return self._either("recvmsg_into", *args)

    def sendto(self, data: Any, flags: int, address: Any, /) -> int | None:
        return self._towards(address).sendto(data, flags, address)  # type: ignore[no-any-return]

    def sendmsg(
        self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
    ) -> int | None:
        half = self._towards(address)
        return half.sendmsg(buffers, ancdata, flags, address)  # type: ignore[no-any-return]

    def _towards(self, address: Any) -> Any:
        return self.half if world_of(self._policy, address) == "host" else self.core

    def getsockname(self) -> Any:
        name: Any = self.core.getsockname()
        return name if name[1] else self.half.getsockname()

    def shutdown(self, how: int, /) -> None:
        self.core.shutdown(how)
        self.half.shutdown(how)

    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> int | bytes:
        value = self.core.getsockopt(level, option, buflen)
        if not value and (level, option) == (SOL_SOCKET, SO_ERROR):
            return self.half.getsockopt(level, option, buflen)
        return value

    def setsockopt(self, *args: Any) -> None:
        self.core.setsockopt(*args)
        with suppress(OSError):
            self.half.setsockopt(*args)


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


def world_of(policy: Policy, address: Any) -> str | None:
    """The world of a socket address; None if it is not numeric, or none at all."""
    try:
        host, port = address[:2]
        return policy.world(host, port)
    except (ValueError, TypeError):
        return None


def is_wildcard_address(address: Any) -> bool:
    """Whether to bind to it decides nothing."""
    try:
        return is_wildcard(address[0])
    except (ValueError, TypeError, IndexError):
        return False
