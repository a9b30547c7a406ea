"""What the path manager of a stack is told: endpoints and limits, and single connections.

It is told by pyroute2; `_mptcp_state` reads.

Source: net/mptcp/pm_kernel.c, net/mptcp/pm_userspace.c.
"""

from __future__ import annotations

import ipaddress
import os
import socket as _stdlib
from collections.abc import Iterable
from typing import Any

from ._interface import name_to_index
from ._mptcp_info import Subflow, info
from ._mptcp_state import ENDPOINT_FLAGS, Endpoint, Limits, read_endpoints, read_limits
from ._routing import interface_of
from .stack import Stack, current_stack

Connection = int | _stdlib.socket

ENDPOINTS_MAX = 8
"""MPTCP_PM_ADDR_MAX."""


def endpoints(stack: Stack | None = None) -> list[Endpoint]:
    """The addresses that the path manager uses."""
    return read_endpoints((stack or current_stack()).kernel)


def endpoint_add(
    address: str,
    *,
    flags: Iterable[str] = ("subflow",),
    id: int = 0,
    port: int = 0,
    ifname: str | None = None,
    stack: Stack | None = None,
) -> Endpoint:
    """Gives the path manager an address to use, now and for every connection to come.

    Args:
        address: One of the stack's own.
        flags: "subflow": connect from it; "signal": tell peers of it; "backup": use it only when
            nothing else is left; "fullmesh": connect it with every address of the peer.
        id: 1-255, or 0 for the kernel's choice.
        port: Of a listener that is made for it; for "signal" only.
        ifname: The interface that its subflows are bound to; None for that of the address.
        stack: Whose path manager.

    Raises:
        OSError: EEXIST, EINVAL, ENODEV, ERANGE (eight are the most).
    """
    from ._mptcp_netlink import ADD_ADDR

    stack = stack or current_stack()
    before = {endpoint.id for endpoint in endpoints(stack)}
    flags = flags if isinstance(flags, str) else tuple(flags)
    attributes = _address_attributes(address)
    attributes["flags"] = _flag_bits(flags)
    if id:
        attributes["id"] = id
    if port:
        attributes["port"] = port
    if ifname is not None:
        attributes["if_idx"] = name_to_index(stack.kernel, ifname)
    elif attributes["flags"] & (ENDPOINT_FLAGS["subflow"] | ENDPOINT_FLAGS["fullmesh"]):
        index = interface_of(stack.kernel, ipaddress.ip_address(address))
        if index is not None:
            attributes["if_idx"] = index
    _request(stack, ADD_ADDR, attributes)
    # Ours is the one of this address that is new, or took the place of one made implicitly.
    found = [e for e in endpoints(stack) if e.address == address and e.port == port]
    endpoint = next((e for e in found if e.id not in before), found[0])

    def add(child: Stack) -> None:
        there = child.moved(address)
        endpoint_add(there, flags=flags, id=endpoint.id, port=port, ifname=ifname, stack=child)

    stack.recipe.note(("mptcp", "endpoint", endpoint.id), add)
    return endpoint


def endpoint_remove(endpoint: Endpoint | int, stack: Stack | None = None) -> None:
    """Takes an endpoint, or the one of this id, away; its subflows are closed."""
    from ._mptcp_netlink import DEL_ADDR

    number = endpoint.id if isinstance(endpoint, Endpoint) else endpoint
    stack = stack or current_stack()
    try:
        _request(stack, DEL_ADDR, {"id": number})
    finally:
        stack.recipe.forget("mptcp", "endpoint", number)


def endpoint_flags(
    endpoint: Endpoint | int, flags: Iterable[str], stack: Stack | None = None
) -> None:
    """Changes "backup" and "fullmesh" of an endpoint; its subflows and the peer are told."""
    from ._mptcp_netlink import SET_FLAGS

    number = endpoint.id if isinstance(endpoint, Endpoint) else endpoint
    stack = stack or current_stack()
    flags = flags if isinstance(flags, str) else tuple(flags)
    _request(stack, SET_FLAGS, {"id": number, "flags": _flag_bits(flags)})
    stack.recipe.note(
        ("mptcp", "endpoint", number, "flags"), lambda child: endpoint_flags(number, flags, child)
    )


def limits(
    stack: Stack | None = None,
    *,
    subflows: int | None = None,
    add_addr_accepted: int | None = None,
) -> Limits:
    """The limits of each connection; those given are set first. Each is 0-8."""
    from ._mptcp_netlink import SET_LIMITS

    stack = stack or current_stack()
    wanted: dict[str, int] = {}
    if subflows is not None:
        wanted["subflows"] = subflows
    if add_addr_accepted is not None:
        wanted["rcv_add_addrs"] = add_addr_accepted
    if wanted:
        _request(stack, SET_LIMITS, None, None, **wanted)
        stack.recipe.note(
            ("mptcp", "limits", *wanted),
            lambda child: limits(child, subflows=subflows, add_addr_accepted=add_addr_accepted),
        )
    return read_limits(stack.kernel)


