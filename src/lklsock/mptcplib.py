"""The functions of the package mptcplib, on the stack: `from lklsock import mptcplib`.

They serve programs that have been written for it; `lklsock.mptcp` tells more.
"""

from __future__ import annotations

import errno
import os
import socket as _stdlib

from . import _socket
from ._mptcp_info import info, is_mptcp
from .stack import current_stack

__all__ = [
    "IPPROTO_MPTCP",
    "create_mptcp_socket",
    "get_nb_used_subflows",
    "is_mptcp_enabled_and_supported",
    "is_socket_mptcp",
]

IPPROTO_MPTCP = 262


def create_mptcp_socket(family_type: int, sock_type: int) -> _socket.socket:
    """A socket of the current stack: MPTCP if it is enabled there and `sock_type` SOCK_STREAM."""
    wanted = sock_type == _stdlib.SOCK_STREAM and is_mptcp_enabled_and_supported()
    return _socket.socket(family_type, sock_type, IPPROTO_MPTCP if wanted else 0)


def is_socket_mptcp(sock: _stdlib.socket) -> bool:
    """Whether it is an MPTCP connection: not TCP, and not fallen back to TCP."""
    return is_mptcp(sock)


def get_nb_used_subflows(sock: _stdlib.socket) -> int:
    """How many subflows a connection has, the first one included.

    Raises:
        OSError: EOPNOTSUPP: it is no MPTCP connection, or has fallen back to TCP.
    """
    told = info(sock)
    if told is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return told.subflows_total


def is_mptcp_enabled_and_supported() -> bool:
    """Whether MPTCP is enabled in the current stack; it is always supported."""
    return current_stack().sysctl("net.mptcp.enabled") == "1"
