"""TAP devices of the host."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass

from .. import _lkl
from .description import CHILD, Link

_CHILDREN_MAX = 4096


@dataclass(frozen=True)
class Tap(Link):
    """A TAP device of the host.

    Who: anybody, if the device exists and is theirs; else it takes CAP_NET_ADMIN. What leads
    further than the host (a bridge, NAT) is the administrator's to set up.

    Cost: the fastest way out: checksums and segmentation are left to the host, frames are 64 kB.

    Attributes:
        name: The device on the host, and the interface in the stack. The device may exist, made
            for this user by `ip tuntap add`, or be made now, which takes CAP_NET_ADMIN. See `Fd`
            for one that another program has opened. With "{child}" in it, each process has a
            device of its own.
    """

    name: str | None = None

    kind = "tap"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is None:
            raise ValueError("Tap takes the name of a device; Fd takes an open one")

    def _fork_obstacle(self) -> str | None:
        if CHILD in (self.name or ""):
            return None
        return f'a TAP device serves one stack: name it "tap{CHILD}", say'

    def claim(
        self, kernel: _lkl.Kernel, attributes: Link, ifname: str, number: int | None
    ) -> tuple[_lkl.Link, Link, int]:
        """Opens it for the process of this number; None: the lowest whose device is free."""
        if number is not None or CHILD not in (self.name or ""):
            return super().claim(kernel, attributes, ifname, number)
        for free in range(_CHILDREN_MAX):
            with suppress(_InUse):
                return super().claim(kernel, attributes, ifname, free)
        raise OSError(errno.EBUSY, f"TAP devices {self.name}: all of 0-{free} are in use")

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: ENODEV, EPERM, EBUSY, ...: names the device and what would help.
        """
        try:
            return kernel.tap(self.name or "")
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise _InUse(self.name or "") from None
            raise _explained(self.name or "", error) from None


class _InUse(OSError):
    """EBUSY. Who has the device is looked up, which takes a while, when somebody reads it."""

    def __init__(self, device: str) -> None:
        super().__init__(errno.EBUSY, os.strerror(errno.EBUSY))
        self._device = device

    def __str__(self) -> str:
        user = _user_of(self._device) or "another program"
        return f"[Errno {self.errno}] TAP device {self._device}: {self.strerror}: in use by {user}"


def _explained(name: str, error: OSError) -> OSError:
    number = error.errno or errno.EIO
    make = f"ip tuntap add dev {name} mode tap user $USER vnet_hdr && ip link set {name} up"
    if number == errno.ENOENT:
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
