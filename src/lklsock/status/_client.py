"""Who asks a process for its status."""

from __future__ import annotations

import json
import os
import socket as _stdlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._stdlib_own import StdlibSocket
from . import _directory
from ._capture import CHUNK
from ._conversation import peer

_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 256 << 20
_CHUNK_BYTES_MAX = 64 << 20


class StatusError(Exception):
    """A process cannot be asked, or has refused; the text says why, and what helps."""


def serving() -> list[int]:
    """The processes that can be asked: those of this user; of all, for root.

    What processes that were killed have left behind is removed.
    """
    found: set[int] = set()
    for uid in _users():
        for directory in _directory.find(uid):
            try:
                found.update(_living(directory))
            finally:
                os.close(directory)
    return sorted(found - {os.getpid()})


def command_of(pid: int) -> str:
    """What the process was started as; empty if that cannot be seen."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return " ".join(os.fsdecode(word) for word in words)
    return ""


def ask(pid: int) -> dict[str, Any]:
    """A `Process`, as JSON has it.

    Raises:
        StatusError: There is no such process, or it does not serve.
    """
    with _request(pid, {"request": "status"}) as sock:
        return _object(_line(sock))


def capture(
    pid: int,
    request: dict[str, Any],
    write: Callable[[bytes], object],
    begun: Callable[[_stdlib.socket], object],
) -> dict[str, Any]:
    """Has a capture written until it ends.

    Args:
        pid: Whose.
        request: "link", "snaplen", "packets"; see `_capture`.
        write: Takes the bytes of the pcap file.
        begun: Is called with the connection when it has begun: shutting that down for writing
            ends the capture.

    Returns:
        "frames" and "lost".
    """
    with _request(pid, {"request": "capture", **request}) as sock:
        _object(_line(sock))
        sock.settimeout(None)
        begun(sock)
        while True:
            size = CHUNK.unpack(_exactly(sock, CHUNK.size))[0]
            if not size:
                return _object(_line(sock))
            if size > _CHUNK_BYTES_MAX:
                raise StatusError(f"process {pid} sends what is no capture")
            write(_exactly(sock, size))


def _users() -> Iterator[int]:
    me = os.geteuid()
    yield me
    if me == 0 and not _directory.is_chosen():
        for parent, prefix in (("/run/user", ""), ("/tmp", "lklsock-")):
            with suppress(OSError):
                for name in os.listdir(parent):
                    uid = name.removeprefix(prefix)
                    if name.startswith(prefix) and uid.isascii() and uid.isdigit() and int(uid):
                        yield int(uid)


def _living(directory: int) -> Iterator[int]:
    for pid in _directory.pids(directory):
        try:
            _connected(directory, pid).close()
        except ConnectionRefusedError:
            # It was killed.
            with suppress(OSError):
                os.unlink(_directory.name(pid), dir_fd=directory)
        except OSError:
            continue
        else:
            yield pid


def _connected(directory: int, pid: int) -> _stdlib.socket:
    sock = StdlibSocket(_stdlib.AF_UNIX, _stdlib.SOCK_STREAM)
    try:
        sock.settimeout(_TIMEOUT_S)
        sock.connect(_directory.address(directory, pid))
    except BaseException:
        sock.close()
        raise
    return sock


def _request(pid: int, request: dict[str, Any]) -> _stdlib.socket:
    sock = _connection(pid)
    try:
        sock.sendall(json.dumps(request).encode() + b"\n")
    except OSError as error:
        sock.close()
        raise StatusError(f"process {pid} does not answer: {error}") from None
    return sock


def _connection(pid: int) -> _stdlib.socket:
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        raise StatusError(f"there is no process {pid}") from None
    if os.geteuid() not in (0, owner):
        raise StatusError(f"process {pid} is another user's: only they, and root, may ask it")
    # A process that is not dumpable belongs to root in /proc.
    for uid in dict.fromkeys((owner, os.geteuid())):
        for directory in _directory.find(uid):
            try:
                sock = _connected(directory, pid)
            except OSError:
                continue
            finally:
                os.close(directory)
            if peer(sock)[1] == uid:
                return sock
            sock.close()
    raise StatusError(
        f"process {pid} does not serve its status: start it with `python -m lklsock run`, or with "
        "LKLSOCK_STATUS=1 in its environment, or have it call lklsock.status.serve()"
    )


def _line(sock: _stdlib.socket) -> bytes:
    # Byte by byte would be slow, and more than the line must not be read: so it is looked at first.
    received = bytearray()
    while not received.endswith(b"\n"):
        seen = _received(sock, 1 << 18, _stdlib.MSG_PEEK)
        end = seen.find(b"\n") + 1
        received += _received(sock, end or len(seen))
        if len(received) > _ANSWER_BYTES_MAX:
            raise StatusError("the answer is too long")
    return bytes(received)


def _exactly(sock: _stdlib.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        received += _received(sock, size - len(received))
    return bytes(received)


def _received(sock: _stdlib.socket, size: int, flags: int = 0) -> bytes:
    try:
        data = sock.recv(size, flags)
    except TimeoutError:
        raise StatusError(f"the process has not answered for {_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise StatusError(f"the process has gone: {error}") from None
    if not data:
        raise StatusError("the process has ended, or hung up")
    return data


def _object(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise StatusError("the process answers what is no status: is it another version's?")
    if "error" in answer:
        raise StatusError(str(answer["error"]))
    return answer
