"""Shadows: the host file descriptors that mirror the readiness of kernel sockets.

A kernel socket gets one when somebody first asks for its `fileno()`. From then on the number leads
a life of its own: it can be duplicated, detached from its Python object, and found again by
`socket(fileno=number)`. One registry, by inode, knows which kernel socket a number stands for; a
number that was closed and used again for something else is never taken for ours.

As everywhere, an object that is closed closes its number: others on the same number are left with
nothing, and the kernel socket ends when no object has another number of it. Only the descriptor
that the kernel's side made is kept open until then, for readiness is withdrawn through it. A
detached one is the program's: when no object is left, it alone keeps the kernel socket, which is
closed with its last copy.

Each takes two descriptors of the host, as no socket of the host does. So that a program can have as
many sockets as there, the soft limit is doubled (up to the hard one) when the first is made; the
kernel's half is put above what select() can take, and leaves the low numbers to the program.
"""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock
from contextlib import suppress

from . import _lkl
from .errors import KernelNotRunningError

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any


class Kind:
    """What a socket was made as.

    Attributes:
        family: AF_*.
        type: SOCK_*, without flags.
        proto: What the program asked for, whether upgraded or not.
        upgraded: It is an MPTCP socket where the program asked for TCP.
        required: A connection that falls back to TCP is an error.
        settings: The arguments of setsockopt() so far, in order and each once, for a socket that
            may have to be made anew; None where it may not: it connects, listens, was accepted.
        kernel: Where it was made, for the same, and for its stack's resolver; None if accepted.
    """

    __slots__ = ("family", "kernel", "proto", "required", "settings", "type", "upgraded")

    settings: dict[tuple[Any, ...], None] | None
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
        kind: What it was made as.
    """

    __slots__ = ("_given", "_home", "_inode", "_sock", "_uses", "kind")

    def __init__(self, sock: _lkl.Socket, kind: Kind, home: int) -> None:
        self._sock: _lkl.Socket | None = sock
        self.kind = kind
        self._home = home
        self._inode = _inode(home)
        # How many objects use it, through each number.
        self._uses = {home: 1}
        # Numbers that are the program's, while objects use others.
        self._given: tuple[int, ...] = ()

    @property
    def sock(self) -> _lkl.Socket:
        """The kernel socket."""
        assert self._sock is not None
        return self._sock

    @sock.setter
    def sock(self, sock: _lkl.Socket) -> None:
        self._sock = sock

    @property
    def backend(self) -> _lkl.Socket | None:
        """The kernel socket; None once it is the descriptor's alone."""
        return self._sock

    def release(self, fd: int) -> bool:
        """Ends every use through `fd`.

        Returns:
            Whether that was all: then the caller closes the kernel socket, and then `fd` and what
            `discard` closes. Not if the program has a number of it yet, from `leave`.

        Raises:
            OSError: EBADF, for it has been done before, for another object.
        """
        with _lock:
            if not self._uses.pop(fd, 0):
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            surplus = {fd} - {self._home} if self._uses else self._hand_over()
            if surplus is None:
                _registry.pop(self._inode, None)
                return True
        for number in surplus | ({fd} - {self._home}):
            os.close(number)
        return False

    def discard(self, fd: int) -> None:
        """Closes the host descriptors after the last use."""
        if self._home != fd and _is_ours(self._home, self._inode):
            os.close(self._home)
        os.close(fd)

    def leave(self, fd: int) -> None:
        """Ends one use through `fd`, which belongs to the program from now on."""
        surplus: set[int] | None = None
        with _lock:
            uses = self._uses.pop(fd, 0)
            if uses > 1:
                self._uses[fd] = uses - 1
            elif uses:
                self._given += (fd,)
                if not self._uses:
                    surplus = self._hand_over()
        for number in surplus or ():
            os.close(number)

    def _hand_over(self) -> set[int] | None:
        """Leaves the kernel socket to a number of the program's, after the last use.

        Returns:
            The numbers to close; None if the program has none.
        """
        given = [number for number in self._given if _is_ours(number, self._inode)]
        if not given:
            return None
        self._given = ()
        surplus = set()
        if self._home not in given:
            # In a forked child there is nobody to tell.
            with suppress(OSError, RuntimeError):
                self.sock.shadow_move(given[0])
            if _is_ours(self._home, self._inode):
                surplus.add(self._home)
            self._home = given[0]
        _detached.add(self._inode)
        if isinstance(self._sock, _lkl.Socket):
            self._sock = None
        return surplus

    def become(self, fd: int, numbers: dict[_Inode, list[int]]) -> None:
        """Makes every descriptor of the shadow one of `fd`: in a forked child, that nobody mirrors.

        Poll objects of before go on with the old file.

        Args:
            fd: Of another file.
            numbers: What `open_numbers` gives.
        """
        old, self._inode = self._inode, _inode(fd)
        for number in numbers.get(old, ()):
            os.dup2(fd, number, os.get_inheritable(number))
        _registry[self._inode] = _registry.pop(old)
        if old in _detached:
            _detached.remove(old)
            _detached.add(self._inode)

    def join(self, fd: int) -> bool:
        """Begins one more use, through `fd`; False if there is nothing to use any more."""
        if self._sock is None:
            if self._inode in _left_behind:
                raise KernelNotRunningError(
                    f"descriptor {fd} is of a socket of the process that forked this one",
                    "forked",
                    os.getppid(),
                )
            self._sock = _lkl.socket_by_shadow(fd, self.kind.family)
        if self._sock is None or self._sock.lkl_fd < 0:
            return False
        self._uses[fd] = self._uses.get(fd, 0) + 1
        self._given = tuple(number for number in self._given if number != fd)
        _detached.discard(self._inode)
        return True


