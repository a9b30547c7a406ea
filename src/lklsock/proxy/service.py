"""A proxy as a program: it ends, and reads its settings again, when signals say so."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from .server import Proxy
from .settings import Address, Settings

Say = Callable[[str], object]
"""Tells the person at the terminal."""


class Service:
    """Runs a proxy until a signal ends it.

    SIGTERM and SIGINT drain: nobody is taken on, and what is under way may end; a second one ends
    it at once. SIGHUP has the settings read again.

    Args:
        proxy: Not listening yet.
        reread: Gives new settings; raises OSError or ValueError if they are wrong.
        say: See there.
    """

    def __init__(self, proxy: Proxy, reread: Callable[[], Settings], say: Say) -> None:
        self._proxy = proxy
        self._reread = reread
        self._say = say
        self._signals = 0
        self._ended = asyncio.Event()
        self._at_once = asyncio.Event()

    async def run(self, on_ready: Callable[[list[Address]], object]) -> None:
        """Listens, and returns when all has ended.

        Args:
            on_ready: Told of the addresses.

        Raises:
            OSError: It cannot listen.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            on_ready(self._proxy.listen())
            await self._ended.wait()
            await self._drain()
        finally:
            await self._proxy.close()

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

    def _reload(self) -> None:
        try:
            self._proxy.settings = self._reread()
        except (OSError, ValueError) as error:
            self._say(f"nothing is changed: {error}")
        else:
            self._say("the settings were read again")
