"""System calls that only tests make, by number (asm-generic, as everywhere in the port)."""

import errno
import struct

from lklsock import Stack

EPOLL_CREATE1 = 20
EPOLL_CTL = 21
EPOLL_PWAIT = 22
UNSHARE = 97
NANOSLEEP = 101
CLOCK_GETTIME = 113
REBOOT = 142
GETPID = 172
PRLIMIT64 = 261

CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1
CLONE_NEWNET = 0x40000000

_REBOOT_MAGIC = (0xFEE1DEAD, 672274793)
_REBOOT_RESTART = 0x01234567


def clock_ns(stack: Stack, clock: int) -> int:
    """What the kernel's clock says."""
    answer = bytearray(16)
    stack.kernel.system_call(CLOCK_GETTIME, clock, answer)
    seconds, nanoseconds = struct.unpack("qq", answer)
    return seconds * 1_000_000_000 + nanoseconds


def panic(stack: Stack) -> None:
    """Has the kernel panic: a library cannot be restarted. Raises what such a call raises."""
    stack.kernel.system_call(REBOOT, *_REBOOT_MAGIC, _REBOOT_RESTART, 0)


def is_out_of_memory(error: OSError) -> bool:
    """The two errors that tell a caller that memory is exhausted."""
    return error.errno in (errno.ENOMEM, errno.ENOBUFS)
