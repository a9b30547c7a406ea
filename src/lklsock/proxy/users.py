"""Who may use a proxy: names, and hashes of their passwords.

A file has a line for each user, `name:$scrypt$ln=14,r=8,p=1$SALT$HASH` (base64), as
`python -m lklsock proxy --hash-password NAME` prints it. Empty lines and those with # do not count.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from pathlib import Path

_COST_LOG2 = 14
_BLOCK_SIZE = 8
_PARALLEL = 1
_SALT_BYTES = 16
_HASH_BYTES = 32
_COST_MAX_LOG2 = 20

_FORM = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)"
)

_NOBODY = f"$scrypt$ln={_COST_LOG2},r={_BLOCK_SIZE},p={_PARALLEL}$AAAAAAAAAAAAAAAAAAAAAA==$" + (
    base64.b64encode(bytes(_HASH_BYTES)).decode()
)
"""The hash of a user that there is not: it takes as long as any."""


class Users:
    """Names with the hashes of their passwords.

    What has been found right once is remembered by a digest under a key of this process, so that a
    request of a user who is known costs microseconds.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = {name: _parse(text) for name, text in hashes.items()}
        self._nobody = _parse(_NOBODY)
        self._key = os.urandom(32)
        self._known: dict[str, bytes] = {}
        self._turn = asyncio.Semaphore(2)

    def __repr__(self) -> str:
        return f"<Users: {len(self._hashes)}>"

    async def check(self, name: str, password: str) -> bool:
        """Whether it is this user's password. It takes as long for a user that there is not."""
        digest = hashlib.blake2b(password.encode(), key=self._key).digest()
        known = self._known.get(name)
        if known is not None and hmac.compare_digest(known, digest):
            return True
        wanted = self._hashes.get(name)
        async with self._turn:
            right = await asyncio.to_thread(_matches, password, wanted or self._nobody)
        if not right or wanted is None:
            return False
        self._known[name] = digest
        return True


def read_hashes(path: Path) -> dict[str, str]:
    """Names and hashes from a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It has a line that is no user, which is named by its number only.
    """
    hashes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, text = line.strip().partition(":")
        if not name or not colon or _FORM.fullmatch(text) is None:
            raise ValueError(
                f"{path}, line {number}: not NAME:$scrypt$..., as --hash-password makes it"
            )
        hashes[name] = text
    if not hashes:
        raise ValueError(f"{path} has no user in it: --hash-password makes a line")
    return hashes


_Hash = tuple[int, int, int, bytes, bytes]


def hash_password(password: str) -> str:
    """The hash of a password, with a salt of its own."""
    salt = os.urandom(_SALT_BYTES)
    digest = _scrypt(password, _COST_LOG2, _BLOCK_SIZE, _PARALLEL, salt, _HASH_BYTES)
    encoded = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("", "scrypt", f"ln={_COST_LOG2},r={_BLOCK_SIZE},p={_PARALLEL}", *encoded))


def _parse(text: str) -> _Hash:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("a hash must be $scrypt$ln=14,r=8,p=1$SALT$HASH")
    cost, block, parallel = map(int, match.group(1, 2, 3))
    if not (0 < cost <= _COST_MAX_LOG2 and block and parallel):
        raise ValueError(f"a hash with ln={cost}, r={block}, p={parallel} is not taken")
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in match.group(4, 5))
    except binascii.Error:
        raise ValueError("a hash's salt and digest must be base64") from None
    return cost, block, parallel, salt, digest


def _matches(password: str, wanted: _Hash) -> bool:
    cost_log2, block, parallel, salt, digest = wanted
    found = _scrypt(password, cost_log2, block, parallel, salt, len(digest))
    return hmac.compare_digest(found, digest)


def _scrypt(
    password: str, cost_log2: int, block: int, parallel: int, salt: bytes, length: int
) -> bytes:
    memory_bytes = (block << (cost_log2 + 7)) + (block * parallel << 7) + (1 << 20)
    return hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=1 << cost_log2,
        r=block,
        p=parallel,
        maxmem=memory_bytes,
        dklen=length,
    )
