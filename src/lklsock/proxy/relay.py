"""Bytes both ways between two sockets, as they are.

Nothing is queued: what one side does not take at once is kept, and the other is not read until it
is gone. So a connection that is idle has no buffer, and a slow one has a single one. How much is
read at a time is what was taken lately: much of a quick connection, for each turn has its price,
and little of a slow one, which is kept.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from ..errors import KernelError

BUFFER_BYTES = 1 << 19
"""Of all relays of an event loop together."""

_TURN_BYTES = 1 << 16
"""What is read at a time to begin with, and at least."""

Count = Callable[[int], object]
"""Told of bytes that have gone over to the other side."""


async def relay(
    near: socket.socket,
    far: socket.socket,
    *,
    buffer: memoryview,
    up: Count,
    down: Count,
    first: bytes = b"",
) -> None:
    """Relays until both sides have ended. One that ends alone ends one direction.

    Args:
        near: The client's; neither blocks, and both stay open.
        far: The other side's.
        buffer: Used while a callback runs; all relays of an event loop may have the same, of
            `BUFFER_BYTES`.
        up: Counts what has gone to `far`.
        down: Counts what has gone to `near`.
        first: What was read from `near` before.

    Raises:
        OSError: One side has failed.
        KernelError: A side's kernel is gone.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    ways: list[_Way] = []

    def ended(error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif all(way.ended for way in ways):
            done.set_result(None)

    ways.append(_Way(loop, near, far, buffer, up, ended))
    ways.append(_Way(loop, far, near, buffer, down, ended))
    try:
        for way, data in zip(ways, (first, b""), strict=True):
            way.start(data)
        await done
    finally:
        for way in ways:
            way.stop()


def reset(sock: socket.socket) -> None:
    """Has the close that follows tell the peer that this is not the stream's end."""
    with suppress(OSError, KernelError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Way:
    """One direction."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        sink: socket.socket,
        buffer: memoryview,
        count: Count,
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._loop = loop
        self._source = source
        self._sink = sink
        self._source_fd = source.fileno()
        self._sink_fd = sink.fileno()
        self._buffer = buffer
        self._count = count
        self._on_end = on_end
        self._rest = memoryview(b"")
        self._turn_bytes = _TURN_BYTES
        self.ended = False

    def start(self, data: bytes) -> None:
        """Sends `data`, and then what comes."""
        self._loop.add_reader(self._source_fd, self._read)
        if data:
            self._forward(memoryview(data))

    def stop(self) -> None:
        """Nothing is read or written any more."""
        self._loop.remove_reader(self._source_fd)
        self._loop.remove_writer(self._sink_fd)

    def _read(self) -> None:
        try:
            count = self._source.recv_into(self._buffer, self._turn_bytes)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, KernelError) as error:
            self._fail(error)
            return
        if count:
            self._forward(self._buffer[:count])
        else:
            self._end()

    def _forward(self, data: memoryview) -> None:
        sent = self._send(data)
        if sent is None:
            return
        if sent < len(data):
            self._turn_bytes = max(self._turn_bytes // 2, _TURN_BYTES)
            self._rest = memoryview(bytes(data[sent:]))
            self._loop.remove_reader(self._source_fd)
            self._loop.add_writer(self._sink_fd, self._write)
        elif sent == self._turn_bytes:
            self._turn_bytes = min(self._turn_bytes * 2, len(self._buffer))

    def _write(self) -> None:
        sent = self._send(self._rest)
        if sent is None:
            return
        self._rest = self._rest[sent:]
        if not self._rest:
            # Even an empty part of it would keep all of it.
            self._rest = memoryview(b"")
            self._loop.remove_writer(self._sink_fd)
            self._loop.add_reader(self._source_fd, self._read)

    def _send(self, data: memoryview) -> int | None:
        """How much was sent; None: it failed, and that was told."""
        try:
            sent = self._sink.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except (OSError, KernelError) as error:
            self._fail(error)
            return None
        self._count(sent)
        return sent

    def _end(self) -> None:
        self._loop.remove_reader(self._source_fd)
        self.ended = True
        # It may have closed both ways meanwhile.
        with suppress(OSError, KernelError):
            self._sink.shutdown(socket.SHUT_WR)
        self._on_end(None)

    def _fail(self, error: Exception) -> None:
        self.stop()
        self._on_end(error)
