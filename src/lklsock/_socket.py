"""The class `socket`: one class for every family, on the kernel's sockets or the host's.

AF_INET, AF_INET6, AF_NETLINK and AF_PACKET are served by the kernel of the stack in use; every
other family is a genuine host socket, through the base class. A kernel socket has no host
descriptor until `fileno()` is first called; see `_shadow`.
"""

from __future__ import annotations

import errno
import os
import socket as _stdlib
import sys
import warnings
from _socket import socket as _HostSocket
from _thread import _local
from collections.abc import Callable
from contextlib import suppress
from weakref import ref

from . import _lkl, _shadow
from ._attributes import IPPROTO_MPTCP, SO_PROTOCOL, SOL_TCP, Attributes
from ._ledger import note_socket
from ._sendfile import send_file
from ._shadow import Kind, Shadow, cast, find
from ._stdlib_own import StdlibSocket as _base
from ._transfer import Transfer
from ._wait import Limit, until

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any, Protocol

    class World(Protocol):
        """What a socket asks of the stack that it is made in."""

        @property
        def kernel(self) -> _lkl.Kernel:
            """The kernel, booted."""

        @property
        def mptcp_mode(self) -> str:
            """One of "prefer", "require" and "off"."""


_gaierror = _stdlib.gaierror

STACK_FAMILIES = frozenset(
    int(family)
    for family in (_stdlib.AF_INET, _stdlib.AF_INET6, _stdlib.AF_NETLINK, _stdlib.AF_PACKET)
)
_IP_FAMILIES = frozenset((int(_stdlib.AF_INET), int(_stdlib.AF_INET6)))

_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY)
_SOL_SOCKET = int(_stdlib.SOL_SOCKET)
_SOCK_STREAM = int(_stdlib.SOCK_STREAM)
_SOCK_NONBLOCK = int(_stdlib.SOCK_NONBLOCK)
_TYPE_FLAGS = int(_stdlib.SOCK_NONBLOCK | _stdlib.SOCK_CLOEXEC)
_FELL_BACK = "the connection fell back to TCP, and MPTCP is required"


_current_world: Callable[[], World]
_read_mptcp: Callable[[socket], Any]


def set_current_world(current: Callable[[], World]) -> None:
    """Hands over the function that tells the stack for a new socket."""
    global _current_world
    _current_world = current


def set_mptcp_reader(read: Callable[[socket], Any]) -> None:
    """Hands over the function behind `socket.mptcp`."""
    global _read_mptcp
    _read_mptcp = read


