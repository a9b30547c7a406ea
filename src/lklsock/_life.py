"""The life of stacks: their kernels boot, halt, end with the process, and start anew by a fork."""

from __future__ import annotations

import atexit
import os
import weakref
from _thread import RLock, get_ident
from contextlib import suppress

from . import _lkl
from ._recipe import Recipe
from ._wait import process_ends
from .errors import KernelBootError, KernelError

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._interface import Interface
    from ._netlink import NetlinkThread


# How a kernel stands to the other interpreters of the process: it is not theirs; it is the one
# that was booted first; it takes the place of that.
NOT_SHARED, SHARED, GIVEN = range(3)


class Life:
    """What owns a kernel, which boots when first needed.

    Args:
        memory_bytes, command_line, hostname, console_level: See `lklsock.Stack`.

    Attributes:
        recipe: What the stack was told, for forked children; before it boots, what it will be.
    """

    def __init__(
        self, memory_bytes: int, command_line: str, hostname: str | None, console_level: int
    ) -> None:
        self._memory_bytes = memory_bytes
        self._hostname = hostname
        self._command_line = command_line
        self._console_level = console_level
        self.recipe = Recipe()
        self._lock = RLock()
        self._kernel: _lkl.Kernel | None = None
        self._sharing = NOT_SHARED
        self._netlink: NetlinkThread | None = None
        self._halted = False
        # In a forked child: the parent's, until it boots; its own, and who boots it, meanwhile.
        self._inherited: _lkl.Kernel | None = None
        self._unfinished: tuple[_lkl.Kernel, int] | None = None
        _all.add(self)

    def __repr__(self) -> str:
        name = f" {self._hostname}" if self._hostname else ""
        return f"<lklsock.Stack{name} {self.state}>"

    @property
    def kernel(self) -> _lkl.Kernel:
        """The kernel, booted."""
        kernel = self._kernel
        return self.boot() if kernel is None else kernel

    def boot(self) -> _lkl.Kernel:
        """Boots the kernel, if it has not been booted yet.

        Raises:
            KernelBootError: It did not boot, or is not there.
            KernelNotRunningError: In a forked child: the parent has a link that cannot be opened
                once more.
            OSError: In a forked child: a link cannot be opened.
        """
        kernel = self._kernel or self._booting()
        if kernel is not None:
            return kernel
        with self._lock:
            kernel = self._kernel or self._booting()
            return self._start() if kernel is None else kernel

    def _booting(self) -> _lkl.Kernel | None:
        """The kernel that is being told what it is to know from its boot on, for who does that."""
        if self._unfinished is None:
            return None
        (kernel, thread), me = self._unfinished, get_ident()
        return kernel if me == thread or (self._netlink and me == self._netlink.ident) else None

    def _start(self) -> _lkl.Kernel:
        if self._inherited is not None:
            from ._opening import check_forkable

            check_forkable(self._opened_interfaces(), self._inherited.pid)
        kernel = None
        while kernel is None:
            kernel = (
                _lkl.shared_kernel() if self._sharing == SHARED else None
            ) or self._new_kernel()
        self._kernel = kernel
        self._inherited = None
        _running.add(self)
        for callback in _when_started:
            callback()
        return kernel

    def _new_kernel(self) -> _lkl.Kernel | None:
        """Boots one; None if another interpreter was faster to have that of the process."""
        kernel = _lkl.Kernel(_library())
        kernel.boot(self._memory_bytes, self._command_line, self._hostname, self._console_level)
        self._tell(kernel)
        if self._sharing != NOT_SHARED and not _lkl.share_kernel(kernel, self._sharing == GIVEN):
            # What followed the recipe is this kernel's, too.
            self._end_netlink()
            kernel.halt(0)
            return None
        return kernel

    def share(self, sharing: int) -> None:
        """Makes the kernel, now or when it boots, that of all interpreters that have none yet."""
        self._sharing = sharing
        if self._kernel is not None:
            _lkl.share_kernel(self._kernel, sharing == GIVEN)

    def _opened_interfaces(self) -> Iterable[Interface]:
        """Those with a link, which a forked child would have to open once more."""
        return ()

    def _tell(self, kernel: _lkl.Kernel) -> None:
        """Tells it what the parent's was told, or what a configuration has noted."""
        self._unfinished = kernel, get_ident()
        try:
            self.recipe.follow(self)
        except BaseException:
            self._end_netlink()
            kernel.halt(0)
            raise
        finally:
            self._unfinished = None

    def _forked(self) -> None:
        """In a forked child: the parent's kernel is out of reach."""
        self._lock = RLock()
        self._unfinished = None
        self._netlink = None
        if self._kernel is not None and not self._halted:
            self._inherited, self._kernel = self._kernel, None

    def halt(self, timeout_s: float = 1.0) -> None:
        """Closes all sockets and links, and frees the kernel, for good.

        Args:
            timeout_s: How long to wait for what has been sent to leave.
        """
        with self._lock:
            _running.discard(self)
            if self._kernel is None:
                self._kernel, self._inherited = self._inherited, None
            self._halted = self._kernel is not None
        self._end_netlink()
        with self._lock:
            if self._kernel is not None and self._kernel.state == "running":
                self._kernel.halt(timeout_s)

    @property
    def state(self) -> str:
        """One of "new", "running", "halted", "panicked", and "forked": left in the parent."""
        kernel = self._kernel or self._inherited
        return "new" if kernel is None else kernel.state

    @property
    def version(self) -> str:
        """The kernel's release, such as "6.12.117"."""
        return self.kernel.version

    def console(self) -> str:
        """What the kernel has printed. Works in every state."""
        kernel = self._kernel or self._inherited
        return "" if kernel is None else kernel.console()

    def netlink_thread(self) -> NetlinkThread:
        """The thread that asks the kernel by netlink, and waits for its news."""
        from ._netlink import NetlinkThread

        self.boot()
        # While it boots, the lock is held by who waits for the thread.
        if self._netlink is None:
            with self._lock:
                self._netlink = self._netlink or NetlinkThread()
        return self._netlink

    def _end_netlink(self) -> None:
        netlink, self._netlink = self._netlink, None
        if netlink is not None:
            netlink.close()


