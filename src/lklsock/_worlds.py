"""Backends of a socket that lives on the host, or in both worlds.

Each has the methods of `_lkl.Socket`, so the class above has no special case. They hold a hidden,
non-blocking socket of the host, whose readiness counts in the kernel socket that carries the
shadow.
"""

from __future__ import annotations

import errno
import os
import weakref
from _socket import socket as HostSocket
from collections.abc import Callable
from contextlib import suppress
from socket import SO_ERROR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET

from . import _lkl
from ._host_alone import HostAlone
from ._policy import Policy, is_wildcard

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

_IN = _lkl.IN
_OUT = _lkl.OUT


class HostHalf:
    """A socket of the host behind a kernel socket whose own half is closed, or is not asked.

    Args:
        core: Carries the shadow, and is what sleepers sleep on.
        host: Non-blocking; owned from now on.
    """

    __slots__ = ("__weakref__", "_core", "_host", "_joined", "_left", "_stream")

    def __init__(self, core: _lkl.Socket, host: HostSocket) -> None:
        self._core: _lkl.Socket | HostAlone = core
        self._host = host
        self._joined = False
        self._left = False
        self._stream = host.type == SOCK_STREAM
        _in_use.add(self)

    def forked(self) -> HostSocket:
        """In a forked child: the host socket goes on alone."""
        self._core = HostAlone(self._host)
        return self._host

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

    def shadow_move(self, fd: int) -> None:
        self._core.shadow_move(fd)


class BothWorlds:
    """A socket of the kernel and one of the host, bound to the same port of all addresses.

    A listener takes connections of either, fairly; datagrams come from either, and go where the
    policy says. A stream joins the two when it listens. In a forked child the host's is left.
    """

    __slots__ = ("__weakref__", "_halves", "_policy", "_turn", "core", "half")

    def __init__(self, core: _lkl.Socket, host: HostSocket, policy: Policy) -> None:
        self.core = core
        self.half = HostHalf(core, host)
        self._halves: tuple[Any, ...] = core, self.half
        self._policy = policy
        self._turn = False
        if host.type == SOCK_DGRAM:
            self.half.join()
        _in_use.add(self)

    def forked(self) -> None:
        """In a forked child: only the host's half is asked; what goes to the stack is an error."""
        self._halves = (self.half,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._halves[0], name)

    def close(self) -> None:
        self.half.close()

    def listen(self, backlog: int, /) -> None:
        for half in self._halves:
            half.listen(backlog)

    def _either(self, name: str, *args: Any) -> Any:
        self._turn = not self._turn
        for half in self._halves if self._turn else self._halves[::-1]:
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
        name: Any = self._halves[0].getsockname()
        return name if name[1] else self.half.getsockname()

    def shutdown(self, how: int, /) -> None:
        for half in self._halves:
            half.shutdown(how)

    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> int | bytes:
        value: int | bytes = self._halves[0].getsockopt(level, option, buflen)
        if not value and (level, option) == (SOL_SOCKET, SO_ERROR):
            return self.half.getsockopt(level, option, buflen)
        return value

    def setsockopt(self, *args: Any) -> None:
        first, *others = self._halves
        first.setsockopt(*args)
        for half in others:
            with suppress(OSError):
                half.setsockopt(*args)


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


# What a forked child has to be told.
_in_use: weakref.WeakSet[HostHalf | BothWorlds] = weakref.WeakSet()


def halves() -> list[HostHalf | BothWorlds]:
    """All that are in use."""
    return list(_in_use)
