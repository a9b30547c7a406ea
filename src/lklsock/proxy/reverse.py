"""The far half: takes MPTCP, and passes it on to servers that have plain TCP only."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import proxy_protocol
from .failure import Failure
from .server import BACKLOG, open_listener
from .settings import Address, format_address, parse_address
from .upstream import Upstream

if TYPE_CHECKING:
    from ..stack import Stack
    from .client import Client

log = logging.getLogger("lklsock.proxy")

IPPROTO_MPTCP = 262
_NO_MPTCP = (errno.ENOPROTOOPT, errno.EPROTONOSUPPORT, errno.EINVAL)


@dataclass(frozen=True)
class Backend:
    """A server behind a reverse proxy.

    Attributes:
        listen: Where clients come to.
        target: The server, which the host reaches.
        sends_header: Whether the PROXY protocol tells it who has come.
    """

    listen: Address
    target: Address
    sends_header: bool = False


def parse_backend(text: str) -> Backend:
    """The backend "LISTEN=TARGET", each an address and a port.

    Raises:
        ValueError: It is none.
    """
    listen, equals, target = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not LISTEN=TARGET, such as 0.0.0.0:80=127.0.0.1:8080")
    return Backend(parse_address(listen), parse_address(target))


def speaker(backend: Backend, upstream: Upstream) -> Callable[[Client], Awaitable[None]]:
    """What serves a client of a backend.

    Args:
        backend: Which.
        upstream: Connects to the server; of the host.
    """

    async def serve(client: Client) -> None:
        exchange = client.begin("reverse")
        exchange.host, exchange.port = backend.target
        exchange.connected(client.sock)
        try:
            # What a client sends meanwhile waits in the socket.
            sock = await upstream.connect_to(backend.target, client.limits.connect_s)
            with client.tunnel(exchange, sock):
                if backend.sends_header:
                    names = client.sock.getpeername(), client.sock.getsockname()
                    await client.send_to(sock, proxy_protocol.header(*names))
                await client.relay(exchange, sock)
        except Failure as failure:
            exchange.error = failure.kind
            log.warning("%s", failure)
            client.abort()
        except OSError:
            exchange.error = "connection_terminated"
        finally:
            client.finish(exchange)

    return serve


def listen(address: Address, stack: Stack | None) -> socket.socket:
    """A listening socket for MPTCP that does not block: a stack's, or the host's for None.

    Raises:
        OSError: It names the address.
    """
    return _listen_on_host(address) if stack is None else _listen_on_stack(address, stack)


def _listen_on_stack(address: Address, stack: Stack) -> socket.socket:
    from .. import socket as stack_socket

    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with stack:
            listener = stack_socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"{format_address(address)}: {error.strerror or error}"
        raise OSError(error.errno, what) from error
    listener.setblocking(False)
    return listener


def _listen_on_host(address: Address) -> socket.socket:
    try:
        return open_listener(address, IPPROTO_MPTCP)
    except OSError as error:
        if error.errno not in _NO_MPTCP:
            raise
    log.warning("the host's kernel has no MPTCP: %s takes TCP", format_address(address))
    return open_listener(address)
