"""The report: what patching came to."""

from __future__ import annotations

import sys

from .. import _ledger
from .. import mptcp as _mptcp
from .. import stack as _stack
from ..errors import KernelError
from . import _captured, _patching

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

# Libraries whose sockets are made in C, which no patch reaches, and what to do about each.
_RELAY = "have it connect to a listener on 127.0.0.1 that passes on to the stack"
_BRIDGED = 'lklsock.original("socket", "socket")(fileno=sock.bridge())'
_BYPASSES = {
    "MySQLdb._mysql": ("mysqlclient", f"use PyMySQL; or {_RELAY}"),
    "_pylibmc": ("pylibmc", f"use pymemcache; or {_RELAY}"),
    "confluent_kafka": ("librdkafka", _RELAY),
    "curl_cffi": ("curl_cffi", _RELAY),
    "grpc._cython.cygrpc": ("grpc", _RELAY),
    "psycopg.pq": ("psycopg (libpq)", f"use asyncpg or pg8000; or {_RELAY}"),
    "psycopg2._psycopg": ("psycopg2 (libpq)", f"use asyncpg or pg8000; or {_RELAY}"),
    "pycurl": (
        "pycurl",
        "use httpx or requests; or have OPENSOCKETFUNCTION give it a connected socket, "
        f"{_BRIDGED}, and SOCKOPTFUNCTION say that it is connected",
    ),
    "pyodbc": ("pyodbc", _RELAY),
    "uvloop": (
        "uvloop",
        "use asyncio's own event loop; or hand create_connection(sock=...) a connected socket, "
        f"{_BRIDGED}",
    ),
    "zmq.backend": ("pyzmq", _RELAY),
}

_FALLBACKS = (
    "MPCapableFallbackACK",
    "MPCapableFallbackSYNACK",
    "MPCapableDataFallback",
    "DssFallback",
    "DSSCorruptionFallback",
    "MD5SigFallback",
    "SimultConnectFallback",
)


class Report:
    """What patching came to. `str()` of it is for people.

    Attributes:
        patched: What of the stdlib is ours, as "module.name".
        settings: What is in force: the arguments of `lklsock.patch`. Empty while not patched.
        rebound: What modules had taken before, and was changed: "module.attribute".
        too_early: What had been taken before and could not be changed: classes that derive from
            the original, functions that hold it.
        sockets: How many sockets live where: "stack", "host" or "both".
        upgraded: How many were made MPTCP where the program asked for TCP.
        connections: What the kernels counted: MPTCP connections that were "opened", "accepted",
            and connections that "fell back" to TCP.
        options: Options that MPTCP refuses: {"TCP_QUICKACK: remembered": how often}.
        bypasses: Libraries that no patch reaches, and what helps.
        problems: Other libraries that get in the way.
    """

    def __init__(
        self,
        *,
        patched: list[str],
        settings: dict[str, Any],
        rebound: list[str],
        too_early: list[str],
        sockets: dict[str, int],
        upgraded: int,
        connections: dict[str, int],
        options: dict[str, int],
        bypasses: dict[str, str],
        problems: list[str],
    ) -> None:
        self.patched = patched
        self.settings = settings
        self.rebound = rebound
        self.too_early = too_early
        self.sockets = sockets
        self.upgraded = upgraded
        self.connections = connections
        self.options = options
        self.bypasses = bypasses
        self.problems = problems

    def __repr__(self) -> str:
        return f"<lklsock report: {len(self.patched)} patched, {self.sockets}>"

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        rows = [
            ("patched", [", ".join(self.patched) or "nothing"]),
            ("settings", [settings] if settings else []),
            ("rebound", self.rebound),
            ("too early", self.too_early),
            ("sockets", [_counts(self.sockets, upgraded=self.upgraded)]),
            ("MPTCP", [_counts(self.connections)]),
            ("refused", [f"{name} ({count}x)" for name, count in self.options.items()]),
            ("bypassed", [f"{name}: {remedy}" for name, remedy in self.bypasses.items()]),
            ("problems", self.problems),
        ]
        return "\n".join(["lklsock", *_table(rows)])


def make() -> Report:
    """The report as of now."""
    parts = _patching.PARTS
    original, own = parts[0].originals["socket"], parts[0].replacements["socket"]
    counts = _ledger.snapshot()
    too_early = []
    if _patching.is_patched():
        too_early = _captured.subclasses(original, own) + _captured.holders(original)
    return Report(
        patched=[f"{part.module.__name__}.{name}" for part in parts for name in part.names()],
        settings={k: v for k, v in (_patching.in_force() or {}).items() if v is not None},
        rebound=[name for part in parts for name in part.rebound],
        too_early=too_early,
        sockets=counts.sockets,
        upgraded=counts.upgraded,
        connections=_connections(),
        options={
            f"{_ledger.option_name(level, option)}: {outcome}": count
            for (level, option, outcome), count in counts.options.items()
        },
        bypasses=dict(what for module, what in _BYPASSES.items() if module in sys.modules),
        problems=_patching.problems(),
    )


def _connections() -> dict[str, int]:
    """Sums over the kernels that run."""
    sums = {"opened": 0, "accepted": 0, "fell back": 0}
    for stack in _stack.running_stacks():
        try:
            counters = _mptcp.counters(stack)
        except KernelError:
            continue
        sums["opened"] += counters.get("MPCapableSYNACKRX", 0)
        sums["accepted"] += counters.get("MPCapableACKRX", 0)
        sums["fell back"] += sum(counters.get(name, 0) for name in _FALLBACKS)
    return sums


def _counts(counts: dict[str, int], **more: int) -> str:
    return ", ".join(f"{count} {name}" for name, count in {**counts, **more}.items())


def _table(rows: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    for title, lines in rows:
        for number, line in enumerate(lines):
            yield f"  {'' if number else title:<10}{line}"
