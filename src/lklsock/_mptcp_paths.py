"""The path manager: keeps a stack's endpoints as a preset wants them while links come and go.

The kernel does the work for each connection; it opens subflows for every endpoint there is. But it
takes no notice of carrier, and never makes a subflow again that was lost. So an endpoint is removed
with its link's carrier, which closes its subflows and tells the peers (RM_ADDR), and made again
when the carrier is back; and where subflows of an endpoint are lost while its link is there, it is
replaced, more and more seldom as long as that is in vain.

All of it happens on the stack's netlink thread, called by the kernel's news.
"""

from __future__ import annotations

import logging
import socket as _stdlib
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import _mptcp_events as events
from . import _rtnetlink
from ._mptcp_endpoints import (
    ENDPOINTS_MAX,
    endpoint_add,
    endpoint_flags,
    endpoint_remove,
    limits,
)
from ._mptcp_presets import Preset
from ._mptcp_state import Endpoint, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._netlink import Timer
    from .stack import Stack

_SEND_BUFFERS = "net.ipv4.tcp_wmem"
_LIMIT = 8
_UNUSABLE = _rtnetlink.IFA_F_DADFAILED | _rtnetlink.IFA_F_DEPRECATED

RETRY_FROM_S = 0.25
RETRY_TO_S = 2.0
"""Where nothing else uses the path: it is back within this after it works again."""
CROWDED_RETRY_FROM_S = 10.0
CROWDED_RETRY_TO_S = 300.0
"""Where others do, for their subflows are closed and opened with it."""
ANSWER_S = 4.0
"""How long a new subflow may take: its SYN goes out four times meanwhile."""
STEADY_S = 5.0
"""Who held on for that long was no failure."""

log = logging.getLogger("lklsock")


@dataclass
class _Connection:
    server_side: bool
    subflows: set[tuple[events.SocketAddress, events.SocketAddress]] = field(default_factory=set)

    def uses(self, address: str) -> bool:
        return any(local[0] == address for local, _ in self.subflows)


