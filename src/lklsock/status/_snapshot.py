"""What is going on in a stack at one moment."""

from __future__ import annotations

import math
import os
import socket as _stdlib
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _life, _rtnetlink
from .._mptcp_state import Endpoint, Limits, read_endpoints, read_limits
from ..errors import KernelError
from ..link import innermost
from ..stack import Stack, current_stack, running_stacks
from ._connections import Connection, Listener, connections

if TYPE_CHECKING:
    from .._dhcp import DhcpClient
    from .._interface import Interface

VERSION = 1
"""Of the shape of `Process` and all that is in it."""

_NOTES = {"passt": "MPTCP ends at passt, which is no path for it: each connection is plain TCP"}
_PAGE_BYTES = 4096
_CONSOLE_LINES = 20
# Of a link's description: where it leads, and nothing that is secret.
_PLACE = ("device", "remote", "source", "path", "vni", "port", "uplink")


@dataclass(frozen=True)
class DhcpStatus:
    """What the DHCP client of an interface has, and does."""

    state: str
    """"bound", "renewing", "selecting", ...: those of `Interface.dhcp`."""
    address: str | None
    """With its prefix length; None for no lease, as the next three."""
    server: str | None
    renewal_s: float | None
    """Seconds until it is to be renewed; None also for a lease that lasts for ever."""
    expiry_s: float | None
    """Seconds until it ends."""


@dataclass(frozen=True)
class LinkStatus:
    """An interface with a link of the host behind it."""

    name: str
    """The interface's, in the stack."""
    kind: str
    """Of the link: "tap", "packet", "vxlan", "wire", ..."""
    wrappers: tuple[str, ...]
    """Around it, the outermost first: "impair", "pcap"."""
    place: dict[str, str | int]
    """Where it leads: the "device" of the host, "remote" and the like, what the kind has of it."""
    up: bool
    carrier: bool
    addresses: tuple[str, ...]
    """With prefix lengths; those of IPv6's own making, too."""
    mtu: int
    """Bytes."""
    counters: dict[str, int]
    """tx_frames, tx_bytes, rx_frames, rx_bytes, tx_dropped, rx_dropped, ..., since it was added."""
    note: str | None = None
    """What there is to know of a link of this kind."""
    missing: str | None = None
    """Which addresses have not come that are to come by themselves, and why."""
    dhcp: DhcpStatus | None = None
    """None if it does not ask for an address."""


@dataclass(frozen=True)
class Memory:
    """The kernel's memory, bytes."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Dns:
    """How names are looked up."""

    nameservers: tuple[str, ...]
    """None: the host's resolver does it."""
    search: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """A stack at one moment."""

    time_s: float
    """Of `time.monotonic`: for rates between two of them."""
    hostname: str
    kernel: str
    """Its release."""
    memory: Memory
    mptcp_mode: str
    preset: str | None
    """What `mptcp.preset` was told."""
    limits: Limits
    endpoints: tuple[Endpoint, ...]
    links: tuple[LinkStatus, ...]
    connections: tuple[Connection, ...]
    listeners: tuple[Listener, ...]
    dns: Dns
    counters: dict[str, int]
    """Those of MPTCP that are not 0. Source: /proc/net/netstat, MPTcpExt."""


@dataclass(frozen=True)
class Process:
    """A process with its stacks."""

    version: int
    pid: int
    command: tuple[str, ...]
    python: str
    time: float
    """Of `time.time`."""
    stacks: tuple[Snapshot, ...]
    panicked: tuple[str, ...]
    """Of each stack whose kernel has panicked: the last lines of its console."""
    report: dict[str, Any]
    """`lklsock.report()`: what patching came to, the sockets of each world, options refused."""


