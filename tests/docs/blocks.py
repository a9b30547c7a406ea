"""The code blocks of a page, and how they are told apart.

A page is one session: its blocks run in order, in one directory; those of Python in one process.
What a reader need not see stands in a comment, fences and all. A comment `in a network with tap0
and tap1` says that the page's Python wants two TAP devices.
"""

from __future__ import annotations

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^```([\w-]*)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VALUE = re.compile(r"b?['\"\[({]|-?\d|True|False|None")
_COMMAND = re.compile(
    r"^(?:    |\$ )?(?:[\w ]+; )?python -m lklsock (.*)$|`python -m lklsock ([^`]*)`", re.MULTILINE
)
_NETWORK = "in a network with tap0 and tap1"


@dataclass(frozen=True)
class Block:
    """One of a page.

    Attributes:
        language: As the fence has it; "" for none.
        text: What is in it.
        line: Of the page, where the text begins.
        wants_network: It wants two TAP devices.
    """

    language: str
    text: str
    line: int
    wants_network: bool


def blocks(page: Path, *languages: str) -> list[Block]:
    """Those of a page that are in one of these languages."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        # An example stands in a file of its own, and is run as that.
        if match[1] in languages and not match[3].startswith("--8<--"):
            before = text[: match.start()].rstrip().rpartition("\n")[2]
            line = text.count("\n", 0, match.start(3)) + 1
            found.append(Block(match[1], match[3], line, _NETWORK in before))
    return found


def other_languages(page: Path, *known: str) -> set[str]:
    """The languages of a page's blocks that nobody would run."""
    text = page.read_text(encoding="utf-8")
    return {match[1] for match in _FENCE.finditer(text)} - set(known)


def expected_output(block: Block) -> list[str] | None:
    """What its print() say, by the comments behind them; None if there is none.

    A comment that begins with a quotation mark, a bracket, a number or a constant is a value.
    """
    prints = {
        node.end_lineno
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    }
    said = [
        token.string[1:].strip()
        for token in tokenize.generate_tokens(io.StringIO(block.text).readline)
        if token.type == tokenize.COMMENT
        and token.start[0] in prints
        and _VALUE.match(token.string[1:].strip())
    ]
    return said if len(said) == len(prints) else None


def commands(page: Path) -> Iterator[list[str]]:
    """The words behind each `python -m lklsock` of a page, up to "...", a pipe or a redirection."""
    for match in _COMMAND.finditer(page.read_text(encoding="utf-8")):
        words = shlex.split(match[1] or match[2], comments=True)
        ends = [words.index(end) for end in ("...", "|", ">", ">>") if end in words]
        yield words[: min(ends, default=None)]
