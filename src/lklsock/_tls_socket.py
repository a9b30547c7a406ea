"""The class of a kernel socket with TLS: an `ssl.SSLSocket` that is a socket of ours, too.

Nearly all of it is the stdlib's: its methods do what they do through `_sslobj`, which is a
`Channel` here, and through the socket's own methods, which are ours. `_tls` calls `wrap`.
"""

from __future__ import annotations

import errno
import ssl
from contextlib import suppress
from functools import lru_cache
from socket import SO_TYPE, SOCK_STREAM, SOL_SOCKET

from . import _lkl
from ._socket import socket
from ._tls_channel import Channel, ssl_error
from .errors import KernelError

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any


_EARLY_DATA = "Closed before TLS handshake with data in recv buffer."


class SSLSocket(ssl.SSLSocket, socket):  # type: ignore[misc]
    """Like `ssl.SSLSocket`, on a socket of ours."""

    def _start(
        self,
        context: Any,
        session: ssl.SSLSession | None,
        server_side: bool,
        server_hostname: str | None,
        do_handshake_on_connect: bool,
        suppress_ragged_eofs: bool,
    ) -> None:
        """Sets what the stdlib's methods look at, and shakes hands if there is a connection."""
        self._context = context
        self._session = session
        self._sslobj: Any = None
        self._connected = False
        self.server_side = server_side
        self.server_hostname = context._encode_hostname(server_hostname)
        self.do_handshake_on_connect = do_handshake_on_connect
        self.suppress_ragged_eofs = suppress_ragged_eofs
        try:
            self.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            self._refuse_early_data()
            return
        self._connected = True
        self._sslobj = self._channel()
        if do_handshake_on_connect:
            if self.gettimeout() == 0:
                raise ValueError(
                    "do_handshake_on_connect should not be specified for non-blocking sockets"
                )
            self.do_handshake()

    def _refuse_early_data(self) -> None:
        """Raises if a peer that is gone has left plain bytes: nobody may take them for TLS's."""
        timeout_s = self.gettimeout()
        self.settimeout(0)
        try:
            early = self.recv(1)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EINVAL):
                raise
            return
        finally:
            self.settimeout(timeout_s)
        if early:
            raise ssl_error(ssl.SSLError, errno.ENOTCONN, _EARLY_DATA, _EARLY_DATA)

    def _channel(self) -> Channel:
        return Channel(self, self._context, self.server_side, self.server_hostname, self._session)

    def bridge(self) -> int:
        """Like `lklsock.socket.socket.bridge`, of a connection whose TLS has ended.

        Raises:
            NotImplementedError: It has not: the bridge would carry plain bytes.
        """
        if self._sslobj is not None:
            raise NotImplementedError("unwrap() comes before bridge(), which carries no TLS")
        return super().bridge()

    def _real_close(self, *args: Any) -> None:
        if self._lkl is None:
            super()._real_close(*args)
            return
        # Not by way of the stdlib's, which forgets at first whether there is TLS.
        super(ssl.SSLSocket, self)._real_close(*args)
        self._sslobj = None

    def _close_kernel_socket(self, lkl: _lkl.Socket) -> None:
        try:
            if self._sslobj is not None:
                with suppress(OSError, KernelError):
                    self._sslobj.end(lkl)
        finally:
            super()._close_kernel_socket(lkl)

    def _real_connect(self, addr: Any, connect_ex: bool) -> int | None:
        if self._lkl is None:
            return super()._real_connect(addr, connect_ex)  # type: ignore[misc,no-any-return]
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._connected or self._sslobj is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")
        self._sslobj = self._channel()
        plain: Any = super(ssl.SSLSocket, self)
        try:
            number: int | None = plain.connect_ex(addr) if connect_ex else plain.connect(addr)
            if self._lkl is None:
                # The policy has just made it a host socket.
                self._sslobj = self._context._wrap_socket(
                    self, False, self.server_hostname, owner=self, session=self._session
                )
            if not number:
                self._connected = True
                if self.do_handshake_on_connect:
                    self.do_handshake()
        except (OSError, ValueError):
            self._sslobj = None
            raise
        return number


@lru_cache(maxsize=16)
def class_for(cls: type[ssl.SSLSocket], plain: type[socket]) -> type[SSLSocket]:
    """The class for a socket of ours that is to be wrapped.

    Args:
        cls: What a program asked for: `ssl.SSLSocket`, or a class that it derived from that.
        plain: The class of the socket.

    Returns:
        A subclass of both.
    """
    # Not issubclass(): for it, the stdlib's class may count as one of ours.
    if cls is ssl.SSLSocket and plain in SSLSocket.__mro__:
        return SSLSocket
    bases = [base for base in (cls, SSLSocket, plain) if base is not ssl.SSLSocket]
    return type(cls.__name__, tuple(bases), {"__module__": cls.__module__})


def wrap(
    cls: type[SSLSocket],
    sock: socket,
    server_side: bool = False,
    do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True,
    server_hostname: str | None = None,
    context: Any = None,
    session: ssl.SSLSession | None = None,
) -> SSLSocket:
    """Like `ssl.SSLSocket._create`, for a kernel socket."""
    if sock.getsockopt(SOL_SOCKET, SO_TYPE) != SOCK_STREAM:
        raise NotImplementedError("only stream sockets are supported")
    if server_side:
        if server_hostname:
            raise ValueError("server_hostname can only be specified in client mode")
        if session is not None:
            raise ValueError("session can only be specified in client mode")
    if context.check_hostname and not server_hostname:
        raise ValueError("check_hostname requires server_hostname")
    wrapped = cls.__new__(cls)
    sock._move_to(wrapped)
    try:
        wrapped._start(
            context,
            session,
            server_side,
            server_hostname,
            do_handshake_on_connect,
            suppress_ragged_eofs,
        )
    except BaseException:
        with suppress(OSError):
            wrapped.close()
        raise
    return wrapped
