"""Presets: what a stack's addresses are used for, and the settings that go with it."""

from __future__ import annotations

from dataclasses import dataclass, field

# As long as plain TCP is patient (tcp_retries2): a connection that lost its last subflow is kept.
_PATIENCE_S = 924

_SETTINGS = {
    "net.mptcp.close_timeout": _PATIENCE_S,
    # A subflow that has been silent twice as long as its timeout gives what it holds to others.
    "net.mptcp.stale_loss_cnt": 1,
    # Above what Linux delays an acknowledgement by (40 ms), and a third of the usual 200 ms.
    "net.ipv4.tcp_rto_min_us": 70_000,
    # A path without carrier is no way out for a new connection.
    "net.ipv4.conf.all.ignore_routes_with_linkdown": 1,
}


@dataclass(frozen=True)
class Preset:
    """What becomes of each address."""

    name: str
    primary: frozenset[str]
    """Flags of the addresses of the first link."""
    others: frozenset[str]
    """Flags of those of the other links."""
    settings: dict[str, int] = field(default_factory=lambda: dict(_SETTINGS))
    """Of the kernel, by the names that `Stack.sysctl` takes."""
    queue_bytes: int | None = None
    """What a subflow may hold, sent or not, with the kernel's overhead; None for the default."""

    def flags(self, *, primary: bool, announce: bool) -> frozenset[str]:
        """The flags of an address.

        Args:
            primary: Whether it is of the first link.
            announce: Whether peers are to connect to it, rather than it to them.
        """
        flags = self.primary if primary else self.others
        return (flags - {"subflow", "fullmesh"}) | {"signal"} if announce else flags


_SUBFLOW = frozenset({"subflow"})

PRESETS = {
    preset.name: preset
    for preset in (
        Preset("handover", _SUBFLOW, _SUBFLOW | {"backup"}),
        Preset("aggregate", _SUBFLOW, _SUBFLOW),
        Preset(
            "interactive",
            _SUBFLOW,
            _SUBFLOW,
            _SETTINGS | {"net.ipv4.tcp_rto_min_us": 50_000},
            # What a program sends waits for no more than that of what it sent before.
            queue_bytes=512_000,
        ),
        Preset("fullmesh", _SUBFLOW | {"fullmesh"}, _SUBFLOW | {"fullmesh"}),
    )
}
