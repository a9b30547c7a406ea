"""Packet sockets: a host's network interface, with a MAC address of one's own."""

from __future__ import annotations

# Never a patched class: it is the host that is asked.
import _socket as _host
import errno
import os
from dataclasses import dataclass

from .. import _lkl
from .description import Link, Subnet, check_name, local_mac, packed_mac, settled_mac


@dataclass(frozen=True)
class Packet(Link):
    """A network interface of the host, shared with it: the stack is one more station there.

    Frames for its MAC address, and for all, come in; the interface is told to take them (with
    hardware that cannot filter that, it becomes promiscuous). The addresses must not be the
    host's: both would answer for them, and the host end every connection with RST.

    Who: CAP_NET_RAW (`setcap cap_net_raw+ep`, or as root). The network must let a second MAC
    address through: Wi-Fi, most clouds and some switches do not. The host itself, and other stacks
    on the same interface, cannot be reached through it, as with a macvlan. Frames with a VLAN tag
    are not taken: use the interface that the host has for that VLAN (`eth0.5`).

    Cost: checksums and segmentation are left to the host; a copy and a system call a frame, of up
    to 64 kB.

    Attributes:
        device: The interface on the host.
        mac: None for a new one each time, so that no two processes have the same.
    """

    device: str = ""

    kind = "packet"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.device)

    def _fork_obstacle(self) -> str | None:
        if not self.subnets():
            return None
        return f"two stations of one network cannot have one IP address, {self.subnets()[0]}"

    def packed_mac(self, name: str) -> bytes:
        """Six bytes: `mac`, or new ones."""
        return local_mac(os.urandom(6)) if self.mac is None else packed_mac(self.mac)

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: ENODEV, EPERM, ...; EADDRINUSE: an address is the host's.
        """
        for subnet in settled.subnets():
            if _is_the_hosts(subnet, self.device):
                raise OSError(
                    errno.EADDRINUSE,
                    f"{subnet.ip} is the host's own address: both would answer for it, the host "
                    "with RST; take another one, or remove it from the host: "
                    f"ip addr del {subnet} dev {self.device}",
                )
        try:
            return kernel.packet(self.device, settled_mac(settled))
        except OSError as error:
            raise _explained(self.device, error) from None


def _is_the_hosts(subnet: Subnet, device: str) -> bool:
    """Whether a socket of the host could have that address."""
    family = _host.AF_INET if subnet.version == 4 else _host.AF_INET6
    try:
        sock = _host.socket(family, _host.SOCK_DGRAM)
    except OSError:
        return False
    try:
        if subnet.version == 4:
            sock.bind((str(subnet.ip), 0))
        else:
            scope = _host.if_nametoindex(device) if subnet.ip.is_link_local else 0
            sock.bind((str(subnet.ip), 0, 0, scope))
    except OSError:
        return False
    finally:
        sock.close()
    return True


def _explained(device: str, error: OSError) -> OSError:
    number = error.errno or errno.EIO
    hint = {
        errno.EPERM: ": it takes CAP_NET_RAW: as root: setcap cap_net_raw+ep on the interpreter",
        errno.EINVAL: ": it is no Ethernet interface",
    }.get(number, "")
    return OSError(number, f"host interface {device}: {os.strerror(number)}{hint}")
