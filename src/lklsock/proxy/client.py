"""One connection of a client's, whatever it speaks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from .exchange import Exchange
from .failure import Failure
from .relay import relay, reset
from .settings import Limits
from .users import Users

if TYPE_CHECKING:
    from .server import Proxy

_LINGER_S = 2.0
_LINGER_BYTES = 1 << 20


class Client:
    """A client's connection.

    Attributes:
        sock: Of the host; does not block.
        address: The client's.
        task: Serves it.
        touched: When the last byte came or went, in the event loop's time.
        is_idle: Whether it waits for a request, and may be left.
        ended_by: Why it is being ended from outside; None while it is not.
    """

    def __init__(self, proxy: Proxy, sock: socket.socket, address: str) -> None:
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self.sock = sock
        self.address = address
        self.task: asyncio.Task[None] | None = None
        self.touched = self._loop.time()
        self.is_idle = False
        self.ended_by: str | None = None

    # ---- what it is served by

    @property
    def limits(self) -> Limits:
        """Those that hold now."""
        return self._proxy.settings.limits

    @property
    def users(self) -> Users | None:
        """Those that there are now."""
        return self._proxy.settings.users

    @property
    def is_draining(self) -> bool:
        """Whether this request is the last one."""
        return self._proxy.is_draining

    def check(self, address: str, port: int) -> None:
        """Refuses a server that there is a connection to already. Raises: Failure."""
        self._proxy.settings.guard.check(address, port)

    # ---- requests

    def begin(self, protocol: str) -> Exchange:
        """A new request or tunnel of the client's."""
        exchange = Exchange(self.address, protocol)
        self._proxy.exchanges[exchange.number] = exchange
        return exchange

    def forget(self, exchange: Exchange) -> None:
        """It was none."""
        self._proxy.exchanges.pop(exchange.number, None)

    def finish(self, exchange: Exchange) -> None:
        """It has ended: it is counted, and logged."""
        if self._proxy.exchanges.pop(exchange.number, None) is not None:
            exchange.error = exchange.error or self.ended_by
            self._proxy.finished(exchange)

    async def connect(self, exchange: Exchange, came: bytes = b"") -> socket.socket:
        """A connection to what it asks for; the client may leave meanwhile.

        Args:
            exchange: What.
            came: What the client said behind its request. It may have ended with that, and wait.

        Raises:
            Failure: There is none.
        """
        settings = self._proxy.settings
        with nullcontext() if came else self.watched():
            sock = await self._proxy.upstream.connect(
                exchange.host, exchange.port, settings.guard, settings.limits.connect_s
            )
        exchange.connected(sock)
        return sock

    @contextmanager
    def tunnel(self, exchange: Exchange, far: socket.socket) -> Iterator[None]:
        """Closes the server's side in the end; if it fails, neither side sees that as an end."""
        try:
            yield
        except BaseException:
            self.abort()
            reset(far)
            raise
        finally:
            exchange.note_mptcp()
            far.close()

    async def relay(self, exchange: Exchange, far: socket.socket, came: bytes = b"") -> None:
        """Passes on all that both sides say, first of all what came. Raises: OSError."""
        await relay(
            self.sock,
            far,
            buffer=self._proxy.buffer,
            up=self.counting(exchange.up),
            down=self.counting(exchange.down),
            first=came,
        )

    async def resolve_datagram(self, host: str, port: int) -> tuple[int, Any]:
        """Family and address that datagrams for a host go to. Raises: Failure."""
        return await self._proxy.upstream.resolve_datagram(host, port, self._proxy.settings.guard)

    async def send_to(self, sock: socket.socket, data: bytes) -> None:
        """Sends what the proxy itself has to say. Raises: OSError."""
        await self._loop.sock_sendall(sock, data)
        self.touch()

    def open_socket(self, family: int, type: int) -> socket.socket:
        """A socket of the world that it is proxied to."""
        return self._proxy.upstream.open(family, type)

    # ---- life

    def touch(self) -> None:
        """A byte has come, or gone."""
        self.touched = self._loop.time()

    def counting(self, count: Callable[[int], object]) -> Callable[[int], None]:
        """What counts bytes, and takes them for a sign of life."""
        now = self._loop.time

        def counted(number: int) -> None:
            self.touched = now()
            count(number)

        return counted

    def end(self, reason: str) -> None:
        """Ends it now."""
        if self.ended_by is None and self.task is not None:
            self.ended_by = reason
            self.task.cancel()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """While it waits for a request."""
        if self.is_draining:
            self.end("drained")
        self.is_idle = True
        try:
            yield
        finally:
            self.is_idle = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Ends it if the client leaves meanwhile. Nothing else may read from it."""
        fd = self.sock.fileno()

        def look() -> None:
            try:
                gone = not self.sock.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                gone = True
            self._loop.remove_reader(fd)
            if gone:
                self.end("client_gone")

        self._loop.add_reader(fd, look)
        try:
            yield
        finally:
            self._loop.remove_reader(fd)

    def abort(self) -> None:
        """Has the close tell the client that what it got is not all."""
        reset(self.sock)

    async def linger(self) -> None:
        """Lets the client read what it was told last, although it sent more than was read."""
        with suppress(OSError, asyncio.TimeoutError, TimeoutError):
            self.sock.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(self._discard(), _LINGER_S)

    async def _discard(self) -> None:
        left = _LINGER_BYTES
        while left > 0:
            data = await self._loop.sock_recv(self.sock, 1 << 16)
            if not data:
                return
            left -= len(data)


async def read_exactly(client: Client, came: bytearray, count: int) -> bytes:
    """Takes `count` bytes from what came, and from the client.

    Raises:
        Failure: The client ended before.
    """
    loop = asyncio.get_running_loop()
    while len(came) < count:
        data = await loop.sock_recv(client.sock, 1 << 16)
        client.touch()
        if not data:
            raise Failure("http_request_error", "the client left in its request")
        came += data
    taken = bytes(came[:count])
    del came[:count]
    return taken
