"""TLS over a kernel socket: what `_ssl` does for a host socket, which it reads and writes itself.

OpenSSL works on two memory buffers here, and the channel carries their bytes. It receives one
record at a time, and only when OpenSSL asks for it, as OpenSSL does by itself: so nothing that has
come is ever out of sight of select(), and what follows the end of TLS is left for the plain socket.
"""

from __future__ import annotations

import errno
import os
import ssl
from _thread import allocate_lock
from collections.abc import Callable
from socket import MSG_PEEK, SHUT_WR
from weakref import ref

from . import _lkl
from ._attributes import Attributes
from ._wait import Limit

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from _typeshed import ReadableBuffer

_IN = _lkl.IN
_OUT = _lkl.OUT
_END = _lkl.RDHUP | _lkl.HUP

_MORE = object()
_NOTHING = memoryview(b"")

_HEADER_SIZE = 5
_RECORD_TYPES = range(20, 25)
_VERSION_MAJOR = 3
_REST_MAX = 2**14 + 2048
_DRAIN_SIZE = 2**16
_PEEK = int(MSG_PEEK)


class Channel:
    """Stands where an SSLSocket has its `_ssl._SSLSocket`, with the same methods.

    Several threads may use it at a time. One lock guards OpenSSL and the order of bytes on the
    wire; it is held for what never blocks, and let go before anybody sleeps.
    """

    __slots__ = (
        "_backlog",
        "_fed",
        "_header",
        "_incoming",
        "_lock",
        "_missing",
        "_outgoing",
        "_owed",
        "_owner",
        "_sent",
        "_ssl",
    )

    def __init__(
        self,
        owner: Attributes,
        context: ssl.SSLContext,
        server_side: bool,
        server_hostname: str | None,
        session: ssl.SSLSession | None,
    ) -> None:
        self._owner = ref(owner)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl: Any = context._wrap_bio(  # type: ignore[attr-defined]
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
            owner=owner,
            session=session,
        )
        self._lock = allocate_lock()
        # Of the record that is being received: what is there of its header, and how much is
        # missing of the header or, once that is complete, of the rest.
        self._header = b""
        self._missing = _HEADER_SIZE
        # The number of records that OpenSSL has been given.
        self._fed = 0
        # What OpenSSL has put out and the kernel has not taken yet; how much it has taken so far.
        self._backlog = _NOTHING
        self._sent = 0
        # The result of a write() that had to give up with its data encrypted but not all sent.
        # The program repeats the call, as with any SSLSocket, and gets it then.
        self._owed: int | None = None

    def __getattr__(self, name: str) -> Any:
        """What asks OpenSSL without input or output: cipher(), version(), getpeercert(), ..."""
        return getattr(self._ssl, name)

    @property
    def context(self) -> ssl.SSLContext:
        """The context in use; an SNI callback may choose another."""
        context: ssl.SSLContext = self._ssl.context
        return context

    @context.setter
    def context(self, value: ssl.SSLContext) -> None:
        self._ssl.context = value

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, which another connection may use again."""
        session: ssl.SSLSession | None = self._ssl.session
        return session

    @session.setter
    def session(self, value: ssl.SSLSession | None) -> None:
        self._ssl.session = value

    # ---- what receives and sends

    def do_handshake(self) -> None:
        """Shakes hands."""
        # A client that needs no session ticket may be gone before it is sent one.
        last = self._flush_or_drop if self._ssl.server_side else self._flush
        self._converse("handshake", self._ssl.do_handshake, last)

    def shutdown(self) -> Attributes | None:
        """Says that TLS ends, and waits until the peer has. Returns the socket."""
        self._converse("read", self._ssl.shutdown, self._flush)
        return self._owner()

    def _converse(
        self, what: str, operation: Callable[[], object], last: Callable[[_lkl.Socket], bool]
    ) -> None:
        """Calls `operation` until it is done, and `last` has sent what comes of that."""
        lkl, timeout_s = self._wire()
        limit = None
        ended = False
        hungry = -1
        while True:
            with self._lock:
                if self._try(lkl, ended, hungry, self._flush, operation) is _MORE:
                    events = self._wanted()
                    hungry = self._fed
                elif last(lkl):
                    return
                else:
                    events = _OUT
                    hungry = -1
            limit = limit or Limit(lkl, 0, timeout_s)
            ended = _wait(limit, events, timeout_s, what)

    def read(self, *args: Any) -> Any:
        """At most `args[0]` bytes; or, put into the buffer `args[1]`, their number."""
        lkl, timeout_s = self._wire()
        limit = None
        ended = False
        hungry = -1
        while True:
            with self._lock:
                result = self._try(lkl, ended, hungry, self._flush_or_drop, self._ssl.read, *args)
                if result is not _MORE:
                    self._flush_or_drop(lkl)
                    return result
                events = self._wanted()
                hungry = self._fed
            limit = limit or Limit(lkl, 0, timeout_s)
            ended = _wait(limit, events, timeout_s, "read")

    def write(self, data: ReadableBuffer) -> int:
        """Encrypts a record's worth of `data` and sends it. Returns how much of it that was."""
        lkl, timeout_s = self._wire()
        with self._lock:
            written, self._owed = self._owed, None
            end = self._sent + len(self._backlog) + self._outgoing.pending
        if written is not None and written > memoryview(data).nbytes:
            self._owed = written
            raise ssl_error(ssl.SSLError, ssl.SSL_ERROR_SSL, "bad write retry")
        limit = None
        ended = False
        hungry = -1
        while True:
            with self._lock:
                events = _OUT
                clear = self._flush(lkl)
                if clear and written is None:
                    result = self._try(lkl, ended, hungry, self._flush, self._ssl.write, data)
                    if result is _MORE:
                        events = self._wanted()
                        hungry = self._fed
                    else:
                        written = result
                        end = self._sent + self._outgoing.pending
                        clear = self._flush(lkl)
                if written is not None and (clear or self._sent >= end):
                    return written
            limit = limit or Limit(lkl, 0, timeout_s)
            try:
                ended = _wait(limit, events, timeout_s, "write")
            except BaseException:
                self._owed = written
                raise

    def end(self, lkl: _lkl.Socket) -> None:
        """Ends the stream, of a socket that is about to be closed.

        Closing a socket with something unread resets the connection, and the reset may overtake
        what was sent last: an alert, or all of a request. That is right for data, and wrong for
        TLS's own messages, which no program reads: a server's tickets, what follows a failure.
        """
        # A callback that OpenSSL has called may close the socket.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if not self._has_data(lkl):
                lkl.shutdown(SHUT_WR)
                lkl.recv(_DRAIN_SIZE)
        finally:
            self._lock.release()

    def _has_data(self, lkl: _lkl.Socket) -> bool:
        """Whether there is data for the program among what has come. OpenSSL is of no use then."""
        if self._ssl.version() is None:
            return False
        self._incoming.write(lkl.recv(_DRAIN_SIZE, _PEEK) or b"")
        try:
            return bool(self._ssl.read(1))
        except ssl.SSLError:
            return False

    def _wire(self) -> tuple[_lkl.Socket, float | None]:
        owner = self._owner()
        if owner is None or owner._lkl is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return owner._lkl, owner.gettimeout()

    # ---- steps; the lock is held, and nothing waits

    def _try(
        self,
        lkl: _lkl.Socket,
        ended: bool,
        hungry: int,
        flush: Callable[[_lkl.Socket], bool],
        operation: Callable[..., Any],
        *args: Any,
    ) -> Any:
        """Calls `operation` while there is input for it. Returns its result, or _MORE.

        Args:
            lkl: The kernel socket.
            ended: If nothing is there, nothing will come any more.
            hungry: `operation` has wanted more of OpenSSL when it had been given this many records.
            flush: Sends what OpenSSL has to say before it wants more.
            operation: What is called.
            args: For `operation`.
        """
        while True:
            # In vain if nobody has fed it since.
            if hungry != self._fed:
                try:
                    return operation(*args)
                except ssl.SSLWantReadError:
                    hungry = self._fed
                except ssl.SSLError:
                    # Tells the peer why.
                    self._flush_or_drop(lkl)
                    raise
            if not self._feed(lkl, ended):
                flush(lkl)
                return _MORE

    def _wanted(self) -> int:
        """What to wait for when OpenSSL wants more, and may have more to say itself."""
        return _IN | _OUT if self._backlog and self._owed is None else _IN

    def _feed(self, lkl: _lkl.Socket, ended: bool) -> bool:
        """Receives the rest of the record under way. Returns whether OpenSSL can go on.

        Args:
            lkl: The kernel socket.
            ended: If nothing is there, nothing will come any more.
        """
        while True:
            data = lkl.recv(self._missing)
            if data is None and not ended:
                return False
            if not data:
                self._incoming.write_eof()
                self._fed += 1
                return True
            self._incoming.write(data)
            self._missing -= len(data)
            if len(self._header) < _HEADER_SIZE:
                self._header += data
                if not self._missing:
                    self._missing = _rest_size(self._header)
            if not self._missing:
                self._header = b""
                self._missing = _HEADER_SIZE
                self._fed += 1
                return True

    def _flush(self, lkl: _lkl.Socket) -> bool:
        """Sends what OpenSSL has put out. Returns whether the kernel has taken all of it."""
        while self._backlog or self._outgoing.pending:
            if not self._backlog:
                self._backlog = memoryview(self._outgoing.read())
            try:
                sent = lkl.send(self._backlog)
            except OSError:
                self._backlog = _NOTHING
                self._outgoing.read()
                raise
            if sent is None:
                return False
            self._sent += sent
            self._backlog = self._backlog[sent:]
        return True

    def _flush_or_drop(self, lkl: _lkl.Socket) -> bool:
        """Like `_flush`, but what cannot be sent any more is dropped; the next write() says so."""
        try:
            return self._flush(lkl)
        except OSError:
            return True


