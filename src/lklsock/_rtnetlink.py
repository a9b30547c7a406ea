"""Interfaces and addresses as rtnetlink tells of them: of a stack's kernel, or of the host's.

Only what is needed of it, decoded in microseconds: a path that is lost is not to wait for more.
Source: rtnetlink(7); linux/rtnetlink.h, linux/if_addr.h.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket as _stdlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class NetlinkSocket(Protocol):
        """What is asked of a socket; `recv` gives None or raises where there is nothing to read."""

        def recv(self, bufsize: int, flags: int = 0, /) -> bytes | None: ...


NETLINK_ROUTE = 0
GROUPS = 1 | 1 << 4 | 1 << 8
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR: for `bind`."""
LINK_GROUP = 1
IPV6_GROUPS = 1 << 8 | 1 << 10
"""RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE."""

IFF_UP = 1
IFF_LOOPBACK = 8
IFF_LOWER_UP = 1 << 16

IFA_F_DADFAILED = 0x08
IFA_F_PERMANENT = 0x80
IFA_F_DEPRECATED = 0x20
IFA_F_TENTATIVE = 0x40
IFA_F_OPTIMISTIC = 0x04

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_IFINFOMSG = struct.Struct("=BxHiII")
_IFADDRMSG = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")
_REQUEST = 1
DUMP = 0x300
_ERROR = 2
_DONE = 3
_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_OIF, _RTA_GATEWAY = 4, 5
_MAIN_TABLE = 254
_RTPROT_RA = 9
_RECEIVE_BYTES = 1 << 16
# Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
_TYPE = 0x3FFF

Subnet = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Message = tuple[int, bytes]
"""Its type and its body."""


@dataclass(frozen=True)
class LinkState:
    """An interface."""

    ifindex: int
    name: str
    flags: int
    """IFF_*."""
    gone: bool = False
    mtu: int = 0
    """Bytes."""
    mac: str = ""

    @property
    def usable(self) -> bool:
        """Whether it is up and has carrier."""
        both = IFF_UP | IFF_LOWER_UP
        return not self.gone and self.flags & both == both


@dataclass(frozen=True)
class AddressState:
    """An address of an interface."""

    ifindex: int
    subnet: Subnet
    """With its prefix length."""
    flags: int
    """IFA_F_*."""
    gone: bool = False


State = LinkState | AddressState


@dataclass(frozen=True)
class DefaultRoute:
    """A default route of IPv6's main table."""

    ifindex: int
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address
    is_advertised: bool
    """Whether the kernel made it, of a router's advertisement."""
    gone: bool = False


def link_request(ifindex: int = 0) -> bytes:
    """Asks for one interface, or for all."""
    return request(_GETLINK, 0 if ifindex else DUMP, _IFINFOMSG.pack(0, 0, ifindex, 0, 0))


def address_request() -> bytes:
    """Asks for all addresses."""
    return request(_GETADDR, DUMP, _IFADDRMSG.pack(0, 0, 0, 0, 0))


def default_route_request() -> bytes:
    """Asks for all routes of IPv6."""
    return request(_GETROUTE, DUMP, _RTMSG.pack(_stdlib.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0))


def answers(sock: NetlinkSocket) -> Iterator[Message]:
    """What the kernel answers to a request, up to the end of a dump, or as long as there is more.

    It answers while it takes the request, and goes on in each recv: nobody waits.

    Raises:
        OSError: The kernel's error.
    """
    while (data := sock.recv(_RECEIVE_BYTES)) is not None:
        for message in messages(data):
            if message[0] == _DONE:
                return
            yield message


def news(sock: NetlinkSocket) -> list[Message] | None:
    """All that has come to a socket that is bound to groups, and does not block.

    None if more happened than could be told: it takes a look at everything.
    """
    found: list[Message] = []
    try:
        while (data := sock.recv(_RECEIVE_BYTES)) is not None:
            found += messages(data)
    except BlockingIOError:
        pass
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return None
    return found


def states(found: Iterable[Message]) -> Iterator[State]:
    """The interfaces and addresses in `answers` or `news`."""
    for kind, body in found:
        yield from _states(kind, body)


def default_routes(found: Iterable[Message]) -> Iterator[DefaultRoute]:
    """IPv6's default routes by a gateway in `answers` or `news`."""
    for kind, body in found:
        if kind not in (_NEWROUTE, _DELROUTE):
            continue
        family, length, _, _, table, protocol, *_ = _RTMSG.unpack_from(body)
        has = attributes(body, _RTMSG.size)
        if (family, length, table) != (_stdlib.AF_INET6, 0, _MAIN_TABLE):
            continue
        if _RTA_GATEWAY in has and _RTA_OIF in has:
            yield DefaultRoute(
                struct.unpack("=i", has[_RTA_OIF])[0],
                ipaddress.ip_address(has[_RTA_GATEWAY]),
                protocol == _RTPROT_RA,
                kind == _DELROUTE,
            )


def request(kind: int, flags: int, body: bytes) -> bytes:
    """A request of this type; flags: `DUMP`, for all there is, or none."""
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body


def messages(data: bytes) -> Iterator[Message]:
    """The type and the body of each message in what was received.

    Raises:
        OSError: The kernel's error.
    """
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        body = data[offset + _HEADER.size : offset + length]
        if kind == _ERROR:
            number = -struct.unpack_from("=i", body)[0]
            if number:
                raise OSError(number, os.strerror(number))
        yield kind, body
        offset += length + 3 & ~3


def _states(kind: int, body: bytes) -> Iterator[State]:
    if kind in (_NEWLINK, _DELLINK):
        family, _, ifindex, flags, _ = _IFINFOMSG.unpack_from(body)
        # A bridge's ports, and IPv6's own settings, are told of by the same message.
        if family == _stdlib.AF_UNSPEC:
            found = attributes(body, _IFINFOMSG.size)
            name = os.fsdecode(found.get(_IFLA_IFNAME, b"").rstrip(b"\0"))
            mtu = struct.unpack("=I", found.get(_IFLA_MTU, bytes(4)))[0]
            mac = found.get(_IFLA_ADDRESS, b"").hex(":")
            yield LinkState(ifindex, name, flags, kind == _DELLINK, mtu, mac)
    elif kind in (_NEWADDR, _DELADDR):
        family, prefix_len, flags, _, ifindex = _IFADDRMSG.unpack_from(body)
        found = attributes(body, _IFADDRMSG.size)
        # On a point-to-point interface IFA_ADDRESS is the other end.
        packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
        if packed is None or family not in (_stdlib.AF_INET, _stdlib.AF_INET6):
            return
        if _IFA_FLAGS in found:
            flags = struct.unpack("=I", found[_IFA_FLAGS])[0]
        subnet = ipaddress.ip_interface((packed, prefix_len))
        yield AddressState(ifindex, subnet, flags, kind == _DELADDR)


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """The attributes that follow a header of `offset` bytes, by their types."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found
