"""Follows the uplinks: their TAP devices are up while they are, and their routes are copied.

A TAP device that is down has no carrier for the stack behind it. TUNSETCARRIER would say the same,
but only who has the device open can use it.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from ... import _rtnetlink
from . import SetupError, command
from .apply import Record
from .plan import Uplink, is_root, uplink_routes

_ROUTES_GROUP = 1 << 6
_SETTLE_S = 0.02


def watch(name: str) -> int:
    """Runs until it is interrupted.

    Raises:
        SetupError: Nothing is set up.
    """
    if not is_root():
        raise SetupError("watch takes root")
    record = Record.of(name)
    if not record.uplinks:
        raise SetupError(f"no devices {name}... behind NAT have been set up here by --apply")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _rtnetlink.NETLINK_ROUTE) as news:
        news.bind((0, _rtnetlink.GROUPS | _ROUTES_GROUP))
        news.setblocking(False)
        state: dict[str, object] = {}
        print(f"setup: watches {', '.join(each.device for each in record.uplinks)}", flush=True)
        while True:
            for uplink in record.uplinks:
                _follow(uplink, state)
            select.select([news], [], [])
            time.sleep(_SETTLE_S)
            # What it is does not matter, nor that some of it was lost: everything is looked at.
            _rtnetlink.news(news)
            if not Record.of(name).uplinks:
                print("setup: it has been taken back", file=sys.stderr)
                return 0


def _follow(uplink: Uplink, state: dict[str, object]) -> None:
    routes = uplink_routes(uplink.device, uplink.table) or []
    usable = _has_carrier(uplink.device) and any("default" in route for route in routes)
    wanted = tuple(routes) if usable else None
    if uplink.device in state and state[uplink.device] == wanted:
        return
    for tap in uplink.taps:
        with suppress(SetupError):
            command(["ip", "link", "set", tap, "up" if usable else "down"])
    if usable:
        _copy(uplink, routes)
    state[uplink.device] = wanted
    print(f"setup: {uplink.device} is {'there' if usable else 'lost'}", flush=True)


def _copy(uplink: Uplink, routes: list[tuple[str, ...]]) -> None:
    """Makes the table what it is to be; the last resort in it stays."""
    table = str(uplink.table)
    with suppress(SetupError):
        command(["ip", "route", "flush", "table", table, "dev", uplink.device])
    network = ipaddress.IPv4Network(uplink.network)
    subnets = network.subnets(new_prefix=24)
    commands = [
        ("ip", "route", "replace", str(subnet), "dev", tap, "table", table)
        for tap, subnet in zip(uplink.taps, subnets, strict=False)
    ]
    for words in (*commands, *routes):
        try:
            command(words)
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)


def _has_carrier(device: str) -> bool:
    with suppress(OSError):
        return Path("/sys/class/net", device, "carrier").read_text(encoding="ascii").strip() == "1"
    return False
