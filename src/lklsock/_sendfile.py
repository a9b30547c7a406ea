"""Files sent by pread(2) and send(): what a kernel socket has in place of sendfile(2)."""

from __future__ import annotations

import os
import socket as _stdlib

from . import _lkl
from ._shadow import find
from ._wait import until, would_block

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

_GiveUp = _stdlib._GiveupOnSendfile  # type: ignore[attr-defined]

_host_sendfile = os.sendfile

_BLOCK_BYTES = 1 << 18


def send_file(sock: _stdlib.socket, file: Any, offset: int, count: int | None) -> int:
    """Does what `socket.socket._sendfile_use_sendfile` does, on a socket without sendfile(2).

    Raises:
        socket._GiveupOnSendfile: It is no regular file, and nothing was sent.
    """
    try:
        fd = file.fileno()
        size = os.fstat(fd).st_size
    except (AttributeError, OSError) as error:
        raise _GiveUp(error) from error
    if not size:
        return 0
    if sock.gettimeout() == 0:
        raise ValueError("non-blocking sockets are not supported")
    end = size if count is None else min(offset + count, size)
    at = offset
    try:
        while at < end:
            try:
                data = os.pread(fd, min(end - at, _BLOCK_BYTES), at)
            except OSError as error:
                if at > offset:
                    raise
                raise _GiveUp(error) from error
            if not data:
                break
            at += sock.send(data)
    finally:
        if at > offset and hasattr(file, "seek"):
            file.seek(at)
    return at - offset


def sendfile(
    out_fd: int, in_fd: int, offset: int | None, count: int, *args: Any, **kwargs: Any
) -> int:
    """Like `os.sendfile`, also to the descriptor of a kernel socket."""
    shadow = find(out_fd) if isinstance(out_fd, int) else None
    if shadow is None:
        return _host_sendfile(out_fd, in_fd, offset, count, *args, **kwargs)
    try:
        at = os.lseek(in_fd, 0, os.SEEK_CUR) if offset is None else offset
        data = os.pread(in_fd, min(count, _BLOCK_BYTES), at)
        sent = shadow.sock.send(data, 0) if data else 0
        if sent is None:
            if not os.get_blocking(out_fd):
                raise would_block()
            sent = until(shadow.sock, _lkl.OUT, None, shadow.sock.send, data, 0) or 0
    finally:
        shadow.leave(out_fd)
    if offset is None:
        os.lseek(in_fd, at + sent, os.SEEK_SET)
    return sent
