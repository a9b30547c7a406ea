"""HTTP/1.1 on a socket: h11 knows the protocol, this reads and writes.

It is stricter than h11 where two readers of a message might not see the same: a line ends with CR
LF, a length is given in one way, and what asks for another framing has HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable

import h11

from .failure import Failure

RECEIVE_BYTES = 1 << 18

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_HEAD_END = b"\r\n\r\n"


class Wire:
    """One end of an HTTP/1.1 connection.

    Args:
        sock: Does not block; stays open.
        role: h11.SERVER or h11.CLIENT.
        header_bytes: The most that a head may have.
        touch: Called whenever bytes have come or gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        role: type[h11.SERVER] | type[h11.CLIENT],
        header_bytes: int,
        touch: Callable[[], object],
    ) -> None:
        self.sock = sock
        self.http = h11.Connection(role, max_incomplete_event_size=header_bytes)
        self._header_bytes = header_bytes
        self._touch = touch
        self._loop = asyncio.get_running_loop()

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """The next event, when it is there.

        Raises:
            h11.RemoteProtocolError: What came is no HTTP.
            OSError: The connection failed.
        """
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            await self._receive()

    async def begin(self) -> bool:
        """Waits for the first byte of a request; False if the connection ends instead."""
        if self.http.trailing_data[0]:
            return True
        return await self._receive()

    async def request(self) -> h11.Request | None:
        """The head of the next request; None if the connection ends instead.

        Raises:
            Failure: It is none, or one that others might read otherwise.
        """
        while True:
            came, _ = self.http.trailing_data
            end = came.find(_HEAD_END)
            if _BARE_LINE_FEED.search(came, 0, len(came) if end < 0 else end):
                raise Failure("http_request_error", "a line does not end with CR LF")
            if max(end, len(came) if end < 0 else 0) > self._header_bytes:
                raise Failure("http_request_error", "the head is too long", 431)
            try:
                event = self.http.next_event()
            except h11.RemoteProtocolError as error:
                status = error.error_status_hint
                raise Failure("http_request_error", str(error), status) from error
            if isinstance(event, h11.Request):
                check_framing(event)
                return event
            if isinstance(event, h11.ConnectionClosed):
                return None
            assert event is h11.NEED_DATA
            await self._receive()

    def ready(self) -> h11.Event | type[h11.PAUSED] | None:
        """The next event, if it has come; None if it is to be waited for.

        Raises:
            h11.RemoteProtocolError: What came is no HTTP.
        """
        event = self.http.next_event()
        return None if event is h11.NEED_DATA else event  # type: ignore[return-value]

    async def send(self, *events: h11.Event) -> None:
        """Sends events, as one piece.

        Raises:
            h11.LocalProtocolError: One does not fit here.
            OSError: The connection failed.
        """
        pieces: list[bytes] = []
        for event in events:
            pieces += self.http.send_with_data_passthrough(event) or []
        # A body of known length is sent as it came, without a copy.
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if data:
            await self._loop.sock_sendall(self.sock, data)
            self._touch()

    async def _receive(self) -> bool:
        data = await self._loop.sock_recv(self.sock, RECEIVE_BYTES)
        self._touch()
        self.http.receive_data(data)
        return bool(data)


def check_framing(request: h11.Request) -> None:
    """Refuses a request of which two readers might not see the same end.

    Raises:
        Failure: Its kind is "http_request_error".
    """
    if request.http_version not in (b"1.0", b"1.1"):
        raise Failure("http_request_error", "HTTP/1.1 is spoken here", 505)
    names = [name for name, _ in request.headers]
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise Failure("http_request_error", "Content-Length beside Transfer-Encoding")
        if request.http_version < b"1.1":
            raise Failure("http_request_error", "Transfer-Encoding takes HTTP/1.1")