class socket(Transfer):
    """Like `socket.socket`, except that network families are served by a Linux kernel inside.

    TCP sockets are upgraded to MPTCP, as far as the stack's `mptcp_mode` says; `mptcp` tells what
    became of one. `proto` stays what the program asked for.

    `fileno()` is a host descriptor that mirrors the readiness: good for select, poll, epoll and
    everything built on these, not for read(2) and write(2).
    """

    __slots__ = ()

    # What accept() makes, of subclasses as well.
    _plain: type[socket]

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        self._set(None, None, None)
        if fileno is not None:
            shadow = find(fileno) if isinstance(fileno, int) else None
            if shadow is None or not isinstance(fileno, int):
                _base.__init__(self, family, type, proto, fileno)
                return
            self._take(shadow.sock, _kind_of(shadow, family, type, proto))
            self._shadow = shadow, fileno
            self._note_low_water(shadow.sock)
            return
        if family == -1:
            family = _stdlib.AF_INET
        if family not in STACK_FAMILIES:
            _base.__init__(self, family, type, proto)
            return
        if type == -1:
            type = _SOCK_STREAM
        self._take(*_open(_current_world(), family, type, 0 if proto == -1 else proto))
        if type & _SOCK_NONBLOCK:
            self._timeout = 0.0
        self._find_world()

    def _find_world(self) -> None:
        """Says where the socket, which is new, lives: in the stack."""
        note_socket("stack", self._kind is not None and self._kind.upgraded)

    def _take(self, sock: _lkl.Socket, kind: Kind) -> None:
        self._set(sock, kind, _stdlib.getdefaulttimeout())
        self._io_refs = 0
        self._closed = False

    def __del__(
        self,
        _finalize: Callable[[Any], None] = _base.__del__,  # type: ignore[attr-defined]
        _is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if getattr(self, "_lkl", None) is None:
            _finalize(self)
            return
        try:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            # As with the stdlib's: another object may have closed the number.
            with suppress(OSError):
                self._real_close()
        except (AttributeError, TypeError):
            # When Python ends, modules lose their names before this: then C closes it.
            if not _is_finalizing():
                raise

    def __repr__(self) -> str:
        """Like that of `socket.socket`, with the kernel's descriptor."""
        lkl = self._lkl
        if lkl is None:
            return super().__repr__()
        host = f" fd={self._shadow[1]}," if self._shadow else ""
        text = (
            f"<{self.__class__.__module__}.{self.__class__.__qualname__}{host} lkl_fd={lkl.lkl_fd},"
            f" family={self.family!s}, type={self.type!s}, proto={self.proto}"
        )
        for label, name in (("laddr", lkl.getsockname), ("raddr", lkl.getpeername)):
            try:
                address = name()
            except (OSError, RuntimeError):
                continue
            if address:
                text += f", {label}={address}"
        return text + ">"

    @property
    def mptcp(self) -> Any:
        """What MPTCP knows of the connection: a `lklsock.mptcp.Info`.

        None if it is no MPTCP connection, or one that has fallen back to TCP.
        """
        return _read_mptcp(self)

    # ---- descriptors

    def fileno(self) -> int:
        """Like `socket.socket.fileno`, except that the descriptor carries readiness, not data.

        What write(2) or sendfile(2) puts into it is lost. `sendfile` of this class sends; so does
        `os.sendfile` in a patched program, and through it asyncio's. For other code that reads and
        writes a descriptor itself, there is `bridge`.
        """
        lkl = self._lkl
        if lkl is None:
            return _base.fileno(self)
        if self._shadow is None:
            with _shadow.lock:
                if self._lkl is not lkl:
                    return self.fileno()  # closed, or the host's, by now
                if self._shadow is None:
                    assert self._kind is not None
                    self._shadow = cast(lkl, self._kind)
                    if self._timeout is not None:
                        os.set_blocking(self._shadow[1], False)
        return self._shadow[1]

    def detach(self) -> int:
        """Like `socket.socket.detach`: `socket(fileno=...)` finds the kernel socket again."""
        if self._lkl is None:
            return _base.detach(self)
        fd = self.fileno()
        assert self._shadow is not None
        self._shadow[0].leave(fd)
        self._disinherit()
        self._lkl = None
        self._shadow = None
        self._closed = True
        return fd

    def bridge(self) -> int:
        """Detaches the connection, to a host descriptor that carries its data.

        It is for code that reads and writes a descriptor itself: `subprocess`, C libraries,
        `multiprocessing.connection.Connection(sock.bridge())`. Threads of the stack copy between
        it and the connection. The socket object is used up, as after `detach`; who gets the
        descriptor closes it. Not in the standard library.

        Raises:
            OSError: ENOTCONN, or EOPNOTSUPP if it is no stream.
        """
        lkl = self._lkl
        if lkl is None:
            return _base.detach(self)
        fd = lkl.bridge()
        self._disinherit()
        with _shadow.lock:
            cast_shadow, self._shadow = self._shadow, None
            self._lkl = None
        self._closed = True
        if cast_shadow is not None:
            shadow, number = cast_shadow
            # Another object may have closed the number.
            with suppress(OSError):
                if shadow.release(number):
                    os.close(number)
        return fd

    def _move_to(self, heir: socket) -> None:
        """Makes `heir`, which is new, what this socket is; this one is closed, as by detach()."""
        with _shadow.lock:
            for name in Attributes.__slots__:
                setattr(heir, name, getattr(self, name))
            heir._io_refs = 0
            heir._closed = False
            self._lkl = None
            self._shadow = None
            self._closed = True

    def _real_close(self, _ss: Any = _HostSocket) -> None:
        # Of two threads that close, one does it.
        with _shadow.lock:
            lkl, cast_shadow, self._lkl, self._shadow = self._lkl, self._shadow, None, None
        if lkl is None:
            super()._real_close(_ss)  # type: ignore[misc]
            return
        if cast_shadow is None:
            self._close_kernel_socket(lkl)
            return
        shadow, fd = cast_shadow
        if shadow.release(fd):
            try:
                self._close_kernel_socket(lkl)
            finally:
                os.close(fd)
        else:
            self._disinherit()

    def _disinherit(self) -> None:
        """Nothing is left to a forked child any more."""
        heir, self._heir = self._heir, None
        if heir is not None:
            heir.close()

    def _close_kernel_socket(self, lkl: _lkl.Socket) -> None:
        """Closes it, when the last object that stood for it is closed."""
        if self._heir is not None:
            # Not if it has failed by now.
            with suppress(OSError, RuntimeError):
                lkl.bridge(self._heir.fileno())
                self._heir.detach()
                return
            self._disinherit()
        lkl.close()

    # ---- names

    def bind(self, address: Any, /) -> None:
        """Like `socket.socket.bind`."""
        lkl = self._lkl
        if lkl is None:
            return _base.bind(self, address)
        try:
            return lkl.bind(address)
        except _gaierror:
            pass
        return lkl.bind(self._resolved(address))

    def getsockname(self) -> Any:
        """Like `socket.socket.getsockname`."""
        lkl = self._lkl
        return _base.getsockname(self) if lkl is None else lkl.getsockname()

    def getpeername(self) -> Any:
        """Like `socket.socket.getpeername`."""
        lkl = self._lkl
        return _base.getpeername(self) if lkl is None else lkl.getpeername()

    # ---- connections

    def connect(self, address: Any, /) -> None:
        """Like `socket.socket.connect`.

        Raises:
            OSError: EPROTO if the connection fell back to TCP where the stack requires MPTCP.
        """
        lkl = self._lkl
        if lkl is None:
            _base.connect(self, address)
            return
        error = self._connect(lkl, address)
        if error:
            fell_back = error == errno.EPROTO and self._fell_back(lkl)
            raise OSError(error, _FELL_BACK if fell_back else os.strerror(error))

    def connect_ex(self, address: Any, /) -> int:
        """Like `socket.socket.connect_ex`."""
        lkl = self._lkl
        if lkl is None:
            return _base.connect_ex(self, address)
        try:
            return self._connect(lkl, address)
        except TimeoutError:
            return errno.EAGAIN
        except BlockingIOError as error:
            return error.errno or errno.EAGAIN

    def _begin(self) -> None:
        """Connecting, or listening: too late to make it anew."""
        if self._kind is not None:
            self._kind.settings = None

    def _connect(self, lkl: _lkl.Socket, address: Any) -> int:
        self._begin()
        try:
            error = lkl.connect(address)
        except _gaierror:
            error = -1
        if error < 0:
            address = self._resolved(address)
            error = lkl.connect(address)
        # A blocking connect() joins one that is under way.
        if error == errno.EINPROGRESS or (error == errno.EALREADY and self._timeout is None):
            limit = Limit(lkl, _lkl.OUT, self._patience())
            while error in _UNDER_WAY:
                limit.wait(errno.EINPROGRESS)
                # Not SO_ERROR: the kernel learns only from this call that we know of the outcome.
                error = lkl.connect(address)
        if not error and self._fell_back(lkl):
            return errno.EPROTO
        return error

    def listen(self, backlog: int = min(_stdlib.SOMAXCONN, 128), /) -> None:
        """Like `socket.socket.listen`."""
        lkl = self._lkl
        if lkl is None:
            return _base.listen(self, backlog)
        lkl.listen(max(backlog, 0))
        self._begin()
        return None

    def accept(self) -> tuple[socket, Any]:
        """Like `socket.socket.accept`.

        Raises:
            ConnectionAbortedError: The peer speaks no MPTCP, and the stack requires it.
        """
        lkl = self._lkl
        if lkl is None:
            fd, address = self._accept()  # type: ignore[attr-defined]
            accepted = self._plain(self.family, self.type, self.proto, fd)
            if self.family in _IP_FAMILIES:
                note_socket("host")
            if _stdlib.getdefaulttimeout() is None and self.gettimeout():
                accepted.setblocking(True)
            return accepted, address
        answer = lkl.accept()
        if answer is None:
            answer = until(lkl, _lkl.IN, self._patience(), lkl.accept)
        if answer is None or self._kind is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sock, address = answer
        accepted = self._adopt(sock, self._kind)
        if accepted._fell_back(sock):
            accepted.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, _FELL_BACK)
        return accepted, address

    def _adopt(self, sock: _lkl.Socket, kind: Kind) -> socket:
        """A socket object of a connection that was accepted."""
        accepted = self._plain.__new__(self._plain)
        accepted._take(sock, kind)
        accepted._low_water = self._low_water
        note_socket("stack", kind.upgraded)
        _accepted.last = ref(accepted)
        return accepted

    def shutdown(self, how: int, /) -> None:
        """Like `socket.socket.shutdown`."""
        lkl = self._lkl
        return _base.shutdown(self, how) if lkl is None else lkl.shutdown(how)

    # ---- files

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """What `sendfile` does with a regular file: pread(2) and send() for a kernel socket."""
        if self._lkl is None:
            return super()._sendfile_use_sendfile(file, offset, count)  # type: ignore[misc,no-any-return]
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        return send_file(self, file, offset, count)


