"""Shadows: the host file descriptors that mirror the readiness of kernel sockets.

A kernel socket gets one when somebody first asks for its `fileno()`. From then on the number leads
a life of its own: it can be duplicated, detached from its Python object, and found again by
`socket(fileno=number)`. One registry, by inode, knows which kernel socket a number stands for; a
number that was closed and used again for something else is never taken for ours.

As everywhere, an object that is closed closes its number: others on the same number are left with
nothing, and the kernel socket ends when no object has another number of it. A detached number is
the program's: when no object is left, it alone keeps the kernel socket, which is closed with its
last copy. Readiness is withdrawn through one of the numbers, its home: one that an object uses, or
else one of the program's.

Each takes two descriptors of the host, as no socket of the host does. So that a program can have as
many sockets as there, the soft limit is doubled (up to the hard one) when the first is made; the
kernel's half is put above what select() can take, and leaves the low numbers to the program.
"""

from __future__ import annotations

import errno
import os
from _thread import RLock
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
        kernel: Where it was made, for the same, and for its stack's resolver.
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
        # Numbers that objects have left to the program.
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
            Whether that was all: then the caller closes the kernel socket, and then `fd`. Not if
            the program has a number of it yet, from `leave`.

        Raises:
            OSError: EBADF, for it has been done before, for another object.
        """
        with lock:
            if not self._uses.pop(fd, 0):
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            if not self._uses and not self._hand_over(fd):
                _registry.pop(self._inode, None)
                return True
            self._find_home()
        os.close(fd)
        return False

    def leave(self, fd: int) -> None:
        """Ends one use through `fd`, which belongs to the program from now on."""
        with lock:
            uses = self._uses.get(fd, 0)
            if not uses:
                return
            if uses > 1:
                self._uses[fd] = uses - 1
                return
            self._given += (fd,)
            self._uses.pop(fd, None)
            if self._uses or self._hand_over():
                self._find_home()
                return
            # The program has closed it already.
            _registry.pop(self._inode, None)
            sock, self._sock = self._sock, None
        if sock is not None:
            with suppress(OSError, RuntimeError):
                sock.close()

    def _hand_over(self, closing: int = -1) -> bool:
        """Leaves the kernel socket to the program's numbers, after the last use.

        Args:
            closing: A number that does not count.

        Returns:
            False if there is none. `_find_home` is to follow.
        """
        if not self.is_held(closing):
            return False
        _detached.add(self._inode)
        if isinstance(self._sock, _lkl.Socket):
            self._sock = None
        return True

    def is_held(self, closing: int = -1) -> bool:
        """Whether the program has a number of it, if objects have left one to it."""
        given, self._given = self._given, tuple(filter(self._is_mine, self._given))
        if given and not self._given and isinstance(self._sock, (_lkl.Socket, type(None))):
            # It may have made copies of its own.
            numbers = open_numbers().get(self._inode, ())
            self._given = tuple(number for number in numbers if number != closing)
        return bool(self._given)

    def _find_home(self) -> None:
        """After the numbers have changed."""
        if self._home not in (self._uses or self._given) or not self._is_mine(self._home):
            for number in filter(self._is_mine, (*self._uses, *self._given)):
                self._move_home(number)
                break

    def _move_home(self, fd: int) -> None:
        sock = self._sock
        if sock is None:
            sock = _lkl.socket_by_shadow(fd, self.kind.family)
        self._home = fd
        if sock is not None:
            # In a forked child there is nobody to tell.
            with suppress(OSError, RuntimeError):
                sock.shadow_move(fd)

    def _is_mine(self, fd: int) -> bool:
        try:
            return _inode(fd) == self._inode
        except OSError:
            return False

    def become(self, fd: int, numbers: dict[_Inode, list[int]]) -> None:
        """Makes every descriptor of the shadow one of `fd`: in a forked child, that nobody mirrors.

        Poll objects of before go on with the old file.

        Args:
            fd: Of another file.
            numbers: What `open_numbers` gives.
        """
        if _inode(fd) == self._inode:
            return  # a child's child
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
        _detached.discard(self._inode)
        self._given = tuple(number for number in self._given if number != fd)
        self._find_home()
        return True


_Inode = tuple[int, int]
_registry: dict[_Inode, Shadow] = {}
# Those that no object uses; and of them, those of the process that forked this one.
_detached: set[_Inode] = set()
_left_behind: frozenset[_Inode] = frozenset()
# Of every socket's descriptors, and the one lock of that kind: a signal handler, or what garbage
# collection ends, may close any socket meanwhile. A forked child has another.
lock = RLock()
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
    with lock:
        # What was detached is the program's to close.
        for inode in list(_detached):
            left = _registry.get(inode)
            if left is None or not (left._uses or left.is_held()):
                _drop(inode)
            else:
                left._find_home()
        # A signal handler may have been here meanwhile.
        there = _registry.get(shadow._inode)
        if there is not None and there._sock is sock:
            return there, fd
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
    with lock:
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


def _drop(inode: _Inode) -> None:
    _detached.discard(inode)
    _registry.pop(inode, None)


def _make_room() -> None:
    global _has_room
    from resource import RLIMIT_NOFILE, getrlimit, setrlimit

    _has_room = True
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if 0 <= soft < hard or (soft >= 0 and hard < 0):
        setrlimit(RLIMIT_NOFILE, (2 * soft if hard < 0 else min(2 * soft, hard), hard))


def _after_fork() -> None:
    """In a forked child: another thread may have held the lock."""
    global _left_behind, lock
    lock = RLock()
    _left_behind = frozenset(_detached)


os.register_at_fork(after_in_child=_after_fork)
