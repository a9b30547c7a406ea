"""What is to be done on the host, and what the user's programs say then."""

from __future__ import annotations

import ipaddress
import json
import os
import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import SetupError, command
from .step import Step

Network = ipaddress.IPv4Network

TABLES_FROM = 7100
_NAME_BYTES_MAX = 8


@dataclass(frozen=True)
class Uplink:
    """An interface of the host, with the TAP devices that leave by it."""

    device: str
    table: int
    network: str
    """Of its TAP devices; each has a /24 of it."""
    taps: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All of it."""

    name: str
    asked: dict[str, Any]
    """The arguments: the same ones twice are the same plan."""
    steps: tuple[Step, ...]
    uplinks: tuple[Uplink, ...]
    hints: tuple[str, ...]

    def text(self) -> Iterator[str]:
        """The commands, and how they are used, as a script for a shell."""
        yield "#!/bin/sh -e"
        yield "# To be run as root; --apply does, and notes how to take it back, for --undo."
        for step in self.steps:
            yield from step.lines()
        yield from (f"# {line}".rstrip() for line in self.hints)


def plan(
    *,
    user: str,
    count: int,
    name: str,
    bridge: str | None,
    uplinks: Sequence[str],
    network: str,
) -> Plan:
    """Makes a plan from what the host has now, and changes nothing.

    Raises:
        SetupError: It cannot be done so.
    """
    owner = _user(user)
    if not name.isascii() or not name.isalpha() or len(name) > _NAME_BYTES_MAX:
        raise SetupError(f"--name must be 1-{_NAME_BYTES_MAX} letters, not {name!r}")
    asked = {
        "user": owner,
        "count": count,
        "bridge": bridge,
        "nat": list(uplinks),
        "network": network if uplinks else None,
    }
    if bridge is not None:
        return _bridged(name, asked, bridge)
    return _translated(name, asked, uplinks, _network(network, len(uplinks)))


def alias_of(name: str) -> str:
    """What marks a TAP device as one of ours."""
    return f"lklsock setup {name}"


def _bridged(name: str, asked: dict[str, Any], bridge: str) -> Plan:
    if not Path(f"/sys/class/net/{bridge}/bridge").is_dir():
        raise SetupError(f"{bridge} is no bridge of this host: --bridge takes one that is set up")
    steps: list[Step] = []
    for number in range(asked["count"]):
        tap = f"{name}{number}"
        steps += _tap(tap, asked["user"], name)
        steps.append(
            Step(("ip", "link", "set", tap, "master", bridge), there=("port", bridge, tap))
        )
        steps.append(Step(("ip", "link", "set", tap, "up"), there=("up", tap)))
    hints = (
        f"Each process of {asked['user']}'s is one more station behind {bridge}, with an address",
        "of that network of its own:",
        f'    stack.add_link(Tap("{name}{{child}}"), addresses=[...], gateway=...)',
        "A bridge has carrier as long as one of its ports has, so nothing is told to the stack",
        "when the way behind it is lost; --nat and `setup watch` tell it.",
    )
    return Plan(name, asked, tuple(steps), (), hints)


def _translated(
    name: str, asked: dict[str, Any], devices: Sequence[str], networks: list[Network]
) -> Plan:
    steps: list[Step] = []
    found: list[Uplink] = []
    if len(set(devices)) != len(devices):
        raise SetupError("--nat names an uplink twice")
    for number, (device, network) in enumerate(zip(devices, networks, strict=True)):
        routes = uplink_routes(device, TABLES_FROM + number)
        if routes is None:
            raise SetupError(f"there is no interface {device}")
        if not any(" default " in f" {' '.join(route)} " for route in routes):
            raise SetupError(f"{device} has no default route: it is no uplink, or is not connected")
        letter = "" if len(devices) == 1 else "abcdefgh"[number]
        taps = tuple(f"{name}{letter}{child}" for child in range(asked["count"]))
        uplink = Uplink(device, TABLES_FROM + number, str(network), taps)
        found.append(uplink)
        steps += _uplink_steps(uplink, routes, asked["user"], name)
    table = f"lklsock_{name}"
    steps.append(
        Step(
            ("nft", "-f", "-"),
            ("nft", "delete", "table", "ip", table),
            ("nft", table),
            _rules(table, found),
        )
    )
    return Plan(name, asked, tuple(steps), tuple(found), tuple(_hints(name, asked, found)))


def _uplink_steps(
    uplink: Uplink, routes: list[tuple[str, ...]], user: str, name: str
) -> Iterator[Step]:
    table, network = str(uplink.table), ipaddress.IPv4Network(uplink.network)
    for tap, subnet in zip(uplink.taps, network.subnets(new_prefix=24), strict=False):
        yield from _tap(tap, user, name)
        address = f"{subnet.network_address + 1}/24"
        yield Step(("ip", "addr", "add", address, "dev", tap), there=("address", address, tap))
        yield _setting(f"net/ipv4/conf/{tap}/forwarding", "1", new=True)
        yield Step(("ip", "link", "set", tap, "up"), there=("up", tap))
        yield Step(
            ("ip", "route", "add", str(subnet), "dev", tap, "table", table),
            there=("route", str(subnet), table),
        )
    # Where the uplink has no route any more, the other ones are no way out.
    last = ("unreachable", "default", "metric", "4278198272")
    yield Step(
        ("ip", "route", "add", *last, "table", table),
        ("ip", "route", "flush", "table", table),
        ("route", "", table),
    )
    for route in routes:
        yield Step(route)
    rule = ("from", uplink.network, "lookup", table, "priority", table)
    yield Step(("ip", "rule", "add", *rule), ("ip", "rule", "del", *rule), ("rule", table))
    path = f"net/ipv4/conf/{uplink.device}/forwarding"
    if Path("/proc/sys", path).read_text(encoding="ascii").strip() != "1":
        yield _setting(path, "1")


def _tap(tap: str, user: str, name: str) -> Iterator[Step]:
    alias = alias_of(name)
    yield Step(
        ("ip", "tuntap", "add", "dev", tap, "mode", "tap", "user", user, "vnet_hdr"),
        ("ip", "link", "delete", "dev", tap),
    )
    yield Step(("ip", "link", "set", tap, "alias", alias), there=("tap", tap, alias))


def _setting(path: str, value: str, *, new: bool = False) -> Step:
    """A sysctl; that of a new device goes with it."""
    undo = () if new else ("sysctl", "-q", "-w", f"{path}=0")
    return Step(("sysctl", "-q", "-w", f"{path}={value}"), undo, ("setting", path, value))


def uplink_routes(device: str, table: int) -> list[tuple[str, ...]] | None:
    """The commands that copy an uplink's routes into its table; None if there is no such device."""
    if not Path("/sys/class/net", device).exists():
        return None
    commands = []
    shown = command(["ip", "-4", "-json", "route", "show", "dev", device, "table", "main"])
    # Networks before the gateways that are in them.
    routes = sorted(json.loads(shown or "[]"), key=lambda route: "gateway" in route)
    for route in routes:
        words = ["ip", "route", "add", route["dst"]]
        for key, word in (("gateway", "via"), ("prefsrc", "src"), ("metric", "metric")):
            if key in route:
                words += [word, str(route[key])]
        words += ["dev", device]
        if "onlink" in route.get("flags", []):
            words.append("onlink")
        commands.append((*words, "table", str(table)))
    return commands