def subflow_create(
    connection: Connection,
    local: str,
    remote: str,
    port: int,
    *,
    id: int,
    backup: bool = False,
    ifname: str | None = None,
    stack: Stack | None = None,
) -> None:
    """Opens one more subflow of one connection. Its stack needs net.mptcp.pm_type 1.

    Args:
        connection: Its socket, or its token.
        local: An address of the stack.
        remote: An address of the peer.
        port: The peer's.
        id: Of the local address in this connection, 1-255; the same for the same address.
        backup: To be used only when nothing else is left.
        ifname: The interface that it is bound to.
        stack: Of the connection.

    Raises:
        OSError: EINVAL: no such connection, or pm_type is not 1; what `connect` raises.
    """
    from ._mptcp_netlink import SUBFLOW_CREATE

    ours = {**_address_attributes(local), "id": id, "flags": _flag_bits(["backup"] * backup)}
    if ifname is not None:
        ours["if_idx"] = name_to_index((stack or current_stack()).kernel, ifname)
    theirs = {**_address_attributes(remote), "port": port}
    _request(stack, SUBFLOW_CREATE, ours, theirs, token=token_of(connection))


def subflow_destroy(connection: Connection, subflow: Subflow, stack: Stack | None = None) -> None:
    """Closes one subflow of one connection. Its stack needs net.mptcp.pm_type 1.

    Raises:
        OSError: EINVAL: no such connection, or pm_type is not 1; ESRCH: no such subflow.
    """
    from ._mptcp_netlink import SUBFLOW_DESTROY

    ours, theirs = _ends(subflow)
    _request(stack, SUBFLOW_DESTROY, ours, theirs, token=token_of(connection))


def subflow_priority(
    connection: Connection, subflow: Subflow, *, backup: bool, stack: Stack | None = None
) -> None:
    """Makes one subflow a backup, or no backup, and tells the peer (MP_PRIO).

    Its stack needs net.mptcp.pm_type 1.

    Raises:
        OSError: EINVAL: no such connection or subflow, or pm_type is not 1.
    """
    from ._mptcp_netlink import SET_FLAGS

    ours, theirs = _ends(subflow)
    ours["flags"] = _flag_bits(["backup"] * backup)
    _request(stack, SET_FLAGS, ours, theirs, token=token_of(connection))


def address_announce(
    connection: Connection,
    address: str,
    *,
    id: int,
    port: int = 0,
    stack: Stack | None = None,
) -> None:
    """Tells the peer of one connection of an address (ADD_ADDR). Needs net.mptcp.pm_type 1.

    Raises:
        OSError: EINVAL: no such connection, or pm_type is not 1.
    """
    from ._mptcp_netlink import ANNOUNCE

    ours = {**_address_attributes(address), "id": id, "flags": _flag_bits(["signal"])}
    if port:
        ours["port"] = port
    _request(stack, ANNOUNCE, ours, token=token_of(connection))


def address_remove(connection: Connection, id: int, stack: Stack | None = None) -> None:
    """Tells the peer of one connection that an address is gone (RM_ADDR).

    Its subflows stay: see `subflow_destroy`. Needs net.mptcp.pm_type 1.

    Raises:
        OSError: EINVAL: no such connection or address, or pm_type is not 1.
    """
    from ._mptcp_netlink import REMOVE

    _request(stack, REMOVE, token=token_of(connection), loc_id=id)


def token_of(connection: Connection) -> int:
    """The token of a connection given by its socket or its token.

    Raises:
        ValueError: The socket is no MPTCP connection.
    """
    if isinstance(connection, int):
        return connection
    told = info(connection)
    if told is None:
        raise ValueError(f"{connection!r} is no MPTCP connection")
    return told.token


def _request(
    stack: Stack | None,
    command: int,
    local: dict[str, Any] | None = None,
    remote: dict[str, Any] | None = None,
    **attributes: int,
) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    from ._mptcp_netlink import PathManager

    path_manager = (stack or current_stack()).netlink_client(PathManager.over)
    try:
        path_manager.request(command, local, remote, **attributes)
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from None


def _ends(subflow: Subflow) -> tuple[dict[str, Any], dict[str, Any]]:
    ours, theirs = (
        {**_address_attributes(address), "port": port}
        for address, port in (subflow.local[:2], subflow.remote[:2])
    )
    return ours, theirs


def _address_attributes(address: str) -> dict[str, Any]:
    if ":" in address:
        return {"family": int(_stdlib.AF_INET6), "addr6": address}
    return {"family": int(_stdlib.AF_INET), "addr4": address}


def _flag_bits(flags: Iterable[str]) -> int:
    bits = 0
    for flag in (flags,) if isinstance(flags, str) else flags:
        if flag not in ENDPOINT_FLAGS:
            raise ValueError(f"flags are {', '.join(ENDPOINT_FLAGS)}, not {flag!r}")
        bits |= ENDPOINT_FLAGS[flag]
    return bits
