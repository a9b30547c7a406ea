"""Names to addresses and back: through a stack that has nameservers, else as the host does.

Numeric addresses never leave the process.
"""

from __future__ import annotations

import socket as _stdlib

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    Info = tuple[Any, Any, int, str, Any]
    HostEntry = tuple[str, list[str], list[str]]

    class Resolver(Protocol):
        """The functions below, of one stack."""

        def getaddrinfo(
            self, host: Any, port: Any, family: int, type: int, proto: int, flags: int
        ) -> list[Info]: ...
        def gethostbyname_ex(self, hostname: Any) -> HostEntry: ...
        def gethostbyaddr(self, address: Any) -> HostEntry: ...
        def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]: ...


NAMES = ("getaddrinfo", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo")
"""What this module has in place of the stdlib's."""

_SPECIAL = ("", b"", "<broadcast>", b"<broadcast>")

# By these names wherever the program's `socket` is patched.
host_getaddrinfo = _stdlib.getaddrinfo
host_gethostbyaddr = _stdlib.gethostbyaddr
host_gethostbyname = _stdlib.gethostbyname
host_gethostbyname_ex = _stdlib.gethostbyname_ex
host_getnameinfo = _stdlib.getnameinfo


def _no_resolver(scoped: bool = False, kernel: Any = None) -> None:
    return None


_current: Callable[..., Resolver | None] = _no_resolver


def set_current_resolver(current: Callable[..., Resolver | None]) -> None:
    """Hands over the function that tells the resolver of the stack in use; None for the host's.

    Args:
        current: Takes whether the question names an interface of the stack, and the kernel of
            another stack, whose resolver is wanted.
    """
    global _current
    _current = current


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Info]:
    """Like `socket.getaddrinfo`, through the current stack if it has nameservers."""
    resolver = _current(isinstance(host, str) and "%" in host) if host else None
    if resolver is None:
        return host_getaddrinfo(host, port, family, type, proto, flags)
    return resolver.getaddrinfo(host, port, family, type, proto, flags)


def gethostbyname(hostname: Any, /) -> str:
    """Like `socket.gethostbyname`, through the current stack if it has nameservers."""
    # The wildcard and the broadcast address have no name of any server's.
    resolver = None if hostname in _SPECIAL else _current()
    if resolver is None:
        return host_gethostbyname(hostname)
    return resolver.gethostbyname_ex(hostname)[2][0]


def gethostbyname_ex(hostname: Any, /) -> HostEntry:
    """Like `socket.gethostbyname_ex`, through the current stack if it has nameservers."""
    resolver = _current()
    if resolver is None:
        return host_gethostbyname_ex(hostname)
    return resolver.gethostbyname_ex(hostname)


def gethostbyaddr(ip_address: Any, /) -> HostEntry:
    """Like `socket.gethostbyaddr`, through the current stack if it has nameservers."""
    resolver = _current()
    if resolver is None:
        return host_gethostbyaddr(ip_address)
    return resolver.gethostbyaddr(ip_address)


def getnameinfo(sockaddr: Any, flags: int, /) -> tuple[str, str]:
    """Like `socket.getnameinfo`, through the current stack if it has nameservers."""
    resolver = _current(isinstance(sockaddr, tuple) and len(sockaddr) == 4)
    try:
        if resolver is None:
            return host_getnameinfo(sockaddr, flags)
        return resolver.getnameinfo(sockaddr, flags)
    finally:
        # As of a function in C, an exception's traceback keeps nothing of the caller's.
        del sockaddr


def resolve(family: int, address: Any, kernel: Any = None) -> Any:
    """The socket address with its host name replaced by the first address that it stands for.

    Args:
        family: AF_*.
        address: As of AF_INET or AF_INET6.
        kernel: Whose stack is asked; None for the current one.

    Raises:
        socket.gaierror: The name has no address of this family.
    """
    name, *rest = address
    resolver = _current(isinstance(name, str) and "%" in name, kernel) if name else None
    ask = host_getaddrinfo if resolver is None else resolver.getaddrinfo
    found = ask(name, None, family, _stdlib.SOCK_STREAM, 0, 0)
    return (found[0][4][0], *rest)


for _name in NAMES:
    globals()[_name].__module__ = "lklsock.socket"
