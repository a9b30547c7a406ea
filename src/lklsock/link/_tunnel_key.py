"""Pre-shared keys of tunnels, and the files they are in."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import stat

_BYTES = 32


class Key:
    """A pre-shared key. What it is shows only in `secret` and `text()`: never in a log.

    Attributes:
        secret: 32 bytes.
    """

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _BYTES:
            raise ValueError(f"a key has {_BYTES} bytes, not {len(secret)}")
        self.secret = secret

    @classmethod
    def new(cls) -> Key:
        """A random one."""
        return cls(os.urandom(_BYTES))

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key that `text()` gave.

        Raises:
            ValueError: It is none; the message does not show it.
        """
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise ValueError(
                "a key is 44 characters of base64, as python -m lklsock gateway --new-key prints"
            ) from None

    def text(self) -> str:
        """44 characters of base64."""
        return base64.b64encode(self.secret).decode()

    def __repr__(self) -> str:
        return "Key(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.secret == other.secret

    def __hash__(self) -> int:
        return hash(self.secret)


def read_keys(path: str | os.PathLike[str]) -> dict[str, Key]:
    """The keys of a file by the names of who has them.

    A line is "KEY", or "NAME KEY"; empty ones and those that begin with # do not count. A key
    without a name has that of its number, "peer1".

    Raises:
        OSError: It cannot be read; EACCES: others than its owner may read or write it.
        ValueError: A line is no key; says which, and does not show it.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        _check_private(file.fileno(), path)
        lines = file.read().splitlines()
    keys: dict[str, Key] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name = words[0] if len(words) > 1 else f"peer{len(keys) + 1}"
        where = f"{os.fspath(path)}, line {number}"
        if len(words) > 2:
            raise ValueError(f"{where}: a line has a name and a key, or a key")
        try:
            key = Key.parse(words[-1])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if name in keys or key in keys.values():
            raise ValueError(f"{where}: the name, or the key, is that of an earlier line")
        keys[name] = key
    if not keys:
        raise ValueError(f"{os.fspath(path)}: there is no key in it")
    return keys


def _check_private(fd: int, path: str | os.PathLike[str]) -> None:
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        reason = f"others than its owner may read the key: chmod 600 {os.fspath(path)}"
        raise PermissionError(errno.EACCES, reason)
