"""Shadows: the host file descriptors that mirror the readiness of kernel sockets.

A kernel socket gets one when somebody first asks for its `fileno()`. From then on the number leads
a life of its own: it can be duplicated, detached from its Python object, and found again by
`socket(fileno=number)`. One registry, by inode, knows which kernel socket a number stands for; a
number that was closed and used again for something else is never taken for ours.

The descriptor that the kernel's side made is kept open as long as any Python object uses the
kernel socket, for readiness is withdrawn through it.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from . import _lkl

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any


class Kind:
    """What a socket was made as.

    Attributes:
        family: AF_*.
        type: SOCK_*, without flags.
        proto: As the program sees it: that of an upgraded socket is IPPROTO_TCP.
        upgraded: It is an MPTCP socket where the program asked for TCP.
        required: A connection that falls back to TCP is an error.
        settings: The arguments of every setsockopt() so far, in order, for a socket that may have
            to be made anew; None when it no longer may: it connects, listens, or was accepted.
        kernel: Where it was made, for the same.
    """

    __slots__ = ("family", "kernel", "proto", "required", "settings", "type", "upgraded")

    settings: list[tuple[Any, ...]] | None
    kernel: _lkl.Kernel | None

    def __init__(
        self, family: int, type: int, proto: int, upgraded: bool = False, required: bool = False
    ) -> None:
        self.family = family
        self.type = type
        self.proto = proto
        self.upgraded = upgraded
        self.required = required
        self.settings = None
        self.kernel = None


class Shadow:
    """The kernel socket behind a host descriptor, shared by every Python object that uses it.

    Attributes:
        sock: The kernel socket.
        kind: What it was made as.
    """

    __slots__ = ("_home", "_inode", "_users", "kind", "sock")

    def __init__(self, sock: _lkl.Socket, kind: Kind, home: int) -> None:
        self.sock = sock
        self.kind = kind
        self._home = home
        self._inode = _inode(home)
        self._users = 1

    def release(self, fd: int) -> bool:
        """Ends one use, through `fd`.

        Returns:
            Whether it was the last: then the caller closes the kernel socket, and then `fd` and
            what `discard` closes.
        """
        with _lock:
            self._users -= 1
            last = not self._users
            if last:
                _registry.pop(self._inode, None)
        if not last and fd != self._home:
            os.close(fd)
        return last

    def discard(self, fd: int) -> None:
        """Closes the host descriptors after the last use."""
        if self._home != fd and _is_ours(self._home, self._inode):
            os.close(self._home)
        os.close(fd)

    def leave(self) -> None:
        """Ends one use whose descriptor belongs to the program from now on."""
        with _lock:
            self._users -= 1


_Inode = tuple[int, int]
_registry: dict[_Inode, Shadow] = {}
_lock = allocate_lock()


def cast(sock: _lkl.Socket, kind: Kind) -> tuple[Shadow, int]:
    """Makes the shadow of a kernel socket that has none.

    Returns:
        The shadow, used once, and its descriptor.
    """
    fd = sock.shadow()
    shadow = Shadow(sock, kind, fd)
    with _lock:
        # What was detached is the program's to close.
        for inode, other in list(_registry.items()):
            if not other._users and not _is_ours(other._home, inode):
                del _registry[inode]
        _registry[shadow._inode] = shadow
    return shadow, fd


def find(fd: int) -> Shadow | None:
    """The shadow that `fd` is a descriptor of, used once more from now on; None for others."""
    if not _registry or fd < 0:
        return None
    try:
        inode = _inode(fd)
    except OSError:
        return None
    with _lock:
        shadow = _registry.get(inode)
        if shadow is None or shadow.sock.lkl_fd < 0:
            return None
        shadow._users += 1
        return shadow


def _inode(fd: int) -> _Inode:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _is_ours(fd: int, inode: _Inode) -> bool:
    try:
        return _inode(fd) == inode
    except OSError:
        return False
