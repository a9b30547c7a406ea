"""A client of either kind against the host's server, over the networks of `network`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from network import Network
from programs import DEADLINE_S, Companion, library

PATIENCE_S = 1.0
"""For the other end, to close as well."""

# A new port each time: what an earlier connection left behind is in nobody's way.
_ports = itertools.count(5000)


@dataclass(frozen=True)
class Place:
    """Where the two ends are.

    Attributes:
        network: The namespaces. The server's is "server".
        stack: The namespace that has the stack's TAPs.
        stack_target: The server's address for the stack.
        host_target: The server's address for the host's client.
    """

    network: Network
    stack: str
    stack_target: str
    host_target: str


def direct_place(network: Network) -> Place:
    """In a network of `network.direct`."""
    return Place(network, "server", "10.1.0.1", "10.2.0.1")


def shaped_place(network: Network) -> Place:
    """In a network of `network.shaped`."""
    return Place(network, "near", "10.4.0.2", "10.4.0.2")


def measure(
    place: Place,
    kernel: str,
    protocol: str,
    what: str,
    seconds: float,
    *,
    settle_s: float = 0.0,
    settings: Sequence[str] = (),
    while_running: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Runs one exchange.

    Args:
        place: Where.
        kernel: The client's: "stack" or "host". The server is the host's.
        protocol: "tcp", over the first path, or "mptcp", over all.
        what: "out" (the client sends), "in" or "round-trip".
        seconds: How long.
        settle_s: What of it does not count, at the beginning.
        settings: Sysctls of both kernels, such as "net/ipv4/tcp_wmem=4096 16384 4194304".
        while_running: Called once data flows.

    Returns:
        What the receiver, or the one who waits for the echo, has measured; "peer" is what the
        other end says of itself.
    """
    target = place.stack_target if kernel == "stack" else place.host_target
    port = next(_ports)
    common: list[object] = [target, port, protocol]
    at_server, at_client = {
        "out": ("receive", "send"),
        "in": ("send", "receive"),
        "round-trip": ("echo", "round-trip"),
    }[what]
    server = ["host", *common, at_server, seconds, settle_s, *settings]
    client = [kernel, *common, at_client, seconds, settle_s]
    if kernel == "stack":
        client.append(library())
    client.extend(settings)
    client.extend(_paths(kernel, place.network.path_count if protocol == "mptcp" else 1))
    ends = [
        ("server", "server", server),
        ("client", place.stack if kernel == "stack" else "client", client),
    ]
    result = _run_both(place.network, ends, 0 if what == "out" else 1, while_running)
    if protocol == "mptcp":
        _check_subflows(result, place.network.path_count - 1)
    return result


def _paths(kernel: str, count: int) -> list[str]:
    interface, subnet = ("tap", "10.1") if kernel == "stack" else ("path", "10.2")
    return [f"{interface}{i},{subnet}.{i}.2,{subnet}.{i}.1" for i in range(count)]


def _check_subflows(result: dict[str, Any], wanted: int) -> None:
    """A connection that fell back, or used one path, would not be what is measured."""
    if result["subflows"] < 0:
        raise RuntimeError("the connection fell back to TCP")
    if result["subflows"] != wanted:
        raise RuntimeError(f"the connection has {result['subflows']} further subflows")


def _run_both(
    network: Network,
    ends: list[tuple[str, str, list[object]]],
    measuring: int,
    while_running: Callable[[], None] | None,
) -> dict[str, Any]:
    """Starts the ends (role, namespace, arguments). Returns: what the measuring one has found."""
    running: list[Companion] = []
    try:
        for role, namespace, arguments in ends:
            running.append(
                Companion(
                    "transfer",
                    role,
                    *arguments,
                    prefix=network.inside(namespace),
                    deadline_s=DEADLINE_S,
                )
            )
            if role == "server":
                running[0].expect("ready")
        line = running[measuring].hear()
        if line == "started":
            if while_running is not None:
                while_running()
            line = running[measuring].hear()
        result: dict[str, Any] = json.loads(line)
        result["peer"] = json.loads(running[1 - measuring].last_words(PATIENCE_S) or "{}")
        return result
    finally:
        for end in running:
            end.end()
