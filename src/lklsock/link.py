"""Descriptions of links: what a stack's network interfaces are connected to.

```python
stack.add_link(Tap("tap0", addresses=["10.0.0.2/24"], gateway="10.0.0.1"))

left, right = Wire.pair()                       # to another stack, no privilege needed
stack.add_link(Impair(left, delay_ms=10, loss=0.01, seed=1), addresses=["10.1.0.1/24"])
```

A description is a value: it opens nothing. `Stack.add_link` does, and returns the `Interface`.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import ipaddress
import os
import socket as _stdlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import _lkl

__all__ = ["Direction", "Impair", "Link", "Pcap", "Tap", "Wire"]

Subnet = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAME_BYTES_MAX = 15
_MTU_MIN = 68
_MTU_MAX = 65535
_MTU_DEFAULT = 1500
_PCAP_MODE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_Impairment = tuple[int, int, int, int, float, float]


@dataclass(frozen=True, kw_only=True)
class Link:
    """What every kind of link has.

    Attributes:
        name: The interface's name in the stack; None for one by kind, such as "tap0".
        addresses: Its addresses with prefix lengths, "10.0.0.2/24" or "fd00::2/64".
        gateway: The default route's next hop; one of each family at most.
        mtu: Bytes.
        mac: "02:00:00:00:00:01"; None for a locally administered one that stays the same for a
            link of the same name.
    """

    name: str | None = None
    addresses: Sequence[str] = ()
    gateway: str | Sequence[str] | None = None
    mtu: int | None = None
    mac: str | None = None

    kind = "link"

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_name(self.name)
        if self.mtu is not None and not _MTU_MIN <= self.mtu <= _MTU_MAX:
            raise ValueError(f"mtu must be {_MTU_MIN}-{_MTU_MAX}, not {self.mtu}")
        if self.mac is not None:
            _packed_mac(self.mac)
        if isinstance(self.addresses, str):
            raise ValueError(f"addresses must be a list, such as [{self.addresses!r}]")
        gateways = (self.gateway,) if isinstance(self.gateway, str) else self.gateway or ()
        _freeze(self, "addresses", tuple(self.addresses))
        _freeze(self, "gateway", tuple(gateways))
        self.subnets()
        self.gateways()

    def subnets(self) -> list[Subnet]:
        """The addresses with their prefixes, parsed."""
        try:
            return [ipaddress.ip_interface(text) for text in self.addresses]
        except ValueError as error:
            raise ValueError(f"addresses: {error}") from None

    def gateways(self) -> list[Address]:
        """The gateways, parsed."""
        try:
            found = [ipaddress.ip_address(text) for text in self.gateway or ()]
        except ValueError as error:
            raise ValueError(f"gateway: {error}") from None
        versions = [address.version for address in found]
        for version in (4, 6):
            if versions.count(version) > 1:
                raise ValueError(f"gateway must name one IPv{version} address at most")
            if version in versions and version not in (i.version for i in self.subnets()):
                raise ValueError(f"gateway is an IPv{version} address, and addresses has none")
        return found

    def packed_mac(self, name: str) -> bytes:
        """Six bytes: `mac`, or those that belong to a link of this kind and name.

        The machine, and the end of a wire, are part of it: no two ends of one network are alike.
        """
        if self.mac is not None:
            return _packed_mac(self.mac)
        seed = "\0".join((_machine(), self.kind, name, self._end()))
        digest = hashlib.blake2s(seed.encode(), digest_size=6).digest()
        # Locally administered, and no group address.
        return bytes([digest[0] & 0xFC | 0x02]) + digest[1:]

    def _end(self) -> str:
        return ""

    def open(self, kernel: _lkl.Kernel) -> _lkl.Link:
        """Opens it for one kernel."""
        raise NotImplementedError


@dataclass(frozen=True)
class Tap(Link):
    """A TAP device of the host.

    Attributes:
        name: The device on the host, and the interface in the stack. The device may exist, made
            for this user by `ip tuntap add`, or be made now, which takes CAP_NET_ADMIN.
        fd: A descriptor of a TAP device, attached with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR; the
            stack owns it from then on. `name` is then the interface's only.
    """

    name: str | None = None
    fd: int | None = None

    kind = "tap"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is None and self.fd is None:
            raise ValueError("Tap takes the name of a device, or the fd of an open one")
        _check_fd(self.fd)

    def open(self, kernel: _lkl.Kernel) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: ENODEV, EPERM, EBUSY, ...: names the device and what would help.
        """
        try:
            if self.fd is not None:
                return kernel.tap(None, self.fd)
            return kernel.tap(self.name)
        except OSError as error:
            raise _tap_error(self, error) from None


