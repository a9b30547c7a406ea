"""TAP devices of the host."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from .. import _lkl
from .description import Link


@dataclass(frozen=True)
class Tap(Link):
    """A TAP device of the host.

    Who: anybody, if the device exists and is theirs; else it takes CAP_NET_ADMIN. What leads
    further than the host (a bridge, NAT) is the administrator's to set up.

    Cost: the fastest way out: checksums and segmentation are left to the host, frames are 64 kB.

    Attributes:
        name: The device on the host, and the interface in the stack. The device may exist, made
            for this user by `ip tuntap add`, or be made now, which takes CAP_NET_ADMIN. See `Fd`
            for one that another program has opened.
    """

    name: str | None = None

    kind = "tap"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is None:
            raise ValueError("Tap takes the name of a device; Fd takes an open one")

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: ENODEV, EPERM, EBUSY, ...: names the device and what would help.
        """
        try:
            return kernel.tap(self.name or "")
        except OSError as error:
            raise _explained(self.name or "", error) from None


def _explained(name: str, error: OSError) -> OSError:
    number = error.errno or errno.EIO
    make = f"ip tuntap add dev {name} mode tap user $USER vnet_hdr && ip link set {name} up"
    if number == errno.EBUSY:
        user = _user_of(name)
        hint = f"in use by {user}" if user else "in use by another program"
    elif number == errno.ENOENT:
        hint = "there is no /dev/net/tun; as root: modprobe tun"
    elif number == errno.EACCES and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        hint = "as root: chmod 0666 /dev/net/tun"
    else:
        hint = f"as root: {make}"
    return OSError(number, f"TAP device {name}: {os.strerror(number)}: {hint}")


def _user_of(device: str) -> str:
    """Who has the device open: "name (pid 12)"; empty when that cannot be seen."""
    wanted = f"iff:\t{device}\n"
    namespace = os.stat("/proc/self/ns/net")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if not os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), namespace):
                continue
            for fd in os.listdir(f"/proc/{pid}/fdinfo"):
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
                    if wanted in file.read():
                        with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                            return f"{comm.read().strip()} (pid {pid})"
        except OSError:
            continue
    return ""
