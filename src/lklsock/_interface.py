"""Network interfaces of a stack."""

from __future__ import annotations

import errno
import ipaddress
import operator
import os
import socket as _stdlib
import struct
import time

from . import _lkl, _rtnetlink
from ._routing import MAIN_TABLE, SourceRoutes, family_of, interface_of
from .link import AnyLink, Direction, Link, Subnet

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ._dhcp import DhcpClient
    from ._dhcp_message import Lease
    from ._recipe import Recipe

    class Automatic(Protocol):
        """Brings addresses of an interface."""

        what: str

        def wait(self, timeout_s: float | None) -> bool: ...
        def obstacle(self) -> str: ...
        def stop(self) -> None: ...


_MULTICAST_LINK_LOCAL = ipaddress.ip_network("ff02::/16")
_IPV6_LOOPBACK = f"{1:032x}"

_SIOCGIFNAME = 0x8910
_SIOCGIFINDEX = 0x8933
_IFREQ_BYTES = 40
_IFNAMSIZ = 16


class Interface:
    """A network interface of a stack, and the link behind it.

    Attributes:
        name: In the stack.
        ifindex: In the stack.
        link: The description of the link; None once it is closed, and if there is none.
        asked: What the link was to have; None if there is none.
        opened: The innermost link, with this process's number for "{child}"; None if there is none.
        addresses: Those that came with the link, without prefix lengths.
        automatic: What brings further ones: a DHCP client, a follower of SLAAC.
        dhcp: The DHCP client; None if it has none.
        routes: Those of the interface.
    """

    def __init__(self, kernel: _lkl.Kernel, name: str, ifindex: int, recipe: Recipe) -> None:
        self.name = name
        self.ifindex = ifindex
        self.link: AnyLink | None = None
        self.asked: Link | None = None
        self.opened: Link | None = None
        self.addresses: list[str] = []
        self.automatic: list[Automatic] = []
        self.dhcp: DhcpClient | None = None
        self._kernel = kernel
        self._recipe = recipe
        self._handle: _lkl.Link | None = None
        self.routes = SourceRoutes(kernel, ifindex)

    def connect(
        self, kernel: _lkl.Kernel, ifindex: int, handle: _lkl.Link, link: AnyLink, attributes: Link
    ) -> None:
        """Belongs to this device and link from now on, and is up; see `configure`."""
        self.ifindex = ifindex
        self.link = link
        self._kernel = kernel
        self._handle = handle
        self.automatic = []
        self.dhcp = None
        self.routes = SourceRoutes(kernel, ifindex, attributes.metric)
        try:
            self.configure(attributes)
        except BaseException:
            # Rules outlive the device.
            self.routes.clear()
            raise

    def is_of(self, kernel: _lkl.Kernel) -> bool:
        """Whether it is one of this kernel."""
        return self._kernel is kernel

    def _told(self, key: tuple[object, ...], method: str, *args: Any, **options: Any) -> None:
        name = self.name

        def tell(stack: Any) -> None:
            try:
                interface = stack.interface(name)
            except OSError as error:
                # It was made with netlink(), which is not told again.
                if error.errno != errno.ENODEV:
                    raise
            else:
                getattr(interface, method)(*args, **options)

        self._recipe.note(("interface", name, method, *key), tell)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ifindex={self.ifindex}>"

    @property
    def carrier(self) -> bool:
        """Whether something is connected to the link."""
        return bool(self._state().flags & _rtnetlink.IFF_LOWER_UP)

    @property
    def is_usable(self) -> bool:
        """Whether it is up and has carrier."""
        return self._state().usable

    @property
    def mac(self) -> str:
        """Its MAC address."""
        return self._state().mac

    @property
    def mtu(self) -> int:
        """Bytes."""
        return self._state().mtu

    @property
    def lease(self) -> Lease | None:
        """What a DHCP server has granted; None if there is nothing. `dhcp` has more."""
        return None if self.dhcp is None else self.dhcp.lease

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits until the addresses are there that come by DHCP and SLAAC.

        Raises:
            TimeoutError: They are not: says what is missing.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for each in self.automatic:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not each.wait(left_s):
                text = f"{self.name}: no {each.what}: {each.obstacle()}"
                raise TimeoutError(f"{text} (waited {timeout_s:g} s)")

    def missing(self) -> str:
        """Which addresses have not come, and why; empty if all are there."""
        for each in self.automatic:
            if not each.wait(0):
                return f"{self.name}: no {each.what}: {each.obstacle()}"
        return ""

    def counters(self) -> dict[str, int]:
        """Frames and bytes that the link carried, lost and refused, since it was added."""
        return self._attached().counters()

    def cut(self, *, carrier: bool = False) -> None:
        """Loses every frame from now on, both ways, and those under way. Takes an `Impair` link.

        Args:
            carrier: Loses the carrier, too: the stack is told. Otherwise it is silent.
        """
        self._attached().cut(True, carrier)
        self._told((), "cut", carrier=carrier)

    def mend(self) -> None:
        """Ends a cut, and gives the carrier back."""
        self._attached().cut(False, True)
        self._recipe.forget("interface", self.name, "cut")

    def set_impairment(self, tx: Direction, rx: Direction | None = None) -> None:
        """Replaces what an `Impair` link does, from the next frame on.

        Args:
            tx: What leaves the stack.
            rx: What comes in; None for the same.
        """
        self._attached().impair_set(tx.packed(), (rx or tx).packed())
        self._told((), "set_impairment", tx, rx)

    def set_up(self, up: bool = True) -> None:
        """Takes the interface up or down. It keeps its addresses and routes."""
        if not up:
            self._kernel.write_file(f"/proc/sys/net/ipv6/conf/{self.name}/keep_addr_on_down", b"1")
        self._kernel.interface_up(self.ifindex, up)
        self._told((), "set_up", up)
        if up:
            self.routes.restore()

    def hold_down(self, down: bool = True) -> None:
        """Takes the carrier away, whatever the link has, or leaves it to the link again.

        For who knows better, such as that a network behind the link is lost.
        """
        self._kernel.interface_carrier(self.ifindex, not down)
        self._told((), "hold_down", down)

    def set_mtu(self, mtu: int) -> None:
        """Changes the MTU, bytes."""
        self._kernel.interface_mtu(self.ifindex, mtu)
        self._told((), "set_mtu", mtu)

    def add_address(self, address: str) -> None:
        """Adds an address with its prefix length: "10.0.0.2/24", "fd00::2/64".

        What leaves from it leaves through this interface.

        Raises:
            OSError: EEXIST: it is there already, on this interface or on another one.
        """
        self.assign(ipaddress.ip_interface(address))
        self._told((address,), "add_address", address)

    def remove_address(self, address: str) -> None:
        """Removes an address, given as it was added, with what led from it.

        Raises:
            OSError: EADDRNOTAVAIL.
        """
        subnet = ipaddress.ip_interface(address)
        self.withdraw(subnet)
        self._recipe.forget("interface", self.name, "add_address", address)
        if str(subnet.ip) in self.addresses:
            self._told((address,), "remove_address", address)

    def set_gateway(self, gateway: str) -> None:
        """Makes it the next hop of this interface's default routes, in place of the old one."""
        self.routes.set_gateway(ipaddress.ip_address(gateway))
        self._told((), "set_gateway", gateway)

    def add_route(
        self,
        destination: str = "default",
        gateway: str | None = None,
        *,
        metric: int = 0,
        table: int = MAIN_TABLE,
    ) -> None:
        """Adds a route through this interface.

        Args:
            destination: "10.2.0.0/16", or "default" for everything.
            gateway: The next hop; None if the destination is on the link.
            metric: The lower the better; 0 for the kernel's choice.
            table: The routing table.
        """
        hop = None if gateway is None else ipaddress.ip_address(gateway)
        if destination != "default":
            network = ipaddress.ip_network(destination)
            family, packed = family_of(network.version), network.network_address.packed
            prefix_len: int = network.prefixlen
        elif hop is not None:
            family, packed, prefix_len = family_of(hop.version), None, 0
        else:
            raise ValueError("destination must be 0.0.0.0/0 or ::/0 if there is no gateway")
        if prefix_len == 0:
            packed = None
        self._kernel.route_add(
            self.ifindex,
            family,
            packed,
            prefix_len,
            None if hop is None else hop.packed,
            metric,
            table,
        )
        key = (destination, gateway, metric, table)
        self._told(key, "add_route", destination, gateway, metric=metric, table=table)

    def close(self) -> None:
        """Removes the interface with its routes, and closes the link."""
        handle = self._attached()
        for each in self.automatic:
            each.stop()
        self.automatic = []
        self.routes.clear()
        handle.close()
        self.link = None
        self._recipe.forget("interface", self.name)

    def configure(self, link: Link) -> None:
        """Takes the interface up with what `link` has, and routes by source address."""
        # One address does not go because another one of its network goes.
        settings = f"/proc/sys/net/ipv4/conf/{self.name}"
        self._kernel.write_file(f"{settings}/promote_secondaries", b"1")
        self._kernel.interface_up(self.ifindex, True)
        self.addresses = [str(subnet.ip) for subnet in link.subnets()]
        for subnet in link.subnets():
            self.assign(subnet)
        for gateway in link.gateways():
            if any(subnet.version == gateway.version for subnet in link.subnets()):
                self.routes.set_gateway(gateway)
            else:
                self.routes.await_gateway(gateway)

    def assign(self, subnet: Subnet) -> None:
        """Adds an address that a forked child is not told of: one that comes by itself.

        Raises:
            OSError: EEXIST: it is there already, on this interface or on another one.
        """
        other = None if subnet.ip.is_link_local else interface_of(self._kernel, subnet.ip)
        if other not in (None, self.ifindex):
            # Nobody could tell the two paths apart.
            name = index_to_name(self._kernel, other)
            text = f"{os.strerror(errno.EEXIST)}: {subnet.ip} is an address of {name} already"
            raise OSError(errno.EEXIST, text)
        self._kernel.address_add(
            self.ifindex, family_of(subnet.version), subnet.ip.packed, subnet.network.prefixlen
        )
        self.routes.add(subnet)

    def withdraw(self, subnet: Subnet) -> None:
        """Removes an address, with what led from it.

        Raises:
            OSError: EADDRNOTAVAIL.
        """
        self._kernel.address_del(
            self.ifindex, family_of(subnet.version), subnet.ip.packed, subnet.network.prefixlen
        )
        self.routes.remove(subnet)

    def _state(self) -> _rtnetlink.LinkState:
        """What the kernel says of it; more than an ioctl tells."""
        sock = self._kernel.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE)
        try:
            sock.sendto(_rtnetlink.link_request(self.ifindex), 0, (0, 0))
            state = next(_rtnetlink.states(_rtnetlink.answers(sock)))
        finally:
            sock.close()
        assert isinstance(state, _rtnetlink.LinkState)
        return state

    def _attached(self) -> _lkl.Link:
        if self._handle is None:
            raise OSError(errno.EOPNOTSUPP, f"{self.name} has no link of the host behind it")
        return self._handle


