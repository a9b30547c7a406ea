"""A stack whose addresses come by themselves, and what the kernel has then."""

from typing import Any

from lklsock import Stack
from lklsock.link import Wire

MAIN_TABLE = 254


def wired(server: str = "10.9.0.1") -> tuple[Stack, Stack, Wire]:
    """A stack, one with the server's address on a wire, and the free end of that."""
    near, far = Wire.pair()
    left, right = Stack(), Stack()
    right.add_link(far, addresses=[f"{server}/24"])
    return left, right, near


def routes(stack: Stack, table: int, family: int = 2) -> set[tuple[str, str | None]]:
    """Destination and next hop of the routes in a table."""
    found: Any = stack.netlink().get_routes(family=family, table=table)
    return {
        (f"{r.get_attr('RTA_DST') or 'default'}/{r['dst_len']}", r.get_attr("RTA_GATEWAY"))
        for r in found
        if r["type"] == 1 and not str(r.get_attr("RTA_DST")).startswith(("fe80", "ff00"))
    }


def sources(stack: Stack) -> set[str]:
    """The addresses that have a rule."""
    rules: Any = [*stack.netlink().get_rules(), *stack.netlink().get_rules(family=10)]
    return {rule.get_attr("FRA_SRC") for rule in rules} - {None}
