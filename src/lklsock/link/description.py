"""What every description of a link has."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import ipaddress
import os
import socket as _stdlib
from collections.abc import Sequence
from dataclasses import dataclass

from .. import _lkl

Subnet = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MTU_ETHERNET = 1500
_MTU_MIN = 68
_MTU_MAX = 65535
_NAME_BYTES_MAX = 15

CHILD = "{child}"
AUTOMATIC = {"dhcp": 4, "slaac": 6}
"""Words for addresses that come by themselves, and their version of IP."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """What every kind of link has.

    Attributes:
        name: The interface's name in the stack; None for one by kind, such as "tap0".
        addresses: Its addresses with prefix lengths, "10.0.0.2/24" or "fd00::2/64"; "dhcp" for one
            that a server of the network gives, "slaac" for those by IPv6 routers' advertisements.
        gateway: The default route's next hop; one of each family at most. It goes before what
            comes by DHCP, or is advertised.
        metric: Of its default routes: the lower, the sooner it is taken for what is bound to no
            link. None for 100 and its number: those added first go first.
        mtu: Bytes; None for what the link can carry, or 1500.
        mac: "02:00:00:00:00:01"; None for a locally administered one that stays the same for a
            link of the same name.
        uplink: What it stands on in the host: an interface, such as "eth0", or one of the host's
            addresses. The link has no carrier while that interface has none (or lost its
            addresses), or while no interface with carrier has that address. It must exist when
            the link is opened; an address may come later. `Packet` and `Vxlan` follow their own
            without being told.
    """

    name: str | None = None
    addresses: str | Sequence[str] = ()
    gateway: str | Sequence[str] | None = None
    metric: int | None = None
    mtu: int | None = None
    mac: str | None = None
    uplink: str | None = None

    kind = "link"

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(numbered(self.name, 0))
        if self.mtu is not None and not _MTU_MIN <= self.mtu <= _MTU_MAX:
            raise ValueError(f"mtu must be {_MTU_MIN}-{_MTU_MAX}, not {self.mtu}")
        if self.mac is not None:
            packed_mac(self.mac)
        if self.metric is not None and not 1 <= self.metric < 2**32:
            raise ValueError(f"metric must be 1 to 2**32 - 1, not {self.metric}")
        if self.uplink is not None and numeric_address(self.uplink) is None:
            check_name(self.uplink, "uplink")
        if isinstance(self.addresses, str):
            if self.addresses not in AUTOMATIC:
                raise ValueError(f"addresses must be a list, such as [{self.addresses!r}]")
            object.__setattr__(self, "addresses", (self.addresses,))
        gateways = (self.gateway,) if isinstance(self.gateway, str) else self.gateway or ()
        object.__setattr__(self, "addresses", tuple(self.addresses))
        object.__setattr__(self, "gateway", tuple(gateways))
        self.subnets()
        self.gateways()

    @property
    def automatic(self) -> tuple[str, ...]:
        """How addresses come by themselves: of "dhcp", "slaac"."""
        return tuple(word for word in AUTOMATIC if word in self.addresses)

    def subnets(self) -> list[Subnet]:
        """The addresses with their prefixes, parsed; not those that come by themselves."""
        try:
            return [
                ipaddress.ip_interface(numbered(text, 0))
                for text in self.addresses
                if text not in AUTOMATIC
            ]
        except ValueError as error:
            raise ValueError(f"addresses: {error}") from None

    def gateways(self) -> list[Address]:
        """The gateways, parsed."""
        try:
            found = [ipaddress.ip_address(numbered(text, 0)) for text in self.gateway or ()]
        except ValueError as error:
            raise ValueError(f"gateway: {error}") from None
        versions = [address.version for address in found]
        own: set[int] = {subnet.version for subnet in self.subnets()}
        own |= {AUTOMATIC[word] for word in self.automatic}
        for version in (4, 6):
            if versions.count(version) > 1:
                raise ValueError(f"gateway must name one IPv{version} address at most")
            if version in versions and version not in own:
                raise ValueError(f"gateway is an IPv{version} address, and addresses has none")
        return found

    def packed_mac(self, name: str) -> bytes:
        """Six bytes: `mac`, or those that belong to a link of this kind and name.

        `name` is the interface's, for a link that has none itself.

        The machine, and the end of a wire, are part of it: no two ends of one network are alike.
        """
        if self.mac is not None:
            return packed_mac(self.mac)
        seed = "\0".join((_machine(), self.kind, self.name or name, self._end()))
        digest = hashlib.blake2s(seed.encode(), digest_size=6).digest()
        return local_mac(digest)

    def _end(self) -> str:
        return ""

    def settled(self, ifname: str) -> Link:
        """This link with what the interface of that name will have: name and MAC are set."""
        return dataclasses.replace(self, name=ifname, mac=self.packed_mac(ifname).hex(":"))

    def numbered(self, number: int) -> Link:
        """The link of the process with this number."""
        return dataclasses.replace(
            self,
            name=self.name and numbered(self.name, number),
            addresses=[numbered(text, number) for text in self.addresses],
            gateway=[numbered(text, number) for text in self.gateway or ()],
        )

    @property
    def fork_obstacle(self) -> str | None:
        """Why a forked child cannot open it beside its parent; None if it can."""
        if self.mac is not None:
            return f"two stacks cannot have one MAC address, {self.mac}: leave mac out"
        return self._fork_obstacle()

    def _fork_obstacle(self) -> str | None:
        return None

    def claim(
        self, kernel: _lkl.Kernel, attributes: Link, ifname: str, number: int | None
    ) -> tuple[_lkl.Link, Link, int]:
        """Opens it for the process of this number.

        Args:
            kernel: Booted.
            attributes: This link, or one with other attributes.
            ifname: The interface's name.
            number: For "{child}"; None for a free one.

        Returns:
            The open link, its attributes settled, and the number.
        """
        number = number or 0
        here = self.numbered(number)
        mac = here.packed_mac(ifname).hex(":")
        settled = dataclasses.replace(attributes.numbered(number), mac=mac).settled(ifname)
        opened = here.open(kernel, settled)
        return (_following(opened, here.uplink) if here.uplink else opened), settled, number

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Args:
            kernel: Booted.
            settled: What `settled` made of this description, or of one with other attributes.
        """
        raise NotImplementedError