def name_to_index(kernel: _lkl.Kernel, name: str) -> int:
    """The index of an interface.

    Raises:
        OSError: ENODEV.
    """
    encoded = os.fsencode(name)
    if len(encoded) >= _IFNAMSIZ:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    request = bytearray(encoded.ljust(_IFREQ_BYTES, b"\0"))
    _ioctl(kernel, _SIOCGIFINDEX, request)
    index: int = struct.unpack_from("=i", request, _IFNAMSIZ)[0]
    return index


def index_to_name(kernel: _lkl.Kernel, index: int) -> str:
    """The name of an interface.

    Raises:
        OSError: ENXIO, as if_indextoname(3).
    """
    index = operator.index(index)
    if not 0 <= index < 2**32:
        raise OverflowError("interface index out of range")
    request = bytearray(_IFREQ_BYTES)
    struct.pack_into("=I", request, _IFNAMSIZ, index)
    try:
        _ioctl(kernel, _SIOCGIFNAME, request)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO)) from None
        raise
    return os.fsdecode(bytes(request[:_IFNAMSIZ]).rstrip(b"\0"))


def numeric_scope(kernel: _lkl.Kernel, host: Any) -> Any:
    """The address "fe80::1%tap0" with the index of the interface; everything else as it is."""
    if not isinstance(host, str) or "%" not in host:
        return host
    address, _, scope = host.partition("%")
    try:
        return f"{address}%{name_to_index(kernel, scope)}"
    except OSError:
        return host


