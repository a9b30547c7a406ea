"""The command `setup`: what is to be done on the host, and how it is done and undone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_COMMAND_S = 30.0


class SetupError(Exception):
    """It cannot be done; the text says why. Exit code 2: as asked; 1: something failed."""

    def __init__(self, text: str, exit_code: int = 2) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def command(words: Sequence[str], text: str | None = None) -> str:
    """Runs a program of the host's.

    Args:
        words: The program and its arguments.
        text: Its standard input.

    Returns:
        What it printed.

    Raises:
        SetupError: It is not there, or it failed.
    """
    shown = " ".join(words)
    try:
        done = subprocess.run(
            words,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            env={**os.environ, "PATH": _PATH, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        package = {"ip": "iproute2", "nft": "nftables", "sysctl": "procps"}.get(words[0], words[0])
        raise SetupError(f"there is no program {words[0]}: apt-get install {package}") from None
    except subprocess.TimeoutExpired:
        raise SetupError(f"{shown}: has not ended after {_COMMAND_S:g} s", 1) from None
    if done.returncode:
        raise SetupError(f"{shown}: {(done.stderr or done.stdout).strip()}", 1)
    return done.stdout
