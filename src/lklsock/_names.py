"""The functions of the stdlib's `socket` that deal in names, for one stack.

What needs no name server - numeric addresses, services, the checks of arguments - the host's C
library does, and it says what is wrong with the codes and texts that programs know.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket as _stdlib
from typing import TYPE_CHECKING, Any

from . import _lkl
from ._address_order import in_order
from ._hosts import HostsFile
from ._interface import address_families, numeric_scope, scope_name
from ._resolver import (
    host_getaddrinfo,
    host_gethostbyaddr,
    host_gethostbyname_ex,
    host_getnameinfo,
)

if TYPE_CHECKING:
    from ._dns_query import OpenSocket
    from ._resolv_conf import Config
    from ._resolver import HostEntry, Info

_INET = int(_stdlib.AF_INET)
_INET6 = int(_stdlib.AF_INET6)
_LOOPBACK = {_INET: "127.0.0.1", _INET6: "::1"}
_LOCALHOST = "localhost"

# Numbers: the complement of an enum's member lacks the bits that the enum does not know.
_AI_ADDRCONFIG = int(_stdlib.AI_ADDRCONFIG)
_AI_ALL = int(_stdlib.AI_ALL)
_AI_CANONNAME = int(_stdlib.AI_CANONNAME)
_AI_NUMERICHOST = int(_stdlib.AI_NUMERICHOST)
_AI_V4MAPPED = int(_stdlib.AI_V4MAPPED)

# For the lookup itself; what the host's C library is asked for afterwards has none of it.
_LOOKUP_FLAGS = _AI_ADDRCONFIG | _AI_ALL | _AI_CANONNAME | _AI_V4MAPPED

# netdb.h
_HOST_NOT_FOUND = 1
_TRY_AGAIN = 2

_Found = tuple[list[str], list[str]]
"""Addresses, and names: the canonical one, then the others."""


class Names:
    """Names as one stack resolves them.

    Args:
        kernel: The stack's.
        config: Without nameservers, names are left to the host's resolver.
        open_socket: Makes a socket in the stack.
    """

    def __init__(self, kernel: _lkl.Kernel, config: Config, open_socket: OpenSocket) -> None:
        self._kernel = kernel
        self._config = config
        self._hosts = HostsFile(config.hosts)
        self._resolver: Any = None
        if config.nameservers:
            from ._dns_query import make_resolver

            self._resolver = make_resolver(config, kernel, open_socket)

    # ---- the functions of the module

    def getaddrinfo(
        self, host: Any, port: Any, family: int, type: int, proto: int, flags: int
    ) -> list[Info]:
        """`socket.getaddrinfo`."""
        numeric = (flags | _AI_NUMERICHOST) & ~_AI_ADDRCONFIG
        try:
            host = numeric_scope(self._kernel, host)
            return host_getaddrinfo(host, port, family, type, proto, numeric)
        except _stdlib.gaierror as error:
            if error.errno != _stdlib.EAI_NONAME or flags & _AI_NUMERICHOST:
                raise
        if self._resolver is None:
            return host_getaddrinfo(host, port, family, type, proto, flags)
        found, names = self._find(_text(host), self._families(family, flags))
        mapped = family == _INET6
        if mapped and not flags & _AI_ALL:
            found = [text for text in found if ":" in text] or found
        infos: list[Info] = []
        for text in in_order(self._kernel, found):
            text = f"::ffff:{text}" if mapped and ":" not in text else text
            one = _INET6 if ":" in text else _INET
            rest = numeric & ~_LOOKUP_FLAGS
            infos += host_getaddrinfo(text, port, one, type, proto, rest)
        if flags & _AI_CANONNAME:
            kind, how, number, _, address = infos[0]
            infos[0] = kind, how, number, names[0], address
        return infos

    def gethostbyname_ex(self, hostname: Any) -> HostEntry:
        """`socket.gethostbyname_ex`."""
        if self._resolver is None or self._is_numeric(hostname, _INET):
            return host_gethostbyname_ex(hostname)
        asked = _text(hostname)
        found, names = self._find(asked, [_INET])
        return names[0], names[1:], found

    def gethostbyaddr(self, address: Any) -> HostEntry:
        """`socket.gethostbyaddr`."""
        if self._resolver is None:
            return host_gethostbyaddr(address)
        infos = self.getaddrinfo(address, None, 0, _stdlib.SOCK_STREAM, 0, 0)
        numeric = infos[0][4][0]
        names = self._names_of(numeric)
        if not names:
            raise _herror(_HOST_NOT_FOUND)
        return names[0], names[1:], [numeric]

    def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """`socket.getnameinfo`."""
        without_name = (flags | _stdlib.NI_NUMERICHOST) & ~_stdlib.NI_NAMEREQD
        numeric, service = host_getnameinfo(sockaddr, without_name)
        address, percent, scope = numeric.partition("%")
        if percent:
            scope = scope_name(self._kernel, address, sockaddr[3]) or scope
            numeric = f"{address}%{scope}"
        if flags & _stdlib.NI_NUMERICHOST:
            names = []
        elif self._resolver is None:
            return host_getnameinfo(sockaddr, flags)
        else:
            names = self._names_of(address)
        if not names:
            if flags & _stdlib.NI_NAMEREQD:
                raise _gaierror(_stdlib.EAI_NONAME)
            return numeric, service
        return self._short(names[0]) if flags & _stdlib.NI_NOFQDN else names[0], service

    # ---- lookups

    def _families(self, family: int, flags: int) -> list[int]:
        """The families to look up, by what the program wants and the stack has."""
        wanted = [_INET, _INET6] if family == _stdlib.AF_UNSPEC else [family]
        if flags & _AI_ADDRCONFIG:
            there = address_families(self._kernel)
            usable = [one for one in wanted if one in there]
            if not usable and family != _stdlib.AF_UNSPEC:
                raise _gaierror(_stdlib.EAI_NONAME)
            wanted = usable or wanted
        if family == _INET6 and flags & _AI_V4MAPPED:
            wanted.append(_INET)
        return wanted

    def _find(self, name: str, families: list[int]) -> _Found:
        """What a name stands for. Raises gaierror if that is nothing."""
        if not name:
            raise _gaierror(_stdlib.EAI_NONAME)
        entries = [
            entry
            for entry in self._hosts.named(name)
            if (_INET6 if entry.version == 6 else _INET) in families
        ]
        if entries:
            return [entry.address for entry in entries], [entries[0].name, *entries[0].aliases]
        labels = name.lower().removesuffix(".").split(".")
        if labels[-1] == _LOCALHOST:
            return [_LOOPBACK[family] for family in families], [name]
        return self._ask(name, families)

    def _ask(self, name: str, families: list[int]) -> _Found:
        from . import _dns_query as query

        try:
            candidates = query.candidates(self._config, name)
        except query.Malformed:
            raise _gaierror(_stdlib.EAI_NONAME) from None
        problem = _stdlib.EAI_NONAME
        for candidate in candidates:
            addresses: list[str] = []
            names: list[str] = []
            for family in families:
                try:
                    more, names = query.addresses(self._resolver, candidate, family)
                    addresses += more
                except query.Absent:
                    break
                except query.Empty:
                    problem = _stdlib.EAI_NODATA
                except query.Unable:
                    if problem == _stdlib.EAI_NONAME:
                        problem = _stdlib.EAI_AGAIN
                except query.Silent:
                    if addresses:
                        break
                    raise _gaierror(_stdlib.EAI_AGAIN) from None
            if addresses:
                return addresses, names
        raise _gaierror(problem)

    def _names_of(self, address: str) -> list[str]:
        """The names of a numeric address; none if it has none."""
        entry = self._hosts.of_address(address)
        if entry is not None:
            return [entry.name, *entry.aliases]
        if ipaddress.ip_address(address).is_loopback:
            return [_LOCALHOST]
        from . import _dns_query as query

        try:
            return query.names(self._resolver, address)
        except (query.Absent, query.Empty):
            return []
        except (query.Unable, query.Silent):
            raise _herror(_TRY_AGAIN) from None

    def _short(self, name: str) -> str:
        for domain in self._config.search:
            name = name.removesuffix(f".{domain}")
        return name

    def _is_numeric(self, host: Any, family: int) -> bool:
        try:
            host_getaddrinfo(host, None, family, 0, 0, _AI_NUMERICHOST)
        except _stdlib.gaierror as error:
            if error.errno != _stdlib.EAI_NONAME:
                raise
            return False
        return True


def _text(host: Any) -> str:
    """A name as it goes to a server."""
    encoded = host.encode("idna") if isinstance(host, str) else bytes(host)
    return encoded.decode("ascii", "surrogateescape")


def _gaierror(code: int) -> _stdlib.gaierror:
    """As the host's C library has it."""
    describe = ctypes.CDLL(None).gai_strerror
    describe.restype = ctypes.c_char_p
    return _stdlib.gaierror(code, describe(code).decode())


def _herror(code: int) -> _stdlib.herror:
    """As the host's C library has it."""
    describe = ctypes.CDLL(None).hstrerror
    describe.restype = ctypes.c_char_p
    return _stdlib.herror(code, describe(code).decode())
