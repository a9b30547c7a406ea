"""The default stack and the host's kernel, joined by two TAP devices in a network namespace."""

from typing import Any

from host_network import command, make_tap, requires_host_mptcp

from lklsock import default_stack, mptcp
from lklsock.link import Impair, Tap

PATHS = (0, 1)
MEGABIT = 1_000_000


def connect_taps(**impairment: Any) -> None:
    """Joins the default stack (10.N.0.2, fd0N::2) to the host (.1, ::1) by tap0 and tap1."""
    stack = default_stack()
    for path in PATHS:
        make_tap(f"tap{path}", f"10.{path}.0.1/24", f"fd0{path}::1/64")
        tap = Tap(f"tap{path}")
        stack.add_link(
            Impair(tap, seed=path, **impairment) if impairment else tap,
            addresses=[f"10.{path}.0.2/24", f"fd0{path}::2/64"],
            gateway=[f"10.{path}.0.1", f"fd0{path}::1"],
        )
    allow_subflows()


def allow_subflows() -> None:
    """Has both kernels open and accept as many as they can."""
    if mptcp_of_host():
        command("ip", "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
    mptcp.limits(subflows=8, add_addr_accepted=8)


def mptcp_of_host() -> bool:
    return not requires_host_mptcp.args[0]
