"""`status pcap`: writes what a running process captures, as the one who asks."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
import threading
from typing import BinaryIO

from ...status import _client


def capture(pid: int, link: str, path: str, options: argparse.Namespace) -> int:
    """Captures until Ctrl-C, --duration or --packets, or until the process ends.

    Returns:
        The exit code.
    """
    with contextlib.ExitStack() as files, _Ending(options.duration) as ending:
        file: BinaryIO = sys.stdout.buffer

        def begin(sock: socket.socket) -> None:
            nonlocal file
            if path != "-":
                # Not sooner: what is there is kept if there is nothing to capture.
                file = files.enter_context(_opened(path))
            print(f"status: captures {link} of process {pid}; Ctrl-C ends it", file=sys.stderr)
            ending.ends(sock)

        def write(data: bytes) -> None:
            file.write(data)
            # Somebody may be reading along.
            file.flush()

        request = {"link": link, "packets": options.packets, "snaplen": options.snaplen}
        result = _client.capture(pid, request, write, begin)
    lost = f", {result['lost']} lost" if result["lost"] else ""
    print(f"status: {result['frames']} frames{lost}", file=sys.stderr)
    return 0


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "wb")
    except OSError as error:
        raise _client.StatusError(f"{path}: {error.strerror}") from None


class _Ending:
    """Has Ctrl-C, SIGTERM and the end of a time end the capture in good order."""

    def __init__(self, duration_s: float | None) -> None:
        self._duration_s = duration_s
        self._sock: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> _Ending:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def ends(self, sock: socket.socket) -> None:
        """From now on."""
        self._sock = sock
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._end)
        if self._duration_s is not None:
            self._timer = threading.Timer(self._duration_s, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if self._sock is not None:
                self._sock.shutdown(socket.SHUT_WR)
