"""A proxy, servers behind it and clients before it, in one event loop."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

from required import library

library("h11")

from lklsock.proxy import Guard, Limits, Proxy, Settings, Upstream, Users  # noqa: E402
from lklsock.proxy.server import Front  # noqa: E402

TIMEOUT_S = 20.0
PATIENCE_S = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""What most servers answer here."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a test's coroutine, with a deadline."""
    asyncio.run(asyncio.wait_for(main, TIMEOUT_S))


@contextlib.asynccontextmanager
async def proxying(
    upstream: Upstream | None = None,
    *,
    users: Users | None = None,
    guard: Guard | None = None,
    **limits: Any,
) -> AsyncIterator[Proxy]:
    """A proxy that may ask loopback for everything; through the host, if nothing else is said."""
    settings = Settings(
        listen=(("127.0.0.1", 0),),
        users=users,
        guard=guard or Guard(exempt=LOOPBACK),
        limits=Limits(**limits),
    )
    async with listening(Proxy(settings, upstream or Upstream.of_host())) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def listening(proxy: Proxy, *fronts: Front) -> AsyncIterator[Proxy]:
    """A proxy that serves where its settings say, or these fronts.

    Its address is its attribute `at`, and what has ended is in `ended`.
    """
    proxy.ended = []  # type: ignore[attr-defined]
    proxy.on_finish.append(proxy.ended.append)  # type: ignore[attr-defined]
    (proxy.at,) = proxy.listen(fronts or None)  # type: ignore[attr-defined]
    try:
        yield proxy
    finally:
        await proxy.close()


@contextlib.asynccontextmanager
async def serving(handler: Handler, sock: socket.socket | None = None) -> AsyncIterator[int]:
    """A server of the host, or on a listener, whose handler gets the streams. Yields its port."""
    tasks = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    sock = sock or socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(handle, sock=sock, backlog=1024)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(response: bytes, requests: list[bytes] | None = None) -> Handler:
    """Reads heads without bodies, and answers each."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if requests is not None:
                requests.append(head)
            writer.write(response)

    return handle


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, and ends when that ends."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    await reader.read()


@contextlib.contextmanager
def full_listener() -> Iterator[int]:
    """A port of the host that does not answer: its backlog is full."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        there = listener.getsockname()
        for _ in range(8):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(there)
        yield there[1]


@contextlib.asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[Streams]:
    """A connection to the proxy."""
    reader, writer = await asyncio.open_connection(*proxy.at)  # type: ignore[attr-defined]
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(proxy: Proxy, request: bytes, *, end: bool = False) -> bytes:
    """Sends bytes, and reads to the end of the connection, which must come."""
    async with client(proxy) as (reader, writer):
        writer.write(request)
        if end:
            writer.write_eof()
        answer = b""
        try:
            while data := await asyncio.wait_for(reader.read(65536), PATIENCE_S):
                answer += data
        except ConnectionError:
            return b"reset"
        except asyncio.TimeoutError:
            raise AssertionError(f"the connection stays open after {answer!r}") from None
        return answer


async def head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers of a response, by names in small letters."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = [line.partition(": ") for line in lines[1:] if line]
    return int(lines[0].split()[1]), {name.lower(): value for name, _, value in fields}


def status_of(answer: bytes) -> int:
    """The status of a response."""
    return int(answer.split(b" ", 2)[1])


async def finished(proxy: Proxy, count: int = 1) -> Any:
    """The last exchange, when so many have ended."""
    ended: list[Any] = proxy.ended  # type: ignore[attr-defined]
    await await_that(lambda: len(ended) >= count, f"{count} have ended")
    return ended[-1]


async def all_gone(proxy: Proxy, patience_s: float = TIMEOUT_S / 2) -> None:
    """Waits until the proxy has no client any more, and nothing is under way."""
    nobody = lambda: not (proxy.client_count or proxy.exchanges)  # noqa: E731
    await await_that(nobody, "the clients are gone", patience_s)


async def await_that(
    predicate: Callable[[], object], what: str, patience_s: float = TIMEOUT_S / 2
) -> None:
    """Waits until something is so. It looks again and again: who counts tells nobody of it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while not predicate():
        assert loop.time() < deadline, f"not in {patience_s:g} s: {what}"
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def tunnel(proxy: Proxy, port: int, host: str = "127.0.0.1") -> AsyncIterator[Streams]:
    """A tunnel to a server, by CONNECT."""
    async with client(proxy) as (reader, writer):
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, _ = await head(reader)
        assert status == 200
        yield reader, writer
