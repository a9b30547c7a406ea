"""SLAAC: addresses by router advertisements, with routes for the path."""

import ipaddress
import struct
import threading
from typing import Any

import pytest
from automatic import MAIN_TABLE, routes, sources, wired
from own_process import in_own_process
from worlds import JOIN_S, await_that, connected

from lklsock import Stack, socket


def advertise(stack: Stack, prefix: str, *, lifetime_s: int = 1800, valid_s: int = 3600) -> None:
    """Has a stack advertise itself as a router, once: RFC 4861, 4.2 and 4.6.2."""
    packed = ipaddress.ip_address(prefix).packed
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, valid_s, valid_s, 0) + packed
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime_s, 0, 0) + option
    with stack.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.sendto(body, ("ff02::1%wire0", 0))


def link_local(stack: Stack) -> str:
    """Its link-local address, once it may be used."""
    found: list[str] = []

    def look() -> bool:
        for each in stack.netlink().get_addr(family=10, scope=253):
            if not each.get_attr("IFA_FLAGS") & 0x40:
                found.append(each.get_attr("IFA_ADDRESS"))
        return bool(found)

    await_that(look)
    return found[0]


def eui64(prefix: str, mac: str) -> str:
    """RFC 4291, appendix A."""
    raw = bytes.fromhex(mac.replace(":", ""))
    lower = bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]
    return str(ipaddress.ip_address(ipaddress.ip_address(prefix).packed[:8] + lower))


@in_own_process
def test_an_advertised_prefix_is_a_path() -> None:
    left, right, near = wired()
    right.sysctl("net.ipv6.conf.all.forwarding", 1)
    router = link_local(right)
    wire = left.add_link(near, addresses=["slaac"])
    with pytest.raises(TimeoutError, match=r"no address by SLAAC: no router advertises"):
        wire.wait(0)
    link_local(left)
    advertise(right, "fd09::")
    wire.wait(JOIN_S)
    address = eui64("fd09::", wire.mac)
    assert sources(left) == {address}
    own = {("fd09::/64", None), ("default/0", router)}
    await_that(lambda: routes(left, 1000 + wire.ifindex, 10) == own)
    right.interface("wire0").add_address("fd09::1/64")
    with connected(left, right, "fd09::1") as (client, _):
        assert client.getsockname()[0] == address
    # The router is one no longer; then the prefix is none.
    advertise(right, "fd09::", lifetime_s=0)
    await_that(lambda: ("default/0", router) not in routes(left, 1000 + wire.ifindex, 10))
    assert ("default/0", router) not in routes(left, MAIN_TABLE, 10)
    left.netlink().addr("del", index=wire.ifindex, address=address, prefixlen=64, family=10)
    await_that(lambda: sources(left) == set())
    with pytest.raises(TimeoutError):
        wire.wait(0)


@in_own_process
def test_an_address_that_another_station_has_is_not_used() -> None:
    left, right, near = wired()
    wire = left.add_link(near, addresses=["slaac"])
    address = eui64("fd09::", wire.mac)
    right.interface("wire0").add_address(f"{address}/64")
    link_local(left)
    link_local(right)
    taken: Any = lambda: right.netlink().get_addr(family=10, address=address)  # noqa: E731
    await_that(lambda: taken() and not taken()[0].get_attr("IFA_FLAGS") & 0x40)
    advertise(right, "fd09::")
    slaac: Any = wire.automatic[0]
    await_that(lambda: slaac.duplicates)
    assert sources(left) == set()
    with pytest.raises(TimeoutError, match="is another station's as well"):
        wire.wait(0)


@in_own_process
def test_an_address_that_goes_while_more_happens_than_can_be_told_is_noticed() -> None:
    left, right, near = wired()
    left.sysctl("net.core.rmem_default", 2304)
    wire = left.add_link(near, addresses=["slaac"])
    link_local(left), link_local(right)
    advertise(right, "fd09::")
    wire.wait(JOIN_S)
    (slaac,) = wire.automatic
    subnet = ipaddress.ip_interface(f"{eui64('fd09::', wire.mac)}/64")
    busy, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert goes_on.wait(JOIN_S)

    thread = left.netlink_thread()
    holder = threading.Thread(target=thread.call, args=(hold,))
    holder.start()
    assert busy.wait(JOIN_S)
    for number in range(64):
        wire.add_address(f"fd07::{number:x}/128")
    left.kernel.address_del(wire.ifindex, socket.AF_INET6, subnet.ip.packed, 64)
    goes_on.set()
    holder.join()
    await_that(lambda: slaac.addresses == [])
    assert str(subnet.ip) not in sources(left)