@dataclass(frozen=True)
class Wire(Link):
    """A wire to one other stack, of this process or another of this machine. No privilege needed.

    Attributes:
        fd: One of two connected descriptors, see `pair`; the stack owns it from then on.
        path: A unix socket in the file system.
        listen: Makes the socket at `path`, and has carrier while somebody is connected to it.
    """

    fd: int | None = None
    path: str | os.PathLike[str] | None = None
    listen: bool = False

    kind = "wire"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.path is None) == (self.fd is None):
            raise ValueError("Wire takes fd or path")
        if self.listen and self.path is None:
            raise ValueError("listen goes with path")
        _check_fd(self.fd)

    @classmethod
    def pair(cls) -> tuple[Wire, Wire]:
        """Two ends of a new wire.

        Each holds an open descriptor, which the stack takes over that the end is added to. Hand
        one to another process with `Wire(fd=...)` there.
        """
        ends = _stdlib.socketpair(_stdlib.AF_UNIX, _stdlib.SOCK_SEQPACKET)
        return cls(fd=ends[0].detach()), cls(fd=ends[1].detach())

    def _end(self) -> str:
        if self.fd is None:
            return f"{os.path.abspath(os.fspath(self.path or ''))} {self.listen}"
        # Nobody but the other end sees it, and the two have inodes of their own.
        return str(os.fstat(self.fd).st_ino)

    def open(self, kernel: _lkl.Kernel) -> _lkl.Link:
        """Opens it for one kernel."""
        if self.fd is not None:
            return kernel.wire(self.fd)
        return kernel.wire_path(os.fspath(self.path or ""), self.listen)


