"""Connections out: through a stack, by MPTCP."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .failure import Failure, of_error
from .guard import Guard

if TYPE_CHECKING:
    from ..stack import Stack

_ATTEMPT_DELAY_S = 0.25
"""RFC 8305, section 5: between the beginnings of two attempts."""
_NAME_THREADS = 16

_NO_GUARD = Guard(exempt=(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")))

OpenSocket = Callable[[int, int], socket.socket]
"""Makes a socket of a family and a type."""
Resolve = Callable[[str, int, int], list[Any]]
"""The `getaddrinfo` of a host, a port and a type."""


class Upstream:
    """Makes connections in one world.

    Args:
        open_socket: See there.
        resolve: Blocks; called on a thread.
        sources: Gives an address of each path, for a path that loses all and does not say so is
            no way for a new connection.
    """

    def __init__(
        self,
        open_socket: OpenSocket,
        resolve: Resolve,
        sources: Callable[[], list[str]] = list,
    ) -> None:
        self._open_socket = open_socket
        self._resolve = resolve
        self._sources = sources
        self._threads = ThreadPoolExecutor(_NAME_THREADS, thread_name_prefix="lklsock-proxy-names")

    @classmethod
    def of_stack(cls, stack: Stack) -> Upstream:
        """Through a stack; names by its nameservers, or the host's resolver if it has none."""
        from .. import socket as stack_socket

        def resolve(host: str, port: int, type: int) -> list[Any]:
            with stack:
                return stack_socket.getaddrinfo(host, port, type=type)

        def sources() -> list[str]:
            links = [each.addresses for each in stack.interfaces if each.carrier]
            return [address for addresses in links for address in addresses]

        return cls(stack.socket, resolve, sources)

    @classmethod
    def of_host(cls) -> Upstream:
        """Through the host, by plain TCP."""
        return cls(
            lambda family, type: socket.socket(family, type),
            lambda host, port, type: socket.getaddrinfo(host, port, type=type),
        )

    def close(self) -> None:
        """Waits for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def open(self, family: int, type: int) -> socket.socket:
        """A new socket that does not block."""
        sock = self._open_socket(family, type)
        sock.setblocking(False)
        return sock

    async def resolve(
        self, host: str, port: int, guard: Guard, type: int = socket.SOCK_STREAM
    ) -> list[tuple[int, Any]]:
        """Families and socket addresses of a host that may be asked for; one of them at least.

        Raises:
            Failure: There is none.
        """
        guard.check_port(port)
        found = _numeric(host, port) or await self._look_up(host, port, type)
        allowed = [entry for entry in found if guard.allows(entry[1][0])]
        if not allowed:
            raise Failure(
                "destination_ip_prohibited",
                f"{host} is an address that is not proxied to: {found[0][1][0]}",
            )
        return allowed

    async def resolve_datagram(self, host: str, port: int, guard: Guard) -> tuple[int, Any]:
        """Family and socket address that datagrams for a host go to.

        Raises:
            Failure: There is none.
        """
        family, address = (await self.resolve(host, port, guard, socket.SOCK_DGRAM))[0]
        with self.open(family, socket.SOCK_DGRAM) as sock:
            try:
                # Nothing is sent: it tells which own address is at this end.
                sock.connect(address)
                guard.check_peer(sock.getsockname()[0], address[0])
            except OSError as error:
                raise of_error(error, f"{host}:{port}") from error
        return family, address

    async def _look_up(self, host: str, port: int, type: int) -> list[tuple[int, Any]]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._resolve, host, port, type)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Failure("dns_error", f"{host}: {reason}") from error
        # getaddrinfo may name an address twice.
        unique = dict.fromkeys((info[0], info[4]) for info in found)
        if not unique:
            raise Failure("dns_error", f"{host} has no address")
        return list(unique)

    async def connect(self, host: str, port: int, guard: Guard, timeout_s: float) -> socket.socket:
        """A connection to a host, by the first of its addresses that answers.

        Raises:
            Failure: There is none.
        """
        phase = "dns_timeout"

        async def connected() -> socket.socket:
            nonlocal phase
            addresses = await self.resolve(host, port, guard)
            phase = "connection_timeout"
            return await self._race(addresses, f"{host}:{port}")

        try:
            sock = await asyncio.wait_for(connected(), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            what = f"{host}:{port} did not answer in {timeout_s:g} s"
            raise Failure(phase, what) from None
        try:
            guard.check_peer(sock.getsockname()[0], sock.getpeername()[0])
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            raise of_error(error, f"{host}:{port}") from error
        except Failure:
            sock.close()
            raise
        return sock

    async def connect_to(self, address: tuple[str, int], timeout_s: float) -> socket.socket:
        """A connection to an address that nobody has to be guarded from.

        Raises:
            Failure: It does not answer.
        """
        return await self.connect(*address, _NO_GUARD, timeout_s)

    def _ways(self, addresses: list[tuple[int, Any]]) -> deque[_Way]:
        """What to attempt: each address, and then each again from an address of each path."""
        ways = deque(_Way(family, address, None) for family, address in addresses)
        sources = self._sources()
        if len(sources) > 1:
            # The first path is what the kernel takes by itself.
            for source in (*sources[1:], sources[0]):
                version = socket.AF_INET6 if ":" in source else socket.AF_INET
                ways.extend(_Way(f, a, source) for f, a in addresses if f == version)
        return ways

    async def _race(self, addresses: list[tuple[int, Any]], what: str) -> socket.socket:
        """The first connection of all that are attempted, one a little after the other."""
        waiting = self._ways(addresses)
        attempts: dict[asyncio.Task[socket.socket], _Way] = {}
        failed: OSError | None = None
        try:
            while waiting or attempts:
                if waiting:
                    way = waiting.popleft()
                    attempts[asyncio.create_task(self._attempt(way))] = way
                done, _ = await asyncio.wait(
                    attempts,
                    timeout=_ATTEMPT_DELAY_S if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for attempt in done:
                    problem = attempt.exception()
                    if problem is None:
                        del attempts[attempt]
                        return attempt.result()
                    if not isinstance(problem, OSError):
                        raise problem
                    failed = failed or problem
                    way = attempts.pop(attempt)
                    if isinstance(problem, ConnectionRefusedError):
                        # It would refuse by any path.
                        waiting = deque(w for w in waiting if w.address != way.address)
        finally:
            for attempt in attempts:
                attempt.cancel()
            for result in await asyncio.gather(*attempts, return_exceptions=True):
                if isinstance(result, socket.socket):
                    result.close()
        assert failed is not None
        raise of_error(failed, what) from failed

    async def _attempt(self, way: _Way) -> socket.socket:
        sock = self.open(way.family, socket.SOCK_STREAM)
        try:
            if way.source is not None:
                sock.bind((way.source, 0))
            await asyncio.get_running_loop().sock_connect(sock, way.address)
        except BaseException:
            with suppress(OSError):
                sock.close()
            raise
        return sock


class _Way(NamedTuple):
    """Something to attempt."""

    family: int
    address: Any
    source: str | None
    """The address that it is bound to; None for the kernel's choice."""


def _numeric(host: str, port: int) -> list[tuple[int, Any]]:
    """The address that a host is by itself; nothing if it is a name."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return []
    if ip.version == 4:
        return [(socket.AF_INET, (str(ip), port))]
    return [(socket.AF_INET6, (str(ip), port, 0, 0))]