_Inode = tuple[int, int]
_registry: dict[_Inode, Shadow] = {}
# Those that no object uses; and of them, those of the process that forked this one.
_detached: set[_Inode] = set()
_left_behind: frozenset[_Inode] = frozenset()
_lock = allocate_lock()
_has_room = False


def cast(sock: _lkl.Socket, kind: Kind) -> tuple[Shadow, int]:
    """Makes the shadow of a kernel socket that has none.

    Returns:
        The shadow, used once, and its descriptor.
    """
    if not _has_room:
        _make_room()
    fd = sock.shadow()
    shadow = Shadow(sock, kind, fd)
    with _lock:
        # What was detached is the program's to close.
        for inode in list(_detached):
            if not _is_ours(_registry[inode]._home, inode):
                _drop(inode)
        _registry[shadow._inode] = shadow
        _detached.discard(shadow._inode)
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
        if shadow is None:
            return None
        if not shadow.join(fd):
            if not shadow._uses:
                _drop(inode)
            return None
        return shadow


def shadows() -> list[Shadow]:
    """All of them."""
    return list(_registry.values())


def open_numbers() -> dict[_Inode, list[int]]:
    """The process's descriptors, by what they are of."""
    numbers: dict[_Inode, list[int]] = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        # The listing's own is closed by now.
        with suppress(OSError):
            numbers.setdefault(_inode(number), []).append(number)
    return numbers


def _inode(fd: int) -> _Inode:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _is_ours(fd: int, inode: _Inode) -> bool:
    try:
        return _inode(fd) == inode
    except OSError:
        return False


def _drop(inode: _Inode) -> None:
    _detached.discard(inode)
    del _registry[inode]


def _make_room() -> None:
    global _has_room
    from resource import RLIMIT_NOFILE, getrlimit, setrlimit

    _has_room = True
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if 0 <= soft < hard or (soft >= 0 and hard < 0):
        setrlimit(RLIMIT_NOFILE, (2 * soft if hard < 0 else min(2 * soft, hard), hard))


def _after_fork() -> None:
    """In a forked child: another thread may have held the lock."""
    global _left_behind, _lock
    _lock = allocate_lock()
    _left_behind = frozenset(_detached)


os.register_at_fork(after_in_child=_after_fork)
