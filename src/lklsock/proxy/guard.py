"""What may not be asked of a proxy: its own world is nobody else's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from .failure import Failure

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Guard:
    """Refuses destinations that are not out there: loopback, link-local, multicast.

    It looks at the addresses that a name stands for, and those are what is connected to: a name
    that changes its mind gains nothing.

    Attributes:
        ports: Those that may be asked for; None for all.
        exempt: Networks that may be asked for all the same.
    """

    ports: tuple[range, ...] | None = None
    exempt: tuple[Network, ...] = ()

    def check_port(self, port: int) -> None:
        """Refuses a port.

        Raises:
            Failure: Its kind is "http_request_denied".
        """
        if not 0 < port < 2**16:
            raise Failure("http_request_error", f"{port} is no port")
        if self.ports is not None and not any(port in ports for ports in self.ports):
            raise Failure("http_request_denied", f"port {port} is not one of those allowed")

    def check(self, address: str, port: int) -> None:
        """Refuses a numeric address, or a port.

        Raises:
            Failure: It says which.
        """
        self.check_port(port)
        if not self.allows(address):
            raise Failure("destination_ip_prohibited", f"{address} is not proxied to")

    def allows(self, address: str) -> bool:
        """Whether this numeric address may be connected to."""
        return self._exempts(address) or not is_local(_plain_address(address))

    def check_peer(self, local: str, remote: str) -> None:
        """Refuses a connection whose two ends are one: to an address of the stack itself.

        Raises:
            Failure: Its kind is "destination_ip_prohibited".
        """
        if local == remote and not self._exempts(remote):
            raise Failure("destination_ip_prohibited", f"{remote} is the proxy's own address")

    def _exempts(self, address: str) -> bool:
        ip = _plain_address(address)
        return any(ip in network for network in self.exempt if network.version == ip.version)


def is_local(ip: IpAddress) -> bool:
    """Whether an address means this host, this link, or nobody in particular."""
    return (
        ip.is_loopback
        or ip.is_link_local
        or ip.is_unspecified
        or ip.is_multicast
        or ip == _BROADCAST
        or (ip.version == 4 and ip in _THIS_NETWORK)
    )


def _plain_address(address: str) -> IpAddress:
    """The IPv4 address inside an IPv6 address, if there is one; without its scope."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64 or (ip.packed[:12] == bytes(12) and int(ip) > 1):
        return ipaddress.IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or ip


def parse_ports(texts: Iterable[str]) -> tuple[range, ...]:
    """The ports "443", "8000-8999", also several with commas between.

    Raises:
        ValueError: It is none.
    """
    found = []
    for text in ",".join(texts).split(","):
        first, dash, last = text.strip().partition("-")
        last = last if dash else first
        if not (first.isascii() and last.isascii() and first.isdigit() and last.isdigit()):
            raise ValueError(f"{text!r} is no port, and no range such as 8000-8999")
        if not 0 < int(first) <= int(last) < 2**16:
            raise ValueError(f"{text!r} is no range of ports from 1 to 65535")
        found.append(range(int(first), int(last) + 1))
    return tuple(found)
