"""How names are looked up: what resolv.conf(5) says, and what a program says in its place."""

from __future__ import annotations

import importlib
import ipaddress
import os
import socket as _stdlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

# As resolv.conf(5) caps them.
_NDOTS_MAX = 15
_TIMEOUT_MAX_S = 30.0
_ATTEMPTS_MAX = 5

_NO_DNSPYTHON = "nameservers take dnspython: pip install 'lklsock[dns]'"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How names are looked up; see resolv.conf(5).

    Attributes:
        nameservers: Their addresses, asked in this order. None: the host's resolver is used.
        search: Domains that a name is completed with.
        ndots: A name with so many dots is tried as it is first.
        timeout_s: How long one server is waited for.
        attempts: How often all servers are asked.
        rotate: Asks them in any order, to spread the load.
        hosts: The file of hosts, which goes before the servers.
    """

    nameservers: Sequence[str] = ()
    search: Sequence[str] = ()
    ndots: int = 1
    timeout_s: float = 5.0
    attempts: int = 2
    rotate: bool = False
    hosts: str | os.PathLike[str] = "/etc/hosts"

    def __post_init__(self) -> None:
        for name in ("nameservers", "search"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ValueError(f"{name} must be a list, such as [{value!r}]")
            object.__setattr__(self, name, tuple(value))
        for server in self.nameservers:
            try:
                ipaddress.ip_address(server)
            except ValueError:
                raise ValueError(f"nameservers must be addresses, not {server!r}") from None
        for name, least, most in (
            ("ndots", 0, _NDOTS_MAX),
            ("timeout_s", 0.001, _TIMEOUT_MAX_S),
            ("attempts", 1, _ATTEMPTS_MAX),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least}-{most}, not {getattr(self, name)}")
        if self.nameservers:
            try:
                importlib.import_module("dns.resolver")
            except ModuleNotFoundError:
                raise ModuleNotFoundError(_NO_DNSPYTHON) from None

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str] = "/etc/resolv.conf",
        *,
        nameservers: Sequence[str] | None = None,
    ) -> Config:
        """What a file like /etc/resolv.conf says. One that is not there says nothing.

        Args:
            path: The file.
            nameservers: In place of those of the file.
        """
        settings: dict[str, Any] = {"nameservers": [], "search": _domain_of_host()}
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    _read_line(line, settings)
        except OSError:
            pass
        if nameservers is not None:
            settings["nameservers"] = nameservers
        return cls(**settings)

    def with_nameservers(self, nameservers: Sequence[str]) -> Config:
        """The same with other servers."""
        return replace(self, nameservers=nameservers)


def _domain_of_host() -> list[str]:
    domain = _stdlib.gethostname().partition(".")[2]
    return [domain] if domain else []


def _read_line(line: str, settings: dict[str, Any]) -> None:
    words = line.split()
    if len(words) < 2 or words[0][0] in "#;":
        return
    keyword, values = words[0], words[1:]
    if keyword == "nameserver":
        settings["nameservers"].append(values[0])
    elif keyword == "domain":
        settings["search"] = values[:1]
    elif keyword == "search":
        settings["search"] = [] if values == ["."] else values
    elif keyword == "options":
        for value in values:
            _read_option(value, settings)


def _read_option(text: str, settings: dict[str, Any]) -> None:
    name, _, number = text.partition(":")
    if name == "rotate":
        settings["rotate"] = True
    elif not number.isdecimal():
        return
    elif name == "ndots":
        settings["ndots"] = min(int(number), _NDOTS_MAX)
    elif name == "timeout":
        settings["timeout_s"] = float(min(max(int(number), 1), _TIMEOUT_MAX_S))
    elif name == "attempts":
        settings["attempts"] = min(max(int(number), 1), _ATTEMPTS_MAX)
