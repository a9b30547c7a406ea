"""Socket options that MPTCP refuses and programs set all the same.

A hint changes nothing that a program could rely on: it is accepted and remembered. What else TCP
would take means something, more than MPTCP does: the socket is made anew as plain TCP, while
nothing has begun and MPTCP is not required. Then, or if TCP refuses it as well, it is the kernel's
error; but for SO_OOBINLINE, as MPTCP delivers everything in line.
"""

from __future__ import annotations

import errno
from socket import (
    IPPROTO_IPV6,
    IPPROTO_TCP,
    SO_ACCEPTCONN,
    SO_OOBINLINE,
    SOL_IP,
    SOL_SOCKET,
)

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from ._lkl import Socket
    from ._shadow import Kind

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


def is_hint(level: int, option: int) -> bool:
    """Whether an option need not be honoured."""
    return (level, option) in _HINTS


def is_so_anyway(level: int, option: int) -> bool:
    """Whether MPTCP does what an option asks for, though it refuses it."""
    return (level, option) == (SOL_SOCKET, SO_OOBINLINE)


def is_refused(error: OSError) -> bool:
    """Whether it is what the kernel says of an option that MPTCP has not."""
    return error.errno in _REFUSALS


def make_plain(sock: Socket, kind: Kind | None, setting: tuple[Any, ...]) -> bool:
    """Has TCP take the place of MPTCP under a socket, and sets the option.

    The descriptor stays, and what was set and bound so far is so again.

    Returns:
        Whether it was done: not if it is too late, not allowed, or of no use.

    Raises:
        OSError: It cannot be bound again to where it was.
    """
    if kind is None or not kind.upgraded or kind.required or kind.kernel is None:
        return False
    if kind.settings is None or _has_begun(sock):
        return False
    fresh = kind.kernel.socket(kind.family, kind.type, IPPROTO_TCP)
    try:
        for made in (*kind.settings, setting):
            fresh.setsockopt(*made)
    except OSError:
        fresh.close()
        return False
    name: Any = sock.getsockname()
    sock.replace_kernel(fresh)
    fresh.close()
    kind.upgraded = False
    if name[1] or any(character not in "0:." for character in name[0]):
        sock.bind(name)
    # The host's half of a socket in both worlds has it now, too.
    sock.setsockopt(*setting)
    return True


def _has_begun(sock: Socket) -> bool:
    if sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
        return True
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
