"""Links are opened, and become interfaces of a stack."""

from __future__ import annotations

from collections.abc import Iterable

from . import _lkl
from ._interface import Interface
from .errors import KernelNotRunningError
from .link import MTU_ETHERNET, AnyLink, Link, innermost, wrapped

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from ._recipe import Recipe
    from .stack import Stack


def open_interface(
    kernel: _lkl.Kernel,
    link: AnyLink,
    attributes: Link,
    name: str,
    number: int | None,
    recipe: Recipe,
    known: Interface | None,
) -> tuple[Interface, int]:
    """Opens a link, and makes an interface of it that is up.

    Args:
        kernel: Whose.
        link: The description.
        attributes: The innermost link, with what was given beside it.
        name: The interface's.
        number: The process's, for "{child}"; None for a free one.
        recipe: Where the interface notes what it is told.
        known: The interface of this name; if it is one of another kernel (the parent's), it
            stands for this one from now on.

    Returns:
        The interface, and the number.
    """
    opened, settled, number = innermost(link).claim(kernel, attributes, name, number)
    handle = wrapped(link, opened)
    if known is None or known.is_of(kernel):
        known = Interface(kernel, name, 0, recipe)
    try:
        mtu = settled.mtu or handle.mtu or MTU_ETHERNET
        ifindex = handle.attach(name, settled.packed_mac(name), mtu)
        known.connect(kernel, ifindex, handle, link, settled)
    except BaseException:
        handle.close()
        raise
    known.asked = attributes
    known.opened = innermost(link).numbered(number)
    return known, number


def check_forkable(interfaces: Iterable[Interface], parent: int) -> None:
    """Raises an error if one of the parent's links cannot be opened in its forked child as well."""
    for interface in interfaces:
        obstacle = interface.link and interface.asked and interface.asked.fork_obstacle
        if obstacle:
            raise KernelNotRunningError(
                f"the stack's link {interface.name} is that of process {parent}, and cannot be "
                f"opened in its forked child as well: {obstacle}; or give the child a stack "
                "without it, with set_default_stack()",
                "forked",
                parent,
            )


def follow(stack: Stack, interface: Interface, link: Link) -> None:
    """Begins what the link's addresses ask for: "dhcp", "slaac"."""
    versions = {gateway.version for gateway in link.gateways()}
    if "dhcp" in link.automatic:
        from ._dhcp import DhcpClient

        interface.dhcp = DhcpClient(stack, interface, has_gateway=4 in versions)
        interface.automatic.append(interface.dhcp)
    if "slaac" in link.automatic:
        from ._slaac import Slaac

        interface.automatic.append(Slaac(stack, interface, has_gateway=6 in versions))