@dataclass(frozen=True, kw_only=True)
class Direction:
    """What happens to frames on their way in one direction.

    Attributes:
        delay_ms: Added to each.
        jitter_ms: More or less delay by up to this, evenly.
        loss: The part that is lost, 0-1.
        reorder: The part that goes at once, past those delayed, 0-1.
        rate_bit_per_s: 0 for no limit.
        queue_bytes: What may wait for the rate; 0 for 100 ms worth, at least 64 kB.
    """

    delay_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    reorder: float = 0
    rate_bit_per_s: int = 0
    queue_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("delay_ms", "jitter_ms", "rate_bit_per_s", "queue_bytes"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, as {getattr(self, name)} is")
        for name in ("loss", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0-1, not {getattr(self, name)}")
        if self.queue_bytes >= 2**32:
            raise ValueError("queue_bytes must be less than 4 GiB")

    def packed(self) -> _Impairment:
        """As the extension takes it."""
        return (
            round(self.delay_ms * 1e6),
            round(self.jitter_ms * 1e6),
            round(self.rate_bit_per_s),
            round(self.queue_bytes),
            float(self.loss),
            float(self.reorder),
        )


@dataclass(frozen=True)
class Impair:
    """Makes a link worse: delay, loss, reordering, a rate; and lets it be cut.

    Attributes:
        link: The link, or another wrapper around one.
        seed: Makes loss, jitter and reordering repeatable.
        tx: What leaves the stack, where it differs from the rest; see `Direction`.
        rx: What comes in.
    """

    link: AnyLink
    delay_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    reorder: float = 0
    rate_bit_per_s: int = 0
    queue_bytes: int = 0
    seed: int = 0
    tx: Direction | None = None
    rx: Direction | None = None

    def __post_init__(self) -> None:
        _check_wrapped(self.link)
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be 0 to 2**64 - 1, not {self.seed}")
        self.directions()

    def directions(self) -> tuple[_Impairment, _Impairment]:
        """What leaves and what comes in, as the extension takes it."""
        both = Direction(
            delay_ms=self.delay_ms,
            jitter_ms=self.jitter_ms,
            loss=self.loss,
            reorder=self.reorder,
            rate_bit_per_s=self.rate_bit_per_s,
            queue_bytes=self.queue_bytes,
        )
        return (self.tx or both).packed(), (self.rx or both).packed()

    def open(self, kernel: _lkl.Kernel) -> _lkl.Link:
        """Opens the link and wraps it."""
        return self.link.open(kernel).impair(self.seed, *self.directions())


@dataclass(frozen=True)
class Pcap:
    """Writes what passes a link to a capture file, which Wireshark and tcpdump read.

    Attributes:
        link: The link, or another wrapper around one.
        path: The file; an existing one is replaced.
        snaplen: Bytes of each frame; 0 for all.
    """

    link: AnyLink
    path: str | os.PathLike[str]
    snaplen: int = 0

    def __post_init__(self) -> None:
        _check_wrapped(self.link)
        if not 0 <= self.snaplen < 2**32:
            raise ValueError(f"snaplen must not be negative, as {self.snaplen} is")

    def open(self, kernel: _lkl.Kernel) -> _lkl.Link:
        """Opens the link and wraps it."""
        inner = self.link.open(kernel)
        fd = os.open(self.path, _PCAP_MODE, 0o644)
        try:
            return inner.pcap(fd, self.snaplen)
        except BaseException:
            os.close(fd)
            raise


AnyLink = Link | Impair | Pcap


def innermost(link: AnyLink) -> Link:
    """The link inside all wrappers."""
    while not isinstance(link, Link):
        link = link.link
    return link


def mtu_of(link: Link) -> int:
    """The link's, or Ethernet's."""
    return _MTU_DEFAULT if link.mtu is None else link.mtu


def with_attributes(link: Link, **given: Any) -> Link:
    """The link with those attributes replaced that are given: not None, not empty."""
    return dataclasses.replace(link, **{name: value for name, value in given.items() if value})


def _freeze(link: Link, field: str, value: tuple[str, ...]) -> None:
    object.__setattr__(link, field, value)


def _check_name(name: str) -> None:
    """As the kernel's dev_valid_name()."""
    if (
        not name
        or name in (".", "..")
        or len(os.fsencode(name)) > _NAME_BYTES_MAX
        or any(character in "/:" or character.isspace() for character in name)
    ):
        raise ValueError(
            f"name must be 1-{_NAME_BYTES_MAX} bytes without '/', ':' and spaces, not {name!r}"
        )


def _check_fd(fd: int | None) -> None:
    if fd is not None and fd < 0:
        raise ValueError(f"fd must not be negative, as {fd} is")


def _check_wrapped(link: object) -> None:
    if not isinstance(link, (Link, Impair, Pcap)):
        raise TypeError(f"link must be a link or a wrapper around one, not {type(link).__name__}")


def _packed_mac(text: str) -> bytes:
    try:
        mac = bytes.fromhex(text.replace(":", " ")) if len(text) == 17 else b""
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise ValueError(f"mac must look like '02:00:00:00:00:01', not {text!r}")
    if mac[0] & 1 or not any(mac):
        raise ValueError(f"mac must be that of one interface, and {text} is not")
    return mac


def _machine() -> str:
    """What tells this machine from others, or nothing."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return _stdlib.gethostname()


def _tap_error(tap: Tap, error: OSError) -> OSError:
    number = error.errno or errno.EIO
    reason = os.strerror(number)
    if tap.fd is not None:
        hint = "it takes IFF_TAP | IFF_NO_PI | IFF_VNET_HDR"
        return OSError(number, f"TAP device of file descriptor {tap.fd}: {reason}: {hint}")
    make = f"ip tuntap add dev {tap.name} mode tap user $USER vnet_hdr && ip link set {tap.name} up"
    if number == errno.EBUSY:
        user = _tap_user(tap.name or "")
        hint = f"in use by {user}" if user else "in use by another program"
    elif number == errno.ENOENT:
        hint = "there is no /dev/net/tun; as root: modprobe tun"
    elif number == errno.EACCES and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        hint = "as root: chmod 0666 /dev/net/tun"
    else:
        hint = f"as root: {make}"
    return OSError(number, f"TAP device {tap.name}: {reason}: {hint}")


def _tap_user(device: str) -> str:
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
