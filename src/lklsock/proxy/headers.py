"""What a proxy does with headers: RFC 9110, section 7.6."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import h11

from .failure import Failure

Headers = list[tuple[bytes, bytes]]

PSEUDONYM = b"lklsock"
_MAX_FORWARDS = b"max-forwards"
_DIGITS_MAX = 9

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)


def to_server(request: h11.Request, host: bytes) -> Headers:
    """The headers of a request as it goes on: for one hop no more, with Via, and with this Host."""
    kept = _end_to_end(request.headers)
    headers = [(b"Host", host)]
    headers += [(name, value) for name, value in kept if name.lower() != b"host"]
    headers.append((b"Via", request.http_version + b" " + PSEUDONYM))
    left = hops_left(request)
    if left is not None:
        headers = [pair for pair in headers if pair[0].lower() != _MAX_FORWARDS]
        headers.append((b"Max-Forwards", b"%d" % (left - 1)))
    if _is_chunked(request.headers):
        headers.append((b"Transfer-Encoding", b"chunked"))
    return headers


def to_client(response: h11.Response | h11.InformationalResponse) -> Headers:
    """The headers of a response as it goes on."""
    headers = _end_to_end(response.headers)
    if _is_chunked(response.headers):
        # What counts is the encoding: a length beside it is for nobody to be misled by.
        headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
    headers.append((b"Via", response.http_version + b" " + PSEUDONYM))
    return headers


def hops_left(request: h11.Request) -> int | None:
    """How often a request may be passed on; None for as often as it takes.

    It is looked at for OPTIONS only: RFC 9110, section 7.6.2.

    Raises:
        Failure: Its kind is "http_request_error".
    """
    value = value_of(request.headers, _MAX_FORWARDS)
    if value is None or request.method != b"OPTIONS":
        return None
    if not value.isdigit() or len(value) > _DIGITS_MAX:
        raise Failure("http_request_error", "Max-Forwards is no number that is meant")
    return int(value)


def _is_chunked(headers: Any) -> bool:
    return any(name == b"transfer-encoding" for name, _ in headers)


def _end_to_end(headers: Any) -> Headers:
    listed = {
        token.strip().lower()
        for name, value in headers
        if name in (b"connection", b"proxy-connection")
        for token in value.split(b",")
    }
    # What frames the message is not for the sender to take away.
    listed -= {b"content-length", b"host"}
    dropped = _HOP_BY_HOP | listed
    return [(raw, value) for raw, value in headers.raw_items() if raw.lower() not in dropped]


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header, by its name in small letters; None if it is not there."""
    return next((value for found, value in headers if found == name), None)


def split_authority(target: bytes) -> tuple[str, int]:
    """Host and port that CONNECT asks for.

    Raises:
        Failure: Its kind is "http_request_error".
    """
    text = target.decode("ascii", "replace")
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not port.isdigit() or not host or (":" in host) != bracketed or "@" in host:
        raise Failure("http_request_error", "CONNECT takes host:port")
    return host, _port(port)


def split_url(target: bytes) -> tuple[str, int, bytes, bytes]:
    """Host, port, the value of Host, and the path of an absolute URL.

    Raises:
        Failure: Its kind is "http_request_error".
    """
    text = target.decode("ascii", "replace")
    if text.startswith("/") or text == "*":
        raise Failure(
            "http_request_error",
            "this is a proxy, not a server: set it as the proxy of your browser or program",
        )
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise Failure("http_request_error", f"not a URL: {error}") from None
    if url.scheme.lower() != "http":
        raise Failure(
            "http_request_error",
            f"{url.scheme or 'nothing'}:// is not http://; https takes CONNECT",
        )
    if not host or port == 0:
        raise Failure("http_request_error", "the URL has no host, or no port that there is")
    path = text.split("://", 1)[1]
    slash = min((i for i in (path.find("/"), path.find("?"), path.find("#")) if i >= 0), default=-1)
    path = path[slash:].partition("#")[0] if slash >= 0 else ""
    if not path.startswith("/"):
        path = "/" + path
    authority = url.netloc.rpartition("@")[2]
    return host, port or 80, authority.encode(), path.encode()


def _port(text: str) -> int:
    number = int(text) if text.isascii() and len(text) < 6 else 0
    if not 0 < number < 2**16:
        raise Failure("http_request_error", f"{text[:6]} is no port")
    return number
