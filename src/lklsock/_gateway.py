"""The far end of tunnels: a stack that joins its peers and a link by a bridge.

The bridge is the kernel's own, so what comes in many packets leaves as few long frames, and the
other way round. The stack has no address: it is a switch.
"""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import _lkl
from .link import AnyLink, Key, Link
from .link.tunnel import NO_LIBCRYPTO
from .stack import Stack

Listen = tuple[str, int]

# Of a frame's way to a peer: headers of IP and UDP, ours, the tag, the Ethernet header.
_AROUND = {4: 20 + 8 + 16 + 16 + 14, 6: 40 + 8 + 16 + 16 + 14}
_MTU_UNDERLAY = 1500
_MTU_ANY = 65535
_BRIDGE = "bridge0"
# It has 256 places at each address, of which each key has one; the rest is for second ones.
_KEYS_MAX = 224


def inner_mtu(listen: Sequence[Listen], underlay_mtu: int = _MTU_UNDERLAY) -> int:
    """What fits into one packet of the paths to the peers, bytes."""
    versions = {ipaddress.ip_address(address).version for address, _ in listen}
    return underlay_mtu - max(_AROUND[version] for version in versions)


@dataclass(frozen=True)
class Event:
    """What became of a peer.

    Attributes:
        what: "joined", "roamed", "left"; "refused": somebody without a key of ours; "full":
            somebody for whom there is no place.
        peer: The name of its key; empty for "refused" and "full".
        instance: Tells the tunnels of one key apart.
        address: Where it is, with the port: "192.0.2.7:4711"; empty for "left".
        detail: Why it left: "bye" or "silent"; the MTU of one that joined.
    """

    what: str
    peer: str
    instance: str = ""
    address: str = ""
    detail: str = ""


class Gateway:
    """A switch between peers with tunnels and another link.

    Args:
        listen: Addresses and UDP ports.
        keys: Of the peers, by name.
        link: What the peers are joined with: a `Tap`, or an `Fd`.

    Raises:
        ValueError: More than 224 keys.
        OSError: An address or the link cannot be had; says what would help.
    """

    def __init__(self, listen: Sequence[Listen], keys: Mapping[str, Key], link: AnyLink) -> None:
        if len(keys) > _KEYS_MAX:
            text = f"a gateway takes {_KEYS_MAX} keys, not {len(keys)}: start a second one"
            raise ValueError(text)
        self._names = list(keys)
        self._peers: dict[str, str] = {}
        self._rest = b""
        self._stack = Stack(hostname="gateway", mptcp_mode="off")
        self._report, report = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pipe: tuple[int, ...] = (self._report, report)
        secrets = b"".join(key.secret for key in keys.values())
        try:
            self._stack.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
            uplink = self._stack.add_link(link, mtu=_MTU_ANY).ifindex
            hubs = []
            for address, port in listen:
                hub = _Hub(address=address, port=port, secrets=secrets, report_fd=report)
                hubs.append(self._stack.add_link(hub, mtu=_MTU_ANY).ifindex)
            self._join(uplink, hubs)
        except BaseException:
            self.close()
            raise

    def _join(self, uplink: int, hubs: list[int]) -> None:
        netlink: Any = self._stack.netlink()
        # Nobody can make a loop: ports forward at once.
        bridge = {"kind": "bridge", "br_stp_state": 0, "br_forward_delay": 0}
        netlink.link("add", ifname=_BRIDGE, mtu=_MTU_ANY, **bridge)
        index = self._stack.interface(_BRIDGE).ifindex
        for port in (uplink, *hubs):
            netlink.link("set", index=port, master=index)
        for hub in hubs:
            # Peers at one address do not reach those at another, either. Whose a MAC address is,
            # the hubs know: the bridge would believe a peer that gives itself the uplink's.
            netlink.link("set", index=hub, kind="bridge_slave", isolated=1, learning=0)
        netlink.link("set", index=index, state="up")

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def peers(self) -> Mapping[str, str]:
        """Names of the peers that have joined, by their instances."""
        return self._peers

    def fileno(self) -> int:
        """A descriptor that is readable when there are events."""
        return self._report

    def events(self) -> Iterator[Event]:
        """What has happened since; does not wait."""
        try:
            data = os.read(self._report, 65536)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield self._event(line.decode())

    def _event(self, line: str) -> Event:
        what, *words = line.split()
        if what in ("refused", "full"):
            return Event(what, "", address=address_text(*words))
        name, instance = self._names[int(words[0])], words[1]
        if what == "left":
            self._peers.pop(instance, None)
            return Event(what, name, instance, detail=words[2])
        self._peers[instance] = name
        return Event(what, name, instance, address_text(*words[2:4]), " ".join(words[4:]))

    def close(self) -> None:
        """Says good-bye to the peers, and ends."""
        # If that fails the links may still report: their descriptor must not become another's.
        self._stack.halt()
        pipe, self._pipe = self._pipe, ()
        for fd in pipe:
            os.close(fd)


def address_text(host: str, port: int | str) -> str:
    """As people write it: "192.0.2.7:4711", "[fd00::7]:4711"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True)
class _Hub(Link):
    """All peers at one address, as one link."""

    address: str = ""
    port: int = 0
    secrets: bytes = field(default=b"", repr=False)
    report_fd: int = -1

    kind = "peers"

    def _fork_obstacle(self) -> str | None:
        return "peers send to one process"

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        packed = ipaddress.ip_address(self.address).packed
        try:
            return kernel.gateway(packed, self.port, self.secrets, self.report_fd)
        except OSError as error:
            number = error.errno or errno.EIO
            hint = {
                errno.EADDRINUSE: ": another gateway, or program, has that UDP port",
                errno.EADDRNOTAVAIL: f": {self.address} is no address of the host",
                errno.ELIBACC: f": {NO_LIBCRYPTO}",
            }.get(number, "")
            where = address_text(self.address, self.port)
            raise OSError(number, f"gateway at {where}: {os.strerror(number)}{hint}") from None
