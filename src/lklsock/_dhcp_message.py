"""DHCP messages in Ethernet frames, and the lease that a server grants.

Source: RFC 2131, RFC 2132, RFC 3442 (classless routes), RFC 3397 (search list).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyroute2.dhcp.dhcp4msg import dhcp4msg
from pyroute2.dhcp.enums.bootp import Flag
from pyroute2.dhcp.enums.bootp import MessageType as Direction
from pyroute2.dhcp.enums.dhcp import MessageType, Option
from pyroute2.ext.rawsocket import AsyncRawSocket
from pyroute2.protocols import ethmsg, ip4msg, udp4_pseudo_header, udpmsg

SERVER_PORT, CLIENT_PORT = 67, 68
EVERYBODY = "255.255.255.255"
BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"

# Some servers and relays drop what is shorter than BOOTP's messages were.
_BYTES_MIN = 300
_UDP_BYTES, _IP_BYTES = 8, 20
_PARAMETERS = [
    Option.CLASSLESS_STATIC_ROUTE,  # before the router: RFC 3442
    Option.SUBNET_MASK,
    Option.ROUTER,
    Option.NAME_SERVER,
    Option.DOMAIN_NAME,
    Option.DOMAIN_SEARCH,
    Option.INTERFACE_MTU,
    Option.LEASE_TIME,
    Option.RENEWAL_TIME,
    Option.REBINDING_TIME,
]


class Message(dhcp4msg):  # type: ignore[misc]
    """A message, with options that not every pyroute2 knows the form of."""

    options = (
        *dhcp4msg.options,
        (Option.INTERFACE_MTU, "be16"),
        (Option.CLASSLESS_STATIC_ROUTE, "array8"),
        (Option.DOMAIN_SEARCH, "array8"),
    )


class MalformedMessageError(ValueError):
    """It is no answer of a DHCP server."""


@dataclass(frozen=True)
class Lease:
    """What a DHCP server has granted.

    Attributes:
        address: With its prefix length, "10.0.0.7/24".
        server: The server's address.
        server_mac: Where its answer came from; it may be a relay's.
        gateway: The first router; None if there is none, or if `routes` are given.
        routes: Destination and next hop, which is None for what is on the link.
        nameservers: Their addresses.
        search: Domains that a name is completed with.
        mtu: Bytes; None if the server does not say.
        asked_s: When it was asked for; `time.monotonic`.
        renewal_s: When it is to be renewed, seconds after that; infinite as the next two may be.
        rebinding_s: When any server may renew it.
        lifetime_s: When it ends.
    """

    address: str
    server: str
    server_mac: str
    gateway: str | None
    routes: tuple[tuple[str, str | None], ...]
    nameservers: tuple[str, ...]
    search: tuple[str, ...]
    mtu: int | None
    asked_s: float
    renewal_s: float
    rebinding_s: float
    lifetime_s: float

    @property
    def subnet(self) -> ipaddress.IPv4Interface:
        """The address with its network."""
        return ipaddress.IPv4Interface(self.address)


@dataclass(frozen=True)
class Answer:
    """What a server sent."""

    kind: MessageType
    xid: int
    mac: str
    """Where it came from."""
    client_mac: str
    fields: Any


def request(
    kind: MessageType,
    *,
    mac: str,
    xid: int,
    secs: int = 0,
    hostname: str = "",
    client: str = "0.0.0.0",
    requested: str | None = None,
    server: str | None = None,
    server_mac: str = BROADCAST_MAC,
    is_unicast: bool = False,
) -> bytes:
    """A frame to a server.

    Args:
        kind: DISCOVER, REQUEST, RELEASE or DECLINE.
        mac: Of the interface.
        xid: Of the transaction.
        secs: Since it began.
        hostname: Ours; empty for none.
        client: The address that the interface has, if the server may use it.
        requested: The address that is wanted.
        server: The server that is meant.
        server_mac: Where the frame goes.
        is_unicast: Sends it to that server only; the option that names it is for others.
    """
    options: dict[str, Any] = {"message_type": kind, "client_id": {"type": 1, "key": mac}}
    if requested is not None:
        options["requested_ip"] = requested
    if server is not None and not (is_unicast and kind == MessageType.REQUEST):
        options["server_id"] = server
    if kind in (MessageType.DISCOVER, MessageType.REQUEST):
        options["parameter_list"] = list(_PARAMETERS)
        if hostname:
            options["host_name"] = hostname
    message = Message(
        {
            "op": Direction.BOOTREQUEST,
            "xid": xid,
            "secs": min(secs, 0xFFFF),
            # We have no address yet, and the kernel would not take what is sent to it.
            "flags": Flag.UNICAST if is_unicast else Flag.BROADCAST,
            "ciaddr": client,
            "chaddr": mac,
            "options": options,
        }
    )
    target = server if is_unicast and server is not None else EVERYBODY
    ports = CLIENT_PORT, SERVER_PORT
    return frame(bytes(message.encode().buf), (mac, server_mac), (client, target), ports)


def frame(
    payload: bytes, macs: tuple[str, str], addresses: tuple[str, str], ports: tuple[int, int]
) -> bytes:
    """Ethernet, IPv4 and UDP around a message; each pair is of source and destination."""
    payload = payload.ljust(_BYTES_MIN, b"\0")
    length = _UDP_BYTES + len(payload)
    udp = udpmsg({"sport": ports[0], "dport": ports[1], "len": length})
    pseudo = udp4_pseudo_header({"src": addresses[0], "dst": addresses[1], "len": length})
    summed = AsyncRawSocket.csum(bytes(pseudo.encode().buf + udp.encode().buf + payload))
    udp["csum"] = summed or 0xFFFF
    udp.reset()
    ip = ip4msg({"len": _IP_BYTES + length, "proto": 17, "src": addresses[0], "dst": addresses[1]})
    ip["csum"] = AsyncRawSocket.csum(bytes(ip.encode().buf))
    ip.reset()
    ethernet = ethmsg({"src": macs[0], "dst": macs[1], "type": 0x0800})
    headers = ethernet.encode().buf + ip.encode().buf + udp.encode().buf
    return bytes(headers) + payload


def answer(data: bytes) -> Answer:
    """What a frame to the client's port has.

    Raises:
        MalformedMessageError: It is no answer of a server.
    """
    try:
        ethernet = ethmsg(buf=data).decode()
        ip = ip4msg(buf=data, offset=ethernet.offset).decode()
        udp = udpmsg(buf=data, offset=ip.offset).decode()
        fields = Message(buf=data, offset=udp.offset).decode()
        kind = MessageType(fields["options"]["message_type"])
        if fields["op"] != Direction.BOOTREPLY:
            raise MalformedMessageError("no answer")
        return Answer(kind, fields["xid"], ethernet["src"], fields["chaddr"], fields)
    except Exception as error:
        # The decoder has no class of errors of its own.
        raise MalformedMessageError(f"{type(error).__name__}: {error}") from None


def lease(found: Answer, asked_s: float) -> Lease:
    """The lease that an OFFER or ACK has.

    Raises:
        MalformedMessageError: Something is missing, or makes no sense.
    """
    options = found.fields["options"]
    try:
        subnet = ipaddress.IPv4Interface(f"{found.fields['yiaddr']}/{options['subnet_mask']}")
        server = str(ipaddress.IPv4Address(options["server_id"]))
        lifetime_s = _seconds(options["lease_time"])
        routes = tuple(_routes(bytes(options.get("classless_static_route", ()))))
        renewal_s, rebinding_s = _times(options, lifetime_s)
        # RFC 3442: who sends both means the routes.
        gateway = None if routes else next(iter(options.get("router", ())), None)
        domain = options.get("domain_name")
        search = tuple(_names(bytes(options.get("domain_search", ()))))
        mtu = options.get("interface_mtu")
        if subnet.ip.is_unspecified or subnet.ip.is_loopback or subnet.ip.is_multicast:
            raise MalformedMessageError(f"{subnet.ip} is no address of an interface")
        return Lease(
            address=str(subnet),
            server=server,
            server_mac=found.mac,
            gateway=gateway,
            routes=routes,
            nameservers=tuple(options.get("name_server", ())),
            search=search or ((domain,) if isinstance(domain, str) and domain else ()),
            mtu=mtu,
            asked_s=asked_s,
            renewal_s=renewal_s,
            rebinding_s=rebinding_s,
            lifetime_s=lifetime_s,
        )
    except MalformedMessageError:
        raise
    except Exception as error:
        raise MalformedMessageError(f"{type(error).__name__}: {error}") from None


def _seconds(value: int) -> float:
    """0xffffffff is for ever; the decoder takes it for a signed number."""
    return math.inf if value < 0 else float(value)


def _times(options: Any, lifetime_s: float) -> tuple[float, float]:
    """T1 and T2; what makes no sense is replaced by RFC 2131's defaults."""
    if lifetime_s <= 0:
        raise MalformedMessageError("a lease of no time")
    if math.isinf(lifetime_s):
        return math.inf, math.inf
    renewal_s = _seconds(options.get("renewal_time", 0))
    rebinding_s = _seconds(options.get("rebinding_time", 0))
    if not 0 < rebinding_s < lifetime_s:
        rebinding_s = lifetime_s * 0.875
    if not 0 < renewal_s < rebinding_s:
        renewal_s = min(lifetime_s * 0.5, rebinding_s)
    return renewal_s, rebinding_s