def _rest_size(header: bytes) -> int:
    """How much of a record follows its header; 0 if OpenSSL will refuse it for the header alone."""
    kind, major, third = header[:3]
    if kind in _RECORD_TYPES and major == _VERSION_MAJOR:
        size = int.from_bytes(header[3:], "big")
        return size if size <= _REST_MAX else 0
    if kind & 0x80 and third == 1:
        # A client's first message in the form of SSL 2, which OpenSSL still takes.
        return max((kind & 0x7F) << 8 | major, 3) - 3
    return 0


def _wait(limit: Limit, events: int, timeout_s: float | None, what: str) -> bool:
    """Sleeps until one of `events` is up. Returns whether nothing will come any more."""
    if timeout_s == 0:
        if events & _OUT:
            raise ssl_error(ssl.SSLWantWriteError, ssl.SSL_ERROR_WANT_WRITE, _INCOMPLETE % "write")
        raise ssl_error(ssl.SSLWantReadError, ssl.SSL_ERROR_WANT_READ, _INCOMPLETE % "read")
    try:
        return bool(limit.wait(events=events) & _END)
    except TimeoutError:
        raise TimeoutError(f"The {what} operation timed out") from None


_INCOMPLETE = "The operation did not complete (%s)"


def ssl_error(
    kind: type[ssl.SSLError], number: int, text: str, reason: str | None = None
) -> ssl.SSLError:
    """An error with the attributes that `_ssl` gives its own."""
    error = kind(number, text)
    error.library = None  # type: ignore[assignment]
    error.reason = reason  # type: ignore[assignment]
    return error
