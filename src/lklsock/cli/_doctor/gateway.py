"""Whether a gateway is there: by one UDP datagram to the address that was given."""

from __future__ import annotations

import ipaddress
import socket

from .check import Check

_VXLAN_PORT = 4789
_ANSWER_S = 1.0
# A VXLAN header without a frame: a vxlan device drops it, and so does a tunnel's far end.
_NOTHING = bytes((8, 0, 0, 0, 0, 0, 0, 0))


def check(text: str) -> Check:
    """Of "192.0.2.1", "192.0.2.1:4789" or "[2001:db8::1]:4789"."""
    try:
        address, port = _parsed(text)
    except ValueError as error:
        return Check("gateway", "no", f"{text}: {error}")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    name = f"{address} UDP port {port}"
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_ANSWER_S)
        try:
            sock.connect((str(address), port))
            source = sock.getsockname()[0]
            sock.send(_NOTHING)
            sock.recv(2048)
        except ConnectionRefusedError:
            make = f"ip link add vx1 type vxlan id 1 remote {source} dstport {port}"
            return Check("gateway", "no", f"nobody listens at {name}", (f"there: sudo {make}",))
        except TimeoutError:
            detail = f"{name} does not refuse; a gateway does not answer who it does not know"
            return Check("gateway", "cannot tell", detail)
        except OSError as error:
            return Check("gateway", "no", f"{name}: {error.strerror}")
    return Check("gateway", "ok", f"{name} answers")


def _parsed(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, _, port = text.rpartition(":")
    if not host or (":" in host and not host.startswith("[")):
        host, port = text, str(_VXLAN_PORT)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{port!r} is no port")
    return ipaddress.ip_address(host.strip("[]")), int(port)
