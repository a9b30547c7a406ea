"""What MPTCP tells of one connection."""

from __future__ import annotations

import errno
import socket as _stdlib
import struct
from dataclasses import dataclass
from typing import Any

from . import _socket

SOL_MPTCP = 284
MPTCP_INFO = 1
MPTCP_FULL_INFO = 4

_SOL_TCP = 6
_TCP_IS_MPTCP = 43
_NO_MPTCP = frozenset({errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.EINVAL})

# linux/mptcp.h, struct mptcp_info.
_INFO = struct.Struct("=6B2xIIQQQ3BxIQQQQB3xIII")
_INFO_BYTES = 96
_FLAG_FALLBACK = 1
_FLAG_REMOTE_KEY = 2

# struct mptcp_full_info up to mptcp_info, mptcp_subflow_info, and the head of tcp_info.
_FULL_INFO = struct.Struct("=6IQQ")
_SUBFLOW_BYTES = 4 + 4 + 2 * 128
_TCP_INFO = struct.Struct("=8B24I4Q6I4QIIQQ")
_TCP_INFO_BYTES = 232


@dataclass(frozen=True)
class Info:
    """What MPTCP knows of a connection. Source: linux/mptcp.h, struct mptcp_info."""

    subflows: int
    """Without the first one."""
    add_addr_signal: int
    add_addr_accepted: int
    subflows_max: int
    add_addr_signal_max: int
    add_addr_accepted_max: int
    remote_key_received: bool
    token: int
    write_seq: int
    snd_una: int
    rcv_nxt: int
    local_addr_used: int
    local_addr_max: int
    csum_enabled: bool
    retransmits: int
    bytes_retrans: int
    bytes_sent: int
    bytes_received: int
    bytes_acked: int
    subflows_total: int
    last_data_sent_ms: int
    """Milliseconds ago, as the two below."""
    last_data_recv_ms: int
    last_ack_recv_ms: int


@dataclass(frozen=True)
class TcpInfo:
    """The most asked for of a subflow's struct tcp_info. Source: linux/tcp.h."""

    state: int
    retransmits: int
    backoff: int
    rto_us: int
    snd_mss: int
    rcv_mss: int
    unacked: int
    lost: int
    rtt_us: int
    rttvar_us: int
    min_rtt_us: int
    snd_cwnd: int
    total_retrans: int
    pacing_rate_bytes_per_s: int
    delivery_rate_bytes_per_s: int
    bytes_acked: int
    bytes_received: int
    bytes_sent: int
    bytes_retrans: int
    notsent_bytes: int


@dataclass(frozen=True)
class Subflow:
    """One TCP connection of an MPTCP connection."""

    id: int
    local: Any
    """The address, as `getsockname` has it."""
    remote: Any
    tcp: TcpInfo


def is_mptcp(sock: _stdlib.socket) -> bool:
    """Whether it is an MPTCP connection: not TCP, and not fallen back to TCP."""
    try:
        return bool(sock.getsockopt(_SOL_TCP, _TCP_IS_MPTCP))
    except OSError:
        return False


def info(sock: _stdlib.socket) -> Info | None:
    """What MPTCP knows of the connection.

    Returns:
        None if it is no MPTCP connection, or one that has fallen back to TCP.
    """
    try:
        raw = sock.getsockopt(SOL_MPTCP, MPTCP_INFO, _INFO_BYTES)
    except OSError as error:
        if error.errno in _NO_MPTCP:
            return None
        raise
    return parse_info(raw)


def parse_info(raw: bytes) -> Info | None:
    """A struct mptcp_info; None if the connection has fallen back to TCP."""
    # An older kernel tells less.
    values = _INFO.unpack(raw.ljust(_INFO_BYTES, b"\0"))
    flags = values[6]
    if flags & _FLAG_FALLBACK:
        return None
    fields = [
        *values[:6],
        bool(flags & _FLAG_REMOTE_KEY),
        *values[7:13],
        bool(values[13]),
        *values[14:],
    ]
    return Info(*fields)


def subflows(sock: _socket.socket) -> list[Subflow]:
    """The subflows of a connection, in the order of their making.

    Raises:
        OSError: EOPNOTSUPP or ENOPROTOOPT if it is no MPTCP connection. Also for a host socket.

    Source: net/mptcp/sockopt.c `mptcp_getsockopt_full_info`.
    """
    import ctypes

    room = 16
    while True:
        tcp_infos = ctypes.create_string_buffer(room * _TCP_INFO_BYTES)
        addresses = ctypes.create_string_buffer(room * _SUBFLOW_BYTES)
        request = _FULL_INFO.pack(
            0,
            _TCP_INFO_BYTES,
            0,
            _SUBFLOW_BYTES,
            0,
            room,
            ctypes.addressof(addresses),
            ctypes.addressof(tcp_infos),
        )
        answer = sock.getsockopt_buffer(SOL_MPTCP, MPTCP_FULL_INFO, request)
        _, tcp_bytes, _, subflow_bytes, count, *_ = _FULL_INFO.unpack_from(answer)
        if count <= room:
            break
        room = count
    return [
        _subflow(
            addresses.raw[i * subflow_bytes : (i + 1) * subflow_bytes],
            tcp_infos.raw[i * tcp_bytes : (i + 1) * tcp_bytes],
        )
        for i in range(count)
    ]


def _subflow(addresses: bytes, tcp: bytes) -> Subflow:
    return Subflow(
        id=struct.unpack_from("=I", addresses)[0],
        local=_socket_address(addresses[8 : 8 + 128]),
        remote=_socket_address(addresses[8 + 128 :]),
        tcp=parse_tcp_info(tcp),
    )


def _socket_address(raw: bytes) -> Any:
    family, port = struct.unpack_from("=H", raw)[0], struct.unpack_from("!H", raw, 2)[0]
    if family == _stdlib.AF_INET:
        return _stdlib.inet_ntop(family, raw[4:8]), port
    if family == _stdlib.AF_INET6:
        flow_info = struct.unpack_from("!I", raw, 4)[0]
        scope_id = struct.unpack_from("=I", raw, 24)[0]
        return _stdlib.inet_ntop(family, raw[8:24]), port, flow_info, scope_id
    return None


def parse_tcp_info(raw: bytes) -> TcpInfo:
    """A struct tcp_info."""
    values = _TCP_INFO.unpack_from(raw.ljust(_TCP_INFO.size, b"\0"))
    bytes_, words = values[:8], values[8:32]
    pacing, _, acked, received = values[32:36]
    counts = values[36:42]
    delivery = values[42]
    sent, retransmitted = values[48:50]
    return TcpInfo(
        state=bytes_[0],
        retransmits=bytes_[2],
        backoff=bytes_[4],
        rto_us=words[0],
        snd_mss=words[2],
        rcv_mss=words[3],
        unacked=words[4],
        lost=words[6],
        rtt_us=words[15],
        rttvar_us=words[16],
        min_rtt_us=counts[3],
        snd_cwnd=words[18],
        total_retrans=words[23],
        pacing_rate_bytes_per_s=pacing,
        delivery_rate_bytes_per_s=delivery,
        bytes_acked=acked,
        bytes_received=received,
        bytes_sent=sent,
        bytes_retrans=retransmitted,
        notsent_bytes=counts[2],
    )