@dataclass
class _Loss:
    """Subflows from one address that are wanted back."""

    tokens: set[int] = field(default_factory=set)
    attempts: int = 0
    replaced_at: float = 0.0
    timer: Timer | None = None

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Paths:
    """Keeps endpoints for the addresses of all links of a stack, until closed."""

    def __init__(
        self,
        stack: Stack,
        preset: Preset,
        *,
        primary: str | None,
        backups: Iterable[str],
        announce: bool,
        queue_bytes: int | None,
    ) -> None:
        self.preset = preset.name
        self._stack = stack
        self._preset = preset
        self._primary = primary
        self._announce = announce
        self._queue_bytes = queue_bytes or preset.queue_bytes
        self._links: dict[int, _rtnetlink.LinkState] = {}
        self._addresses: dict[tuple[int, str], _rtnetlink.AddressState] = {}
        self._made: dict[str, Endpoint] = {}
        self._down: set[str] = set()
        self._backups = dict.fromkeys(backups, True)
        self._connections: dict[int, _Connection] = {}
        self._losses: dict[str, _Loss] = {}
        self._settings: dict[str, str] = {}
        self._limits: Limits | None = None
        self._thread = stack.netlink_thread()
        self._routes = stack.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE)
        self._routes.setblocking(False)
        self._routes.bind((0, _rtnetlink.GROUPS))
        self._events = events.open_events(stack)
        self._events.setblocking(False)
        self._fds: tuple[int, ...] = (self._routes.fileno(), self._events.fileno())
        try:
            self._thread.call(self._start)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<lklsock.mptcp.Paths {self.preset} {', '.join(self._made) or 'without a path'}>"

    def __enter__(self) -> Paths:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints that it has made, and that are there now."""
        return list(self._made.values())

    @property
    def backups(self) -> dict[str, bool]:
        """What was said of links, whatever the preset says, by their interfaces' names."""
        return dict(self._backups)

    def set_backup(self, ifname: str, backup: bool | None) -> None:
        """Makes a link a backup, or none, whatever the preset says: used if nothing else is left.

        It holds while the link comes and goes; peers are told (MP_PRIO).

        Args:
            ifname: The interface's name; it need not be there now.
            backup: None for what the preset says.

        Raises:
            ValueError: The preset was closed, or another one has taken its place.
        """
        self._thread.call(lambda: self._prefer(ifname, backup))

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return not self._fds

    def close(self) -> None:
        """Ends it: takes its endpoints, their subflows, and its settings back."""
        if self._stack.state == "running":
            self._thread.call(self._stop)

    # ---- on the netlink thread

    def _start(self) -> None:
        settings: dict[str, object] = {**self._preset.settings}
        if self._queue_bytes is not None:
            least, usual, _ = self._stack.sysctl(_SEND_BUFFERS).split()
            settings[_SEND_BUFFERS] = f"{least} {usual} {self._queue_bytes}"
        for name, value in settings.items():
            self._settings[name] = self._stack.sysctl(name)
            self._stack.sysctl(name, value)
        self._limits = limits(self._stack)
        limits(self._stack, subflows=_LIMIT, add_addr_accepted=_LIMIT)
        self._look()
        self._thread.watch(self._fds[0], self._read_routes)
        self._thread.watch(self._fds[1], self._read_events)

    def _stop(self) -> None:
        """Does nothing the second time, and what there is to do if `_start` failed."""
        for fd in self._fds:
            self._thread.unwatch(fd)
        self._fds = ()
        self._routes.close()
        self._events.close()
        for loss in self._losses.values():
            loss.cancel()
        for address in list(self._made):
            self._remove(address)
        while self._settings:
            self._stack.sysctl(*self._settings.popitem())
        before, self._limits = self._limits, None
        if before is not None:
            limits(
                self._stack,
                subflows=before.subflows,
                add_addr_accepted=before.add_addr_accepted,
            )

    def _prefer(self, ifname: str, backup: bool | None) -> None:
        if self.closed:
            raise ValueError(f"the preset {self.preset} was closed")
        if backup is None:
            self._backups.pop(ifname, None)
        else:
            self._backups[ifname] = backup
        self._reconcile()

    def _look(self) -> None:
        """Asks for all interfaces and addresses."""
        self._links.clear()
        self._addresses.clear()
        with self._stack.socket(
            _stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE
        ) as sock:
            for request in (_rtnetlink.link_request(), _rtnetlink.address_request()):
                sock.sendto(request, (0, 0))
                for state in _rtnetlink.states(_rtnetlink.answers(sock)):
                    self._note(state)
        self._reconcile()

    def _read_routes(self) -> None:
        found = _rtnetlink.news(self._routes)
        if found is None:
            self._look()
            return
        for state in _rtnetlink.states(found):
            self._note(state)
        self._reconcile()

    def _note(self, state: _rtnetlink.State) -> None:
        if isinstance(state, _rtnetlink.LinkState):
            if state.gone:
                self._links.pop(state.ifindex, None)
            else:
                self._links[state.ifindex] = state
            return
        key = state.ifindex, str(state.subnet.ip)
        if state.gone:
            self._addresses.pop(key, None)
        else:
            self._addresses[key] = state

    def _wanted(self) -> dict[str, tuple[str, frozenset[str]]]:
        """Interface and flags of each address that is to be used, the most important first."""
        links = [
            link
            for link in self._links.values()
            if link.usable and not link.flags & _rtnetlink.IFF_LOOPBACK
        ]
        links.sort(key=lambda link: (link.name != self._primary, link.ifindex))
        known = [link for link in self._links.values() if not link.flags & _rtnetlink.IFF_LOOPBACK]
        first = self._primary or min(known, key=lambda link: link.ifindex, default=None)
        first_name = first if isinstance(first, str) or first is None else first.name
        ranked: list[tuple[int, int, str, str, frozenset[str]]] = []
        for order, link in enumerate(links):
            flags = self._preset.flags(primary=link.name == first_name, announce=self._announce)
            if link.name in self._backups:
                flags = (flags - {"backup"}) | ({"backup"} if self._backups[link.name] else set())
            counts = {4: 0, 6: 0}
            for (ifindex, address), state in self._addresses.items():
                ip = state.subnet.ip
                if ifindex != link.ifindex or ip.is_link_local or state.flags & _UNUSABLE:
                    continue
                # One of each family of each link, before there is a second one of any.
                ranked.append((counts[ip.version], order, address, link.name, flags))
                counts[ip.version] += 1
        ranked.sort(key=lambda entry: entry[:2])
        for _, _, address, ifname, _ in ranked[ENDPOINTS_MAX:]:
            log.warning("mptcp: %s of %s is not used, eight addresses are", address, ifname)
        return {entry[2]: (entry[3], entry[4]) for entry in ranked[:ENDPOINTS_MAX]}

    def _reconcile(self) -> None:
        wanted = self._wanted()
        gone = [address for address in self._made if address not in wanted]
        families = {":" in address for address in wanted}
        for address in gone:
            if (":" in address) in families and not self._is_new(wanted, address):
                # At once: each millisecond is one of the stream's silence.
                self._remove(address)
        for address, (ifname, flags) in wanted.items():
            made = self._made.get(address)
            if made is None:
                self._add(address, ifname, flags)
            elif address in self._down:
                # It was the only one: what it carried may wait for long.
                self._replace(address, flags)
            elif made.flags != flags:
                self._change(made, flags)
            self._down.discard(address)
        for address in gone:
            if address not in self._made:
                continue
            if (":" in address) in families:
                # Now there is something else for its connections.
                self._remove(address)
            else:
                self._down.add(address)

    def _is_new(self, wanted: dict[str, tuple[str, frozenset[str]]], address: str) -> bool:
        """Whether all that could take over for an address is still to be made."""
        family = ":" in address
        return not any(other in self._made for other in wanted if (":" in other) == family)

    def _change(self, endpoint: Endpoint, flags: frozenset[str]) -> None:
        try:
            endpoint_flags(endpoint, flags, self._stack)
        except OSError:
            # Somebody else has removed it.
            self._replace(endpoint.address, flags)
        else:
            self._made[endpoint.address] = Endpoint(
                endpoint.id, endpoint.address, flags, endpoint.port, endpoint.ifname
            )

    def _add(self, address: str, ifname: str, flags: frozenset[str]) -> None:
        try:
            self._made[address] = endpoint_add(
                address, flags=flags, ifname=ifname, stack=self._stack
            )
        except FileExistsError:
            # Somebody else has made it, and knows better.
            pass
        except OSError as error:
            log.warning("mptcp: %s of %s cannot be used: %s", address, ifname, error)

    def _remove(self, address: str) -> None:
        endpoint = self._made.pop(address)
        self._down.discard(address)
        loss = self._losses.pop(address, None)
        if loss is not None:
            loss.cancel()
        with suppress(OSError):
            endpoint_remove(endpoint, self._stack)

    def _replace(self, address: str, flags: frozenset[str] | None = None) -> None:
        """Has all connections open their subflows from an address again; None: the same flags."""
        endpoint = self._made.pop(address)
        with suppress(OSError):
            endpoint_remove(endpoint, self._stack)
        # What is told of until now was closed by us.
        self._read_events()
        assert endpoint.ifname is not None
        self._add(address, endpoint.ifname, endpoint.flags if flags is None else flags)

    # ---- subflows that were lost

    def _read_events(self) -> None:
        while True:
            try:
                found = events.read_events(self._stack, self._events)
            except BlockingIOError:
                return
            for event in found:
                self._hear(event)

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.ConnectionEstablished):
            subflow = event.local, event.remote
            self._connections[event.token] = _Connection(event.server_side, {subflow})
            return
        connection = self._connections.get(event.token)
        if connection is None:
            return
        if isinstance(event, events.ConnectionClosed):
            del self._connections[event.token]
            for address in list(self._losses):
                self._found(address, event.token)
        elif isinstance(event, events.SubflowEstablished):
            connection.subflows.add((event.local, event.remote))
            self._found(event.local[0], event.token)
        elif isinstance(event, events.SubflowClosed):
            connection.subflows.discard((event.local, event.remote))
            self._lose(connection, event)
        elif isinstance(event, events.AddressAnnounced):
            for loss in self._losses.values():
                if event.token in loss.tokens:
                    loss.attempts = 0

    def _lose(self, connection: _Connection, event: events.SubflowClosed) -> None:
        address = event.local[0]
        if connection.server_side or address not in self._made or connection.uses(address):
            return
        loss = self._losses.setdefault(address, _Loss())
        loss.tokens.add(event.token)
        if time.monotonic() - loss.replaced_at > STEADY_S + ANSWER_S:
            loss.attempts = 0
        if loss.timer is None or loss.replaced_at:
            self._schedule(address, loss)

    def _found(self, address: str, token: int) -> None:
        loss = self._losses.get(address)
        if loss is not None:
            loss.tokens.discard(token)
            if not loss.tokens:
                loss.cancel()

    def _schedule(self, address: str, loss: _Loss) -> None:
        loss.cancel()
        crowded = any(
            other.uses(address)
            for token, other in self._connections.items()
            if token not in loss.tokens
        )
        first, last = (
            (CROWDED_RETRY_FROM_S, CROWDED_RETRY_TO_S) if crowded else (RETRY_FROM_S, RETRY_TO_S)
        )
        delay_s = min(first * 2.0**loss.attempts, last)
        loss.timer = self._thread.call_later(delay_s, lambda: self._retry(address))

    def _retry(self, address: str) -> None:
        loss = self._losses.get(address)
        if loss is None or not loss.tokens or address not in self._made:
            return
        loss.timer = None
        loss.attempts += 1
        loss.replaced_at = time.monotonic()
        self._replace(address)
        if loss.tokens and address in self._made:
            loss.timer = self._thread.call_later(ANSWER_S, lambda: self._retry(address))
