"""UDP ASSOCIATE of SOCKS5: a client's datagrams, through the stack. RFC 1928, section 7."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .exchange import Exchange
from .failure import Failure, of_error
from .socks import IPV4, IPV6, NAME, packed_address

if TYPE_CHECKING:
    from .client import Client

_DATAGRAM_BYTES = 1 << 16
_BATCH = 32
"""Datagrams that are taken before others have their turn."""
_NAMES_MAX = 256
_LOOKUPS_MAX = 16


class Association:
    """A UDP socket of the host for one client, and one of the stack for each family.

    Datagrams that cannot go on are dropped, as UDP's are. Fragments (FRAG) are not reassembled,
    which RFC 1928 leaves open.
    """

    def __init__(self, client: Client, exchange: Exchange, near: socket.socket) -> None:
        self._client = client
        self._exchange = exchange
        self._near = near
        self._loop = asyncio.get_running_loop()
        self._from: Any = None
        self._far: dict[int, socket.socket] = {}
        self._names: OrderedDict[tuple[str, int], tuple[int, Any]] = OrderedDict()
        self._lookups: set[asyncio.Task[None]] = set()
        self._up = client.counting(exchange.up)
        self._down = client.counting(exchange.down)
        self._loop.add_reader(near, self._read_near)

    @classmethod
    async def open(cls, client: Client, exchange: Exchange) -> Association:
        """Opens one, where the client reached the proxy. Raises: Failure."""
        host = client.sock.getsockname()[0]
        near = socket.socket(client.sock.family, socket.SOCK_DGRAM)
        try:
            near.setblocking(False)
            near.bind((host, 0))
        except OSError as error:
            near.close()
            raise of_error(error, "a UDP socket") from error
        return cls(client, exchange, near)

    def __enter__(self) -> Association:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for lookup in self._lookups:
            lookup.cancel()
        for sock in (self._near, *self._far.values()):
            self._loop.remove_reader(sock)
            sock.close()

    @property
    def address(self) -> tuple[Any, ...]:
        """Where the client is to send datagrams."""
        name: tuple[Any, ...] = self._near.getsockname()
        return name

    def _read_near(self) -> None:
        with suppress(BlockingIOError, InterruptedError, ConnectionError):
            for _ in range(_BATCH):
                data, source = self._near.recvfrom(_DATAGRAM_BYTES)
                if source[0] != self._client.address or self._from not in (None, source):
                    continue
                parsed = parse_datagram(data)
                if parsed is None:
                    continue
                self._from = source
                self._pass_on(*parsed)

    def _pass_on(self, host: str, port: int, payload: bytes) -> None:
        known = self._names.get((host, port))
        if known is not None:
            self._send(*known, payload)
        elif len(self._lookups) < _LOOKUPS_MAX:
            lookup = asyncio.create_task(self._look_up(host, port, payload))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._lookups.discard)

    async def _look_up(self, host: str, port: int, payload: bytes) -> None:
        with suppress(Failure):
            found = await self._client.resolve_datagram(host, port)
            self._names[host, port] = found
            if len(self._names) > _NAMES_MAX:
                self._names.popitem(last=False)
            self._exchange.host, self._exchange.port = host, port
            self._send(*found, payload)

    def _send(self, family: int, address: Any, payload: bytes) -> None:
        with suppress(OSError):
            self._far_socket(family).sendto(payload, address)
            self._up(len(payload))

    def _far_socket(self, family: int) -> socket.socket:
        sock = self._far.get(family)
        if sock is None:
            sock = self._client.open_socket(family, socket.SOCK_DGRAM)
            self._far[family] = sock
            self._loop.add_reader(sock, self._read_far, sock)
        return sock

    def _read_far(self, sock: socket.socket) -> None:
        # A refusal of an earlier datagram's (ECONNREFUSED) is nobody's to hear.
        with suppress(OSError):
            for _ in range(_BATCH):
                data, source = sock.recvfrom(_DATAGRAM_BYTES)
                self._near.sendto(b"\0\0\0" + packed_address(source) + data, self._from)
                self._down(len(data))


def parse_datagram(data: bytes) -> tuple[str, int, bytes] | None:
    """Host, port and payload of a client's datagram; None if it is to be dropped."""
    if len(data) < 4 or data[2]:
        return None
    kind, rest = data[3], data[4:]
    length = {IPV4: 4, IPV6: 16}.get(kind)
    if kind == NAME and rest:
        length, rest = rest[0], rest[1:]
    if length is None or len(rest) < length + 2:
        return None
    raw, (port,) = rest[:length], struct.unpack_from("!H", rest, length)
    if kind == NAME:
        try:
            host = raw.decode("ascii")
        except UnicodeDecodeError:
            return None
    else:
        host = socket.inet_ntop(socket.AF_INET if kind == IPV4 else socket.AF_INET6, raw)
    return host, port, rest[length + 2 :]
