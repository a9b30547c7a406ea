"""The line that tells how far it is: rewritten on a terminal, one a second elsewhere."""

from __future__ import annotations

import os
import time
from typing import TextIO

from .plan import CUT_PATH, PATHS
from .record import Record

_TERMINAL_S = 0.1
_LOG_S = 1.0
_RATES_OVER_S = 0.5
_BAR = 10
# Of a terminal that does not tell.
_COLUMNS = 80


class Progress:
    """Writes to a stream. `with` ends the line, whatever happens.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rewrites = stream.isatty()
        self._next = 0.0
        self._open = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._open:
            self._stream.write("\n")
            self._stream.flush()

    def watch(self, record: Record) -> None:
        """Tells how far it is, if it is time to."""
        now = time.monotonic()
        if now < self._next or len(record.samples) < 2:
            return
        self._next = now + (_TERMINAL_S if self._rewrites else _LOG_S)
        line = line_of(record)
        if self._rewrites:
            columns = os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS
            # In the last column a terminal may wrap.
            self._open = True
            self._stream.write(f"\r{line[: columns - 1]}\x1b[K")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()


def line_of(record: Record) -> str:
    """The line, of less than 80 columns: the time, the rate of each path, and the bytes."""
    newest = record.samples[-1]
    since_ns = newest.ns - _RATES_OVER_S * 1e9
    oldest = next(s for s in record.samples if s.ns >= since_ns or s is record.samples[-2])
    rates = record.rates([oldest, newest])[0]
    line = f"{record.seconds(newest.ns):5.1f} s"
    for number, (path, mbit) in enumerate(zip(PATHS, rates.paths, strict=True)):
        bar = "#" * min(round(_BAR * mbit / record.plan.rate_mbit), _BAR)
        if number == CUT_PATH and record.cut_ns is not None and record.mend_ns is None:
            bar = " (cut) "
        line += f"  {path.name} {bar:.<{_BAR}} {mbit:6.1f}"
    return f"{line} Mbit/s {newest.delivered / 1e6:7.1f} MB"
