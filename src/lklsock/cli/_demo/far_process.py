"""The far end as the near end sees it: a process, and what it tells.

It tells one JSON object a line, on its standard output: {"event": NAME, ...}. It lives as long as
its standard input is open, so that it cannot outlive the near end, however that ends.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import DemoError

Event = dict[str, Any]

_END_S = 2.0
_CHUNK_BYTES = 65536


class FarProcess:
    """A far end that runs.

    Args:
        arguments: What `far_end` wants to know.
        pass_fds: File descriptors that it gets; the caller may close them afterwards.
        prefix: A command to run it under.
    """

    def __init__(
        self,
        arguments: dict[str, object],
        pass_fds: Sequence[int] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        program = [sys.executable, "-m", f"{__package__}.far_end", json.dumps(arguments)]
        # A session of its own: Ctrl-C is for the near end, which ends the far one.
        self._process = subprocess.Popen(
            [*prefix, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout.fileno()
        self._unread = b""

    def __enter__(self) -> FarProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def events(self, timeout_s: float = 0.0) -> list[Event]:
        """What it has told since the last call.

        Args:
            timeout_s: How long to wait for something.

        Raises:
            DemoError: It has ended, or failed.
        """
        if not select.select([self._stdout], [], [], timeout_s)[0]:
            return []
        chunk = os.read(self._stdout, _CHUNK_BYTES)
        if not chunk:
            code = self._process.wait(_END_S)
            raise DemoError(f"the far end's process ended too early, with exit code {code}")
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        events: list[Event] = [json.loads(line) for line in lines]
        for event in events:
            if event["event"] == "error":
                raise DemoError(f"the far end failed: {event['message']}")
        return events

    def wait_for(self, name: str, timeout_s: float, other: Callable[[Event], None]) -> Event:
        """Waits until it tells an event of this name.

        Args:
            name: The event's.
            timeout_s: How long to wait.
            other: Is called with each event that comes before, and those right behind.

        Raises:
            DemoError: It has ended, or failed, or the time is up.
        """
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            found = None
            for event in self.events(left):
                if event["event"] == name:
                    found = event
                else:
                    other(event)
            if found is not None:
                return found
        raise DemoError(f"the far end was not {name} within {timeout_s:.0f} s")

    def close(self) -> None:
        """Ends it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_END_S)
        except BaseException as error:
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        finally:
            process.stdout.close()
