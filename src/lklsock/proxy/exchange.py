"""What is known of one request or tunnel: for the log, the figures and the dashboard."""

from __future__ import annotations

import itertools
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import KernelError

_numbers = itertools.count(1)


@dataclass
class Exchange:
    """A request, or a tunnel, of a client.

    Attributes:
        client: The client's address.
        protocol: "http", "connect", "socks5", "socks5-udp" or "reverse".
        method: Of HTTP; "" for others.
        host: Asked for.
        port: Asked for.
        user: Who asked; None if nobody had to say.
        bytes_up: To the server, without the heads of HTTP.
        bytes_down: To the client.
        status: Of HTTP, or the reply of SOCKS5; None as long as there is none.
        error: The kind of failure, as in `failure.KINDS`, or what ended it; None if all went well.
        upstream: The connection to the server, while there is one.
        connect_s: How long it took until there was one.
        mptcp: Whether that is MPTCP, and has not fallen back; None before there is one.
    """

    client: str
    protocol: str
    method: str = ""
    host: str = ""
    port: int = 0
    user: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    began: float = field(default_factory=time.time)
    began_at: float = field(default_factory=time.monotonic)
    bytes_up: int = 0
    bytes_down: int = 0
    status: int | None = None
    error: str | None = None
    upstream: socket.socket | None = None
    mptcp: bool | None = None
    connect_s: float | None = None

    def connected(self, upstream: socket.socket) -> None:
        """Has a connection to the server from now on."""
        self.upstream = upstream
        self.connect_s = self.seconds
        self.note_mptcp()

    def note_mptcp(self) -> None:
        """Asks again whether it is MPTCP, as long as it can be asked."""
        from ..mptcp import is_mptcp

        if self.upstream is not None and self.upstream.fileno() >= 0:
            with suppress(KernelError):
                self.mptcp = is_mptcp(self.upstream)

    def up(self, count: int) -> None:
        """Bytes have gone to the server."""
        self.bytes_up += count

    def down(self, count: int) -> None:
        """Bytes have gone to the client."""
        self.bytes_down += count

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return time.monotonic() - self.began_at
