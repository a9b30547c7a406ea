"""Routes by source: what leaves from an address of an interface leaves through that interface.

Each interface has a routing table of its own, with its networks and its gateway, and each of its
addresses a rule that leads there. The main table has a default route by each interface, the first
one preferred. So a second subflow takes the second path, and its answers come back by it. Routes
of the main table that are no default routes go before all that: a neighbour is reached directly.
"""

from __future__ import annotations

import errno
import ipaddress
import socket as _stdlib
from collections.abc import Mapping
from contextlib import suppress

from . import _lkl, _rtnetlink
from .link import Address, Subnet

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAIN_TABLE = 254

_NEIGHBOURS_PRIORITY = 900
_TABLES_FROM = 1000
_METRICS_FROM = 100


def table_of(ifindex: int) -> int:
    """The routing table of an interface; rules that lead there have the same priority."""
    return _TABLES_FROM + ifindex


class SourceRoutes:
    """The routes and rules of one interface.

    Args:
        kernel: Whose.
        ifindex: The interface.
        metric: Of the default routes in the main table; None: interfaces go by their number.
    """

    def __init__(self, kernel: _lkl.Kernel, ifindex: int, metric: int | None = None) -> None:
        self._kernel = kernel
        self._ifindex = ifindex
        # The first link is the preferred one.
        self._metric = _METRICS_FROM + ifindex if metric is None else metric
        self._gateways: dict[int, Address] = {}
        self._subnets: list[Subnet] = []
        self._routes: dict[Network, Address | None] = {}

    @property
    def subnets(self) -> list[Subnet]:
        """The addresses that have a rule."""
        return list(self._subnets)

    def set_gateway(self, gateway: Address) -> None:
        """Makes it the next hop of the default routes, in place of the one there was."""
        old = self._gateways.get(gateway.version)
        if old == gateway:
            return
        if old is not None:
            self._default(old, add=False)
        try:
            self._default(gateway)
        except OSError:
            if old is not None:
                self._default(old)
            raise
        self._gateways[gateway.version] = gateway

    def await_gateway(self, gateway: Address) -> None:
        """Makes it the next hop as soon as there is an address."""
        self._gateways[gateway.version] = gateway

    def forget_gateway(self, version: int) -> None:
        """Takes back the default routes of IPv4 or IPv6."""
        old = self._gateways.pop(version, None)
        if old is not None:
            self._default(old, add=False)

    def set_routes(self, routes: Mapping[Network, Address | None]) -> None:
        """Makes them the further routes through the interface, in place of those there were.

        Args:
            routes: Destinations, each with its next hop, or None if it is on the link.
        """
        for network in [
            n for n, hop in self._routes.items() if n not in routes or routes[n] != hop
        ]:
            self._further(network, self._routes.pop(network), add=False)
        for network, hop in routes.items():
            if network not in self._routes:
                self._further(network, hop)
                self._routes[network] = hop

    def add(self, subnet: Subnet) -> None:
        """Has what leaves from an address leave through the interface."""
        # Link-local addresses are bound to an interface anyway, and the same on many.
        if subnet.ip.is_link_local or subnet in self._subnets:
            return
        self._subnets.append(subnet)
        self._rule(subnet)
        self._route(subnet)
        gateway = self._gateways.get(subnet.version)
        if gateway is not None:
            # Its network may have come just now.
            self._default(gateway)

    def remove(self, subnet: Subnet) -> None:
        """Takes back what `add` did."""
        if subnet not in self._subnets:
            return
        self._subnets.remove(subnet)
        family, table = family_of(subnet.version), table_of(self._ifindex)
        with suppress(OSError):
            self._kernel.rule_del(family, subnet.ip.packed, subnet.max_prefixlen, table, table)
        if all(other.network != subnet.network for other in self._subnets):
            network = subnet.network
            with suppress(OSError):
                self._kernel.route_del(
                    self._ifindex,
                    family,
                    network.network_address.packed,
                    network.prefixlen,
                    None,
                    0,
                    table,
                )

    def clear(self) -> None:
        """Takes all of it back."""
        for subnet in self.subnets:
            self.remove(subnet)
        self._gateways.clear()
        self._routes.clear()

    def restore(self) -> None:
        """Adds again what the kernel forgot while the interface was down."""
        for subnet in self._subnets:
            self._route(subnet)
        for gateway in self._gateways.values():
            if any(subnet.version == gateway.version for subnet in self._subnets):
                self._default(gateway)
        for network, hop in self._routes.items():
            self._further(network, hop)

    def _rule(self, subnet: Subnet) -> None:
        family, packed, own = family_of(subnet.version), subnet.ip.packed, table_of(self._ifindex)
        for prefix_len, table, priority in (
            (0, MAIN_TABLE, _NEIGHBOURS_PRIORITY),
            (subnet.max_prefixlen, own, own),
        ):
            with suppress(FileExistsError):
                self._kernel.rule_add(family, packed, prefix_len, table, priority)

    def _route(self, subnet: Subnet) -> None:
        network = subnet.network
        # There may be two addresses of one subnet.
        with suppress(FileExistsError):
            self._kernel.route_add(
                self._ifindex,
                family_of(subnet.version),
                network.network_address.packed,
                network.prefixlen,
                None,
                0,
                table_of(self._ifindex),
            )

    def _default(self, gateway: Address, *, add: bool = True) -> None:
        everything = ipaddress.ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0")
        self._further(everything, gateway, add=add)

    def _further(self, network: Network, hop: Address | None, *, add: bool = True) -> None:
        """A route in the interface's table, and in the main one."""
        length = network.prefixlen
        destination = network.network_address.packed if length else None
        change = self._kernel.route_add if add else self._kernel.route_del
        for metric, table in ((0, table_of(self._ifindex)), (self._metric, MAIN_TABLE)):
            try:
                change(
                    self._ifindex,
                    family_of(network.version),
                    destination,
                    length,
                    None if hop is None else hop.packed,
                    metric,
                    table,
                )
            except OSError as error:
                if error.errno != (errno.EEXIST if add else errno.ESRCH):
                    raise


def family_of(version: int) -> int:
    """AF_INET or AF_INET6."""
    return int(_stdlib.AF_INET if version == 4 else _stdlib.AF_INET6)


def interface_of(kernel: _lkl.Kernel, address: Address) -> int | None:
    """The index of the interface that has an address, or None."""
    sock = kernel.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE)
    try:
        sock.sendto(_rtnetlink.address_request(), 0, (0, 0))
        for found in _rtnetlink.states(_rtnetlink.answers(sock)):
            if isinstance(found, _rtnetlink.AddressState) and found.subnet.ip == address:
                return found.ifindex
    finally:
        sock.close()
    return None
