"""Carries over the configuration of LKL's own hijack library, `lkl-hijack.json`.

Source: tools/lkl/lib/config.c and Documentation/lkl of github.com/lkl/linux. All its values are
strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import _toml

# Its types of interfaces, and ours. macvtap takes a path: the device that the host made for it.
_KINDS = {"tap": "tap", "raw": "packet"}
_NO_KIND = {
    "macvtap": "open its /dev/tapN yourself, and hand the descriptor in: kind = 'fd'",
    "vde": "join the switch by a TAP device: vde_plug2tap",
    "dpdk": "there is no link for DPDK",
    "pipe": "use kind = 'wire'",
}
_NOT_NEEDED = {
    "debug": "the kernel's messages: Stack.console(), console_level",
    "singlecpu": "a stack has one CPU, and runs on the threads that call it",
    "delay_main": "[stack] wait_s waits for addresses",
    "mount": "proc and sysctl are there; more can be mounted by system calls only",
    "dump": "Stack.kernel.read_file() reads files",
}
_NOT_OF_INTERFACE = {
    "offload": "offloads are negotiated with the link",
    "neigh": "stack.netlink().neigh() adds neighbours",
    "qdisc": "stack.netlink().tc() sets disciplines",
}


class HijackError(ValueError):
    """It is no such file."""


def imported(text: str) -> tuple[str, list[str]]:
    """The same as a configuration of ours.

    Returns:
        TOML; and what could not be carried over, each with what helps.

    Raises:
        HijackError: It is no such file.
    """
    try:
        said = json.loads(text)
    except ValueError as error:
        raise HijackError(f"no JSON: {error}") from None
    interfaces = said.get("interfaces", []) if isinstance(said, dict) else None
    if not isinstance(interfaces, list) or not all(isinstance(i, dict) for i in interfaces):
        raise HijackError("no configuration of the hijack library: takes an object, interfaces")
    made = _Import(said)
    return made.text(), made.lost


class _Import:
    """Attributes: lost: what could not be carried over."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.lost: list[str] = []
        self._stack: dict[str, Any] = {}
        self._sysctl: dict[str, str] = {}
        self._dns: dict[str, Any] = {}
        self._links: list[dict[str, Any]] = []
        self._is_dhcp = False
        self._gateways = {
            4: str(said.get("gateway", "")),
            6: str(said.get("gateway6", "")),
        }
        # It says what the interfaces have.
        self._command_line(str(said.get("boot_cmdline", "")))
        for key, value in said.items():
            if key == "sysctl":
                self._settings(str(value))
            elif key == "nameserver":
                self._dns["nameservers"] = [str(value)]
            elif key in _NOT_NEEDED:
                self.lost.append(f"{key}: {_NOT_NEEDED[key]}")
            elif key not in ("gateway", "gateway6", "interfaces", "boot_cmdline"):
                self.lost.append(f"{key}: unknown")
        for number, each in enumerate(said.get("interfaces", ())):
            self._interface(f"interfaces[{number}]", each, is_first=not self._links)

    def text(self) -> str:
        """The configuration."""
        lines = ["# Carried over from a configuration of LKL's hijack library.", ""]
        for name, table in (
            ("stack", self._stack),
            ("stack.sysctl", self._sysctl),
            ("dns", self._dns),
        ):
            if table:
                lines += [f"[{name}]", *(_toml.setting(*item) for item in table.items()), ""]
        for link in self._links:
            lines += ["[[link]]", *(_toml.setting(*item) for item in link.items()), ""]
        return "\n".join(lines)

    def _command_line(self, text: str) -> None:
        kept = []
        for word in text.split():
            name, _, value = word.partition("=")
            if word == "ip=dhcp":
                self._is_dhcp = True
            elif name == "mem" and _bytes(value):
                self._stack["memory_bytes"] = _bytes(value)
            else:
                kept.append(word)
        if kept:
            self._stack["command_line"] = " ".join(kept)

    def _settings(self, text: str) -> None:
        for item in filter(None, text.split(";")):
            name, equals, value = item.partition("=")
            if equals:
                self._sysctl[name.strip()] = value.strip()
            else:
                self.lost.append(f"sysctl: {item!r} has no value")

    def _interface(self, where: str, said: Mapping[str, Any], *, is_first: bool) -> None:
        kind = str(said.get("type", ""))
        if kind not in _KINDS:
            self.lost.append(f"{where}: type {kind!r}: {_NO_KIND.get(kind, 'unknown')}")
            return
        link: dict[str, Any] = {"kind": _KINDS[kind]}
        link["name" if kind == "tap" else "device"] = str(said.get("param", ""))
        addresses, gateways = [], []
        for version, suffix in ((4, ""), (6, "6")):
            address = said.get("ipv6" if suffix else "ip")
            if address:
                length = said.get(f"masklen{suffix}", 64 if suffix else 24)
                addresses.append(f"{address}/{length}")
            gateway = said.get(f"ifgateway{suffix}") or (is_first and self._gateways[version])
            if gateway and address:
                gateways.append(str(gateway))
        if self._is_dhcp and "ip" not in said:
            addresses.insert(0, "dhcp")
        link["addresses"] = addresses
        if gateways:
            link["gateway"] = gateways
        if "mtu" in said:
            self._number(where, link, "mtu", said["mtu"])
        if "mac" in said:
            link["mac"] = str(said["mac"])
        for key in said:
            if key in _NOT_OF_INTERFACE:
                self.lost.append(f"{where}.{key}: {_NOT_OF_INTERFACE[key]}")
            elif key not in _CARRIED:
                self.lost.append(f"{where}.{key}: unknown")
        self._links.append(link)

    def _number(self, where: str, link: dict[str, Any], key: str, value: Any) -> None:
        try:
            link[key] = int(value)
        except (TypeError, ValueError):
            self.lost.append(f"{where}.{key}: {value!r} is no number")


_CARRIED = {
    *("type", "param", "ip", "masklen", "ipv6", "masklen6"),
    *("ifgateway", "ifgateway6", "mtu", "mac"),
}


def _bytes(text: str) -> int | None:
    """As the kernel's memparse()."""
    digits, factor = text, 1
    if text[-1:].upper() in ("K", "M", "G"):
        digits, factor = text[:-1], 1 << 10 * ("KMG".index(text[-1].upper()) + 1)
    return int(digits) * factor if digits.isdecimal() else None
