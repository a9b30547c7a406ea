"""A proxy as a program: what it shows and writes, and the signals that end it or change it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import KernelError
from . import systemd
from .access_log import AccessLog
from .server import Front, Proxy
from .settings import Address, Settings

if TYPE_CHECKING:
    from ..stack import Stack
    from .dashboard import Dashboard
    from .web import Web

Say = Callable[[str], object]
"""Tells the person at the terminal."""


class Service:
    """Runs a proxy until a signal ends it.

    SIGTERM and SIGINT drain: nobody is taken on, and what is under way may end; a second one ends
    it at once, and so does the loss of the stack's kernel. SIGHUP has the settings read again, and
    the access log opened anew. systemd is told of all that.

    Args:
        proxy: Not listening yet.
        reread: Gives new settings; raises OSError or ValueError if they are wrong.
        say: See there.

    Attributes:
        page: Where the dashboard is; None if there is none, or not yet.
    """

    def __init__(self, proxy: Proxy, reread: Callable[[], Settings], say: Say) -> None:
        self._proxy = proxy
        self._reread = reread
        self._say = say
        self._log: AccessLog | None = None
        self._web: Web | None = None
        self._dashboard: Dashboard | None = None
        self._signals = 0
        self._ended = asyncio.Event()
        self._at_once = asyncio.Event()
        self._lost: KernelError | None = None
        proxy.on_loss.append(self._lose)
        self.page: Address | None = None

    def write_log(self, path: str) -> None:
        """Writes an access log. Raises: OSError."""
        self._log = AccessLog(path)
        self._proxy.on_finish.append(self._log.write)

    def serve_page(self, address: Address, stack: Stack | None) -> None:
        """Serves figures, and, of a stack, the dashboard."""
        from .dashboard import Dashboard
        from .metrics import CONTENT_TYPE, Metrics
        from .web import Answer, Handler, Web

        metrics = Metrics(self._proxy, stack)

        async def figures(path: str) -> Answer:
            return Answer(metrics.text(), CONTENT_TYPE)

        routes: dict[tuple[str, str], Handler] = {("GET", "/metrics"): figures}
        if stack is not None:
            self._dashboard = Dashboard(self._proxy, stack)
            routes |= self._dashboard.routes()
        self._web = Web(address, lambda: self._proxy.settings, routes)

    async def run(
        self, fronts: Sequence[Front] | None, on_ready: Callable[[list[Address]], object]
    ) -> None:
        """Listens, and returns when all has ended.

        Args:
            fronts: As for `Proxy.listen`.
            on_ready: Told of the addresses.

        Raises:
            OSError: It cannot listen.
            KernelError: The kernel of the stack is gone, and with it all connections.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        watchdog = asyncio.create_task(systemd.keep_alive())
        try:
            addresses = self._proxy.listen(fronts)
            if self._web is not None:
                self.page = self._web.listen()
            if self._dashboard is not None:
                self._dashboard.start()
            on_ready(addresses)
            systemd.notify("READY=1")
            await self._ended.wait()
            systemd.notify("STOPPING=1")
            await self._drain()
        finally:
            watchdog.cancel()
            await self._close()
        if self._lost is not None:
            raise self._lost

    async def _close(self) -> None:
        await self._proxy.close()
        if self._dashboard is not None:
            await self._dashboard.close()
        if self._web is not None:
            await self._web.close()
        if self._log is not None:
            self._log.close()

    async def _drain(self) -> None:
        timeout_s = self._proxy.settings.limits.drain_s
        count = self._proxy.client_count
        drain = asyncio.create_task(self._proxy.drain(timeout_s))
        # It begins: nobody is taken on any more when this is said.
        await asyncio.sleep(0)
        if count:
            self._say(f"{count} connections may end within {timeout_s:g} s; again ends them now")
        at_once = asyncio.create_task(self._at_once.wait())
        await asyncio.wait({drain, at_once}, return_when=asyncio.FIRST_COMPLETED)
        at_once.cancel()
        if not drain.done():
            drain.cancel()
            with suppress(asyncio.CancelledError):
                await drain
        elif drain.result():
            self._say(f"{drain.result()} connections were ended")

    def _end(self) -> None:
        self._signals += 1
        (self._ended if self._signals == 1 else self._at_once).set()

    def _lose(self, error: KernelError) -> None:
        self._lost = self._lost or error
        self._ended.set()
        self._at_once.set()

    def _reload(self) -> None:
        systemd.notify_reloading()
        try:
            settings = self._reread()
            if self._log is not None:
                self._log.reopen()
        except (OSError, ValueError) as error:
            self._say(f"nothing is changed: {error}")
        else:
            self._proxy.settings = settings
            self._say("the settings were read again")
        systemd.notify("READY=1")