def scope_name(kernel: _lkl.Kernel, address: str, index: int) -> str | None:
    """The name of the interface that an address is scoped to; None if there is no such."""
    parsed = ipaddress.ip_address(address)
    if not (parsed.is_link_local or parsed in _MULTICAST_LINK_LOCAL):
        return None
    try:
        return index_to_name(kernel, index)
    except OSError:
        return None


def names(kernel: _lkl.Kernel) -> list[str]:
    """The names of all interfaces."""
    lines = os.fsdecode(kernel.read_file("/proc/net/dev")).splitlines()
    return [line.split(":")[0].strip() for line in lines if ":" in line]


def _ioctl(kernel: _lkl.Kernel, request: int, argument: bytearray) -> None:
    sock = kernel.socket(_stdlib.AF_INET, _stdlib.SOCK_DGRAM, 0)
    try:
        sock.ioctl(request, argument)
    finally:
        sock.close()


def address_families(kernel: _lkl.Kernel) -> set[int]:
    """The families of which the stack has an address, loopback apart."""
    found = set()
    # Address, interface's index, prefix length, scope, flags, name.
    for line in os.fsdecode(kernel.read_file("/proc/net/if_inet6")).splitlines():
        if line.split()[0] != _IPV6_LOOPBACK:
            found.add(int(_stdlib.AF_INET6))
    # "|-- 10.0.0.2", and then a line for each route to it.
    address = ""
    for line in os.fsdecode(kernel.read_file("/proc/net/fib_trie")).splitlines():
        words = line.split()
        if words[0] == "|--":
            address = words[1]
        elif words == ["/32", "host", "LOCAL"] and not address.startswith("127."):
            found.add(int(_stdlib.AF_INET))
    return found
