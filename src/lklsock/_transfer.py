"""The data path of a socket: everything that sends and receives.

Each method tries the kernel's non-blocking call at once and returns what comes: one call into C.
What is left - waiting, the rest of a blocking send, MSG_WAITALL, host names - has its own, slower
functions below.
"""

from __future__ import annotations

import errno
import os
import socket as _stdlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from . import _lkl
from ._attributes import IPPROTO_MPTCP, SO_PROTOCOL, Attributes
from ._resolver import resolve
from ._stdlib_own import StdlibSocket as _base
from ._wait import Limit, until, would_block

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any, overload

    from _typeshed import ReadableBuffer, WriteableBuffer

    _Ancillary = tuple[int, int, bytes]

_gaierror = _stdlib.gaierror

_IN = _lkl.IN
_OUT = _lkl.OUT
_NEVER_WAITS = int(_stdlib.MSG_DONTWAIT | _stdlib.MSG_ERRQUEUE | _stdlib.MSG_OOB)
_DONTWAIT = int(_stdlib.MSG_DONTWAIT)
_FASTOPEN = int(_stdlib.MSG_FASTOPEN)
_OOB = int(_stdlib.MSG_OOB)
_PEEK = int(_stdlib.MSG_PEEK)
_WAITALL = int(_stdlib.MSG_WAITALL)
_PROTOCOL = int(_stdlib.SOL_SOCKET), SO_PROTOCOL
_RIGHTS = int(_stdlib.SOL_SOCKET), int(_stdlib.SCM_RIGHTS)
_LOW_WATER = int(_stdlib.SOL_SOCKET), int(_stdlib.SO_RCVLOWAT)


