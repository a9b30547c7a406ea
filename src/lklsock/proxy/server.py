"""The proxy: listens on the host, takes clients on, and lets them end."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..errors import KernelError
from .client import Client
from .exchange import Exchange
from .relay import BUFFER_BYTES
from .settings import Address, Settings, format_address
from .upstream import Upstream
from .wire import RECEIVE_BYTES

log = logging.getLogger("lklsock.proxy")

_SOCKS4, _SOCKS5 = 4, 5
_SOCKS4_REJECTED = bytes((0, 0x5B)) + bytes(6)
BACKLOG = 1024
_LOOK_S = 1.0
"""Between two looks for clients that do nothing."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class Front:
    """A listener, which does not block, and what serves those who come to it."""

    listener: socket.socket
    speak: Callable[[Client], Awaitable[None]]


class Proxy:
    """A proxy in the running event loop.

    Args:
        settings: May be replaced at any time; what listens stays as it was.
        upstream: Makes the connections out.

    Attributes:
        exchanges: What is under way, by number.
        on_finish: Called with each exchange that has ended.
        on_loss: Called when the kernel of the stack is gone: nothing can be proxied any more.
        refused: Connections that were one too many.
        faults: Clients that could not be served because of a mistake in here.
        is_draining: Whether it ends.
    """

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        self.settings = settings
        self.upstream = upstream
        self.exchanges: dict[int, Exchange] = {}
        self.on_finish: list[Callable[[Exchange], object]] = []
        self.on_loss: list[Callable[[KernelError], object]] = []
        self.refused = 0
        self.faults = 0
        self.is_draining = False
        self.buffer = memoryview(bytearray(BUFFER_BYTES))
        self._listeners: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: set[Client] = set()
        self._per_address: Counter[str] = Counter()

    # ---- life

    def listen(self, fronts: Sequence[Front] | None = None) -> list[Address]:
        """Listens, and serves from now on.

        Args:
            fronts: Where; None for the addresses of the settings, for HTTP and SOCKS5.

        Returns:
            The addresses, with the ports that the host chose for port 0.

        Raises:
            OSError: One cannot be listened on; it is named, and none is.
        """
        try:
            if fronts is None:
                for address in self.settings.listen:
                    self._listeners.append(open_listener(address))
                fronts = [Front(listener, self._speak) for listener in self._listeners]
            else:
                self._listeners += [front.listener for front in fronts]
        except OSError:
            self._close_listeners()
            raise
        for front in fronts:
            self._tasks.append(asyncio.create_task(self._accept(front)))
        self._tasks.append(asyncio.create_task(self._look()))
        return [front.listener.getsockname()[:2] for front in fronts]

    async def drain(self, timeout_s: float) -> int:
        """Takes nobody on any more, and lets requests that are under way end.

        Returns:
            How many clients were left when the time was over; they have been ended.
        """
        self.is_draining = True
        self._close_listeners()
        for client in list(self._clients):
            if client.is_idle:
                client.end("drained")
        tasks = [client.task for client in self._clients if client.task is not None]
        left = 0
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=timeout_s)
            left = len(pending)
        await self.close()
        return left

    async def close(self) -> None:
        """Ends all at once."""
        self.is_draining = True
        self._close_listeners()
        for client in list(self._clients):
            client.end("drained")
        tasks = [client.task for client in self._clients if client.task is not None]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._tasks, return_exceptions=True)
        self.upstream.close()

    @property
    def client_count(self) -> int:
        """Connections of clients."""
        return len(self._clients)

    def finished(self, exchange: Exchange) -> None:
        """An exchange has ended."""
        for callback in self.on_finish:
            callback(exchange)

    def _close_listeners(self) -> None:
        loop = asyncio.get_running_loop()
        while self._listeners:
            listener = self._listeners.pop()
            loop.remove_reader(listener)
            listener.close()

    # ---- clients

    async def _accept(self, front: Front) -> None:
        loop = asyncio.get_running_loop()
        listener = front.listener
        while True:
            try:
                sock, address = await loop.sock_accept(listener)
            except OSError as error:
                if listener.fileno() < 0:
                    return
                if error.errno in _NO_DESCRIPTORS:
                    log.error("no client is taken on: %s", error.strerror)
                    await asyncio.sleep(_LOOK_S)
                continue
            except KernelError as error:
                self._lost(error)
                return
            self._take_on(sock, str(address[0]), front)

    def _take_on(self, sock: socket.socket, address: str, front: Front) -> None:
        limits = self.settings.limits
        if (
            len(self._clients) >= limits.connections
            or self._per_address[address] >= limits.connections_per_client
        ):
            self.refused += 1
            with suppress(OSError), sock:
                sock.send(_FULL)
            return
        client = Client(self, sock, address)
        self._clients.add(client)
        self._per_address[address] += 1
        client.task = asyncio.create_task(self._serve(client, front))

    async def _serve(self, client: Client, front: Front) -> None:
        try:
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await front.speak(client)
        except asyncio.CancelledError:
            if client.ended_by is None:
                raise
        except OSError as error:
            log.debug("%s: %s", client.address, error)
        except KernelError as error:
            self._lost(error)
        except Exception:
            self.faults += 1
            log.exception("a client of %s could not be served", client.address)
        finally:
            client.sock.close()
            self._clients.discard(client)
            self._per_address[client.address] -= 1
            if not self._per_address[client.address]:
                del self._per_address[client.address]

    def _lost(self, error: KernelError) -> None:
        for callback in self.on_loss:
            callback(error)

    async def _speak(self, client: Client) -> None:
        """Finds out what the client speaks, by its first byte."""
        loop = asyncio.get_running_loop()
        try:
            with client.idle():
                limit_s = client.limits.keep_alive_s
                first = await asyncio.wait_for(loop.sock_recv(client.sock, RECEIVE_BYTES), limit_s)
        except (TimeoutError, asyncio.TimeoutError):
            return
        if not first:
            return
        client.touch()
        if first[0] == _SOCKS5:
            from .socks import SocksSide

            await SocksSide(client, first).run()
        elif first[0] == _SOCKS4:
            await loop.sock_sendall(client.sock, _SOCKS4_REJECTED)
            await client.linger()
        else:
            from .http import HttpSide

            await HttpSide(client, first).run()

    async def _look(self) -> None:
        """Ends who does nothing for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            since = loop.time() - self.settings.limits.idle_s
            for client in list(self._clients):
                if client.touched < since and not client.is_idle:
                    client.end("idle")


def open_listener(address: Address, protocol: int = 0) -> socket.socket:
    """A listening socket of the host that does not block; for TCP, if no protocol is named.

    Raises:
        OSError: It names the address.
    """
    host, port = address
    try:
        (family, *_, resolved), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    except OSError as error:
        raise OSError(error.errno, f"{format_address(address)}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(resolved)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        what = f"{format_address(address)}: {error.strerror}"
        raise OSError(error.errno, what) from error
    return listener
