"""What a socket is, and how it is set: family, type, timeout, options.

The lowest of the three classes that make up `lklsock.socket.socket`.
"""

from __future__ import annotations

import errno
import os
import socket as _stdlib
from operator import index

from ._ledger import note_option
from ._lkl import Socket
from ._options import is_hint, is_refused, is_so_anyway, make_plain
from ._shadow import Kind, Shadow
from ._stdlib_own import StdlibSocket as _base
from ._wait import kernel_timeouts_used

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from _socket import socket as HostSocket
    from typing import overload

    from _typeshed import ReadableBuffer

_AddressFamily = _stdlib.AddressFamily
_SocketKind = _stdlib.SocketKind
# As the stdlib does: a number that has no name stays a number.
_named = _stdlib._intenum_converter  # type: ignore[attr-defined]

IPPROTO_MPTCP = 262
SO_PROTOCOL = 38
SOL_TCP = 6
TCP_IS_MPTCP = 43

_SOL_SOCKET = int(_stdlib.SOL_SOCKET)
_SO_ERROR = int(_stdlib.SO_ERROR)
_SO_RCVLOWAT = int(_stdlib.SO_RCVLOWAT)
# The old and the 64-bit ones: a program may name either.
_SO_TIMEOUTS = frozenset((int(_stdlib.SO_RCVTIMEO), int(_stdlib.SO_SNDTIMEO), 66, 67))


