"""VXLAN: an Ethernet in UDP, to a gateway."""

from __future__ import annotations

import errno
import ipaddress
import os
from dataclasses import dataclass

from .. import _lkl
from .description import Link, check_name, parse_address

_PORT = 4789
_VNI_END = 1 << 24


@dataclass(frozen=True)
class Vxlan(Link):
    """Ethernet in UDP (RFC 7348) to a gateway: any Linux with an ordinary `vxlan` device.

    Give each path its own `Vxlan`, bound to a source address or a device, so that each leaves by
    its own way. On the gateway, for the path from 192.0.2.7 to its 198.51.100.1:

        ip link add vx1 type vxlan id 1 local 198.51.100.1 remote 192.0.2.7 dstport 4789
        ip addr add 10.1.0.1/24 dev vx1 && ip link set vx1 up

    Who: anybody. The gateway answers to a fixed port, so there must be no NAT in between; and
    nothing is encrypted or authenticated: who can send UDP from the gateway's address is believed.

    Cost: one or two system calls for up to 64 kB that leave at once, which the host cuts into
    datagrams (UDP_SEGMENT), and one for up to 16 that come; segmentation and checksums are the
    link's work. 50 bytes of the path's MTU (70 with IPv6), which the interface has as its own; it
    is lowered when the path becomes narrower (`tx_too_long` counts what was lost by that), and
    never raised again by itself.

    Attributes:
        remote: The gateway's address.
        vni: The number of the virtual network, 0 to 2**24 - 1.
        source: The address of the host to send from; None for the one that the route gives. When
            the host loses it, the link has no carrier.
        device: The interface of the host to send by (SO_BINDTODEVICE); None for the routes' choice.
            Its carrier is the link's.
        port: The gateway's.
        local_port: Where the gateway sends to; None for `port`. Two links may share it if their
            sources, or their devices, differ.
        source_port: What we send from; 0 for one that the host chooses.
    """

    remote: str = ""
    vni: int = -1
    source: str | None = None
    device: str | None = None
    port: int = _PORT
    local_port: int | None = None
    source_port: int = 0

    kind = "vxlan"

    def __post_init__(self) -> None:
        super().__post_init__()
        remote, source = parse_address(self.remote, "remote"), self.source
        if source is not None and parse_address(source, "source").version != remote.version:
            raise ValueError(f"source must be of the same family as remote, and {source} is not")
        if not 0 <= self.vni < _VNI_END:
            raise ValueError(f"vni must be 0-{_VNI_END - 1}, not {self.vni}")
        if self.device is not None:
            check_name(self.device)
        for name, lowest in (("port", 1), ("local_port", 1), ("source_port", 0)):
            value = getattr(self, name)
            if value is not None and not lowest <= value < 65536:
                raise ValueError(f"{name} must be {lowest}-65535, not {value}")

    def _fork_obstacle(self) -> str | None:
        return "the gateway knows one stack at this address and UDP port"

    def _end(self) -> str:
        return f"{self.remote} {self.vni} {self.source} {self.device} {self.local_port}"

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: EADDRINUSE, EADDRNOTAVAIL, ENETUNREACH, ENODEV: says of what.
        """
        local_port = self.port if self.local_port is None else self.local_port
        try:
            return kernel.vxlan(
                self.vni,
                ipaddress.ip_address(self.remote).packed,
                self.port,
                b"" if self.source is None else ipaddress.ip_address(self.source).packed,
                self.device or "",
                local_port,
                self.source_port,
            )
        except OSError as error:
            number = error.errno or errno.EIO
            hint = {
                errno.EADDRINUSE: f": UDP port {local_port} is taken, perhaps by a vxlan device of "
                "the host; give another local_port, and the gateway the same",
                errno.EADDRNOTAVAIL: f": {self.source} is no address of the host",
                errno.ENODEV: f": there is no {self.device}",
                errno.ENETUNREACH: f": there is no route to {self.remote}",
            }.get(number, "")
            raise OSError(number, f"VXLAN to {self.remote}: {os.strerror(number)}{hint}") from None
