"""Where the keys of a TOML file are.

tomllib tells no line of a key, and the libraries that keep a file's form (tomlkit) none either. So
a file that tomllib has read is gone through once more, for its headers and keys only.
"""

from __future__ import annotations

import re
from typing import Any

Path = tuple[str | int, ...]
"""Names, and numbers in arrays of tables: ("link", 0, "mtu")."""

_TOKEN = re.compile(
    r'''
    (?P<comment>\#[^\n]*)
    | (?P<text>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    | (?P<bare>[\w-]+)
    | (?P<sign>[^\S\n]+|.|\n)
    ''',
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def lines_of(text: str) -> dict[Path, int]:
    """The line of each table and key, from 1. The file must be right.

    What is inside of an array or an inline table has the line of that.
    """
    found: dict[Path, int] = {}
    table: Path = ()
    counts: dict[Path, int] = {}
    names: list[str] = []
    state, depth, line = "start", 0, 1
    for match in _TOKEN.finditer(text):
        token, kind = match.group(), match.lastgroup
        if kind == "comment":
            pass
        elif state == "value":
            depth += (token in "[{") - (token in "]}") if kind == "sign" else 0
            if token == "\n" and not depth:
                state, names = "start", []
        elif kind in ("text", "bare"):
            state = "key" if state == "start" else state
            names.append(_unquoted(token) if kind == "text" else token)
        elif token == "[":
            state, depth = "header", depth + 1
        elif token == "=":
            for end in range(1, len(names) + 1):
                found.setdefault(_within(table, names[:end], counts), line)
            state, depth = "value", 0
        elif token == "\n" and state == "header":
            table = _opened(names, counts, is_array=depth == 2)
            found.setdefault(table, line)
            state, depth, names = "start", 0, []
        line += token.count("\n")
    if state == "header":
        found.setdefault(_opened(names, counts, is_array=depth == 2), line)
    return found


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key or, if it has none, of what it is in."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _opened(names: list[str], counts: dict[Path, int], *, is_array: bool) -> Path:
    """The table that a header begins."""
    if not is_array:
        return _within((), names, counts)
    path = (*_within((), names[:-1], counts), names[-1])
    counts[path] = counts.get(path, -1) + 1
    return *path, counts[path]


def _within(table: Path, names: list[str], counts: dict[Path, int]) -> Path:
    """The path of dotted names; of an array of tables the last one is meant."""
    path: Any = table
    for name in names:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    return tuple(path)


def _unquoted(token: str) -> str:
    if token[0] == "'":
        return token[1:-1]
    return _ESCAPE.sub(
        lambda found: (
            _ESCAPED.get(found[3], found[3]) if found[3] else chr(int(found[1] or found[2], 16))
        ),
        token[1:-1],
    )
