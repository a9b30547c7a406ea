"""The file of host names, /etc/hosts; see hosts(5)."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A line of the file.

    Attributes:
        address: As the host writes it.
        name: The canonical one.
        aliases: The others.
    """

    address: str
    name: str
    aliases: tuple[str, ...]

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address else 4


class HostsFile:
    """The file, read again when it has changed. One that is not there is empty."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._read_as: tuple[int, int, int] | None = None
        self._entries: list[Entry] = []

    def named(self, name: str) -> list[Entry]:
        """The lines that have this name, in the order of the file."""
        wanted = name.removesuffix(".").lower()
        return [
            entry
            for entry in self._current()
            if wanted in (n.lower() for n in (entry.name, *entry.aliases))
        ]

    def of_address(self, address: str) -> Entry | None:
        """The first line of this address."""
        return next((entry for entry in self._current() if entry.address == address), None)

    def _current(self) -> list[Entry]:
        try:
            status = os.stat(self._path)
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._read_as:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._entries = [entry for line in file if (entry := _parsed(line))]
                self._read_as = version
        except OSError:
            return []
        return self._entries


def _parsed(line: str) -> Entry | None:
    words = line.partition("#")[0].split()
    if len(words) < 2:
        return None
    try:
        address = str(ipaddress.ip_address(words[0]))
    except ValueError:
        return None
    return Entry(address, words[1], tuple(words[2:]))
