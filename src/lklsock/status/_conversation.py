"""One who asks: a line of JSON comes, a line of JSON or a stream of a capture goes back.

| request | answer |
|---|---|
| {"request": "status"} | a `lklsock.status.Process` |
| {"request": "capture", "link": "tap0", ...} | see `_capture` |

What cannot be done is answered with {"error": "..."}. Nothing here waits, and a client that
does not read, or does not ask, is hung up on.
"""

from __future__ import annotations

import json
import os
import socket as _stdlib
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._own_thread import POLLIN, POLLOUT

if TYPE_CHECKING:
    from ..stack import Stack
    from ._capture import Capture

REQUEST_BYTES_MAX = 4096
PATIENCE_S = 5.0
"""How long a request may take to come, and an answer to be taken a part of."""

_PEER_CREDENTIALS = struct.Struct("=iII")
_SEND_BYTES = 1 << 18


class RefusedError(Exception):
    """What is asked for is not there; the text says so."""


class Conversation:
    """A connection to who asks."""

    def __init__(self, sock: _stdlib.socket, stacks: tuple[Stack, ...]) -> None:
        self._sock = sock
        self._stacks = stacks
        self._received = b""
        self._pending = bytearray()
        self._asked = False
        self._capture: Capture | None = None
        self._deadline_s = time.monotonic() + PATIENCE_S
        self._may_ask = peer(sock)[1] in (0, os.geteuid())
        sock.setblocking(False)

    def close(self) -> None:
        """Hangs up."""
        if self._capture is not None:
            self._capture.close()
        # A program that becomes a daemon may have closed it.
        with suppress(OSError):
            self._sock.close()

    def interests(self) -> Iterator[tuple[int, int]]:
        """The descriptors to be polled, and for what."""
        events = 0 if self._asked and self._capture is None else POLLIN
        yield self._sock.fileno(), events | (POLLOUT if self._pending else 0)
        if self._capture is not None and len(self._pending) < self._capture.PENDING_BYTES_MAX:
            yield self._capture.fileno(), POLLIN

    def left_s(self) -> float | None:
        """Until it is hung up on; None while a capture goes on."""
        if self._capture is not None:
            return None
        return max(0.0, self._deadline_s - time.monotonic())

    def advance(self, ready: set[int]) -> bool:
        """Does what can be done now. Returns False when it is over."""
        try:
            if self._sock.fileno() in ready:
                self._read()
                self._write()
            if self._capture is not None and self._capture.fileno() in ready:
                self._pending += self._capture.read()
                self._end_capture(self._capture.is_full)
                self._write()
        except OSError:
            # It has hung up.
            return False
        if self._asked and not self._pending and self._capture is None:
            return False
        return self._capture is not None or time.monotonic() < self._deadline_s

    def _read(self) -> None:
        try:
            data = self._sock.recv(REQUEST_BYTES_MAX)
        except BlockingIOError:
            return
        if self._capture is not None:
            # Whatever it says now, it has had enough.
            self._end_capture(True)
            return
        self._received += data
        if b"\n" in self._received or not data or len(self._received) >= REQUEST_BYTES_MAX:
            self._ask(self._received.partition(b"\n")[0])

    def _ask(self, line: bytes) -> None:
        if self._asked:
            return
        if not self._may_ask:
            self._answer({"error": "this process is another user's"})
            return
        from . import _snapshot

        try:
            request = json.loads(line)
            kind = request.get("request")
            if kind == "status":
                self._answer(_snapshot.process(self._stacks))
            elif kind == "capture":
                self._begin_capture(request)
            else:
                self._answer({"error": f"no request: {kind!r}"})
        except RefusedError as error:
            self._answer({"error": str(error)})
        except Exception as error:
            # Of the stack, or of what was asked: the one who asked is to hear of it.
            self._answer({"error": f"{type(error).__name__}: {error}"})

    def _begin_capture(self, request: dict[str, Any]) -> None:
        from ._capture import Capture
        from ._snapshot import in_order

        capture = Capture(in_order(self._stacks), request)
        self._asked = True
        self._capture = capture
        self._pending += capture.head()

    def _end_capture(self, ends: bool) -> None:
        if ends and self._capture is not None:
            self._pending += self._capture.tail()
            self._capture.close()
            self._capture = None
            self._deadline_s = time.monotonic() + PATIENCE_S

    def _answer(self, answer: object) -> None:
        self._asked = True
        self._pending += json.dumps(answer, default=_plain).encode() + b"\n"

    def _write(self) -> None:
        while self._pending:
            try:
                sent = self._sock.send(memoryview(self._pending)[:_SEND_BYTES])
            except BlockingIOError:
                return
            del self._pending[:sent]
            self._deadline_s = time.monotonic() + PATIENCE_S


def peer(sock: _stdlib.socket) -> tuple[int, int]:
    """The process and the user at the other end of a unix socket."""
    raw = sock.getsockopt(_stdlib.SOL_SOCKET, _stdlib.SO_PEERCRED, _PEER_CREDENTIALS.size)
    pid, uid, _ = _PEER_CREDENTIALS.unpack(raw)
    return pid, uid


def _plain(value: object) -> Any:
    """What JSON has for it."""
    if isinstance(value, frozenset | set):
        return sorted(value)
    return vars(value)
