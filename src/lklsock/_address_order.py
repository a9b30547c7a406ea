"""The order in which a program should try the addresses of a host, by RFC 6724, section 6."""

from __future__ import annotations

import ipaddress
import socket as _stdlib

from . import _lkl

_Address = ipaddress.IPv6Address

_LINK_LOCAL = 2
_SITE_LOCAL = 5
_GLOBAL = 14

# Section 2.1: prefix, precedence, label; the longest prefix that fits goes first.
_POLICY = [
    (ipaddress.IPv6Network(prefix), precedence, label)
    for prefix, precedence, label in (
        ("::1/128", 50, 0),
        ("::ffff:0:0/96", 35, 4),
        ("::/96", 1, 3),
        ("2001::/32", 5, 5),
        ("2002::/16", 30, 2),
        ("3ffe::/16", 1, 12),
        ("fec0::/10", 1, 11),
        ("fc00::/7", 3, 13),
        ("::/0", 40, 1),
    )
]


def in_order(kernel: _lkl.Kernel, addresses: list[str]) -> list[str]:
    """The addresses, those first that the stack reaches best; else as they were."""
    if len(addresses) < 2:
        return addresses
    return sorted(addresses, key=lambda address: _rank(kernel, address))


def _rank(kernel: _lkl.Kernel, text: str) -> tuple[bool, bool, bool, int, int]:
    """Rules 1, 2, 5, 6 and 8."""
    destination = _as_ipv6(text)
    source = _source(kernel, text)
    precedence, label = _policy(destination)
    scope = _scope(destination)
    return (
        source is None,
        source is not None and _scope(source) != scope,
        source is not None and _policy(source)[1] != label,
        -precedence,
        scope,
    )


def _source(kernel: _lkl.Kernel, text: str) -> _Address | None:
    """The address that the stack would send from; None if it has no way there."""
    family = _stdlib.AF_INET6 if ":" in text else _stdlib.AF_INET
    sock = kernel.socket(family, _stdlib.SOCK_DGRAM, 0)
    try:
        # Sends nothing. Any port will do.
        if sock.connect((text, 1)):
            return None
        name = sock.getsockname()
    finally:
        sock.close()
    assert isinstance(name, tuple)
    return _as_ipv6(name[0])


def _as_ipv6(text: str) -> _Address:
    return _Address(text if ":" in text else f"::ffff:{text}")


def _policy(address: _Address) -> tuple[int, int]:
    return next((rank, label) for prefix, rank, label in _POLICY if address in prefix)


def _scope(address: _Address) -> int:
    """Section 3."""
    ipv4 = address.ipv4_mapped
    if ipv4 is not None:
        return _LINK_LOCAL if ipv4.is_loopback or ipv4.is_link_local else _GLOBAL
    if address.is_multicast:
        return address.packed[1] & 0xF
    if address.is_loopback or address.is_link_local:
        return _LINK_LOCAL
    return _SITE_LOCAL if address.is_site_local else _GLOBAL
