"""A small web server for a person's browser: pages, streams of events, and what buttons do."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import h11

from .failure import Failure
from .headers import value_of
from .http import REALM, basic_credentials, has_body
from .server import open_listener
from .settings import Address, Settings
from .wire import Wire

log = logging.getLogger("lklsock.proxy")

_HEADER_BYTES = 32 << 10
_PATIENCE_S = 30.0
_CLIENTS_MAX = 64
_OWN_HEADER = b"x-lklsock"
"""A page of another origin cannot send it without asking first, and is not answered then."""

_HEADERS = [
    (b"Cache-Control", b"no-store"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
]


@dataclass(frozen=True)
class Answer:
    """What comes back for a request.

    Attributes:
        body: All of it, or its pieces as they come.
        type: The media type.
        status: Of HTTP.
        headers: More of them.
    """

    body: bytes | AsyncGenerator[bytes, None]
    type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


Handler = Callable[[str], Awaitable[Answer]]
"""Takes the path."""


class Web:
    """Serves paths on an address of the host.

    Users are the proxy's. A request whose Host is a name that nobody gave this server is refused:
    so a page of somebody else's cannot make its own name mean this address. What changes something
    is a POST with a header that such a page cannot send.

    Args:
        address: Where.
        settings: Gives those that hold now.
        routes: What serves a method and a path; a path that ends with "/*" stands for all below.
    """

    def __init__(
        self,
        address: Address,
        settings: Callable[[], Settings],
        routes: dict[tuple[str, str], Handler],
    ) -> None:
        self._address = address
        self._settings = settings
        self._routes = routes
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    def listen(self) -> Address:
        """Serves from now on. Returns: the address.

        Raises:
            OSError: It names the address.
        """
        self._listener = open_listener(self._address)
        self._accepting = asyncio.create_task(self._accept(self._listener))
        host, port = self._listener.getsockname()[:2]
        return host, port

    async def close(self) -> None:
        """Ends all of it."""
        tasks = [*self._tasks, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(1)
                continue
            if len(self._tasks) >= _CLIENTS_MAX:
                sock.close()
                continue
            task = asyncio.create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        wire = Wire(sock, h11.SERVER, _HEADER_BYTES, lambda: None)
        with sock:
            try:
                while await self._serve_one(wire):
                    wire.http.start_next_cycle()
            except (OSError, h11.ProtocolError, asyncio.TimeoutError, TimeoutError):
                return
            except Exception:
                log.exception("a page could not be served")

    async def _serve_one(self, wire: Wire) -> bool:
        try:
            request = await asyncio.wait_for(wire.request(), _PATIENCE_S)
            if request is None:
                return False
            answer = await self._answer(request)
            # No body means anything here; one that is sent ends the connection.
            if not has_body(request):
                wire.http.next_event()
        except Failure as failure:
            answer = _told(failure.status, failure.detail)
        await _send(wire, answer)
        return wire.http.our_state is wire.http.their_state is h11.DONE

    async def _answer(self, request: h11.Request) -> Answer:
        host = value_of(request.headers, b"host") or b""
        if not self._is_ours(host.decode("ascii", "replace")):
            return _told(421, "this server has another name")
        users = self._settings().users
        if users is not None:
            given = value_of(request.headers, b"authorization")
            credentials = None if given is None else basic_credentials(given)
            if credentials is None or not await users.check(*credentials):
                return _told(401, "name and password, please", (b"WWW-Authenticate", REALM))
        method = request.method.decode("ascii", "replace")
        if method == "POST" and value_of(request.headers, _OWN_HEADER) is None:
            return _told(403, "this is for the dashboard's own page")
        path = request.target.decode("ascii", "replace").partition("?")[0]
        handler = self._routes.get((method, path))
        if handler is None:
            above = path.rpartition("/")[0]
            handler = self._routes.get((method, f"{above}/*"))
        if handler is None:
            known = any(path == route for _, route in self._routes)
            return _told(405 if known else 404, "there is nothing here")
        return await handler(path)

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name in ("localhost", self._address[0]):
            return True
        with suppress(ValueError):
            ipaddress.ip_address(name.strip("[]"))
            return True
        return False


def _told(status: int, text: str, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(f"{text}\n".encode(), status=status, headers=list(headers))


async def _send(wire: Wire, answer: Answer) -> None:
    headers = [(b"Content-Type", answer.type.encode()), *_HEADERS, *answer.headers]
    if isinstance(answer.body, bytes):
        headers.append((b"Content-Length", b"%d" % len(answer.body)))
    reason = HTTPStatus(answer.status).phrase.encode()
    await wire.send(h11.Response(status_code=answer.status, headers=headers, reason=reason))
    if isinstance(answer.body, bytes):
        if answer.body:
            await wire.send(h11.Data(data=answer.body))
    else:
        # It ends when the browser leaves, and not when its memory happens to be looked through.
        async with aclosing(answer.body) as pieces:
            async for piece in pieces:
                await asyncio.wait_for(wire.send(h11.Data(data=piece)), _PATIENCE_S)
    await wire.send(h11.EndOfMessage())