class Attributes(_base):
    """A socket's state, and what asks for it and changes it.

    A socket without a kernel socket (`_lkl` is None) is a host socket, or closed: the base class
    then does the work, or raises EBADF.
    """

    __slots__ = ("_heir", "_hints", "_kind", "_lkl", "_low_water", "_shadow", "_timeout")

    _lkl: Socket | None
    # None for a host socket; stays when a kernel socket is closed.
    _kind: Kind | None
    # With the number that this object has of it.
    _shadow: tuple[Shadow, int] | None
    _timeout: float | None
    # SO_RCVLOWAT, if it is more than one byte; else 0.
    _low_water: int
    _hints: dict[tuple[int, int], int | bytes] | None
    # Of the host: the connection goes on through it when it is closed here; see `_handover`.
    _heir: HostSocket | None

    def _set(self, sock: Socket | None, kind: Kind | None, timeout: float | None) -> None:
        self._lkl = sock
        self._kind = kind
        self._shadow = None
        self._timeout = timeout
        self._low_water = 0
        self._hints = None
        self._heir = None

    @property
    def family(self) -> _stdlib.AddressFamily:
        """Like `socket.socket.family`."""
        if self._kind is None:
            return super().family
        family: _stdlib.AddressFamily = _named(self._kind.family, _AddressFamily)
        return family

    @property
    def type(self) -> _stdlib.SocketKind:
        """Like `socket.socket.type`."""
        if self._kind is None:
            return super().type
        kind: _stdlib.SocketKind = _named(self._kind.type, _SocketKind)
        return kind

    @property
    def proto(self) -> int:
        """Like `socket.socket.proto`: what the program asked for, whether upgraded or not."""
        return super().proto if self._kind is None else self._kind.proto

    # ---- time

    @property
    def timeout(self) -> float | None:
        """Like `socket.socket.timeout`."""
        return super().timeout if self._kind is None else self._timeout

    def gettimeout(self) -> float | None:
        """Like `socket.socket.gettimeout`."""
        return _base.gettimeout(self) if self._kind is None else self._timeout

    def settimeout(self, value: float | None, /) -> None:
        """Like `socket.socket.settimeout`."""
        if self._lkl is None:
            _base.settimeout(self, value)
        else:
            self._set_timeout(None if value is None else _seconds(value))

    def getblocking(self) -> bool:
        """Like `socket.socket.getblocking`."""
        return _base.getblocking(self) if self._kind is None else self._timeout != 0

    def setblocking(self, flag: bool, /) -> None:
        """Like `socket.socket.setblocking`."""
        if self._lkl is None:
            _base.setblocking(self, flag)
        else:
            self._set_timeout(None if flag else 0.0)

    def _set_timeout(self, timeout_s: float | None) -> None:
        self._timeout = timeout_s
        if self._shadow is not None:
            os.set_blocking(self._shadow[1], timeout_s is None)

    def _patience(self) -> float | None:
        """The timeout of a call that has to wait now.

        Who has the descriptor can make it non-blocking by fcntl(2), too.
        """
        timeout_s = self._timeout
        if timeout_s is None and self._shadow is not None:
            return None if os.get_blocking(self._shadow[1]) else 0.0
        return timeout_s

    # ---- options

    if TYPE_CHECKING:

        @overload
        def getsockopt(self, level: int, optname: int, /) -> int: ...
        @overload
        def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> int | bytes:
        """Like `socket.socket.getsockopt`.

        An option that MPTCP refused, and that was remembered, answers what it was set to.
        """
        lkl = self._lkl
        if lkl is None:
            return _base.getsockopt(self, level, optname, buflen)
        # The kernel refuses to say, or says what it would be unset.
        hint = self._hints.get((level, optname)) if self._hints else None
        if hint is not None:
            return hint
        value = lkl.getsockopt(level, optname, buflen)
        if level == _SOL_SOCKET and not buflen and self._kind is not None:
            if optname == SO_PROTOCOL and self._kind.upgraded:
                return SOL_TCP
            if optname == _SO_ERROR and not value and self._kind.required:
                return errno.EPROTO if self._is_connected(lkl) and self._fell_back(lkl) else 0
        return value

    if TYPE_CHECKING:

        @overload
        def setsockopt(self, level: int, optname: int, value: int | ReadableBuffer, /) -> None: ...
        @overload
        def setsockopt(self, level: int, optname: int, value: None, optlen: int, /) -> None: ...

    def setsockopt(
        self, level: int, optname: int, value: int | ReadableBuffer | None, *optlen: int
    ) -> None:
        """Like `socket.socket.setsockopt`.

        An option that MPTCP refuses, and that is but a hint, is remembered and changes nothing.
        Any other makes a socket plain TCP that TCP takes it for, before it connects or listens,
        and where the stack does not require MPTCP. Later, SO_OOBINLINE is remembered as well.
        """
        lkl = self._lkl
        if lkl is None:
            _base.setsockopt(self, level, optname, value, *optlen)
            return
        try:
            lkl.setsockopt(level, optname, value, *optlen)
        except OSError as error:
            if not is_refused(error):
                raise
            asked = level, optname, value, *optlen
            if not is_hint(level, optname) and make_plain(lkl, self._kind, asked):
                self._hints = None
                note_option(level, optname, "plain TCP")
            elif value is not None and (is_hint(level, optname) or is_so_anyway(level, optname)):
                if self._hints is None:
                    self._hints = {}
                self._hints[level, optname] = value if isinstance(value, int) else bytes(value)
                note_option(level, optname, "remembered")
            else:
                raise
        kind = self._kind
        if kind is not None and kind.settings is not None:
            kept = value if value is None or isinstance(value, int) else bytes(value)
            setting = level, optname, kept, *optlen
            # It goes after all others; once, for programs that set one for each datagram.
            kind.settings.pop(setting, None)
            kind.settings[setting] = None
        if level == _SOL_SOCKET:
            if optname in _SO_TIMEOUTS:
                kernel_timeouts_used()
            elif optname == _SO_RCVLOWAT:
                self._note_low_water(lkl)

    def getsockopt_buffer(self, level: int, optname: int, value: ReadableBuffer, /) -> bytes:
        """getsockopt(2) of an option that reads its buffer, too: MPTCP_TCPINFO and its like.

        Only kernel sockets have it.
        """
        lkl = self._lkl
        if lkl is None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return lkl.getsockopt_buffer(level, optname, value)

    def _note_low_water(self, lkl: Socket) -> None:
        count = lkl.getsockopt(_SOL_SOCKET, _SO_RCVLOWAT)
        assert isinstance(count, int)
        self._low_water = count if count > 1 else 0

    def _is_connected(self, lkl: Socket) -> bool:
        try:
            lkl.getpeername()
        except OSError:
            return False
        return True

    def _fell_back(self, lkl: Socket) -> bool:
        """Whether MPTCP is required, and this connection is none."""
        return (
            self._kind is not None
            and self._kind.required
            and lkl.getsockopt(SOL_TCP, TCP_IS_MPTCP) == 0
        )


def _seconds(value: float) -> float:
    """The timeout as the standard library takes it."""
    seconds = float(value if isinstance(value, float) else index(value))
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if abs(seconds) > 2**63 / 1e9:
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    if seconds < 0:
        raise ValueError("Timeout value out of range")
    return seconds
