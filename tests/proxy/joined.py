"""Two stacks in this process, and two wires between them."""

import socket as stdlib

from lklsock import Stack, mptcp, socket
from lklsock.link import Impair, Wire


def joined_stacks(mptcp_mode: str = "prefer") -> tuple[Stack, Stack]:
    """A stack for the proxy, and one for servers, with two wires between."""
    near, far = Stack(hostname="near"), Stack(hostname="far", mptcp_mode=mptcp_mode)
    for path in range(2):
        one, other = Wire.pair()
        for stack, link, own, peer in ((near, Impair(one), 1, 2), (far, other, 2, 1)):
            stack.add_link(
                link,
                addresses=[f"10.{path}.0.{own}/24", f"fd0{path}::{own}/64"],
                gateway=[f"10.{path}.0.{peer}", f"fd0{path}::{peer}"],
            )
    mptcp.preset("aggregate", stack=near)
    mptcp.limits(far, subflows=8, add_addr_accepted=8)
    return near, far


def listener(stack: Stack, family: int = socket.AF_INET) -> stdlib.socket:
    """A listener of a stack, on all its addresses, that does not block."""
    with stack:
        sock = socket.create_server(("", 0), family=family)
    sock.setblocking(False)
    return sock
