"""What became of sockets and options, counted for `lklsock.report()`.

The sockets' classes note it here, and nobody asks but the report: noting is cheap, and keeps
nothing alive.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Literal

    World = Literal["stack", "host", "both"]
    Outcome = Literal["remembered", "plain TCP"]

_lock = allocate_lock()
_sockets: dict[tuple[str, bool], int] = {}
_options: dict[tuple[int, int, str], int] = {}

# Named like options, but values, or options of another family.
_NO_OPTIONS = ("SO_J1939_", "SO_VM_", "IP_DEFAULT_", "IP_MAX_", "IPV6_RTHDR_TYPE_")


class Snapshot:
    """The counts at one moment.

    Attributes:
        sockets: How many came to live in each world: "stack", "host", or "both".
        upgraded: How many of them are MPTCP where the program asked for TCP.
        options: Refused options, (level, option, outcome): how often. The outcome is "remembered",
            accepted without effect, or "plain TCP": the socket gave up MPTCP for it.
    """

    __slots__ = ("options", "sockets", "upgraded")

    def __init__(
        self, sockets: dict[str, int], upgraded: int, options: dict[tuple[int, int, str], int]
    ) -> None:
        self.sockets = sockets
        self.upgraded = upgraded
        self.options = options


def note_socket(world: World, upgraded: bool = False) -> None:
    """Notes where a socket lives, when that is decided: connected, bound, listening, accepted."""
    key = world, upgraded
    with _lock:
        _sockets[key] = _sockets.get(key, 0) + 1


def note_option(level: int, option: int, outcome: Outcome) -> None:
    """Notes an option that MPTCP refuses; the first of its kind is logged."""
    key = int(level), int(option), outcome
    with _lock:
        count = _options[key] = _options.get(key, 0) + 1
    if count == 1:
        _log(*key)


def snapshot() -> Snapshot:
    """The counts so far; those of a forked child include its parent's up to then."""
    with _lock:
        sockets, options = dict(_sockets), dict(_options)
    worlds: dict[str, int] = {}
    for (world, _), count in sockets.items():
        worlds[world] = worlds.get(world, 0) + count
    upgraded = sum(count for (_, is_upgraded), count in sockets.items() if is_upgraded)
    return Snapshot(worlds, upgraded, options)


def option_name(level: int, option: int) -> str:
    """As programs write it: "TCP_QUICKACK"; numbers for what the stdlib has no name for."""
    import socket

    prefixes = {
        int(socket.SOL_SOCKET): "SO_",
        int(socket.IPPROTO_TCP): "TCP_",
        int(socket.SOL_IP): "IP_",
        int(socket.IPPROTO_IPV6): "IPV6_",
    }
    prefix = prefixes.get(level)
    if prefix is not None:
        for name, value in vars(socket).items():
            fits = name.startswith(prefix) and not name.startswith(_NO_OPTIONS)
            if fits and value == option:
                return name
        return f"{prefix}{option}"
    return f"option {option} of level {level}"


def _log(level: int, option: int, outcome: str) -> None:
    import logging

    name = option_name(level, option)
    logger = logging.getLogger("lklsock")
    if not logger.handlers:
        # Without logging set up, a warning would go to the program's stderr.
        logger.addHandler(logging.NullHandler())
    if outcome == "remembered":
        logger.info("%s has no effect on MPTCP: remembered, not applied", name)
    else:
        logger.warning("%s is not for MPTCP: a socket that sets it is plain TCP", name)


def _after_fork() -> None:
    """In a forked child: another thread may have held the lock."""
    global _lock
    _lock = allocate_lock()


os.register_at_fork(after_in_child=_after_fork)
