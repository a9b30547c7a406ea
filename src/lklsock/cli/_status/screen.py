"""Where `status` shows its tables: a terminal with rich, or any output without it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from .tables import Section, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

_CLEAR = "\x1b[H\x1b[2J"


class Show(Protocol):
    """Shows it now, in the place of what was shown before."""

    def __call__(self, shown: Iterable[Section], /) -> None: ...


def show_once(shown: Iterable[Section]) -> None:
    """Shows it, below what there is."""
    if _has_rich():
        from rich.console import Console

        Console().print(_rich(shown))
    else:
        print("\n".join(plain(shown)), flush=True)


@contextmanager
def updated() -> Iterator[Show]:
    """Gives what shows it again and again: on a terminal, always in one place."""
    if not sys.stdout.isatty():
        yield show_once
    elif _has_rich():
        from rich.live import Live

        with Live(screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            yield lambda shown: live.update(_rich(shown), refresh=True)
    else:
        yield lambda shown: print(_CLEAR + "\n".join(plain(shown)), flush=True)


def _has_rich() -> bool:
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


def _rich(shown: Iterable[Section]) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    # Text, not strings: what is in brackets is no markup.
    parts: list[Any] = []
    for section in shown:
        parts.append(Text(section.heading, style="bold"))
        parts += [Padding(Text(line), (0, 0, 0, 2)) for line in section.lines]
        for table in section.tables:
            if not table.rows:
                parts.append(Padding(Text(f"{table.title}: none", style="dim"), (0, 0, 0, 2)))
                continue
            made = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
            for name in table.columns:
                made.add_column(name, justify="right" if name in table.numbers else "left")
            for row in table.rows:
                made.add_row(*(Text(cell, style=_style(cell)) for cell in row))
            parts.append(made)
    return Group(*parts)


def _style(cell: str) -> str:
    if cell in ("no carrier", "down") or cell.startswith("  TCP, for "):
        return "yellow"
    return "dim" if cell.startswith("  ") else ""
