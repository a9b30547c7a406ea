# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's configuration: feature lists read, merged, and checked against what Kconfig made."""

from __future__ import annotations

import re
from pathlib import Path

from kernel_tools import BuildError

_SET = re.compile(r"CONFIG_(\w+)=(.+)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")


def read(file: Path) -> dict[str, str]:
    """The symbols of a feature list or a .config; "n" for those that are not set.

    Raises:
        BuildError: a line is neither a comment nor a setting, or a symbol stands there twice.
    """
    symbols: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        line = line.strip()
        if found := _SET.fullmatch(line):
            name, value = found.groups()
        elif found := _UNSET.fullmatch(line):
            name, value = found[1], "n"
        elif not line or line.startswith("#"):
            continue
        else:
            raise BuildError(f"{file.name}, line {number}: {line!r} is not a setting")
        if name in symbols:
            raise BuildError(f"{file.name}, line {number}: CONFIG_{name} stands there twice")
        symbols[name] = value
    return symbols


def merge(files: list[Path]) -> dict[str, str]:
    """The symbols of several feature lists; a later list has the last word."""
    merged: dict[str, str] = {}
    for file in files:
        merged |= read(file)
    return merged


def as_text(symbols: dict[str, str]) -> str:
    """The symbols as a file for KCONFIG_ALLCONFIG."""
    return "".join(
        f"# CONFIG_{name} is not set\n" if value == "n" else f"CONFIG_{name}={value}\n"
        for name, value in symbols.items()
    )


def check(wanted: dict[str, str], config: Path) -> None:
    """Raises a BuildError that names every symbol which Kconfig did not give the wanted value.

    Kconfig itself says nothing about a symbol that does not exist or whose dependencies lack.
    """
    got = read(config)
    wrong = {name: value for name, value in wanted.items() if got.get(name, "n") != value}
    if wrong:
        lines = [
            f"    CONFIG_{name}: wanted {value}, got {got.get(name, 'n')}"
            for name, value in wrong.items()
        ]
        raise BuildError(
            "the kernel's configuration does not take these settings (no such symbol, or a"
            " dependency is missing):\n" + "\n".join(lines)
        )