def snapshot(stack: Stack | None = None) -> Snapshot:
    """What is going on in a stack.

    Args:
        stack: Which; None for the current one.

    Raises:
        KernelError: It is halted, or has panicked.
    """
    from .. import mptcp

    stack = stack or current_stack()
    kernel = stack.kernel
    links = _links(stack)
    owners = {address.partition("/")[0]: link.name for link in links for address in link.addresses}
    found, listeners = connections(kernel, owners)
    paths = mptcp.paths(stack)
    statistics = stack.statistics()
    config = stack.dns
    return Snapshot(
        time_s=time.monotonic(),
        hostname=stack.sysctl("kernel.hostname"),
        kernel=kernel.version,
        memory=Memory(
            total_bytes=statistics["total_pages"] * _PAGE_BYTES,
            free_bytes=statistics["free_pages"] * _PAGE_BYTES,
        ),
        mptcp_mode=stack.mptcp_mode,
        preset=None if paths is None else paths.preset,
        limits=read_limits(kernel),
        endpoints=tuple(read_endpoints(kernel)),
        links=links,
        connections=found,
        listeners=listeners,
        dns=Dns(tuple(map(str, stack.nameservers)), tuple(config.search)),
        counters={name: count for name, count in mptcp.counters(stack).items() if count},
    )


def process(stacks: tuple[Stack, ...] = ()) -> Process:
    """What is going on in this process.

    Args:
        stacks: Of these; none for all that run.
    """
    from .. import monkey

    shown = []
    for stack in in_order(stacks):
        try:
            if stack.state == "running":
                shown.append(snapshot(stack))
        except KernelError:
            # It has ended meanwhile.
            continue
    return Process(
        version=VERSION,
        pid=os.getpid(),
        command=tuple(sys.orig_argv),
        python=".".join(map(str, sys.version_info[:3])),
        time=time.time(),
        stacks=tuple(shown),
        panicked=tuple(_last_lines(life.console()) for life in _life.panicked()),
        report=vars(monkey.report()),
    )


def _last_lines(console: str) -> str:
    return "\n".join(console.splitlines()[-_CONSOLE_LINES:])


def in_order(stacks: tuple[Stack, ...]) -> tuple[Stack, ...]:
    """These, or those that run: always in the same order, for they go by their numbers."""
    return stacks or tuple(sorted(running_stacks(), key=id))


def _links(stack: Stack) -> tuple[LinkStatus, ...]:
    states: dict[int, _rtnetlink.LinkState] = {}
    addresses: dict[int, list[str]] = {}
    sock = stack.kernel.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE)
    try:
        for request in (_rtnetlink.link_request(), _rtnetlink.address_request()):
            sock.sendto(request, 0, (0, 0))
            for state in _rtnetlink.states(_rtnetlink.answers(sock)):
                if isinstance(state, _rtnetlink.LinkState):
                    states[state.ifindex] = state
                else:
                    addresses.setdefault(state.ifindex, []).append(str(state.subnet))
    finally:
        sock.close()
    return tuple(
        _link(interface, states[interface.ifindex], tuple(addresses.get(interface.ifindex, ())))
        for interface in stack.interfaces
        if interface.ifindex in states
    )


def _link(
    interface: Interface, state: _rtnetlink.LinkState, addresses: tuple[str, ...]
) -> LinkStatus:
    assert interface.link is not None
    link: Any = interface.link
    inner = interface.opened or innermost(link)
    wrappers = []
    while link is not innermost(link):
        wrappers.append(type(link).__name__.lower())
        link = link.link
    place = {name: getattr(inner, name, None) for name in _PLACE}
    if inner.kind == "tap":
        place["device"] = inner.name
    return LinkStatus(
        name=interface.name,
        kind=inner.kind,
        wrappers=tuple(wrappers),
        place={name: value for name, value in place.items() if isinstance(value, str | int)},
        up=bool(state.flags & _rtnetlink.IFF_UP),
        carrier=bool(state.flags & _rtnetlink.IFF_LOWER_UP),
        addresses=addresses,
        mtu=state.mtu,
        counters=interface.counters(),
        note=_NOTES.get(inner.kind),
        missing=interface.missing() or None,
        dhcp=None if interface.dhcp is None else _dhcp(interface.dhcp),
    )


def _dhcp(client: DhcpClient) -> DhcpStatus:
    lease = client.lease
    if lease is None:
        return DhcpStatus(client.state, None, None, None, None)
    age_s = time.monotonic() - lease.asked_s
    return DhcpStatus(
        client.state,
        lease.address,
        lease.server,
        _left(lease.renewal_s - age_s),
        _left(lease.lifetime_s - age_s),
    )


def _left(seconds: float) -> float | None:
    return None if math.isinf(seconds) else max(0.0, seconds)
