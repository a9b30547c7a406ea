"""The keys of the configuration: those of the Python API, from where that has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import link as links
from . import mptcp
from ._config_schema import Field, Fields, fields_of, parameters_of
from ._mptcp_presets import PRESETS
from ._opening import WAIT_S
from ._policy import Rule
from ._resolv_conf import Config as DnsConfig
from .link import Impair, Link, Pcap
from .stack import Stack

KINDS: dict[str, type[Link]] = {
    kind.kind: kind
    for kind in (getattr(links, name) for name in links.__all__)
    if isinstance(kind, type) and issubclass(kind, Link) and kind is not Link
}
WRAPPERS: dict[str, type[Impair] | type[Pcap]] = {"impair": Impair, "pcap": Pcap}


@dataclass(frozen=True)
class _Patch:
    """What `lklsock.patch` is to do; its other arguments are sections of their own.

    Attributes:
        socket: The module socket makes sockets of the stack.
        ssl: Contexts of the module ssl wrap sockets of the stack. False: they are refused.
        dns: Names are resolved through the stack, where it has nameservers.
        listen: Where a socket is that listens, or takes datagrams, on all addresses: "both",
            "host" or "stack".
    """

    socket: bool = True
    ssl: bool = True
    dns: bool = True
    listen: str = "both"


MODE = parameters_of(Stack.__init__, doc=Stack.__doc__)["mptcp_mode"]
LIMITS = parameters_of(
    mptcp.limits,
    doc="Args:\n    subflows: Beyond the first, 0-8.\n"
    "    add_addr_accepted: How many addresses of the peer are used, 0-8.",
)
ENDPOINT = parameters_of(mptcp.endpoint_add)
STACK: Fields = {
    **parameters_of(Stack.__init__, doc=Stack.__doc__, without=("mptcp_mode", "nameservers")),
    "sysctl": Field(
        "sysctl",
        dict[str, Any],
        {},
        "Settings of the kernel, as for sysctl(8): net.ipv4.tcp_congestion_control = 'cubic'.",
    ),
    "wait_s": Field(
        "wait_s",
        float,
        WAIT_S,
        "How long to wait for addresses that come by DHCP or SLAAC, before a program begins; 0 for"
        " not at all.",
    ),
}
MPTCP: Fields = {
    "mode": Field("mode", str, MODE.default, MODE.doc),
    "preset": Field(
        "preset", str | None, None, f"What the links are used for: {', '.join(PRESETS)}."
    ),
    **parameters_of(mptcp.preset, without=("name",)),
    "limits": Field("limits", dict[str, int], {}, "How far the path manager goes, by hand."),
    "endpoint": Field("endpoint", list[Any], (), "Addresses for the path manager, by hand."),
}
POLICY = parameters_of(
    Rule.__init__,
    doc=Rule.__doc__,
)
PATCH = fields_of(_Patch)
DNS = fields_of(DnsConfig)
SECTIONS = {
    "stack": "the kernel",
    "link": "a network interface, each with a [[link]]",
    "mptcp": "what links are used for",
    "policy": "which world serves an address, each rule with a [[policy]]",
    "patch": "what becomes of the program's modules",
    "dns": "how names are looked up",
}


def link_fields(kind: type[Link]) -> Fields:
    """The keys of a [[link]] of this kind."""
    wrappers = {
        name: Field(name, wrapper, None, (wrapper.__doc__ or "").partition("\n")[0])
        for name, wrapper in WRAPPERS.items()
    }
    return {**fields_of(kind), **wrappers}
