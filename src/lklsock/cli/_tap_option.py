"""The option --tap, for every command that makes a stack."""

from __future__ import annotations

import argparse
from functools import partial

from . import _config_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..link import Tap
    from ..stack import Stack


def add_argument(parser: argparse._ActionsContainer) -> None:
    """Adds --tap; see `add_links`."""
    parser.add_argument(
        "--tap",
        metavar="NAME,ADDRESS/LENGTH[,GATEWAY]",
        action="append",
        default=[],
        type=tap,
        help="a TAP device of the host as a link of the stack; for ADDRESS/LENGTH also dhcp, slaac;"
        " every further one is a further path for MPTCP connections",
    )


def tap(text: str) -> Tap:
    """The type of the option."""
    from ..link import Tap
    from ..link.description import AUTOMATIC

    name, *rest = text.split(",")
    addresses = [item for item in rest if "/" in item or item in AUTOMATIC]
    gateways = [item for item in rest if item not in addresses]
    try:
        return Tap(name, addresses=addresses, gateway=gateways or None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_links(command: str, taps: list[Tap], stack: Stack) -> None:
    """Gives a stack these links, and waits for addresses that come by themselves.

    Raises:
        OSError: A device cannot be opened. TimeoutError: no link got an address.
    """
    from .._opening import WAIT_S, await_addresses

    added = [stack.add_link(tap) for tap in taps]
    await_addresses(added, WAIT_S, partial(_config_option.say_waiting, command))
