"""The far end's program: it listens, receives, and tells what it sees. See `far_process`.

ready    it listens
sample   [monotonic ns, bytes received by the program, [bytes that came on each path]]
gap      [from, until]: monotonic ns; nothing came for longer than usual
done     all is received: bytes, sha256
error    it failed: message
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .plan import PATHS, PORT, PREFIX_LEN

SAMPLE_NS = 50_000_000
GAP_NS = 5_000_000

_ACCEPT_S = 10.0
_BUFFER_BYTES = 1 << 18

Counters = Callable[[], list[int]]


def main(arguments: dict[str, Any]) -> int:
    """Runs until standard input ends, or something fails."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    faulthandler.dump_traceback_later(arguments["deadline_s"], exit=True)
    try:
        listener, counters = _open(arguments)
        with listener:
            listener.settimeout(_ACCEPT_S)
            _tell("ready")
            connection, _ = listener.accept()
            with connection:
                _receive(connection, counters)
                # The near end closes first, and with it standard input.
                threading.Event().wait()
    except (OSError, RuntimeError) as error:
        _tell("error", message=f"{type(error).__name__}: {error}")
    return 1


def _open(arguments: dict[str, Any]) -> tuple[socket.socket, Counters]:
    if arguments["peer"] == "host":
        from . import host_peer

        return host_peer.open_far_end(arguments["fd"])
    return _open_stack(arguments["fds"])


def _open_stack(fds: list[int]) -> tuple[socket.socket, Counters]:
    from ... import mptcp
    from ...link import Wire
    from ...stack import Stack

    stack = Stack(hostname="far", mptcp_mode="require")
    interfaces = [
        stack.add_link(Wire(fd=fd, name=path.name), addresses=[f"{path.far}/{PREFIX_LEN}"])
        for fd, path in zip(fds, PATHS, strict=True)
    ]
    mptcp.limits(stack, subflows=len(PATHS))
    listener = stack.socket()
    listener.bind(("", PORT))
    listener.listen()
    return listener, lambda: [interface.counters()["rx_bytes"] for interface in interfaces]


def _receive(connection: socket.socket, counters: Counters) -> None:
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    digest = hashlib.sha256()
    total = 0
    last_ns = sample_ns = time.monotonic_ns()
    while True:
        now_ns = time.monotonic_ns()
        if now_ns >= sample_ns:
            _tell("sample", values=[now_ns, total, counters()])
            sample_ns = now_ns + SAMPLE_NS
        connection.settimeout(max(sample_ns - now_ns, 1) / 1e9)
        try:
            count = connection.recv_into(buffer)
        except TimeoutError:
            continue
        now_ns = time.monotonic_ns()
        if now_ns - last_ns >= GAP_NS and total:
            _tell("gap", values=[last_ns, now_ns])
        last_ns = now_ns
        if not count:
            break
        digest.update(buffer[:count])
        total += count
    _tell("sample", values=[last_ns, total, counters()])
    _tell("done", bytes=total, sha256=digest.hexdigest())


def _tell(event: str, **what: object) -> None:
    print(json.dumps({"event": event, **what}), flush=True)


def _end_with_stdin() -> None:
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