def numbered(text: str, number: int) -> str:
    """The text with the process's number for "{child}"."""
    return text.replace(CHILD, str(number))


def check_name(name: str, attribute: str = "name") -> None:
    """As the kernel's dev_valid_name()."""
    if (
        not name
        or name in (".", "..")
        or len(os.fsencode(name)) > _NAME_BYTES_MAX
        or any(character in "/:" or character.isspace() for character in name)
    ):
        raise ValueError(
            f"{attribute} must be 1-{_NAME_BYTES_MAX} bytes without '/', ':' and spaces, "
            f"not {name!r}"
        )


def parse_address(text: str, attribute: str) -> Address:
    """An address; a ValueError names the attribute."""
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{attribute}: {error}") from None


def numeric_address(text: str) -> Address | None:
    """The address, or None: it is the name of something."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _following(opened: _lkl.Link, uplink: str) -> _lkl.Link:
    """The link with the carrier of its uplink."""
    try:
        return opened.follow(uplink)
    except OSError as error:
        opened.close()
        number = error.errno or errno.EIO
        raise OSError(number, f"uplink {uplink}: {os.strerror(number)} on this host") from None


def check_fd(fd: int | None) -> None:
    """Refuses what cannot be a descriptor."""
    if fd is not None and fd < 0:
        raise ValueError(f"fd must not be negative, as {fd} is")


def packed_mac(text: str) -> bytes:
    """Six bytes, of one interface's address."""
    try:
        mac = bytes.fromhex(text.replace(":", " ")) if len(text) == 17 else b""
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise ValueError(f"mac must look like '02:00:00:00:00:01', not {text!r}")
    if mac[0] & 1 or not any(mac):
        raise ValueError(f"mac must be that of one interface, and {text} is not")
    return mac


def local_mac(six_bytes: bytes) -> bytes:
    """Those bytes as a MAC address: locally administered, and no group's."""
    return bytes([six_bytes[0] & 0xFC | 0x02]) + six_bytes[1:]


def settled_mac(settled: Link) -> bytes:
    """The MAC address that a settled link has."""
    assert settled.mac is not None
    return packed_mac(settled.mac)


def _machine() -> str:
    """What tells this machine from others, or nothing."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return _stdlib.gethostname()
