"""The standard library's module `socket`, on network stacks inside the process.

Everything that `socket` has is here, under the same name: `from lklsock import socket` is all that
a program changes. Four lists say where each name comes from.
"""

# ruff: noqa: F403

from __future__ import annotations

import socket as _stdlib
import types as _types
from _socket import close as _host_close
from socket import *

from . import _resolver, _shadow, _tls
from . import _socket as _implementation
from . import stack as _stack
from ._stdlib_own import own as _own

IMPLEMENTS = (
    "close",
    "create_connection",
    "create_server",
    "fromfd",
    "getaddrinfo",
    "getfqdn",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getnameinfo",
    "has_dualstack_ipv6",
    "if_indextoname",
    "if_nameindex",
    "if_nametoindex",
    "socket",
    "socketpair",
)
"""What this module has of its own, in place of the stdlib's."""

EXTENSIONS = (
    "EXTENSIONS",
    "IMPLEMENTS",
    "IMPORTS",
    "MPTCP_FULL_INFO",
    "MPTCP_INFO",
    "MPTCP_SUBFLOW_ADDRS",
    "MPTCP_TCPINFO",
    "OMITTED",
    "SOL_MPTCP",
    "TCP_IS_MPTCP",
)
"""What the stdlib does not have, in any version so far."""

OMITTED: dict[str, str] = {}
"""What the stdlib has and this module has not, each with the reason."""

IMPORTS = tuple(
    name
    for name in vars(_stdlib)
    if not (name.startswith("__") and name.endswith("__"))
    and name not in IMPLEMENTS
    and name not in OMITTED
)
"""What is the same object as the stdlib's: the rest, in the version that runs."""

globals().update({name: getattr(_stdlib, name) for name in IMPORTS})

SOL_MPTCP = 284
MPTCP_INFO = 1
MPTCP_TCPINFO = 2
MPTCP_SUBFLOW_ADDRS = 3
MPTCP_FULL_INFO = 4
TCP_IS_MPTCP = 43

socket = _implementation.socket  # type: ignore[misc]
_tls.install()
getaddrinfo = _resolver.getaddrinfo
gethostbyaddr = _resolver.gethostbyaddr
gethostbyname = _resolver.gethostbyname
gethostbyname_ex = _resolver.gethostbyname_ex
getnameinfo = _resolver.getnameinfo

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import TypeVar as _TypeVar

    _Function = _TypeVar("_Function")
del TYPE_CHECKING


def _here(function: _Function) -> _Function:
    """The stdlib's own function, as if it were defined in this module: it makes our sockets."""
    assert isinstance(function, _types.FunctionType)
    copy = _types.FunctionType(
        function.__code__,
        globals(),
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    copy.__module__ = __name__
    return copy  # type: ignore[return-value]


create_connection = _here(_own("create_connection"))
create_server = _here(_own("create_server"))
fromfd = _here(_own("fromfd"))
getfqdn = _here(_own("getfqdn"))
has_dualstack_ipv6 = _here(_own("has_dualstack_ipv6"))
socketpair = _here(_own("socketpair"))


def close(fd: int, /) -> None:  # type: ignore[no-redef]
    """Like `socket.close`; with the descriptor of a kernel socket, that ends."""
    shadow = _shadow.find(fd) if isinstance(fd, int) else None
    if shadow is None:
        _host_close(fd)
    elif shadow.release(fd):
        try:
            shadow.sock.close()
        finally:
            _host_close(fd)


def if_nametoindex(oname: str, /) -> int:  # type: ignore[no-redef]
    """Like `socket.if_nametoindex`, of the stack's interfaces."""
    from ._interface import name_to_index

    return name_to_index(_stack.current_stack().kernel, oname)


def if_indextoname(index: int, /) -> str:  # type: ignore[no-redef]
    """Like `socket.if_indextoname`, of the stack's interfaces."""
    from ._interface import index_to_name

    return index_to_name(_stack.current_stack().kernel, index)


def if_nameindex() -> list[tuple[int, str]]:  # type: ignore[no-redef]
    """Like `socket.if_nameindex`, of the stack's interfaces."""
    from ._interface import name_to_index, names

    kernel = _stack.current_stack().kernel
    return [(name_to_index(kernel, name), name) for name in names(kernel)]


__all__ = [
    *(name for name in _stdlib.__all__ if name not in OMITTED),
    *(name for name in EXTENSIONS if not name.isupper() or "_" in name),
]
