"""DNS queries of dnspython, through a stack's sockets."""

from __future__ import annotations

import socket as _stdlib
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.name
import dns.nameserver
import dns.query
import dns.resolver
import dns.reversename

from . import _lkl
from ._interface import numeric_scope
from ._resolv_conf import Config

_PORT = 53

# dnspython pauses before it asks everybody once more: so long, then twice as long, and so on.
_BACKOFF_S = 0.1

OpenSocket = Callable[[int, int], _stdlib.socket]

Absent = dns.resolver.NXDOMAIN
"""There is no such name."""

Empty = dns.resolver.NoAnswer
"""There is such a name, and nothing of the kind that was asked for."""

Silent = dns.exception.Timeout
"""No server answered."""

Unable = dns.resolver.NoNameservers
"""Every server said that it cannot tell."""

Malformed = dns.exception.SyntaxError, dns.name.LabelTooLong, dns.name.NameTooLong
"""A name that cannot be one."""


class _Nameserver(dns.nameserver.Do53Nameserver):  # type: ignore[misc]
    """A nameserver that is asked through a stack."""

    def __init__(self, address: str, open_socket: OpenSocket) -> None:
        super().__init__(address, _PORT)
        self._open_socket = open_socket
        host, _, scope = address.partition("%")
        self._family = _stdlib.AF_INET6 if ":" in host else _stdlib.AF_INET
        self._destination = (host, _PORT, 0, int(scope)) if scope else (host, _PORT)

    def query(
        self,
        request: Any,
        timeout: float,
        source: str | None,
        source_port: int,
        max_size: bool,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> Any:
        """Asks by TCP if the answer may be of any size, else by UDP."""
        kind = _stdlib.SOCK_STREAM if max_size else _stdlib.SOCK_DGRAM
        with self._open_socket(self._family, kind) as sock:
            sock.settimeout(timeout)
            # A UDP socket that is connected hears that nobody listens there.
            sock.connect(self._destination)
            sock.setblocking(False)
            if max_size:
                return dns.query.tcp(request, self.address, timeout, sock=sock)
            return dns.query.udp(
                request,
                self.address,
                timeout,
                sock=sock,
                ignore_unexpected=True,
                ignore_errors=True,
                raise_on_truncation=True,
            )


def make_resolver(config: Config, kernel: _lkl.Kernel, open_socket: OpenSocket) -> Any:
    """A resolver set as `config` says, whose sockets `open_socket` makes."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [
        _Nameserver(numeric_scope(kernel, address), open_socket) for address in config.nameservers
    ]
    resolver.search = [dns.name.from_text(domain) for domain in config.search]
    resolver.use_search_by_default = True
    resolver.ndots = config.ndots
    resolver.rotate = config.rotate
    resolver.timeout = config.timeout_s
    resolver.lifetime = config.timeout_s * len(config.nameservers) * config.attempts
    resolver.lifetime += _BACKOFF_S * (2 ** (config.attempts - 1) - 1)
    return resolver


def candidates(config: Config, name: str) -> list[Any]:
    """What a name may be short for, the likeliest first."""
    if name.endswith("."):
        return [dns.name.from_text(name)]
    as_it_is = dns.name.from_text(name)
    short = dns.name.from_text(name, None)
    completed = [short.concatenate(dns.name.from_text(domain)) for domain in config.search]
    if name.count(".") >= config.ndots:
        return [as_it_is, *completed]
    return [*completed, as_it_is]


def addresses(resolver: Any, name: Any, family: int) -> tuple[list[str], list[str]]:
    """The addresses of a complete name, and its names: the canonical one, then the others."""
    kind = "AAAA" if family == _stdlib.AF_INET6 else "A"
    answer = resolver.resolve(name, kind, search=False)
    others = (rrset.name for rrset in answer.chaining_result.cnames)
    names = [answer.canonical_name, *others]
    return [record.address for record in answer], [_text(name) for name in names]


def names(resolver: Any, address: str) -> list[str]:
    """The names of an address."""
    answer = resolver.resolve(dns.reversename.from_address(address), "PTR", search=False)
    return [_text(record.target) for record in answer]


def _text(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True))
