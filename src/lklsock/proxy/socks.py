"""The proxy's SOCKS5 side: CONNECT and UDP ASSOCIATE, RFC 1928; user and password, RFC 1929.

The protocol is four fixed forms, so it is written out here: the kept libraries for it have the
client's side only.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .client import read_exactly
from .exchange import Exchange
from .failure import Failure

if TYPE_CHECKING:
    from .client import Client

VERSION = 5
_AUTH_VERSION = 1
_NO_AUTH, _PASSWORD, _NONE_FITS = 0, 2, 0xFF
_CONNECT, _UDP_ASSOCIATE = 1, 3
IPV4, NAME, IPV6 = 1, 3, 4
_SUCCEEDED, _COMMAND_UNKNOWN, _TYPE_UNKNOWN = 0, 7, 8
_NOBODY = ("0.0.0.0", 0)


class _Refused(Exception):
    """It has been told why."""


class SocksSide:
    """One client that speaks SOCKS5.

    Args:
        client: The connection.
        first: What has been read of it.
    """

    def __init__(self, client: Client, first: bytes) -> None:
        self._client = client
        self._came = bytearray(first)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Serves the one request that a connection may have."""
        client = self._client
        exchange = client.begin("socks5")
        try:
            command = await asyncio.wait_for(self._request(exchange), client.limits.header_s)
            await (self._connect if command == _CONNECT else self._associate)(exchange)
        except (TimeoutError, asyncio.TimeoutError):
            exchange.error = "http_request_error"
        except _Refused:
            await client.linger()
        except Failure as failure:
            exchange.status, exchange.error = failure.reply, failure.kind
            with suppress(OSError):
                await self._reply(failure.reply, _NOBODY)
                await client.linger()
        except OSError:
            exchange.error = "connection_terminated"
            client.abort()
        finally:
            client.finish(exchange)

    async def _request(self, exchange: Exchange) -> int:
        """Greeting, user and password, and what is asked for. Returns: the command."""
        _, count = await self._take(2)
        methods = await self._take(count)
        await self._authenticate(exchange, methods)
        version, command, _, kind = await self._take(4)
        if version != VERSION:
            raise Failure("http_request_error", f"version {version} in a request of SOCKS5")
        if kind not in (IPV4, NAME, IPV6):
            await self._refuse(exchange, _TYPE_UNKNOWN)
        exchange.host, exchange.port = await self._address(kind)
        if command not in (_CONNECT, _UDP_ASSOCIATE):
            await self._refuse(exchange, _COMMAND_UNKNOWN)
        return command

    async def _authenticate(self, exchange: Exchange, methods: bytes) -> None:
        users = self._client.users
        method = _NO_AUTH if users is None else _PASSWORD
        if method not in methods:
            exchange.error = "http_request_denied"
            await self._send(bytes((VERSION, _NONE_FITS)))
            raise _Refused
        await self._send(bytes((VERSION, method)))
        if users is None:
            return
        (version,) = await self._take(1)
        name, password = [await self._take((await self._take(1))[0]) for _ in range(2)]
        right = version == _AUTH_VERSION and await users.check(
            name.decode("utf-8", "replace"), password.decode("utf-8", "replace")
        )
        await self._send(bytes((_AUTH_VERSION, 0 if right else 1)))
        if not right:
            exchange.error = "http_request_denied"
            raise _Refused
        exchange.user = name.decode("utf-8", "replace")

    async def _address(self, kind: int) -> tuple[str, int]:
        if kind == NAME:
            raw = await self._take((await self._take(1))[0])
            try:
                host = raw.decode("ascii")
            except UnicodeDecodeError:
                raise Failure("dns_error", "the name is not ASCII") from None
        elif kind == IPV4:
            host = socket.inet_ntop(socket.AF_INET, await self._take(4))
        else:
            host = socket.inet_ntop(socket.AF_INET6, await self._take(16))
        (port,) = struct.unpack("!H", await self._take(2))
        return host, port

    async def _connect(self, exchange: Exchange) -> None:
        client, came = self._client, bytes(self._came)
        sock = await client.connect(exchange, came)
        with client.tunnel(exchange, sock):
            exchange.status = _SUCCEEDED
            await self._reply(_SUCCEEDED, sock.getsockname())
            await client.relay(exchange, sock, came)

    async def _associate(self, exchange: Exchange) -> None:
        from .udp import Association

        client = self._client
        exchange.protocol = "socks5-udp"
        with await Association.open(client, exchange) as association:
            exchange.status = _SUCCEEDED
            await self._reply(_SUCCEEDED, association.address)
            # It lives as long as this connection, on which nothing more is said.
            while await self._loop.sock_recv(client.sock, 1 << 12):
                client.touch()

    async def _refuse(self, exchange: Exchange, reply: int) -> None:
        exchange.status, exchange.error = reply, "http_request_error"
        await self._reply(reply, _NOBODY)
        raise _Refused

    async def _reply(self, reply: int, bound: tuple[Any, ...]) -> None:
        await self._send(bytes((VERSION, reply, 0)) + packed_address(bound))

    async def _take(self, count: int) -> bytes:
        return await read_exactly(self._client, self._came, count)

    async def _send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._client.sock, data)


def packed_address(address: tuple[Any, ...]) -> bytes:
    """A numeric socket address as SOCKS5 has it."""
    host, port = address[:2]
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        return bytes((IPV6,)) + packed + struct.pack("!H", port)
    return bytes((IPV4,)) + socket.inet_pton(socket.AF_INET, host) + struct.pack("!H", port)
