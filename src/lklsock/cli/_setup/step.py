"""One change of the host: how it is made, how it is taken back, and whether it is there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import SetupError, command


@dataclass(frozen=True)
class Step:
    """A command, and the one that takes it back.

    Attributes:
        do: The command.
        undo: What takes it back; empty if that comes with another step.
        there: What shows that it is done: a kind, and what `is_there` makes of that.
        text: The command's standard input.
    """

    do: tuple[str, ...]
    undo: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    text: str | None = None

    def lines(self) -> Iterator[str]:
        """For a shell."""
        line = shlex.join(self.do)
        if self.text is None:
            yield line
        else:
            yield f"{line} <<'END'"
            yield from self.text.splitlines()
            yield "END"

    def is_there(self) -> bool:
        """Whether it is done, and not taken back by somebody."""
        return is_there(self.there)

    def apply(self) -> None:
        """Does it."""
        command(self.do, self.text)

    def take_back(self) -> None:
        """Takes it back, unless that has happened, or something else is in its place."""
        if self.undo and self.is_there():
            command(self.undo)

    def recorded(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @staticmethod
    def of_record(record: dict[str, Any]) -> Step:
        """The step that was recorded."""
        return Step(
            tuple(record["do"]), tuple(record["undo"]), tuple(record["there"]), record["text"]
        )


def is_there(what: tuple[str, ...]) -> bool:
    """Whether it is: ("tap", name, alias), ("rule", table), ("nft", table), and so on.

    What is not looked at is there.
    """
    kind, *rest = what or ("",)
    if kind == "tap":
        name, alias = rest
        return _read(f"/sys/class/net/{name}/ifalias") == alias
    if kind == "address":
        address, name = rest
        return address in command(["ip", "-o", "-4", "addr", "show", "dev", name]).split()
    if kind == "up":
        return bool(int(_read(f"/sys/class/net/{rest[0]}/flags") or "0", 16) & 1)
    if kind == "route":
        # An empty or unknown table is no error of ip's everywhere.
        return bool(_routes(rest[1], rest[0]))
    if kind == "rule":
        rules = command(["ip", "-4", "rule"]).splitlines()
        return any(rule.split()[-2:] == ["lookup", rest[0]] for rule in rules)
    if kind == "nft":
        return f"table ip {rest[0]}" in command(["nft", "list", "tables"]).splitlines()
    if kind == "setting":
        path, value = rest
        return _read(f"/proc/sys/{path}") == value
    if kind == "port":
        bridge, name = rest
        return Path(f"/sys/class/net/{bridge}/brif/{name}").exists()
    return True


def _routes(table: str, destination: str) -> str:
    try:
        return command(["ip", "-4", "route", "show", "table", table, *destination.split()]).strip()
    except SetupError as error:
        if "table does not exist" in str(error):
            return ""
        raise


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None
