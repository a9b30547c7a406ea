"""Why something could not be proxied, by the names of RFC 9209 (Proxy-Status)."""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """How a failure is told: the status of HTTP, and the reply of SOCKS5 (RFC 1928, section 6)."""

    status: int
    reply: int


_GENERAL, _NOT_ALLOWED, _NET_UNREACHABLE, _HOST_UNREACHABLE, _REFUSED = 1, 2, 3, 4, 5

KINDS = {
    "dns_error": Kind(502, _HOST_UNREACHABLE),
    "dns_timeout": Kind(504, _HOST_UNREACHABLE),
    "destination_ip_prohibited": Kind(403, _NOT_ALLOWED),
    "http_request_denied": Kind(403, _NOT_ALLOWED),
    "http_request_error": Kind(400, _GENERAL),
    "destination_ip_unroutable": Kind(502, _NET_UNREACHABLE),
    "connection_refused": Kind(502, _REFUSED),
    "connection_timeout": Kind(504, _HOST_UNREACHABLE),
    "connection_terminated": Kind(502, _GENERAL),
    "connection_limit_reached": Kind(503, _GENERAL),
    "http_response_timeout": Kind(504, _GENERAL),
    "http_response_incomplete": Kind(502, _GENERAL),
    "http_protocol_error": Kind(502, _GENERAL),
    "proxy_internal_error": Kind(500, _GENERAL),
}

_BY_ERRNO = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ETIMEDOUT: "connection_timeout",
    errno.ENETUNREACH: "destination_ip_unroutable",
    errno.EHOSTUNREACH: "destination_ip_unroutable",
    errno.EADDRNOTAVAIL: "destination_ip_unroutable",
    errno.EAFNOSUPPORT: "destination_ip_unroutable",
    errno.ENOBUFS: "connection_limit_reached",
    errno.EMFILE: "connection_limit_reached",
    errno.ENFILE: "connection_limit_reached",
}


class Failure(Exception):
    """A request that is not, or cannot be, carried out.

    Attributes:
        kind: One of `KINDS`.
        detail: What exactly, for the person who asked.
        status: Of HTTP; that of the kind where nothing else is given.
    """

    def __init__(self, kind: str, detail: str, status: int | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = KINDS[kind].status if status is None else status

    @property
    def reply(self) -> int:
        """The reply of SOCKS5."""
        return KINDS[self.kind].reply


def of_error(error: OSError, what: str) -> Failure:
    """The failure that an error of a socket is."""
    kind = _BY_ERRNO.get(error.errno or 0, "connection_terminated")
    if isinstance(error, TimeoutError):
        kind = "connection_timeout"
    return Failure(kind, f"{what}: {error.strerror or error}")