def _rules(table: str, uplinks: Sequence[Uplink]) -> str:
    translate, forward = [], []
    for uplink in uplinks:
        ours = f'ip saddr {uplink.network} oifname "{uplink.device}"'
        translate.append(f"    {ours} masquerade")
        forward += [
            f"    {ours} accept",
            f"    ip saddr {uplink.network} drop",
            f"    ip daddr {uplink.network} ct state established,related accept",
            f"    ip daddr {uplink.network} drop",
        ]
    return "\n".join(
        [
            f"table ip {table} {{",
            "  chain postrouting {",
            "    type nat hook postrouting priority srcnat;",
            *translate,
            "  }",
            "  chain forward {",
            "    type filter hook forward priority filter;",
            *forward,
            "  }",
            "}",
            "",
        ]
    )


def _hints(name: str, asked: dict[str, Any], uplinks: Sequence[Uplink]) -> Iterator[str]:
    links = []
    for uplink in uplinks:
        stem = uplink.taps[0].removesuffix("0")
        first, second = uplink.network.split(".")[:2]
        net = f"{first}.{second}.{{child}}"
        links.append((f"{stem}{{child}}", f"{net}.2/24", f"{net}.1", uplink.device))
    count = asked["count"]
    processes = "One process" if count == 1 else f"{count} processes"
    yield f"{processes} of {asked['user']}'s at a time, with a link for each uplink. The number of"
    yield "a process, the lowest that is free, takes the place of {child}:"
    for tap, address, gateway, _ in links:
        yield f'    stack.add_link(Tap("{tap}"), addresses=["{address}"], gateway="{gateway}")'
    if links:
        yield f'With Tap(..., uplink="{links[0][3]}") a link has the carrier that the uplink has.'
    yield "or, for a program as it is, and what it forks:"
    taps = " ".join(f"--tap '{tap},{address},{gateway}'" for tap, address, gateway, _ in links)
    yield f"    python -m lklsock run {taps} app.py"
    yield "An uplink that is lost, or gets another address, is followed by, as root,"
    yield f"    python -m lklsock setup watch{'' if name == 'tap' else f' --name {name}'}"
    yield "which takes its TAP devices down: the stacks lose the carrier, and MPTCP moves at once."
    yield "A firewall of the host's that drops what is forwarded must let these through."


def _user(text: str) -> str:
    try:
        found = pwd.getpwuid(int(text)) if text.isdigit() else pwd.getpwnam(text)
    except KeyError:
        raise SetupError(f"there is no user {text}") from None
    return found.pw_name


def _network(text: str, count: int) -> list[Network]:
    try:
        first = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise SetupError(f"--network: {error}") from None
    if first.prefixlen != 16:
        raise SetupError("--network must be a /16, and the next ones are for further uplinks")
    if count > 8:
        raise SetupError("--nat takes eight uplinks at most: MPTCP uses no more")
    size = first.num_addresses
    return [Network((int(first.network_address) + n * size, 16)) for n in range(count)]


def is_root() -> bool:
    """Whether the host can be changed."""
    return os.geteuid() == 0