def _routes(data: bytes) -> Iterator[tuple[str, str | None]]:
    """RFC 3442: prefix length, the bytes of the destination that count, next hop."""
    while data:
        length = data[0]
        count = (length + 7) // 8
        if length > 32 or len(data) < 1 + count + 4:
            raise MalformedMessageError("a classless route that is cut off")
        destination = ipaddress.IPv4Address(data[1 : 1 + count].ljust(4, b"\0"))
        hop = ipaddress.IPv4Address(data[1 + count : 5 + count])
        network = ipaddress.IPv4Network((destination, length), strict=False)
        yield str(network), None if hop.is_unspecified else str(hop)
        data = data[5 + count :]


def _names(data: bytes) -> Iterator[str]:
    """RFC 3397: names as in DNS, which may point back to parts of earlier ones."""
    offset = 0
    while offset < len(data):
        labels, here, jumps = [], offset, 0
        while data[here]:
            if data[here] >= 0xC0:
                if not jumps:
                    offset = here + 2
                jumps += 1
                here = (data[here] & 0x3F) << 8 | data[here + 1]
                if jumps > len(data):
                    raise MalformedMessageError("a search list that points at itself")
                continue
            labels.append(data[here + 1 : here + 1 + data[here]].decode("ascii"))
            here += 1 + data[here]
        if not jumps:
            offset = here + 1
        if labels:
            yield ".".join(labels)
