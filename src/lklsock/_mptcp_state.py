"""Endpoints and limits of a stack's path manager, as they are.

Decoded by hand, in microseconds and on any thread: it is looked often, and while a path is lost.
`_mptcp_endpoints` changes them, by pyroute2.

Source: linux/genetlink.h; linux/mptcp_pm.h.
"""

from __future__ import annotations

import socket as _stdlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from . import _lkl, _rtnetlink
from ._interface import index_to_name

_NETLINK_GENERIC = 16
_CONTROLLER = 16
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_GET_ADDR, _GET_LIMITS = 3, 6
_ADDR, _RCV_ADD_ADDRS, _SUBFLOWS = 1, 2, 3
_ID, _ADDR4, _ADDR6, _PORT, _FLAGS, _IF_IDX = 2, 3, 4, 5, 6, 7
_HEADER = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")


ENDPOINT_FLAGS = {"signal": 1, "subflow": 2, "backup": 4, "fullmesh": 8, "implicit": 16}


@dataclass(frozen=True)
class Endpoint:
    """An address that the path manager uses."""

    id: int
    address: str
    flags: frozenset[str]
    """Of "signal", "subflow", "backup", "fullmesh", "implicit"."""
    port: int = 0
    ifname: str | None = None


@dataclass(frozen=True)
class Limits:
    """How far the path manager goes for each connection."""

    subflows: int
    """Beyond the first."""
    add_addr_accepted: int


def read_endpoints(kernel: _lkl.Kernel) -> list[Endpoint]:
    """The addresses that the path manager of a kernel uses."""
    found = _ask(kernel, _GET_ADDR, _rtnetlink.DUMP)
    return [_endpoint(kernel, _rtnetlink.attributes(each[_ADDR], 0)) for each in found]


def read_limits(kernel: _lkl.Kernel) -> Limits:
    """How far it goes."""
    (found,) = _ask(kernel, _GET_LIMITS)
    return Limits(
        subflows=struct.unpack("=I", found[_SUBFLOWS])[0],
        add_addr_accepted=struct.unpack("=I", found[_RCV_ADD_ADDRS])[0],
    )


def _ask(kernel: _lkl.Kernel, command: int, flags: int = 0) -> list[dict[int, bytes]]:
    """The attributes of each answer of the path manager."""
    sock = kernel.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _NETLINK_GENERIC)
    try:
        name = b"mptcp_pm\0"
        attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(name), _FAMILY_NAME) + name
        (found,) = _answers(sock, _CONTROLLER, _GET_FAMILY, attribute=attribute)
        family = struct.unpack("=H", found[_FAMILY_ID])[0]
        return list(_answers(sock, family, command, flags))
    finally:
        sock.close()


def _answers(
    sock: _lkl.Socket, kind: int, command: int, flags: int = 0, attribute: bytes = b""
) -> Iterator[dict[int, bytes]]:
    """The attributes of each answer."""
    body = _HEADER.pack(command, 1, 0) + attribute
    sock.sendto(_rtnetlink.request(kind, flags, body), 0, (0, 0))
    for answered, answer in _rtnetlink.answers(sock):
        if answered == kind:
            yield _rtnetlink.attributes(answer, _HEADER.size)


def _endpoint(kernel: _lkl.Kernel, found: dict[int, bytes]) -> Endpoint:
    packed = found.get(_ADDR4) or found[_ADDR6]
    family = _stdlib.AF_INET if len(packed) == 4 else _stdlib.AF_INET6
    bits = struct.unpack("=I", found.get(_FLAGS, bytes(4)))[0]
    index = struct.unpack("=i", found.get(_IF_IDX, bytes(4)))[0]
    return Endpoint(
        id=found[_ID][0],
        address=_stdlib.inet_ntop(family, packed),
        flags=frozenset(name for name, bit in ENDPOINT_FLAGS.items() if bits & bit),
        port=struct.unpack("=H", found.get(_PORT, bytes(2)))[0],
        ifname=_name(kernel, index) if index else None,
    )


def _name(kernel: _lkl.Kernel, index: int) -> str | None:
    try:
        return index_to_name(kernel, index)
    except OSError:
        # It has gone, and the endpoint has not.
        return None
