"""Open descriptors that were handed in."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from .. import _lkl
from .description import Link, check_fd, settled_mac

_HINTS = {
    errno.EINVAL: "a TAP device takes IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, and one queue",
    errno.ENODEV: "a packet socket must be bound to an Ethernet interface that is there",
    errno.ENOTCONN: "a unix socket must be connected",
    errno.EPROTOTYPE: "a packet socket must be SOCK_RAW",
    errno.EOPNOTSUPP: "it is neither a TAP device, a packet socket, nor a unix socket",
}


@dataclass(frozen=True)
class Fd(Link):
    """An open descriptor that somebody else has made: systemd, or a privileged helper.

    What it is shows by itself:

    - a TAP device, attached with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    - a packet socket (SOCK_RAW) bound to an Ethernet interface, see `Packet`;
    - a connected unix socket of messages (SOCK_SEQPACKET, SOCK_DGRAM), see `Wire`;
    - a connected unix socket of bytes (SOCK_STREAM), see `Passt`.

    Who: anybody; the privilege was that of who opened it. Cost: that of the kind it is.

    Attributes:
        fd: The stack owns it from then on.
    """

    fd: int = -1

    kind = "fd"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fd(self.fd)

    def _fork_obstacle(self) -> str | None:
        return "this descriptor is the only one, and serves one stack"

    def _end(self) -> str:
        """The TAP device, or the socket: no other process has it under this name."""
        with open(f"/proc/self/fdinfo/{self.fd}", encoding="ascii") as file:
            device = [line for line in file if line.startswith("iff:")]
        return device[0] if device else str(os.fstat(self.fd).st_ino)

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: It is of no kind that carries frames: says which would.
        """
        try:
            return kernel.fd(self.fd, settled_mac(settled))
        except OSError as error:
            number = error.errno or errno.EIO
            hint = f": {_HINTS[number]}" if number in _HINTS else ""
            reason = os.strerror(number)
            raise OSError(number, f"file descriptor {self.fd}: {reason}{hint}") from None
