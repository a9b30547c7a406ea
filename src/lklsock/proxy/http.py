"""The proxy's HTTP side: CONNECT, and requests with absolute URLs. RFC 9110, 9112."""

from __future__ import annotations

import asyncio
import base64
import binascii
import socket
from contextlib import nullcontext, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11

from . import headers
from .exchange import Exchange
from .failure import Failure
from .wire import Wire

if TYPE_CHECKING:
    from .client import Client

_SAFE_TO_REPEAT = frozenset({b"GET", b"HEAD", b"OPTIONS"})
REALM = b'Basic realm="lklsock", charset="UTF-8"'
"""What asks for a name and password."""


class HttpSide:
    """One client that speaks HTTP.

    Args:
        client: The connection.
        first: What has been read of it.
    """

    def __init__(self, client: Client, first: bytes) -> None:
        self._client = client
        self._near = Wire(client.sock, h11.SERVER, client.limits.header_bytes, client.touch)
        self._near.http.receive_data(first)
        # The connection that the last request had, for the next one to the same server.
        self._far: Wire | None = None
        self._far_is_to: tuple[str, int] | None = None

    async def run(self) -> None:
        """Serves requests until one of them is the last."""
        try:
            while await self._serve():
                self._near.http.start_next_cycle()
                if not await self._await_request():
                    return
        finally:
            self._leave_server()

    async def _await_request(self) -> bool:
        with self._client.idle():
            try:
                return await asyncio.wait_for(self._near.begin(), self._client.limits.keep_alive_s)
            except (TimeoutError, asyncio.TimeoutError):
                return False

    async def _serve(self) -> bool:
        """Serves a request. Returns: whether another one may follow."""
        client = self._client
        exchange = client.begin("http")
        may_follow = False
        try:
            request = await self._head()
            if request is None:
                client.forget(exchange)
                return False
            exchange.method = request.method.decode("ascii", "replace")
            if request.method == b"CONNECT":
                exchange.protocol = "connect"
            may_follow = not has_body(request)
            if may_follow:
                # Without it h11 takes the request for one that is under way.
                self._near.http.next_event()
            exchange.user = await self._user(request)
            if request.method == b"CONNECT":
                exchange.host, exchange.port = headers.split_authority(request.target)
                await self._tunnel(exchange)
                return False
            return await self._forward(request, exchange)
        except Failure as failure:
            # Who makes mistakes in one request is not trusted with where the next one begins.
            may_follow = may_follow and failure.kind != "http_request_error"
            return await self._refuse(exchange, failure, may_follow)
        except (OSError, h11.ProtocolError) as error:
            exchange.error = exchange.error or _ending(error)
            client.abort()
            return False
        except asyncio.CancelledError:
            if self._near.http.our_state is h11.SEND_BODY:
                client.abort()
            raise
        finally:
            client.finish(exchange)

    async def _head(self) -> h11.Request | None:
        timeout_s = self._client.limits.header_s
        try:
            return await asyncio.wait_for(self._near.request(), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            what = f"no request in {timeout_s:g} s"
            raise Failure("http_request_error", what, 408) from None

    async def _user(self, request: h11.Request) -> str | None:
        """Who asks.

        Raises:
            Failure: It has the status 407.
        """
        users = self._client.users
        if users is None:
            return None
        given = headers.value_of(request.headers, b"proxy-authorization")
        credentials = None if given is None else basic_credentials(given)
        if credentials is not None and await users.check(*credentials):
            return credentials[0]
        reason = "the proxy wants a user name and password"
        if given is not None:
            reason = "the user name or the password is wrong"
        raise Failure("http_request_denied", reason, 407)

    # ---- CONNECT

    async def _tunnel(self, exchange: Exchange) -> None:
        client = self._client
        came = self._near.http.trailing_data[0]
        sock = await client.connect(exchange, came)
        with client.tunnel(exchange, sock):
            exchange.status = 200
            established = h11.Response(
                status_code=200, reason=b"Connection established", headers=[]
            )
            await self._near.send(established)
            await client.relay(exchange, sock, came)

    # ---- absolute URLs

    async def _forward(self, request: h11.Request, exchange: Exchange) -> bool:
        if request.method == b"TRACE":
            raise Failure("http_request_error", "TRACE is not proxied", 405)
        host, port, authority, path = headers.split_url(request.target)
        exchange.host, exchange.port = host, port
        if headers.hops_left(request) == 0:
            return await self._answer_itself(exchange)
        sent = h11.Request(
            method=request.method, target=path, headers=headers.to_server(request, authority)
        )
        reused = await self._reach(exchange, host, port)
        try:
            return await self._exchange(request, sent, exchange)
        except _Gone:
            # An idle connection may end just when it is used again.
            if not reused or has_body(request) or request.method not in _SAFE_TO_REPEAT:
                raise
        self._leave_server()
        await self._reach(exchange, host, port)
        return await self._exchange(request, sent, exchange)

    async def _answer_itself(self, exchange: Exchange) -> bool:
        """Answers OPTIONS that is to go no further. Returns: whether another one may follow."""
        near = self._near
        exchange.status = 200
        found = [(b"Content-Length", b"0")]
        if self._client.is_draining:
            found.append((b"Connection", b"close"))
        head = h11.Response(status_code=200, reason=b"OK", headers=found)
        await near.send(head, h11.EndOfMessage())
        return near.http.our_state is near.http.their_state is h11.DONE

    async def _reach(self, exchange: Exchange, host: str, port: int) -> bool:
        """Has a connection to the server. Returns: whether it is one that was there."""
        client = self._client
        if self._far is not None and self._far_is_to == (host, port) and _is_quiet(self._far):
            client.check(self._far.sock.getpeername()[0], port)
            exchange.connected(self._far.sock)
            return True
        self._leave_server()
        sock = await client.connect(exchange)
        self._far = Wire(sock, h11.CLIENT, client.limits.header_bytes, client.touch)
        self._far_is_to = host, port
        return False

    def _leave_server(self) -> None:
        far, self._far = self._far, None
        if far is not None:
            far.sock.close()

    async def _exchange(self, request: h11.Request, sent: h11.Request, exchange: Exchange) -> bool:
        """Sends a request on, and what comes back. Returns: whether another one may follow."""
        near, far = self._near, self._far
        assert far is not None
        await _to_server(far, sent, exchange)
        body: asyncio.Task[None] | None = None
        if has_body(request):
            body = asyncio.create_task(self._send_body(far, exchange))
        else:
            await _to_server(far, h11.EndOfMessage(), exchange)
        try:
            with self._client.watched() if body is None else nullcontext():
                response = await self._response(far, exchange, body)
                exchange.status = response.status_code
                await self._send_response(far, response, exchange)
        finally:
            if body is not None:
                body.cancel()
                with suppress(asyncio.CancelledError, Failure, OSError, h11.ProtocolError):
                    await body
        if far.http.our_state is far.http.their_state is h11.DONE:
            far.http.start_next_cycle()
        else:
            self._leave_server()
        return near.http.our_state is near.http.their_state is h11.DONE

    async def _send_body(self, far: Wire, exchange: Exchange) -> None:
        """Sends the body of a request on, as far as the server takes it."""
        while True:
            event = await self._near.next_event()
            try:
                if isinstance(event, h11.Data):
                    await far.send(h11.Data(data=event.data))
                    exchange.up(len(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    await far.send(h11.EndOfMessage())
                    return
                else:
                    raise ConnectionResetError
            except (OSError, h11.LocalProtocolError):
                # It has said, or will say, why.
                return

    async def _response(
        self, far: Wire, exchange: Exchange, body: asyncio.Task[None] | None
    ) -> h11.Response:
        """The head of the response, when it is there."""
        timeout_s = self._client.limits.response_s
        head = asyncio.create_task(self._response_head(far, exchange))
        waiting: set[asyncio.Task[Any]] = {head} if body is None else {head, body}
        try:
            while not head.done():
                done, _ = await asyncio.wait(
                    waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                if body in done:
                    waiting.discard(body)
                    _check_body(body)
                elif not done and len(waiting) == 1:
                    what = f"{exchange.host}:{exchange.port} did not answer in {timeout_s:g} s"
                    raise Failure("http_response_timeout", what)
        finally:
            head.cancel()
        return head.result()

    async def _response_head(self, far: Wire, exchange: Exchange) -> h11.Response:
        what = f"{exchange.host}:{exchange.port}"
        try:
            while True:
                event = await far.next_event()
                if isinstance(event, h11.Response):
                    return event
                if not isinstance(event, h11.InformationalResponse):
                    raise _Gone("http_response_incomplete", f"{what} closed without an answer")
                if event.status_code != 101 and self._near.http.their_http_version == b"1.1":
                    await self._near.send(
                        h11.InformationalResponse(
                            status_code=event.status_code,
                            headers=headers.to_client(event),
                            reason=event.reason,
                        )
                    )
        except h11.RemoteProtocolError as error:
            if far.http.trailing_data[1]:
                raise _Gone("http_response_incomplete", f"{what} closed in its answer") from error
            raise Failure("http_protocol_error", f"{what}: {error}") from error
        except OSError as error:
            raise _Gone("connection_terminated", f"{what}: {error.strerror}") from error

    async def _send_response(self, far: Wire, response: h11.Response, exchange: Exchange) -> None:
        sent = headers.to_client(response)
        if self._client.is_draining:
            sent.append((b"Connection", b"close"))
        head = h11.Response(status_code=response.status_code, headers=sent, reason=response.reason)
        # What has come together goes together: each piece wakes the client.
        waiting: list[h11.Event] = [head]
        while True:
            try:
                event = far.ready()
                if event is None:
                    await self._near.send(*waiting)
                    waiting.clear()
                    event = await far.next_event()
            except h11.RemoteProtocolError:
                # Its end must not look like the body's.
                exchange.error = "http_response_incomplete"
                raise
            if not isinstance(event, h11.Data):
                await self._near.send(*waiting, h11.EndOfMessage())
                return
            waiting.append(h11.Data(data=event.data))
            exchange.down(len(event.data))

    # ---- what is refused

    async def _refuse(self, exchange: Exchange, failure: Failure, may_follow: bool) -> bool:
        """Tells a failure. Returns: whether another request may follow."""
        near = self._near
        exchange.status, exchange.error = failure.status, failure.kind
        if near.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self._client.abort()
            return False
        with suppress(h11.ProtocolError):
            await near.send(refusal(failure, close=not may_follow or self._client.is_draining))
            with suppress(h11.LocalProtocolError):
                # HEAD has none.
                await near.send(h11.Data(data=explanation(failure)))
            await near.send(h11.EndOfMessage())
        if near.http.our_state is near.http.their_state is h11.DONE:
            return True
        await self._client.linger()
        return False


class _Gone(Failure):
    """The server has closed before it answered."""


async def _to_server(far: Wire, event: h11.Event, exchange: Exchange) -> None:
    try:
        await far.send(event)
    except OSError as error:
        raise _Gone("connection_terminated", f"{exchange.host}: {error.strerror}") from error


def _check_body(body: asyncio.Task[None]) -> None:
    error = body.exception()
    if isinstance(error, h11.RemoteProtocolError):
        raise Failure("http_request_error", str(error), error.error_status_hint) from error
    if error is not None:
        raise error


def has_body(request: h11.Request) -> bool:
    """Whether a body follows the head of a request."""
    length = headers.value_of(request.headers, b"content-length")
    chunked = headers.value_of(request.headers, b"transfer-encoding")
    return chunked is not None or (length is not None and int(length) > 0)


def basic_credentials(value: bytes) -> tuple[str, str] | None:
    """Name and password of RFC 7617; None if there are none."""
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password.decode()) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def explanation(failure: Failure) -> bytes:
    """What a person sees of it."""
    return f"lklsock proxy: {failure.detail}\n".encode("utf-8", "replace")


def refusal(failure: Failure, *, close: bool) -> h11.Response:
    """The head that tells it; RFC 9209 for programs."""
    found = [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", b"%d" % len(explanation(failure))),
        (b"Cache-Control", b"no-store"),
        (b"Proxy-Status", b"lklsock; error=" + failure.kind.encode()),
    ]
    if failure.status == 407:
        found.append((b"Proxy-Authenticate", REALM))
    if close:
        found.append((b"Connection", b"close"))
    reason = HTTPStatus(failure.status).phrase.encode()
    return h11.Response(status_code=failure.status, reason=reason, headers=found)


def _is_quiet(wire: Wire) -> bool:
    """Whether a connection that waits for its next request has neither ended nor said anything."""
    if wire.http.trailing_data != (b"", False):
        return False
    try:
        wire.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _ending(error: Exception) -> str:
    return "client_gone" if isinstance(error, h11.RemoteProtocolError) else "connection_terminated"
