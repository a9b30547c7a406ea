"""What a proxy is told: it may be replaced while it runs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from .guard import Guard
from .users import Users

Address = tuple[str, int]
"""Host and port."""


@dataclass(frozen=True)
class Limits:
    """How much a proxy takes on, and how long it waits. Times are in seconds."""

    connections: int = 4096
    """Of all clients together."""
    connections_per_client: int = 1024
    """From one address."""
    header_bytes: int = 64 << 10
    """Of a request, or a response."""
    header_s: float = 20.0
    """From a client's first byte to the end of its request's head."""
    keep_alive_s: float = 75.0
    """Without a request, between two of them."""
    connect_s: float = 20.0
    """Names, and all addresses of one."""
    response_s: float = 300.0
    """From the request to the head of the response."""
    idle_s: float = 900.0
    """Without a byte in any direction."""
    drain_s: float = 30.0
    """For what is under way, when the proxy ends."""


@dataclass(frozen=True)
class Settings:
    """All that a proxy is told.

    Attributes:
        listen: Host sockets' addresses.
        users: Who may use it; None for everybody.
        guard: What may be asked for.
        limits: See there.
    """

    listen: tuple[Address, ...] = (("127.0.0.1", 3128),)
    users: Users | None = None
    guard: Guard = field(default_factory=Guard)
    limits: Limits = field(default_factory=Limits)

    def open_to_others(self) -> list[Address]:
        """The addresses that others than this host can reach."""
        return [address for address in self.listen if not is_loopback(address[0])]


def is_loopback(host: str) -> bool:
    """Whether only this host can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_address(text: str) -> Address:
    """The address "127.0.0.1:3128" or "[::1]:3128".

    Raises:
        ValueError: It is none.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: an IPv6 address takes brackets, as in [::1]:3128")
    if not colon or not host:
        raise ValueError(f"{text!r} is not an address and a port, such as 127.0.0.1:3128")
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ValueError(f"{text!r}: {port!r} is no port")
    return host, int(port)


def format_address(address: tuple[object, ...]) -> str:
    """The opposite of `parse_address`, of whatever a socket says."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
