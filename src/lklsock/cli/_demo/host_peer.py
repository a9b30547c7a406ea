"""A network namespace, where the host's own kernel is the far end.

The far end runs in the namespace. It makes two TAP devices there and hands them to the near end,
whose embedded kernel is connected to the host's that way. Nothing outside of it is touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator

from . import DemoError
from .plan import PATHS, PORT, PREFIX_LEN

_COMMAND_S = 10.0
_IPPROTO_MPTCP = 262
# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFREQ = struct.Struct("16sH22x")


def obstacle() -> str | None:
    """Why this host cannot be the far end, and what would help; None if it can."""
    if os.geteuid() != 0:
        return "it makes a network namespace and TAP devices, which takes root: try sudo"
    if shutil.which("ip") is None:
        return "it takes the command ip: apt-get install iproute2"
    if not os.access("/dev/net/tun", os.W_OK):
        return "/dev/net/tun is missing or closed to you: modprobe tun"
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP).close()
    except OSError as error:
        return f"the host's kernel has no MPTCP ({error.strerror}): see sysctl net.mptcp.enabled"
    return None


@contextlib.contextmanager
def namespace() -> Iterator[list[str]]:
    """Makes a network namespace, and removes it in the end.

    Yields:
        The command that runs others in it.
    """
    name = f"lkls-demo-{os.getpid()}"
    try:
        _run("ip", "netns", "add", name)
        yield ["ip", "netns", "exec", name]
    finally:
        # After Ctrl-C it may be there or not.
        with contextlib.suppress(DemoError):
            _run("ip", "netns", "delete", name)


def receive_taps(channel: socket.socket) -> list[int]:
    """Takes the devices that `open_far_end` hands over, in the order of `PATHS`."""
    channel.settimeout(_COMMAND_S)
    try:
        _, fds, _, _ = socket.recv_fds(channel, 1, len(PATHS))
    except TimeoutError:
        fds = []
    if len(fds) != len(PATHS):
        raise DemoError("the far end made no TAP devices")
    return fds


def open_far_end(channel_fd: int) -> tuple[socket.socket, Callable[[], list[int]]]:
    """Sets up the namespace this process runs in.

    Args:
        channel_fd: A unix socket, over which the TAP devices go.

    Returns:
        A listening socket of the host's kernel; and what tells the bytes that came on each path.
    """
    taps = [_open_tap(path.name) for path in PATHS]
    for path in PATHS:
        _run("ip", "address", "add", f"{path.far}/{PREFIX_LEN}", "dev", path.name)
        _run("ip", "link", "set", path.name, "up")
    _run("ip", "mptcp", "limits", "set", "subflows", str(len(PATHS)))
    with socket.socket(fileno=channel_fd) as channel:
        socket.send_fds(channel, [b"\0"], taps)
    for tap in taps:
        os.close(tap)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP)
    listener.bind(("", PORT))
    listener.listen()
    return listener, _received_bytes


def _open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode(), flags))
    return fd


def _received_bytes() -> list[int]:
    """Source: proc(5), /proc/net/dev."""
    with open("/proc/net/dev", encoding="ascii") as file:
        lines = [line.partition(":") for line in file]
    received = {name.strip(): int(rest.split()[0]) for name, colon, rest in lines if colon}
    return [received[path.name] for path in PATHS]


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            timeout=_COMMAND_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise DemoError(f"{' '.join(command)}: {error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise DemoError(f"{' '.join(command)}: took longer than {_COMMAND_S:.0f} s") from None
