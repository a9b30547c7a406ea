"""Links are opened, and become interfaces of a stack."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

from . import _lkl
from ._interface import Interface
from .errors import KernelNotRunningError
from .link import MTU_ETHERNET, AnyLink, Link, innermost, wrapped

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._recipe import Recipe
    from .stack import Stack

WAIT_S = 10.0
"""How long a command waits for addresses that come by themselves, unless it is told."""
# Who waits for longer is told.
_SILENCE_S = 1.0


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


def await_addresses(
    interfaces: list[Interface], timeout_s: float, say: Callable[[str], object] | None = None
) -> None:
    """Waits for addresses that come by themselves. Some links may be without, but not all.

    Args:
        interfaces: Those that were added.
        timeout_s: How long at most.
        say: Is called with what is waited for, when that has taken a second.

    Raises:
        TimeoutError: No link has any address.
    """
    began = time.monotonic()

    def missing_at(deadline: float) -> list[str]:
        for interface in interfaces:
            with suppress(TimeoutError):
                interface.wait(max(0.0, deadline - time.monotonic()))
        return [text for interface in interfaces if (text := interface.missing())]

    missing = missing_at(began + min(timeout_s, _SILENCE_S))
    if missing and timeout_s > _SILENCE_S:
        if say is not None:
            say(f"waiting up to {timeout_s:g} s: {'; '.join(missing)}")
        missing = missing_at(began + timeout_s)
    if missing and len(missing) == len(interfaces):
        raise TimeoutError(f"{'; '.join(missing)} (waited {timeout_s:g} s)")
    if missing:
        import logging

        logging.getLogger("lklsock").warning("%s (waited %g s)", "; ".join(missing), timeout_s)
