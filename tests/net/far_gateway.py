"""The command `gateway` as a process of its own, for the tests of tunnels."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lklsock.link import Key

END_S = 30.0


class FarGateway:
    """`python -m lklsock gateway`, running; its lines can be waited for.

    Args:
        arguments: Of the command, but for the key file.
        keys: Of the peers, by name.
        namespace: The host's network namespace that it runs in.
        fds: Descriptors that it inherits.
    """

    def __init__(
        self,
        *arguments: str,
        keys: dict[str, Key],
        namespace: str | None = None,
        fds: Sequence[int] = (),
    ) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".keys", delete=False) as file:
            file.writelines(f"{name} {key.text()}\n" for name, key in keys.items())
        self.key_file = Path(file.name)
        self.lines: list[str] = []
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        self._process = subprocess.Popen(
            [
                *(*inside, sys.executable, "-m", "lklsock", "gateway"),
                *("--key-file", file.name, *arguments),
            ],
            stderr=subprocess.PIPE,
            pass_fds=fds,
            text=True,
        )
        try:
            self.expect("listening on")
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def expect(self, pattern: str) -> str:
        """Waits for a line that has this in it."""
        stderr = self._process.stderr
        assert stderr is not None
        for line in stderr:
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line with {pattern!r} in: {''.join(self.lines)}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends it a signal. Returns its exit status."""
        self._process.send_signal(number)
        status = self._process.wait(END_S)
        if self._process.stderr is not None:
            self.lines += self._process.stderr
            self._process.stderr.close()
        self.key_file.unlink(missing_ok=True)
        return status

    def __enter__(self) -> FarGateway:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self.end()
        self.key_file.unlink(missing_ok=True)


def free_port() -> int:
    """A UDP port of 127.0.0.1 that nobody has."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def no_secret_in(lines: Sequence[str], key: Key) -> bool:
    """Whether nothing of the key shows."""
    text = "".join(lines)
    return key.text() not in text and key.secret.hex() not in text and os.linesep in text
