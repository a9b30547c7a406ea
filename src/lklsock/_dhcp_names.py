"""Nameservers that come by DHCP, for a stack whose program has named none."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ._resolv_conf import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .stack import Stack

log = logging.getLogger("lklsock")


@dataclass
class _Told:
    """What a stack's links have told."""

    by_link: dict[str, tuple[Sequence[str], Sequence[str]]] = field(default_factory=dict)
    before: Config | None = None
    """What the stack had."""
    ours: Config | None = None
    """What it was given."""


_told: weakref.WeakKeyDictionary[Stack, _Told] = weakref.WeakKeyDictionary()


def apply_names(
    stack: Stack, ifname: str, nameservers: Sequence[str], search: Sequence[str]
) -> None:
    """Has names resolved as a link's lease says; with nothing in it, as without that link.

    A program that names servers itself, before or later, has the last word.
    """
    if stack not in _told and not nameservers:
        return
    told = _told.setdefault(stack, _Told())
    told.by_link[ifname] = nameservers, search
    if stack.dns is not told.ours:
        if stack.nameservers:
            return
        told.before = stack.dns
    assert told.before is not None
    servers = [server for each, _ in told.by_link.values() for server in each]
    domains = [domain for _, each in told.by_link.values() for domain in each]
    try:
        told.ours = replace(
            told.before,
            nameservers=tuple(dict.fromkeys(servers)),
            search=tuple(dict.fromkeys([*domains, *told.before.search])),
        )
    except ModuleNotFoundError as error:
        log.warning("dhcp: %s: nameservers of the lease are not used: %s", ifname, error)
        return
    stack.dns = told.ours
