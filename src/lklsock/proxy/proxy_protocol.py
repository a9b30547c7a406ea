"""The PROXY protocol, version 2: tells a server who has connected to its gateway.

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Any

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_VERSION_2_PROXY = 0x21
_TCP_OVER_IPV4, _TCP_OVER_IPV6 = 0x11, 0x21


def header(source: tuple[Any, ...], destination: tuple[Any, ...]) -> bytes:
    """What goes before a connection's first byte.

    Args:
        source: The socket address of who has connected.
        destination: The one that was connected to; of the same family.
    """
    ends = [_plain(address[0]) for address in (source, destination)]
    is_ipv4 = all(end.version == 4 for end in ends)
    family = socket.AF_INET if is_ipv4 else socket.AF_INET6
    if not is_ipv4:
        ends = [_as_ipv6(end) for end in ends]
    addresses = b"".join(socket.inet_pton(family, str(end)) for end in ends)
    addresses += struct.pack("!HH", source[1], destination[1])
    kind = _TCP_OVER_IPV4 if is_ipv4 else _TCP_OVER_IPV6
    return _SIGNATURE + struct.pack("!BBH", _VERSION_2_PROXY, kind, len(addresses)) + addresses


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _plain(host: str) -> _Address:
    ip = ipaddress.ip_address(host.partition("%")[0])
    return (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip


def _as_ipv6(ip: _Address) -> ipaddress.IPv6Address:
    return ip if isinstance(ip, ipaddress.IPv6Address) else ipaddress.IPv6Address(f"::ffff:{ip}")
