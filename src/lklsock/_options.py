"""Socket options that MPTCP refuses and programs set all the same.

A hint changes nothing that a program could rely on: it is accepted and remembered. Every other
option that the kernel refuses is the kernel's error.
"""

from __future__ import annotations

import errno
from socket import IPPROTO_IPV6, IPPROTO_TCP, SOL_IP, SOL_SOCKET

_REFUSALS = frozenset({errno.EOPNOTSUPP, errno.ENOPROTOOPT})

# asm-generic/socket.h, linux/tcp.h, linux/in.h and linux/in6.h: the stdlib does not name them all.
_SO_PEEK_OFF = 42
_SO_ZEROCOPY = 60
_TCP_MAXSEG = 2
_TCP_SYNCNT = 7
_TCP_LINGER2 = 8
_TCP_WINDOW_CLAMP = 10
_TCP_QUICKACK = 12
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23

_HINTS = frozenset(
    {
        (int(SOL_SOCKET), _SO_PEEK_OFF),
        (int(SOL_SOCKET), _SO_ZEROCOPY),
        (int(IPPROTO_TCP), _TCP_MAXSEG),
        (int(IPPROTO_TCP), _TCP_SYNCNT),
        (int(IPPROTO_TCP), _TCP_LINGER2),
        (int(IPPROTO_TCP), _TCP_WINDOW_CLAMP),
        (int(IPPROTO_TCP), _TCP_QUICKACK),
        (int(SOL_IP), _IP_MTU_DISCOVER),
        (int(IPPROTO_IPV6), _IPV6_MTU_DISCOVER),
    }
)


def is_refused_hint(error: OSError, level: int, option: int) -> bool:
    """Whether the kernel refused an option that need not be honoured."""
    return error.errno in _REFUSALS and (level, option) in _HINTS