socket._plain = socket
socket.__module__ = "lklsock.socket"

_accepted = _local()


def accepted_last() -> socket | None:
    """The kernel connection that this thread accepted last, if the program still has it."""
    last: Callable[[], socket | None] | None = getattr(_accepted, "last", None)
    return None if last is None else last()


def _kind_of(shadow: Shadow, family: int, type: int, proto: int) -> Kind:
    """What a socket is that a program makes of a descriptor: what it does not say is found out."""
    kind = shadow.kind
    if proto == -1:
        found = SOL_TCP if kind.upgraded else shadow.sock.getsockopt(_SOL_SOCKET, SO_PROTOCOL)
        assert isinstance(found, int)
        proto = found
    found_kind = Kind(
        kind.family if family == -1 else family,
        kind.type if type == -1 else type & ~_TYPE_FLAGS,
        proto,
        kind.upgraded,
        kind.required,
    )
    found_kind.settings, found_kind.kernel = kind.settings, kind.kernel
    return found_kind


def _open(world: World, family: int, type: int, proto: int) -> tuple[_lkl.Socket, Kind]:
    kernel = world.kernel
    mode = world.mptcp_mode
    plain_type = type & ~_TYPE_FLAGS
    if (
        plain_type == _SOCK_STREAM
        and proto in (0, SOL_TCP)
        and family in _IP_FAMILIES
        and mode != "off"
    ):
        required = mode == "require"
        try:
            sock = kernel.socket(family, type, IPPROTO_MPTCP)
            kind = Kind(family, plain_type, proto, upgraded=True, required=required)
            kind.settings, kind.kernel = {}, kernel
            return sock, kind
        except OSError as error:
            if required or error.errno not in (errno.ENOPROTOOPT, errno.EPROTONOSUPPORT):
                raise
    kind = Kind(family, plain_type, proto)
    kind.kernel = kernel
    return kernel.socket(family, type, proto), kind
