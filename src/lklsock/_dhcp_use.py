"""What a lease is for: an interface's address, routes, MTU, and nameservers."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from contextlib import suppress

from ._dhcp_message import Lease
from ._dhcp_names import apply_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._interface import Interface
    from ._routing import Network
    from .link import Address
    from .stack import Stack

# Below it IPv6 would go from the interface.
_MTU_MIN = 1280
_DEFAULT = ipaddress.ip_network("0.0.0.0/0")

log = logging.getLogger("lklsock")


class LeaseUse:
    """Gives an interface what is granted to it, and takes it back.

    Args:
        stack: Whose nameservers are set.
        interface: The interface.
        has_gateway: Leaves the gateway as it is: the link names one.

    Attributes:
        lease: What the interface has now.
    """

    def __init__(self, stack: Stack, interface: Interface, *, has_gateway: bool) -> None:
        self.lease: Lease | None = None
        self._stack = stack
        self._interface = interface
        self._has_gateway = has_gateway
        self._mtu_before: int | None = None

    def apply(self, granted: Lease) -> None:
        """Gives it what was granted, in the place of what it had.

        Of what the kernel refuses only the address is an error; the rest is logged.

        Raises:
            OSError: EEXIST: another interface of the stack has the address.
        """
        if self.lease is not None and self.lease.address != granted.address:
            self.drop()
        if self.lease is None:
            self._assign(granted)
            self._interface.addresses.append(str(granted.subnet.ip))
        self.lease = granted
        routes: dict[Network, Address | None] = {
            ipaddress.ip_network(destination): None if hop is None else ipaddress.ip_address(hop)
            for destination, hop in granted.routes
        }
        gateway = routes.pop(_DEFAULT, None)
        if granted.gateway is not None:
            gateway = ipaddress.ip_address(granted.gateway)
        self._told("gateway", lambda: self._set_gateway(gateway))
        self._told("routes", lambda: self._interface.routes.set_routes(routes))
        self._told("MTU", lambda: self._set_mtu(granted.mtu))
        apply_names(self._stack, self._interface.name, granted.nameservers, granted.search)

    def drop(self) -> None:
        """Takes all of it away."""
        lease, self.lease = self.lease, None
        if lease is None:
            return
        interface = self._interface
        with suppress(ValueError):
            interface.addresses.remove(str(lease.subnet.ip))
        # With the interface itself all of it is gone.
        with suppress(OSError):
            interface.routes.set_routes({})
        with suppress(OSError):
            self._set_gateway(None)
        with suppress(OSError):
            interface.withdraw(lease.subnet)
        if self._mtu_before is not None:
            with suppress(OSError):
                self._stack.kernel.interface_mtu(interface.ifindex, self._mtu_before)
        self._mtu_before = None
        apply_names(self._stack, interface.name, (), ())

    def _set_gateway(self, gateway: Address | None) -> None:
        if self._has_gateway:
            return
        if gateway is None:
            self._interface.routes.forget_gateway(4)
        else:
            self._interface.routes.set_gateway(gateway)

    def _set_mtu(self, mtu: int | None) -> None:
        interface = self._interface
        if mtu is None or (interface.asked is not None and interface.asked.mtu is not None):
            return
        if mtu < _MTU_MIN:
            log.warning("dhcp: %s: an MTU of %d is not used", interface.name, mtu)
            return
        before = self._mtu_before = self._mtu_before or interface.mtu
        self._stack.kernel.interface_mtu(interface.ifindex, min(mtu, before))

    def _assign(self, granted: Lease) -> None:
        try:
            self._interface.assign(granted.subnet)
        except FileExistsError:
            raise
        except OSError as error:
            # The address is there; the gateway that the link names is none of its network's.
            log.warning("dhcp: %s: the link's gateway: %s", self._interface.name, error)

    def _told(self, what: str, use: Callable[[], None]) -> None:
        try:
            use()
        except OSError as error:
            log.warning(
                "dhcp: %s: %s of the lease cannot be used: %s", self._interface.name, what, error
            )
