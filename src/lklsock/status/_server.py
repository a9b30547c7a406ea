"""The thread that answers who asks for the status of this process."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import socket as _stdlib
from _thread import allocate_lock
from contextlib import suppress

from .. import _life, _lkl
from .._stdlib_own import StdlibSocket
from . import _directory
from ._own_thread import POLLIN, POLLNVAL, OwnThread, poll, sleep

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from ..stack import Stack
    from ._conversation import Conversation

VARIABLE = "LKLSOCK_STATUS"

_CONVERSATIONS_MAX = 16
_SHORTAGE_S = 0.1

log = logging.getLogger("lklsock")


class Server:
    """Serves the status of this process. `serve` makes it; `close`, or `with`, ends it."""

    def __init__(self, stacks: tuple[Stack, ...]) -> None:
        self.stacks = stacks
        self._pid = os.getpid()
        self._lock = allocate_lock()
        self._thread: OwnThread | None = None
        self._conversations: list[Conversation] = []
        self._directory = _directory.make(os.geteuid())
        try:
            self._listener = _listen(self._directory, self._pid)
        except BaseException:
            os.close(self._directory)
            raise
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._start()

    def __repr__(self) -> str:
        return f"<lklsock.status.Server pid={self._pid}>"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Serves no more. Does nothing the second time, or in a forked child."""
        global _server
        with self._lock:
            if _server is not self:
                return
            _server = None
            self._end()
            with suppress(OSError):
                os.unlink(_directory.name(self._pid), dir_fd=self._directory)
            self._close_descriptors()

    # ---- fork: a process that forks should have one thread

    def hold(self) -> None:
        """Before a fork."""
        self._lock.acquire()
        if _server is self:
            self._end()

    def release(self) -> None:
        """After it."""
        try:
            if _server is self:
                self._start()
        finally:
            self._lock.release()

    def forget(self) -> None:
        """In a forked child: what is here is the parent's."""
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        self._listener.close()
        for conversation in self._conversations:
            conversation.close()
        self._conversations.clear()
        for fd in (self._bell, self._directory):
            with suppress(OSError):
                os.close(fd)

    # ---- the thread

    def _start(self) -> None:
        self._thread = OwnThread(self._run)

    def _end(self) -> None:
        if self._thread is not None:
            with suppress(OSError):
                os.eventfd_write(self._bell, 1)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            ready = self._ready()
            if ready is None:
                return
            if self._bell in ready:
                os.eventfd_read(self._bell)
                return
            for conversation in list(self._conversations):
                if not conversation.advance(ready):
                    self._conversations.remove(conversation)
                    conversation.close()
            if self._listener.fileno() in ready and not self._accept():
                return

    def _ready(self) -> set[int] | None:
        """The descriptors that something has happened to; none when a deadline has passed.

        None if they are ours no more: a program that becomes a daemon closes all there are.
        """
        watched = poll()
        watched.register(self._bell, POLLIN)
        if len(self._conversations) < _CONVERSATIONS_MAX:
            watched.register(self._listener, POLLIN)
        patience_s: float | None = None
        for conversation in self._conversations:
            for fd, events in conversation.interests():
                watched.register(fd, events)
            left_s = conversation.left_s()
            if left_s is not None:
                patience_s = left_s if patience_s is None else min(left_s, patience_s)
        found = watched.poll(None if patience_s is None else patience_s * 1e3)
        if any(mask & POLLNVAL for _, mask in found):
            return None
        return {fd for fd, _ in found}

    def _accept(self) -> bool:
        """Returns False if the listener is ours no more."""
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return True
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return False
            # The program has used up its descriptors. Who asks waits.
            sleep(_SHORTAGE_S)
            return True
        from ._conversation import Conversation

        self._conversations.append(Conversation(sock, self.stacks))
        return True


def serve(*stacks: Stack) -> Server:
    """Has `python -m lklsock status` see this process, from now on.

    Called again, it changes the stacks.

    Args:
        stacks: Those to be seen; none for all that run, as they come and go.

    Raises:
        OSError: There is no directory that is this user's alone; it says which.
        RuntimeError: This is not the main interpreter, which serves the status of its process.
    """
    global _server
    if not _lkl.in_main_interpreter():
        raise RuntimeError("the status of a process is served by its main interpreter")
    if _server is None:
        _server = Server(stacks)
    _server.stacks = stacks
    return _server


def serve_by_default() -> Server | None:
    """For the start of a command: serves, unless LKLSOCK_STATUS is 0. That it cannot is logged."""
    if os.environ.get(VARIABLE) == "0" or not _lkl.in_main_interpreter():
        return None
    try:
        return serve()
    except OSError as error:
        log.warning("the status of this process cannot be asked for: %s", error)
        return None


def _listen(directory: int, pid: int) -> _stdlib.socket:
    listener = StdlibSocket(_stdlib.AF_UNIX, _stdlib.SOCK_STREAM)
    try:
        address = _directory.address(directory, pid)
        # What is there was left by a process of this number that was killed.
        with suppress(FileNotFoundError):
            os.unlink(_directory.name(pid), dir_fd=directory)
        listener.bind(address)
        os.chmod(address, 0o600)
        listener.listen(_CONVERSATIONS_MAX)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


_server: Server | None = None
_held: Server | None = None
# In a forked child: the stacks that its parent serves, until it serves itself.
_wanted: tuple[Stack, ...] | None = None


def _before_fork() -> None:
    global _held
    _held = _server
    if _held is not None:
        _held.hold()


def _after_fork_in_parent() -> None:
    if _held is not None:
        _held.release()


def _after_fork_in_child() -> None:
    global _server, _wanted
    parents, _server = _held, None
    if parents is not None:
        parents.forget()
        _wanted = parents.stacks


def _serve_in_child() -> None:
    """In a forked child, one of whose stacks has started: till then there is nothing to see."""
    global _server, _wanted
    if _wanted is None or _server is not None:
        return
    stacks, _wanted = _wanted, None
    try:
        _server = Server(stacks)
    except OSError as error:
        log.warning("the status of this process cannot be asked for: %s", error)


def _at_exit() -> None:
    if _server is not None:
        _server.close()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)

atexit.register(_at_exit)
_life.when_started(_serve_in_child)
