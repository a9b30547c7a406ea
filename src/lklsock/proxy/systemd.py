"""What a service tells systemd: sd_notify(3), a datagram to a socket that it names."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress

_SOCKET = "NOTIFY_SOCKET"
_WATCHDOG = "WATCHDOG_USEC"


def notify(*words: str) -> bool:
    """Tells "READY=1", "STOPPING=1", "STATUS=..." and the like.

    Returns:
        Whether there was somebody to tell.
    """
    address = os.environ.get(_SOCKET)
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall("\n".join(words).encode())
        return True
    return False


def notify_reloading() -> bool:
    """Tells that settings are being read again; "READY=1" ends it."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


async def keep_alive() -> None:
    """Tells that the event loop runs, as often as systemd wants to know it; for ever."""
    wanted = os.environ.get(_WATCHDOG, "")
    if not wanted.isdigit() or not int(wanted):
        return
    while notify("WATCHDOG=1"):
        await asyncio.sleep(int(wanted) / 1e6 / 2)
