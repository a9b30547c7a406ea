"""IPv6 addresses that the kernel makes by itself (SLAAC), and the routes that go with them.

The kernel hears router advertisements, and makes addresses and a default route of them. What is
missing then is what makes it a path of its own: the interface's routing table and rules.
Source: RFC 4862; net/ipv6/addrconf.c, net/ipv6/ndisc.c.
"""

from __future__ import annotations

import ipaddress
import logging
import socket as _stdlib
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from . import _rtnetlink
from ._rtnetlink import AddressState, DefaultRoute

if TYPE_CHECKING:
    from ._interface import Interface
    from ._netlink import NetlinkThread
    from ._socket import socket
    from .link import Address
    from .stack import Stack

_SETTINGS = {
    # Even if the stack forwards.
    "accept_ra": "2",
    "autoconf": "1",
    # An address of one's own choice is good at once; whether one that is made here is another
    # station's is asked for, which takes a second or two.
    "accept_dad": "1",
}

log = logging.getLogger("lklsock")


class Slaac:
    """Follows the addresses and routers that an interface finds.

    Attributes:
        addresses: Those that can be used, with prefix lengths.
        duplicates: Those that another station has (RFC 4862, 5.4), which cannot.
        routers: Their addresses, the last one to be heard of last.
    """

    what = "address by SLAAC"

    def __init__(self, stack: Stack, interface: Interface, *, has_gateway: bool) -> None:
        self.addresses: list[str] = []
        self.duplicates: list[str] = []
        self.routers: list[Address] = []
        self._stack = stack
        self._interface = interface
        self._has_gateway = has_gateway
        self._arrived = threading.Event()
        self._news: socket | None = None
        self._thread: NetlinkThread = stack.netlink_thread()
        self._thread.call(self._start)

    def __repr__(self) -> str:
        return f"<Slaac {self._interface.name} {', '.join(self.addresses) or 'no address'}>"

    def wait(self, timeout_s: float | None) -> bool:
        """Waits for an address. Returns whether there is one."""
        return self._arrived.wait(timeout_s)

    def obstacle(self) -> str:
        """Why there is no address."""
        if self.duplicates:
            return f"{self.duplicates[-1]} is another station's as well"
        return "no router advertises a prefix" if self._interface.carrier else "no carrier"

    def stop(self) -> None:
        """Ends it; the kernel goes on."""
        self._thread.call(self._stop)

    # ---- on the netlink thread

    def _start(self) -> None:
        folder = f"/proc/sys/net/ipv6/conf/{self._interface.name}"
        for name, value in _SETTINGS.items():
            self._stack.kernel.write_file(f"{folder}/{name}", value.encode())
        news = self._stack.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE)
        news.setblocking(False)
        news.bind((0, _rtnetlink.IPV6_GROUPS))
        self._news = news
        self._look()
        self._thread.watch(news.fileno(), self._read)

    def _stop(self) -> None:
        if self._news is not None:
            self._thread.unwatch(self._news.fileno())
            self._news.close()
            self._news = None
            self._arrived.clear()

    def _look(self) -> None:
        with self._stack.socket(
            _stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE
        ) as sock:
            found: list[_rtnetlink.Message] = []
            for request in (_rtnetlink.address_request(), _rtnetlink.default_route_request()):
                sock.sendto(request, (0, 0))
                found += _rtnetlink.answers(sock)
        # What has gone unheard of is not among it.
        ifindex = self._interface.ifindex
        subnets = {
            state.subnet for state in _rtnetlink.states(found) if isinstance(state, AddressState)
        }
        for subnet in map(ipaddress.ip_interface, list(self.addresses)):
            if subnet not in subnets:
                self._note(AddressState(ifindex, subnet, 0, gone=True))
        routers = {route.gateway for route in _rtnetlink.default_routes(found)}
        for router in list(self.routers):
            if router not in routers:
                self._note_route(DefaultRoute(ifindex, router, is_advertised=True, gone=True))
        self._heed(found)

    def _read(self) -> None:
        assert self._news is not None
        found = _rtnetlink.news(self._news)
        if found is None:
            self._look()
        else:
            self._heed(found)

    def _heed(self, found: list[_rtnetlink.Message]) -> None:
        for state in _rtnetlink.states(found):
            self._note(state)
        for route in _rtnetlink.default_routes(found):
            self._note_route(route)

    def _note(self, state: _rtnetlink.State) -> None:
        if not isinstance(state, AddressState) or state.ifindex != self._interface.ifindex:
            return
        subnet, text = state.subnet, str(state.subnet)
        if (
            subnet.version == 4
            or subnet.ip.is_link_local
            or state.flags & _rtnetlink.IFA_F_PERMANENT
        ):
            return
        # The kernel takes it away, and tries again with each advertisement.
        if state.flags & _rtnetlink.IFA_F_DADFAILED and text not in self.duplicates:
            self.duplicates.append(text)
            log.warning("slaac: %s: %s is another station's", self._interface.name, subnet.ip)
        if state.gone or state.flags & _rtnetlink.IFA_F_DADFAILED:
            if text in self.addresses:
                self.addresses.remove(text)
                self._interface.routes.remove(subnet)
        elif not state.flags & _rtnetlink.IFA_F_TENTATIVE and text not in self.addresses:
            self.addresses.append(text)
            if text in self.duplicates:
                self.duplicates.remove(text)
            self._interface.routes.add(subnet)
        (self._arrived.set if self.addresses else self._arrived.clear)()

    def _note_route(self, route: DefaultRoute) -> None:
        if route.ifindex != self._interface.ifindex or not route.is_advertised:
            return
        if route.gateway in self.routers:
            self.routers.remove(route.gateway)
        if not route.gone:
            self.routers.append(route.gateway)
        if self._has_gateway:
            return
        with suppress(OSError):
            if self.routers:
                self._interface.routes.set_gateway(self.routers[-1])
            else:
                self._interface.routes.forget_gateway(6)
