"""Multipath TCP: what a connection does, and what the path manager of a stack shall do.

```python
from lklsock import mptcp

mptcp.limits(subflows=4, add_addr_accepted=4)
mptcp.endpoint_add("10.0.1.2", ifname="tap1")      # open subflows from here, too
sock.mptcp                                          # the same as mptcp.info(sock)
mptcp.subflows(sock)
```

Functions that take `stack` mean the current one by default; see `lklsock.stack.current_stack`.
"""

from __future__ import annotations

import os
import socket as _stdlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ._interface import index_to_name, name_to_index
from ._mptcp_info import Info, Subflow, TcpInfo, info, is_mptcp, subflows
from .stack import Stack, current_stack

__all__ = [
    "Endpoint",
    "Info",
    "Limits",
    "Subflow",
    "TcpInfo",
    "counters",
    "endpoint_add",
    "endpoint_flags",
    "endpoint_remove",
    "endpoints",
    "info",
    "is_mptcp",
    "limits",
    "subflows",
]

_ENDPOINT_FLAGS = {"signal": 1, "subflow": 2, "backup": 4, "fullmesh": 8, "implicit": 16}


@dataclass(frozen=True)
class Endpoint:
    """An address that the path manager uses."""

    id: int
    address: str
    flags: frozenset[str]
    """Of "signal", "subflow", "backup", "fullmesh", "implicit"."""
    port: int = 0
    ifname: str | None = None


@dataclass(frozen=True)
class Limits:
    """How far the path manager goes for each connection."""

    subflows: int
    """Beyond the first."""
    add_addr_accepted: int


def endpoints(stack: Stack | None = None) -> list[Endpoint]:
    """The addresses that the path manager uses."""
    from ._mptcp_netlink import GET_ADDR

    stack = stack or current_stack()
    return [
        _endpoint(stack, message.get_attr("MPTCP_PM_ATTR_ADDR"))
        for message in _request(stack, GET_ADDR)
    ]


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
        ifname: The interface that its subflows are bound to.
        stack: Whose path manager.

    Raises:
        OSError: EEXIST, EINVAL, ENODEV, ERANGE (eight are the most).
    """
    from ._mptcp_netlink import ADD_ADDR

    stack = stack or current_stack()
    before = {endpoint.id for endpoint in endpoints(stack)}
    attributes = _address_attributes(address)
    attributes["flags"] = _flag_bits(flags)
    if id:
        attributes["id"] = id
    if port:
        attributes["port"] = port
    if ifname is not None:
        attributes["if_idx"] = name_to_index(stack.kernel, ifname)
    _request(stack, ADD_ADDR, attributes)
    # Ours is the one of this address that is new, or took the place of one made implicitly.
    found = [e for e in endpoints(stack) if e.address == address and e.port == port]
    return next((e for e in found if e.id not in before), found[0])


def endpoint_remove(endpoint: Endpoint | int, stack: Stack | None = None) -> None:
    """Takes an endpoint, or the one of this id, away; its subflows are closed."""
    from ._mptcp_netlink import DEL_ADDR

    number = endpoint.id if isinstance(endpoint, Endpoint) else endpoint
    _request(stack or current_stack(), DEL_ADDR, {"id": number})


def endpoint_flags(
    endpoint: Endpoint | int, flags: Iterable[str], stack: Stack | None = None
) -> None:
    """Changes "backup" and "fullmesh" of an endpoint; its subflows and the peer are told."""
    from ._mptcp_netlink import SET_FLAGS

    number = endpoint.id if isinstance(endpoint, Endpoint) else endpoint
    _request(stack or current_stack(), SET_FLAGS, {"id": number, "flags": _flag_bits(flags)})


def limits(
    stack: Stack | None = None,
    *,
    subflows: int | None = None,
    add_addr_accepted: int | None = None,
) -> Limits:
    """The limits of each connection; those given are set first. Each is 0-8."""
    from ._mptcp_netlink import GET_LIMITS, SET_LIMITS

    stack = stack or current_stack()
    wanted: dict[str, int] = {}
    if subflows is not None:
        wanted["subflows"] = subflows
    if add_addr_accepted is not None:
        wanted["rcv_add_addrs"] = add_addr_accepted
    if wanted:
        _request(stack, SET_LIMITS, None, **wanted)
    (message,) = _request(stack, GET_LIMITS)
    return Limits(
        subflows=message.get_attr("MPTCP_PM_ATTR_SUBFLOWS"),
        add_addr_accepted=message.get_attr("MPTCP_PM_ATTR_RCV_ADD_ADDRS"),
    )


def counters(stack: Stack | None = None) -> dict[str, int]:
    """The stack's MPTCP counters, such as MPCapableSYNTX and MPJoinAckRx.

    Source: /proc/net/netstat, MPTcpExt; net/mptcp/mib.c.
    """
    kernel = (stack or current_stack()).kernel
    lines = kernel.read_file("/proc/net/netstat").decode().splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("MPTcpExt:"))
    return dict(zip(names, map(int, values), strict=True))


def _request(
    stack: Stack, command: int, endpoint: dict[str, Any] | None = None, **limits: int
) -> list[Any]:
    from pyroute2.netlink.exceptions import NetlinkError

    from ._mptcp_netlink import PathManager

    path_manager = stack.netlink_client(PathManager.over)
    try:
        answers: list[Any] = path_manager.request(command, endpoint, **limits)
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from None
    return answers


def _address_attributes(address: str) -> dict[str, Any]:
    if ":" in address:
        return {"family": int(_stdlib.AF_INET6), "addr6": address}
    return {"family": int(_stdlib.AF_INET), "addr4": address}


def _flag_bits(flags: Iterable[str]) -> int:
    bits = 0
    for flag in (flags,) if isinstance(flags, str) else flags:
        if flag not in _ENDPOINT_FLAGS:
            raise ValueError(f"flags are {', '.join(_ENDPOINT_FLAGS)}, not {flag!r}")
        bits |= _ENDPOINT_FLAGS[flag]
    return bits


def _endpoint(stack: Stack, attributes: Any) -> Endpoint:
    def get(name: str) -> Any:
        return attributes.get_attr(f"MPTCP_PM_ADDR_ATTR_{name}")

    index = get("IF_IDX")
    bits = get("FLAGS") or 0
    return Endpoint(
        id=get("ID"),
        address=get("ADDR4") or get("ADDR6"),
        flags=frozenset(name for name, bit in _ENDPOINT_FLAGS.items() if bits & bit),
        port=get("PORT") or 0,
        ifname=index_to_name(stack.kernel, index) if index else None,
    )
