"""Checks what a configuration file says, and makes of it what the Python API takes.

Nothing is opened, and no kernel is needed. All errors are found, not the first one only.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ._config_keys import (
    DNS,
    ENDPOINT,
    KINDS,
    LIMITS,
    MODE,
    MPTCP,
    PATCH,
    POLICY,
    SECTIONS,
    STACK,
    WRAPPERS,
    link_fields,
)
from ._config_lines import Path, line_of
from ._config_schema import REQUIRED, Field, Fields, expected, fields_of, nearest, nested
from ._mptcp_presets import PRESETS
from ._mptcp_state import ENDPOINT_FLAGS
from ._opening import WAIT_S
from ._policy import LISTEN, Rule, as_policy
from ._resolv_conf import Config as DnsConfig
from ._sysctl import path_of
from .link import AnyLink, innermost
from .stack import MPTCP_MODES

_MEMORY_BYTES_MIN = 8 << 20
_HOSTNAME_MAX = 64
_LIMIT_MAX = 8


@dataclass
class Wanted:
    """What the file asks for, as the Python API takes it.

    Attributes:
        stack: For `Stack`.
        sysctl: Where each is in the file, name, and value.
        wait_s: How long to wait for addresses.
        links: Where each is in the file, and the link.
        preset: For `mptcp.preset`; None for none.
        limits: For `mptcp.limits`.
        endpoints: For `mptcp.endpoint_add`, each.
        dns: For `Stack.dns`; None if the file does not say.
        patch: For `lklsock.patch`.
    """

    stack: dict[str, Any] = field(default_factory=dict)
    sysctl: list[tuple[Path, str, str]] = field(default_factory=list)
    wait_s: float = WAIT_S
    links: list[tuple[Path, AnyLink]] = field(default_factory=list)
    preset: dict[str, Any] | None = None
    limits: dict[str, int] = field(default_factory=dict)
    endpoints: list[dict[str, Any]] = field(default_factory=list)
    dns: DnsConfig | None = None
    patch: dict[str, Any] = field(default_factory=dict)


class Checker:
    """Goes through what a file says."""

    def __init__(self, name: str, lines: dict[Path, int]) -> None:
        self._problems: list[tuple[int, str]] = []
        self._name = name
        self._lines = lines
        # Keys that were meant, perhaps, but are not right.
        self._left_out: set[str] = set()

    @property
    def problems(self) -> list[str]:
        """Each with file, line, key, and what was expected; in the file's order."""
        return [text for _, text in sorted(self._problems, key=lambda problem: problem[0])]

    def wanted(self, said: Mapping[str, Any]) -> Wanted:
        """What the file asks for; to be used only if there are no problems."""
        for name in said:
            if name not in SECTIONS:
                self._problem((name,), f"unknown{_elsewhere(name) or nearest(name, SECTIONS)}")
        found = Wanted()
        self._stack(self._section(said, "stack", STACK), found)
        for number, each in enumerate(self._tables(said, ("link",))):
            self._link(("link", number), each, found)
        self._check_links(found)
        self._mptcp(self._section(said, "mptcp", MPTCP), found)
        self._patch(said, self._section(said, "patch", PATCH), found)
        settings = self._section(said, "dns", DNS)
        if settings:
            found.dns = self._made(
                ("dns",), settings, lambda **given: replace(DnsConfig.read(nameservers=()), **given)
            )
        return found

    # ---- sections

    def _stack(self, values: dict[str, Any], found: Wanted) -> None:
        for path, value in _leaves(("stack", "sysctl"), values.pop("sysctl", {})):
            # TOML makes tables of dotted keys.
            name = ".".join(map(str, path[2:]))
            if isinstance(value, list):
                self._problem(path, "must be a string, a number, true or false")
                continue
            try:
                path_of(name)
            except ValueError as error:
                self._problem(path, str(error))
            text = str(int(value) if isinstance(value, bool) else value)
            found.sysctl.append((path, name, text))
        found.wait_s = values.pop("wait_s", WAIT_S)
        if found.wait_s < 0:
            self._problem(("stack", "wait_s"), "must not be negative")
        if values.get("memory_bytes", _MEMORY_BYTES_MIN) < _MEMORY_BYTES_MIN:
            self._problem(("stack", "memory_bytes"), f"must be at least {_MEMORY_BYTES_MIN}")
        if not 1 <= len(values.get("hostname", "x")) <= _HOSTNAME_MAX:
            self._problem(("stack", "hostname"), f"must be 1-{_HOSTNAME_MAX} characters")
        found.stack.update(values)

    def _link(self, path: Path, said: Mapping[str, Any], found: Wanted) -> None:
        said = dict(said)
        kind = said.pop("kind", None)
        if kind not in KINDS:
            problem = f"must be one of {', '.join(KINDS)}, not {kind!r}" if kind else "is missing"
            close = nearest(str(kind), KINDS) if kind else f": one of {', '.join(KINDS)}"
            self._problem((*path, "kind"), problem + (close if "mean" in close or not kind else ""))
            return
        values = self._whole(path, said, link_fields(KINDS[kind]))
        wrappers = {name: values.pop(name) for name in WRAPPERS if name in values}
        made = self._made(path, values, KINDS[kind])
        for name, given in wrappers.items():
            if made is not None:
                made = self._made((*path, name), given, partial(WRAPPERS[name], made))
        if made is not None:
            found.links.append((path, made))

    def _check_links(self, found: Wanted) -> None:
        """What only two links together can have wrong."""
        addresses: dict[str, Path] = {}
        names: dict[str, Path] = {}
        for path, link in found.links:
            inner = innermost(link)
            for subnet in inner.subnets():
                if addresses.setdefault(str(subnet.ip), path) != path:
                    text = f"{subnet.ip} is an address of another link already"
                    self._problem((*path, "addresses"), text)
            if inner.name and names.setdefault(inner.name, path) != path:
                text = f"{inner.name} is the name of another link already"
                self._problem((*path, "name"), text)

    def _mptcp(self, values: dict[str, Any], found: Wanted) -> None:
        mode = values.get("mode", MODE.default)
        if mode not in MPTCP_MODES:
            text = f"must be one of {', '.join(MPTCP_MODES)}, not {mode!r}"
            self._problem(("mptcp", "mode"), text)
        found.stack["mptcp_mode"] = mode
        if "mode" in values:
            found.patch["mptcp"] = mode
        name = values.get("preset")
        arguments: dict[str, Any] = {
            key: values[key]
            for key in ("primary", "backups", "announce", "queue_bytes")
            if key in values
        }
        if name is not None and name not in PRESETS:
            text = f"must be one of {', '.join(PRESETS)}, not {name!r}"
            self._problem(("mptcp", "preset"), text)
        elif name is not None:
            found.preset = {"name": name, **arguments}
        for key in arguments if name is None else ():
            self._problem(("mptcp", key), "goes with a preset, and there is none")
        known = _interface_names(found)
        named = {"primary": [values["primary"]] if "primary" in values else []}
        named["backups"] = values.get("backups", [])
        for key, names in named.items():
            for each in names if known else ():
                if each not in known:
                    text = f"must be the name of a link, not {each!r}{nearest(each, known)}"
                    self._problem(("mptcp", key), text)
        path: Path = ("mptcp", "limits")
        found.limits = self._table(path, values.get("limits", {}), LIMITS)
        for key, value in found.limits.items():
            if not 0 <= value <= _LIMIT_MAX:
                self._problem((*path, key), f"must be 0-{_LIMIT_MAX}, not {value}")
        for number, each in enumerate(self._tables(values, ("mptcp", "endpoint"))):
            self._endpoint(("mptcp", "endpoint", number), each, found)

    def _endpoint(self, path: Path, said: Mapping[str, Any], found: Wanted) -> None:
        values = self._table(path, said, ENDPOINT)
        try:
            ipaddress.ip_address(values.get("address", "0.0.0.0"))
        except ValueError as error:
            self._problem((*path, "address"), str(error))
        for flag in values.get("flags", ()):
            if flag not in ENDPOINT_FLAGS:
                text = f"{flag!r} is no flag{nearest(flag, ENDPOINT_FLAGS)}"
                self._problem((*path, "flags"), text)
        found.endpoints.append(values)

    def _patch(self, said: Mapping[str, Any], values: dict[str, Any], found: Wanted) -> None:
        listen = values.get("listen")
        if listen is not None and listen not in LISTEN:
            text = f"must be one of {', '.join(LISTEN)}, not {listen!r}"
            self._problem(("patch", "listen"), text)
        found.patch.update(values)
        policy = said.get("policy")
        if isinstance(policy, str):
            self._made(("policy",), {"value": policy}, as_policy)
            found.patch["policy"] = policy
        elif policy is not None:
            rules = [
                self._made(path, self._whole(path, each, POLICY), Rule)
                for number, each in enumerate(self._tables(said, ("policy",)))
                for path in [("policy", number)]
            ]
            found.patch["policy"] = rules

    # ---- tables

    def _section(self, said: Mapping[str, Any], name: str, fields: Fields) -> dict[str, Any]:
        return self._whole((name,), said.get(name, {}), fields)

    def _whole(self, path: Path, said: Any, fields: Fields) -> dict[str, Any]:
        """As `_table`, of a table that something is made of."""
        self._left_out.clear()
        return self._table(path, said, fields)

    def _tables(self, said: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
        value = said.get(str(path[-1]), [])
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            return value
        name = ".".join(map(str, path))
        self._problem(path, f"must be tables, each beginning with [[{name}]]")
        return []

    def _table(self, path: Path, said: Any, fields: Fields) -> dict[str, Any]:
        """The values of a table that are right; the others are told of."""
        if not isinstance(said, dict):
            self._problem(path, f"must be a table: [{'.'.join(map(str, path))}]")
            return {}
        found: dict[str, Any] = {}
        for name, value in said.items():
            key = (*path, name)
            if name not in fields:
                self._problem(key, f"unknown{_elsewhere(name) or nearest(name, fields)}")
                self._left_out.update(difflib.get_close_matches(name, fields, 1))
                continue
            wanted = expected(fields[name].hint, value)
            if wanted is not None:
                self._problem(key, f"must be {wanted}, not {_shown(fields[name], value)}")
                self._left_out.add(name)
                continue
            inner = nested(fields[name].hint) if isinstance(value, dict) else None
            if inner is not None and inner in WRAPPERS.values():
                found[name] = self._table(key, value, fields_of(inner, without=("link",)))
            elif inner is not None:
                values = self._table(key, value, fields_of(inner))
                found[name] = self._made(key, values, inner)
            else:
                found[name] = value
        for name, field_ in fields.items():
            if field_.default is REQUIRED and name not in said:
                self._problem((*path, name), f"is missing: {field_.doc}".rstrip(": "))
                self._left_out.add(name)
        return found

    def _made(self, path: Path, values: dict[str, Any], make: Callable[..., Any]) -> Any:
        """What `make(**values)` gives; None if it is refused."""
        try:
            return make(**values)
        except (ValueError, TypeError, ModuleNotFoundError) as error:
            text = str(error)
            if any(name in text for name in self._left_out):
                # That has been told of.
                return None
            first = re.match(r"\w+", text)
            if first is not None and first[0] in values:
                path = (*path, first[0])
                text = text[first.end() :].lstrip(": ")
            self._problem(path, text)
            return None

    def _problem(self, path: Path, text: str) -> None:
        line = line_of(self._lines, path)
        where = self._name if line is None else f"{self._name}:{line}"
        key = ".".join(str(name) for name in path if not isinstance(name, int))
        self._problems.append((line or 0, f"{where}: {key}: {text}"))


def _shown(key: Field, value: Any) -> str:
    return "what is there" if key.is_secret else repr(value)


def _elsewhere(name: str) -> str:
    """Where a key belongs that is not known where it is; empty if it is known nowhere."""
    if name == "mptcp_mode":
        return "; it is mode in [mptcp]"
    tables = {"stack": STACK, "mptcp": MPTCP, "patch": PATCH, "dns": DNS}
    homes = [f"[{section}]" for section, fields in tables.items() if name in fields]
    return f"; it belongs to {' or '.join(homes)}" if homes else ""


def _leaves(path: Path, table: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """What is in a table, and in the tables in it."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves((*path, name), value)
        else:
            yield (*path, name), value


def _interface_names(found: Wanted) -> list[str]:
    """The names that the links' interfaces will have."""
    names: list[str] = []
    for _, link in found.links:
        inner = innermost(link).numbered(0)
        free = (f"{inner.kind}{n}" for n in range(len(found.links) + 1))
        names.append(inner.name or next(each for each in free if each not in names))
    return names
