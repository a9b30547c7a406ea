"""A line of JSON for each request or tunnel that has ended."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, TextIO

from .exchange import Exchange

log = logging.getLogger("lklsock.proxy")

STDOUT = "-"


class AccessLog:
    """Writes to a file, or to stdout.

    A line has: time (RFC 3339), client, user, protocol, method, host, port, status, error, up and
    down (bytes), seconds, and mptcp: true, false, or null where nothing was connected to. No path
    of a URL, no header and no password is in it.

    Args:
        path: Of the file, which is appended to; "-" for stdout.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._open()
        self._failed = False

    def write(self, exchange: Exchange) -> None:
        """Adds a line. That it cannot be written is logged once."""
        try:
            self._file.write(json.dumps(fields(exchange), ensure_ascii=True) + "\n")
            self._file.flush()
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.error("the access log is not complete: %s: %s", self._path, error.strerror)
            self._failed = True

    def reopen(self) -> None:
        """Begins the file anew, if somebody has moved it. Raises: OSError."""
        before, self._file = self._file, self._open()
        _close(before)

    def close(self) -> None:
        """Closes the file."""
        _close(self._file)

    def _open(self) -> TextIO:
        if self._path == STDOUT:
            return sys.stdout
        return open(self._path, "a", encoding="utf-8")


def _close(file: TextIO) -> None:
    if file is not sys.stdout:
        # What it still holds could not be written, and that has been told.
        with suppress(OSError):
            file.close()


def fields(exchange: Exchange) -> dict[str, Any]:
    """What a line says."""
    began = datetime.fromtimestamp(exchange.began, timezone.utc)
    return {
        "time": began.isoformat(timespec="milliseconds"),
        "client": exchange.client,
        "user": exchange.user,
        "protocol": exchange.protocol,
        "method": exchange.method,
        "host": exchange.host,
        "port": exchange.port,
        "status": exchange.status,
        "error": exchange.error,
        "up": exchange.bytes_up,
        "down": exchange.bytes_down,
        "seconds": round(exchange.seconds, 3),
        "mptcp": exchange.mptcp,
    }
