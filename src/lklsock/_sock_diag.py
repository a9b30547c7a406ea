"""All TCP and MPTCP sockets of a kernel, as ss(8) sees them, not only those of Python objects.

Decoded by hand: a thousand connections take pyroute2 seconds, and it cannot ask for MPTCP at all,
whose number does not fit in the byte that the request has for it.

Source: sock_diag(7); linux/inet_diag.h, linux/mptcp.h; net/mptcp/mptcp_diag.c, net/mptcp/diag.c.
"""

from __future__ import annotations

import socket as _stdlib
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from . import _lkl, _rtnetlink
from ._mptcp_info import Info, TcpInfo, parse_info, parse_tcp_info

IPPROTO_TCP = 6
IPPROTO_MPTCP = 262

STATES = (
    "unknown",
    "established",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "closed",
    "close-wait",
    "last-ack",
    "listen",
    "closing",
    "syn-recv",
)
"""Their names by their numbers. Source: net/tcp_states.h."""

_TIME_WAIT, _CLOSED = 6, 7

# linux/mptcp.h, MPTCP_SUBFLOW_FLAG_*.
CAPABLE_REMOTE, CAPABLE_LOCAL, JOIN_REMOTE, JOIN_LOCAL = 1, 2, 4, 8
BACKUP_REMOTE, BACKUP_LOCAL, ESTABLISHED = 16, 32, 64

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = struct.Struct("=BBBxI48x")
_REQUEST_PROTOCOL = struct.Struct("=HHI")
_PROTOCOL_ATTRIBUTE = 3
_MESSAGE = struct.Struct("=4B2s2s16s16sI8xIIIII")
_PORT = struct.Struct("!H")
_INFO, _CONGESTION, _ULP_INFO = 2, 4, 19
_ULP_MPTCP = 3
_TOKEN_REMOTE, _TOKEN_LOCAL, _FLAGS, _ID_REMOTE, _ID_LOCAL = 1, 2, 8, 9, 10
_INFO_TOKEN = struct.Struct("=12xI")

Address = tuple[str, int]


@dataclass(frozen=True)
class Membership:
    """What makes a TCP socket a subflow. Source: linux/mptcp.h, MPTCP_SUBFLOW_ATTR_*."""

    token: int
    """Of the connection, on this side; 0 for none."""
    remote_token: int
    flags: int
    """CAPABLE_*, JOIN_*, BACKUP_*, ESTABLISHED."""
    local_id: int
    remote_id: int


@dataclass(frozen=True)
class DiagSocket:
    """A socket of the kernel."""

    state: int
    """An index of `STATES`."""
    local: Address
    remote: Address
    ifindex: int
    """What it is bound to; 0 for nothing."""
    receive_queue: int
    """Bytes; of a listener: connections that wait to be accepted."""
    send_queue: int
    """Bytes; of a listener: how many may wait."""
    congestion: str
    tcp: TcpInfo | None = None
    mptcp: Info | None = None
    """None also for a connection that has fallen back to TCP."""
    token: int = 0
    """Of an MPTCP socket, fallen back or not."""
    subflow: Membership | None = None


def dump(kernel: _lkl.Kernel, protocol: int) -> list[DiagSocket]:
    """All sockets of a protocol, of both families, but those in TIME_WAIT and those closed.

    Args:
        kernel: Whose.
        protocol: IPPROTO_TCP, subflows included; or IPPROTO_MPTCP.
    """
    sock = kernel.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _NETLINK_SOCK_DIAG)
    try:
        return [
            _parsed(body, protocol)
            for family in (_stdlib.AF_INET, _stdlib.AF_INET6)
            for body in _answers(sock, _request(family, protocol))
        ]
    finally:
        sock.close()


def _request(family: int, protocol: int) -> bytes:
    states = (1 << len(STATES)) - 1 & ~(1 << _TIME_WAIT | 1 << _CLOSED)
    extensions = 1 << _INFO - 1 | 1 << _CONGESTION - 1
    body = _REQUEST.pack(family, protocol & 0xFF, extensions, states)
    body += _REQUEST_PROTOCOL.pack(_REQUEST_PROTOCOL.size, _PROTOCOL_ATTRIBUTE, protocol)
    return _rtnetlink.request(_SOCK_DIAG_BY_FAMILY, _rtnetlink.DUMP, body)


def _answers(sock: _lkl.Socket, request: bytes) -> Iterator[bytes]:
    sock.sendto(request, 0, (0, 0))
    for kind, body in _rtnetlink.answers(sock):
        if kind == _SOCK_DIAG_BY_FAMILY:
            yield body


def _parsed(body: bytes, protocol: int) -> DiagSocket:
    values = _MESSAGE.unpack_from(body)
    family, state, _, _, local_port, remote_port, local, remote, ifindex = values[:9]
    _, receive_queue, send_queue, _, _ = values[9:]
    found = _rtnetlink.attributes(body, _MESSAGE.size)
    raw = found.get(_INFO)
    is_mptcp = protocol == IPPROTO_MPTCP
    return DiagSocket(
        state=state if state < len(STATES) else 0,
        local=_address(family, local, local_port),
        remote=_address(family, remote, remote_port),
        ifindex=ifindex,
        receive_queue=receive_queue,
        send_queue=send_queue,
        congestion=found.get(_CONGESTION, b"").rstrip(b"\0").decode(),
        tcp=None if is_mptcp or raw is None else parse_tcp_info(raw),
        mptcp=parse_info(raw) if is_mptcp and raw is not None else None,
        token=_INFO_TOKEN.unpack_from(raw)[0] if is_mptcp and raw is not None else 0,
        subflow=_membership(found.get(_ULP_INFO)),
    )


def _address(family: int, packed: bytes, port: bytes) -> Address:
    size = 4 if family == _stdlib.AF_INET else 16
    return _stdlib.inet_ntop(family, packed[:size]), _PORT.unpack(port)[0]


def _membership(ulp_info: bytes | None) -> Membership | None:
    nested = ulp_info and _rtnetlink.attributes(ulp_info, 0).get(_ULP_MPTCP)
    if not nested:
        return None
    found = _rtnetlink.attributes(nested, 0)

    def number(kind: int) -> int:
        return int.from_bytes(found.get(kind, b""), sys.byteorder)

    return Membership(
        token=number(_TOKEN_LOCAL),
        remote_token=number(_TOKEN_REMOTE),
        flags=number(_FLAGS),
        local_id=number(_ID_LOCAL),
        remote_id=number(_ID_REMOTE),
    )
