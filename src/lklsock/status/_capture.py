"""A capture of an interface of a running stack, as a pcap file that is streamed.

The answer to the request is a line of JSON, then chunks: their length (4 bytes, network order) and
their bytes, which together are the file; a length of 0; and another line of JSON, with the
"frames" and what was "lost", because the one who asked, or Python, was not quick enough.

Source: pcap-savefile(5); packet(7).
"""

from __future__ import annotations

import json
import socket as _stdlib
import struct
import time
from typing import TYPE_CHECKING, Any

from .._interface import name_to_index
from ..errors import KernelError
from ._conversation import RefusedError

if TYPE_CHECKING:
    from ..stack import Stack

CHUNK = struct.Struct("!I")

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_BUFFER_BYTES = 4 << 20
_FRAME_BYTES_MAX = 1 << 17
_FRAMES_AT_ONCE = 256
_LINKTYPE_ETHERNET = 1
_SNAPLEN_MAX = 1 << 18
_FILE_HEADER = struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAPLEN_MAX, _LINKTYPE_ETHERNET)
_RECORD = struct.Struct("=IIII")
_TIMESPEC = struct.Struct("=qq")


class Capture:
    """A packet socket in a stack, bound to an interface.

    Attributes:
        is_full: It has the frames that were asked for, or its stack has ended.
    """

    PENDING_BYTES_MAX = 4 << 20
    """What may wait for who asked; beyond, frames are lost, and counted."""

    def __init__(self, stacks: tuple[Stack, ...], request: dict[str, Any]) -> None:
        self.is_full = False
        self._link = str(request["link"])
        self._snaplen = int(request.get("snaplen") or _SNAPLEN_MAX)
        self._left = int(request.get("packets") or 0) or None
        self._frames = 0
        self._lost = 0
        stack, ifname = _find(stacks, self._link)
        self._sock = stack.socket(_stdlib.AF_PACKET, _stdlib.SOCK_RAW | _stdlib.SOCK_NONBLOCK, 0)
        try:
            self._sock.setsockopt(_stdlib.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._sock.setsockopt(_stdlib.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            # No frame of another interface gets in before this.
            self._sock.bind((ifname, _ETH_P_ALL))
            self._fd = self._sock.fileno()
        except BaseException:
            self._sock.close()
            raise

    def fileno(self) -> int:
        """Readable when there are frames."""
        return self._fd

    def close(self) -> None:
        """Ends it."""
        self._sock.close()

    def head(self) -> bytes:
        """What comes first."""
        return json.dumps({"capture": self._link}).encode() + b"\n" + _chunk(_FILE_HEADER)

    def read(self) -> bytes:
        """The frames that are there, but not too many at once."""
        records = bytearray()
        try:
            for _ in range(_FRAMES_AT_ONCE):
                if self._left is not None and self._frames >= self._left:
                    self.is_full = True
                    break
                frame, ancillary, _, _ = self._sock.recvmsg(_FRAME_BYTES_MAX, 64)
                records += self._record(frame, ancillary)
        except BlockingIOError:
            pass
        except (OSError, KernelError):
            # The interface, or the stack, is gone.
            self.is_full = True
        return _chunk(bytes(records)) if records else b""

    def tail(self) -> bytes:
        """What comes last."""
        try:
            raw = self._sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            self._lost += struct.unpack("=II", raw)[1]
        except (OSError, KernelError):
            pass
        result = {"frames": self._frames, "lost": self._lost}
        return CHUNK.pack(0) + json.dumps(result).encode() + b"\n"

    def _record(self, frame: bytes, ancillary: list[tuple[int, int, bytes]]) -> bytes:
        self._frames += 1
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        for _, kind, data in ancillary:
            if kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack_from(data)
        kept = frame[: self._snaplen]
        return _RECORD.pack(seconds, nanoseconds, len(kept), len(frame)) + kept


def _find(stacks: tuple[Stack, ...], link: str) -> tuple[Stack, str]:
    """The stack of "tap0", "2:tap0" or "hostname:tap0", and the name of the link in it."""
    which, _, name = link.rpartition(":")
    found = []
    for number, stack in enumerate(stacks, 1):
        try:
            name_to_index(stack.kernel, name)
        except OSError:
            continue
        if which in ("", str(number), stack.sysctl("kernel.hostname")):
            found.append((number, stack))
    if len(found) == 1:
        return found[0][1], name
    if found:
        choices = " or ".join(f"{number}:{name}" for number, _ in found)
        raise RefusedError(f"{len(found)} stacks of this process have a link {name}: say {choices}")
    names = [each.name for stack in stacks for each in stack.interfaces]
    there = ", ".join(sorted({*names, "lo"}))
    raise RefusedError(f"no stack of this process has a link {link}; there are {there}")


def _chunk(data: bytes) -> bytes:
    return CHUNK.pack(len(data)) + data