_all: weakref.WeakSet[Life] = weakref.WeakSet()
_running: weakref.WeakSet[Life] = weakref.WeakSet()
_when_started: list[Callable[[], object]] = []


def when_started(callback: Callable[[], object]) -> None:
    """Calls back, from now on, whenever a kernel of this process has started."""
    _when_started.append(callback)


def running() -> list[Life]:
    """Those of this process that have booted and not been halted, in no order."""
    return [life for life in _booted() if life.state == "running"]


def panicked() -> list[Life]:
    """Those of this process whose kernels have panicked, and have not been halted, in no order."""
    return [life for life in _booted() if life.state == "panicked"]


def _booted() -> list[Life]:
    while True:
        # Another thread may boot or halt one meanwhile.
        with suppress(RuntimeError):
            return list(_running)


def _library() -> str:
    path = os.path.join(os.path.dirname(__file__), "_kernel", "liblkl.so")
    if not os.path.exists(path):
        raise KernelBootError(f"{path} is missing: build and install lklsock again (pip install .)")
    return path


def _halt_all() -> None:
    process_ends()
    everything = _lkl.in_main_interpreter()
    for life in _booted():
        if life._sharing != NOT_SHARED and not everything:
            continue  # others have it, too
        # A dead kernel has nothing to say good-bye to.
        with suppress(KernelError):
            life.halt()


def _after_fork_in_child() -> None:
    global _running
    _running = weakref.WeakSet()
    for life in list(_all):
        life._forked()


atexit.register(_halt_all)
# CPython counts threads between the fork and its own hooks; those of kernels come back after it.
os.register_at_fork(before=_lkl.fork_hold, after_in_parent=_lkl.fork_release)
os.register_at_fork(after_in_child=_after_fork_in_child)
