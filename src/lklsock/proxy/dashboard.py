"""The dashboard: what the proxy and its paths do, as they do it, and two buttons for each path."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..errors import KernelError
from .exchange import Exchange
from .failure import Failure
from .server import Proxy
from .web import Answer, Handler

if TYPE_CHECKING:
    from ..mptcp import Event
    from ..stack import Stack
    from ..status import Connection, Snapshot, SubflowStatus

log = logging.getLogger("lklsock.proxy")

INTERVAL_S = 0.5
SILENCE_S = 10.0
"""After which a stream of events ends."""
_EVENTS_MAX = 100
_EXCHANGES_MAX = 200
_WAITING_MAX = 4
_SILENT_LOOKS = 3
_MUCH_BYTES = 50_000
_NOTHING_BYTES = 2_000
"""Between two looks."""
_ACTIONS = {
    "cut": "cut here",
    "mend": "no longer cut here",
    "backup": "a backup",
    "carry": "carries as the others",
}
"""What is told of each."""

_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)


class Dashboard:
    """Looks at a proxy twice a second, as long as somebody looks at it.

    Args:
        proxy: Which.
        stack: Whose paths.
    """

    def __init__(self, proxy: Proxy, stack: Stack) -> None:
        self._proxy = proxy
        self._stack = stack
        self._streams: set[asyncio.Queue[bytes]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._told: deque[dict[str, Any]] = deque(maxlen=_EVENTS_MAX)
        self._heard: Counter[tuple[str, str, str]] = Counter()
        self._carriers: dict[str, bool] = {}
        self._cut: set[str] = set()
        self._came: dict[str, int] = {}
        # -1: it carries; above 0: for so many looks it has not.
        self._silent: dict[str, int] = {}
        self._owners: dict[str, str] = {}

    def routes(self) -> dict[tuple[str, str], Handler]:
        """What it serves."""
        return {
            ("GET", "/"): self._page,
            ("GET", "/events"): self._events,
            ("GET", "/state"): self._state,
            **{("POST", f"/paths/{action}/*"): self._act for action in _ACTIONS},
        }

    def start(self) -> None:
        """Hears of subflows from now on."""
        self._hearing = asyncio.create_task(self._hear())

    @property
    def is_looking(self) -> bool:
        """Whether somebody looks at it, and so it at the proxy."""
        return self._looking is not None and not self._looking.done()

    async def close(self) -> None:
        """Ends it."""
        tasks = [task for task in (self._looking, self._hearing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- what is served

    async def _page(self, path: str) -> Answer:
        page = resources.files(__package__).joinpath("dashboard.html").read_bytes()
        headers = [(b"Content-Security-Policy", _CSP.encode())]
        return Answer(page, "text/html; charset=utf-8", headers=headers)

    async def _state(self, path: str) -> Answer:
        return Answer(json.dumps(await self._look()).encode(), "application/json")

    async def _events(self, path: str) -> Answer:
        return Answer(self._stream(), "text/event-stream")

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        queue: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_MAX)
        self._streams.add(queue)
        if not self.is_looking:
            self._looking = asyncio.create_task(self._keep_looking())
        try:
            yield b"retry: 1000\n\n"
            while True:
                # If there is nothing more to see, the page is to say so: it asks again.
                yield await asyncio.wait_for(queue.get(), SILENCE_S)
        finally:
            self._streams.discard(queue)

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while self._streams:
            try:
                data = b"data: " + json.dumps(await self._look()).encode() + b"\n\n"
            except (OSError, KernelError) as error:
                log.error("the dashboard sees nothing: %s", error)
                return
            for queue in self._streams:
                # A browser that does not keep up misses some.
                with suppress(asyncio.QueueFull):
                    queue.put_nowait(data)
            at = max(at + INTERVAL_S, loop.time())
            await asyncio.sleep(at - loop.time())

    # ---- buttons

    async def _act(self, path: str) -> Answer:
        _, _, action, quoted = path.split("/")
        name = unquote(quoted)
        try:
            await asyncio.to_thread(self._change, name, action)
        except OSError as error:
            raise Failure("http_request_error", f"{name}: {error.strerror}", 409) from error
        self._tell(name, _ACTIONS[action])
        return Answer(b"done\n")

    def _change(self, name: str, action: str) -> None:
        from .. import mptcp

        interface = self._stack.interface(name)
        if action in ("cut", "mend"):
            interface.hold_down(action == "cut")
            (self._cut.add if action == "cut" else self._cut.discard)(name)
            return
        paths = mptcp.paths(self._stack)
        kept = set()
        if paths is not None:
            # It may be closed at this moment: then it has no endpoints.
            with suppress(ValueError):
                paths.set_backup(name, action == "backup")
            kept = {endpoint.address for endpoint in paths.endpoints}
        for endpoint in mptcp.endpoints(self._stack):
            if endpoint.ifname == name and endpoint.address not in kept:
                flags = endpoint.flags - {"backup"}
                flags |= {"backup"} if action == "backup" else set()
                mptcp.endpoint_flags(endpoint, flags, self._stack)

    def _chosen(self) -> set[str]:
        """The links that are backups when they are there."""
        from .. import mptcp

        paths = mptcp.paths(self._stack)
        return {name for name, backup in (paths.backups if paths else {}).items() if backup}

    # ---- what is told

    def _tell(self, path: str, text: str) -> None:
        self._told.append({"time": time.time(), "path": path, "text": text})

    async def _hear(self) -> None:
        from .. import mptcp

        async for event in mptcp.events(self._stack):
            self._note(event)

    def _note(self, event: Event) -> None:
        from .. import mptcp

        if not isinstance(event, mptcp.SubflowEvent):
            return
        path = event.ifname or self._owners.get(event.local[0], event.local[0])
        if isinstance(event, mptcp.SubflowEstablished):
            self._heard[path, "opened", ""] += 1
        elif isinstance(event, mptcp.SubflowClosed):
            self._heard[path, "closed", os.strerror(event.error) if event.error else ""] += 1

    def _tell_of_changes(self, links: list[dict[str, Any]]) -> None:
        for link in links:
            name, carries = link["name"], link["carries"]
            if self._carriers.get(name, carries) != carries:
                self._tell(name, "up" if carries else "down")
            self._carriers[name] = carries
        heard, self._heard = self._heard, Counter()
        for (path, what, why), count in heard.items():
            number = f"{count} subflows" if count > 1 else "a subflow"
            self._tell(path, f"{number} {what}{f': {why}' if why else ''}")

    def _note_silence(
        self, paths: list[dict[str, Any]], connections: tuple[Connection, ...]
    ) -> None:
        """Finds paths by which nothing comes any more, although nobody has said that they are lost.

        That is one that carried much, and from one moment on nothing, while another carries on.
        """
        in_use = {
            subflow.interface
            for connection in connections
            for subflow in connection.subflows
            if subflow.state == "established" and not subflow.backup
        }
        came = {path["name"]: path["down"] - self._came.get(path["name"], 0) for path in paths}
        self._came = {path["name"]: path["down"] for path in paths}
        most = max(came.values(), default=0)
        for path in paths:
            name = path["name"]
            before = self._silent.get(name, 0)
            if not path["carries"] or name not in in_use or came[name] > _NOTHING_BYTES:
                # How much it carries, and has not stopped to.
                self._silent[name] = -1 if came[name] > _MUCH_BYTES else min(before, 0)
                path["silent"] = False
            elif most > _MUCH_BYTES and before:
                self._silent[name] = max(before, 0) + 1
                path["silent"] = self._silent[name] >= _SILENT_LOOKS
            else:
                path["silent"] = before >= _SILENT_LOOKS
            if path["silent"] and self._silent[name] == _SILENT_LOOKS and before < _SILENT_LOOKS:
                self._tell(name, "silent: nothing comes by it any more, while others carry on")
            elif before >= _SILENT_LOOKS and not path["silent"]:
                self._tell(name, "no longer silent")

    # ---- what is seen

    def _snapshot(self) -> tuple[float, Snapshot]:
        """What is shown, and when its counters of links were read: they are the first of it."""
        from .. import status

        return time.monotonic(), status.snapshot(self._stack)

    async def _look(self) -> dict[str, Any]:
        at_s, shown = await asyncio.to_thread(self._snapshot)
        backups = {e.ifname for e in shown.endpoints if "backup" in e.flags}
        carrying = {link.name for link in shown.links if link.up and link.carrier}
        backups |= self._chosen() - (carrying & {e.ifname for e in shown.endpoints})
        self._owners = {
            address.partition("/")[0]: link.name
            for link in shown.links
            for address in link.addresses
        }
        paths = [
            {
                "name": link.name,
                "kind": link.kind,
                "addresses": [address for address in link.addresses if address[:4] != "fe80"],
                "carries": link.up and link.carrier,
                "cut": link.name in self._cut,
                "backup": link.name in backups,
                "up": link.counters.get("tx_bytes", 0),
                "down": link.counters.get("rx_bytes", 0),
            }
            for link in shown.links
        ]
        self._note_silence(paths, shown.connections)
        self._tell_of_changes(paths)
        known = {(each.local[:2], each.remote[:2]): each for each in shown.connections}
        running = sorted(self._proxy.exchanges.values(), key=lambda each: -each.number)
        return {
            "time": time.time(),
            "monotonic": at_s,
            "preset": shown.preset,
            "kernel": shown.kernel,
            "mptcp": shown.mptcp_mode,
            "clients": self._proxy.client_count,
            "draining": self._proxy.is_draining,
            "paths": paths,
            "exchange_count": len(running),
            "exchanges": [_exchange(each, known) for each in running[:_EXCHANGES_MAX]],
            "events": list(self._told)[::-1],
        }


def _exchange(exchange: Exchange, known: dict[Any, Connection]) -> dict[str, Any]:
    connection = None
    sock = exchange.upstream
    if sock is not None and sock.fileno() >= 0:
        with suppress(OSError):
            ends = sock.getsockname()[:2], sock.getpeername()[:2]
            connection = known.get(ends)
    return {
        "number": exchange.number,
        "client": exchange.client,
        "user": exchange.user,
        "protocol": exchange.protocol,
        "host": exchange.host,
        "port": exchange.port,
        "seconds": round(exchange.seconds, 1),
        "up": exchange.bytes_up,
        "down": exchange.bytes_down,
        "mptcp": None if connection is None else connection.protocol == "mptcp",
        "reason": None if connection is None else connection.reason,
        "subflows": [] if connection is None else [_subflow(s) for s in connection.subflows],
    }


def _subflow(subflow: SubflowStatus) -> dict[str, Any]:
    tcp = asdict(subflow.tcp)
    return {
        "path": subflow.interface,
        "local": subflow.local[0],
        "remote": subflow.remote[0],
        "state": subflow.state,
        "backup": subflow.backup,
        "rtt_ms": round(tcp["rtt_us"] / 1000, 1),
        "sent": tcp["bytes_sent"],
        "retransmitted": tcp["bytes_retrans"],
        "received": tcp["bytes_received"],
    }