class Transfer(Attributes):
    """Sending and receiving; `lklsock.socket.socket` adds the rest."""

    __slots__ = ()

    # ---- sending

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Like `socket.socket.send`."""
        lkl = self._lkl
        if lkl is None:
            return _base.send(self, data, flags)
        if flags and flags & _OOB:
            _refuse_urgent(lkl)
        sent = lkl.send(data, flags)
        if sent is not None and (
            self._timeout is not None or (type(data) is bytes and sent == len(data))
        ):
            return sent
        return self._send_rest(lkl, data, flags, sent)

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Like `socket.socket.sendall`."""
        lkl = self._lkl
        if lkl is None:
            return _base.sendall(self, data, flags)
        if flags and flags & _OOB:
            _refuse_urgent(lkl)
        sent = lkl.send(data, flags)
        if type(data) is bytes and sent == len(data):
            return None
        rest = _bytes_of(data)[sent or 0 :]
        limit = Limit(lkl, _OUT, self._patience())
        while rest:
            if sent is None:
                limit.wait()
            sent = lkl.send(rest, flags)
            if sent is not None:
                rest = rest[sent:]
        return None

    if TYPE_CHECKING:

        @overload
        def sendto(self, data: ReadableBuffer, address: Any, /) -> int: ...
        @overload
        def sendto(self, data: ReadableBuffer, flags: int, address: Any, /) -> int: ...

    def sendto(self, data: ReadableBuffer, *args: Any) -> int:
        """Like `socket.socket.sendto`."""
        lkl = self._lkl
        if lkl is None or not 1 <= len(args) <= 2:
            return _base.sendto(self, data, *args)
        flags, address = args if len(args) == 2 else (0, args[0])
        if flags & _OOB:
            _refuse_urgent(lkl)
        try:
            sent = lkl.sendto(data, flags, address)
        except _gaierror:
            address = None
        if address is None:
            address = self._resolved(args[-1])
            sent = lkl.sendto(data, flags, address)
        if sent is not None and (
            self._timeout is not None or (type(data) is bytes and sent == len(data))
        ):
            return sent
        if flags & _FASTOPEN:
            # The handshake has begun, and the data goes when it is over.
            return self._send_rest(lkl, data, flags & ~_FASTOPEN, sent)
        if sent is not None:
            return self._send_rest(lkl, data, flags, sent)
        if flags & _DONTWAIT and self._timeout is None:
            raise would_block()
        return until(lkl, _OUT, self._patience(), lkl.sendto, data, flags, address) or 0

    def sendmsg(
        self,
        buffers: Iterable[ReadableBuffer],
        ancdata: Iterable[tuple[int, int, ReadableBuffer]] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Like `socket.socket.sendmsg`, except that a kernel socket refuses SCM_RIGHTS.

        Raises:
            OSError: EOPNOTSUPP for SCM_RIGHTS: a host descriptor means nothing to the kernel.
        """
        lkl = self._lkl
        if lkl is None:
            return _base.sendmsg(self, buffers, ancdata, flags, address)
        if flags & _OOB:
            _refuse_urgent(lkl)
        buffers = list(buffers)
        ancdata = list(ancdata)
        if any(tuple(item[:2]) == _RIGHTS for item in ancdata):
            raise OSError(errno.EOPNOTSUPP, "SCM_RIGHTS is for AF_UNIX sockets")
        try:
            sent = lkl.sendmsg(buffers, ancdata, flags, address)
        except _gaierror:
            address = self._resolved(address)
            sent = lkl.sendmsg(buffers, ancdata, flags, address)
        if sent is None:
            if flags & _DONTWAIT and self._timeout is None:
                raise would_block()
            if flags & _FASTOPEN:
                flags &= ~_FASTOPEN
                address = None
            sent = until(lkl, _OUT, self._patience(), lkl.sendmsg, buffers, ancdata, flags, address)
        if sent is None:
            return 0
        if self._timeout is None and not flags & _DONTWAIT:
            data = [_bytes_of(buffer) for buffer in buffers]
            if sent < sum(map(len, data)):
                return self._send_rest(lkl, b"".join(data), flags & ~_FASTOPEN, sent)
        return sent

    def _resolved(self, address: Any) -> Any:
        """With its host name resolved, by the stack that the socket is in."""
        return resolve(self.family, address, self._kind and self._kind.kernel)

    def _send_rest(
        self, lkl: _lkl.Socket, data: ReadableBuffer, flags: int, sent: int | None
    ) -> int:
        """Goes on where the first try of send() ended.

        A blocking socket returns when the kernel has everything, one with a timeout as soon as it
        has something.
        """
        if flags & _DONTWAIT and self._timeout is None:
            if sent is None:
                raise would_block()
            return sent
        view = _bytes_of(data)
        total = sent or 0
        limit = Limit(lkl, _OUT, self._patience())
        while total < len(view) or sent is None:
            try:
                limit.wait()
            except BlockingIOError:
                if total:
                    return total
                raise
            sent = lkl.send(view[total:], flags)
            if sent is not None:
                total += sent
                if self._timeout is not None:
                    break
        return total

    # ---- receiving

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Like `socket.socket.recv`."""
        lkl = self._lkl
        if lkl is None:
            return _base.recv(self, bufsize, flags)
        if self._low_water:
            self._await_low_water(lkl, flags)
        data = lkl.recv(bufsize, flags)
        if data is not None and not flags:
            return data
        if data is None:
            self._check_waits(flags)
            data = until(lkl, _IN, self._patience(), lkl.recv, bufsize, flags)
            if data is None:
                return b""
        target = self._target(len(data), bufsize, flags)
        if len(data) >= target:
            return data
        if flags & _PEEK:
            self._await_bytes(lkl, target)
            return lkl.recv(bufsize, flags) or data
        return data + self._recv_rest(lkl, target - len(data), flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Like `socket.socket.recv_into`."""
        lkl = self._lkl
        if lkl is None:
            return _base.recv_into(self, buffer, nbytes, flags)
        if self._low_water:
            self._await_low_water(lkl, flags)
        count = lkl.recv_into(buffer, nbytes, flags)
        if count is not None and not flags:
            return count
        if count is None:
            self._check_waits(flags)
            count = until(lkl, _IN, self._patience(), lkl.recv_into, buffer, nbytes, flags)
            if count is None:
                return 0
        view = _bytes_of(buffer)
        target = self._target(count, nbytes or len(view), flags)
        if count >= target:
            return count
        if flags & _PEEK:
            self._await_bytes(lkl, target)
            return lkl.recv_into(buffer, nbytes, flags) or count
        return count + self._fill(lkl, view[count:target], flags)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Like `socket.socket.recvfrom`."""
        lkl = self._lkl
        if lkl is None:
            return _base.recvfrom(self, bufsize, flags)
        if self._low_water:
            self._await_low_water(lkl, flags)
        answer = lkl.recvfrom(bufsize, flags)
        if answer is None:
            self._check_waits(flags)
            answer = until(lkl, _IN, self._patience(), lkl.recvfrom, bufsize, flags)
            if answer is None:
                return b"", None
        data, address = answer
        target = self._target(len(data), bufsize, flags)
        if len(data) < target and not flags & _PEEK:
            data += self._recv_rest(lkl, target - len(data), flags)
        return data, address

    def recvfrom_into(
        self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, Any]:
        """Like `socket.socket.recvfrom_into`."""
        lkl = self._lkl
        if lkl is None:
            return _base.recvfrom_into(self, buffer, nbytes, flags)
        if self._low_water:
            self._await_low_water(lkl, flags)
        answer = lkl.recvfrom_into(buffer, nbytes, flags)
        if answer is None:
            self._check_waits(flags)
            answer = until(lkl, _IN, self._patience(), lkl.recvfrom_into, buffer, nbytes, flags)
            if answer is None:
                return 0, None
        count, address = answer
        view = _bytes_of(buffer)
        target = self._target(count, nbytes or len(view), flags)
        if count < target and not flags & _PEEK:
            count += self._fill(lkl, view[count:target], flags)
        return count, address

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[_Ancillary], int, Any]:
        """Like `socket.socket.recvmsg`."""
        lkl = self._lkl
        if lkl is None:
            return _base.recvmsg(self, bufsize, ancbufsize, flags)
        if self._low_water:
            self._await_low_water(lkl, flags)
        answer = lkl.recvmsg(bufsize, ancbufsize, flags)
        if answer is None:
            self._check_waits(flags)
            answer = until(lkl, _IN, self._patience(), lkl.recvmsg, bufsize, ancbufsize, flags)
            if answer is None:
                return b"", [], 0, None
        data, ancdata, msg_flags, address = answer
        target = self._target(len(data), bufsize, flags)
        if len(data) < target and not flags & _PEEK:
            data += self._recv_rest(lkl, target - len(data), flags)
        return data, ancdata, msg_flags, address

    def recvmsg_into(
        self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[_Ancillary], int, Any]:
        """Like `socket.socket.recvmsg_into`."""
        lkl = self._lkl
        if lkl is None:
            return _base.recvmsg_into(self, buffers, ancbufsize, flags)
        buffers = list(buffers)
        if self._low_water:
            self._await_low_water(lkl, flags)
        answer = lkl.recvmsg_into(buffers, ancbufsize, flags)
        if answer is None:
            self._check_waits(flags)
            answer = until(lkl, _IN, self._patience(), lkl.recvmsg_into, buffers, ancbufsize, flags)
            if answer is None:
                return 0, [], 0, None
        count, ancdata, msg_flags, address = answer
        views = [_bytes_of(buffer) for buffer in buffers]
        target = self._target(count, sum(map(len, views)), flags)
        if count < target and not flags & _PEEK:
            start = 0
            for view in views:
                hole = view[max(count - start, 0) : max(target - start, 0)]
                start += len(view)
                filled = self._fill(lkl, hole, flags)
                count += filled
                if filled < len(hole):
                    break
        return count, ancdata, msg_flags, address

    def _check_waits(self, flags: int) -> None:
        if flags & _NEVER_WAITS and self._timeout is None:
            raise would_block()

    def _target(self, count: int, size: int, flags: int) -> int:
        """How many bytes a call must have that got `count` at first and asked for `size`."""
        if not flags & _WAITALL or not count or not self._blocks(flags):
            return 0
        return size

    def _blocks(self, flags: int) -> bool:
        """Whether a receiving call on this stream waits as the kernel's blocking one does."""
        return (
            self._timeout is None
            and not flags & _NEVER_WAITS
            and self._kind is not None
            and self._kind.type == _stdlib.SOCK_STREAM
        )

    def _await_low_water(self, lkl: _lkl.Socket, flags: int) -> None:
        if self._blocks(flags):
            self._await_readable(lkl)

    def _await_readable(self, lkl: _lkl.Socket) -> None:
        """Waits until SO_RCVLOWAT bytes are there, no more can come, or SO_RCVTIMEO has passed."""
        with suppress(BlockingIOError):
            Limit(lkl, _IN, None).wait()

    def _await_bytes(self, lkl: _lkl.Socket, count: int) -> None:
        """Waits until `count` bytes are there to be peeked at, or no more can come."""
        with self._low_water_at(lkl, count):
            self._await_readable(lkl)

    @contextmanager
    def _low_water_at(self, lkl: _lkl.Socket, count: int) -> Iterator[None]:
        lkl.setsockopt(*_LOW_WATER, count)
        try:
            yield
        finally:
            lkl.setsockopt(*_LOW_WATER, self._low_water or 1)

    def _recv_rest(self, lkl: _lkl.Socket, size: int, flags: int) -> bytes:
        rest = bytearray(size)
        return bytes(rest[: self._fill(lkl, memoryview(rest), flags)])

    def _fill(self, lkl: _lkl.Socket, view: memoryview, flags: int) -> int:
        """Receives until `view` is full or nothing more comes. Returns the number of bytes."""
        if self._low_water:
            with self._low_water_at(lkl, 1):
                return _fill(lkl, view, flags)
        return _fill(lkl, view, flags)


def _refuse_urgent(lkl: _lkl.Socket) -> None:
    """MPTCP would send urgent data as if it were ordinary."""
    if lkl.getsockopt(*_PROTOCOL) == IPPROTO_MPTCP:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def _fill(lkl: _lkl.Socket, view: memoryview, flags: int) -> int:
    limit = Limit(lkl, _IN, None)
    got = 0
    while got < len(view):
        count = lkl.recv_into(view[got:], 0, flags)
        if count is None:
            try:
                mask = limit.wait()
            except BlockingIOError:
                break
            if mask & _lkl.ERR:
                # The error is for the next call: this one has data to return.
                break
        elif count == 0:
            break
        else:
            got += count
    return got


def _bytes_of(data: ReadableBuffer) -> memoryview:
    view = memoryview(data)
    if view.nbytes == 0:
        return memoryview(b"")
    return view.cast("B") if view.format != "B" or view.ndim != 1 else view
