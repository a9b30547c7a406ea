"""Runs `python -m lklsock`, with a deadline after which nothing of it is left."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LKLSOCK = [sys.executable, "-m", "lklsock"]
TIMEOUT_S = 90.0


def without_privileges() -> list[str]:
    """What a command is run under to have none, even for root."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def run(
    *arguments: str | Path,
    command: Sequence[str] = LKLSOCK,
    directory: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    words = [*command, *map(str, arguments)]
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=directory,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


class OnTerminal:
    """A command that runs on a terminal of its own. `with` kills it if it still runs.

    Attributes:
        output: What it has written so far.
        terminal: A descriptor of the terminal, which stays open.
    """

    def __init__(self, *arguments: str | Path, directory: Path) -> None:
        self.output = ""
        self._master, self.terminal = pty.openpty()
        self._process = subprocess.Popen(
            # setsid makes the terminal the controlling one: Ctrl-C comes as from a keyboard.
            ["setsid", "--ctty", *LKLSOCK, *map(str, arguments)],
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            cwd=directory,
        )
        self._deadline = time.monotonic() + TIMEOUT_S

    def __enter__(self) -> "OnTerminal":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            # What it has started ends with it.
            self._process.kill()
            self._process.wait()
        os.close(self._master)
        os.close(self.terminal)

    @property
    def pid(self) -> int:
        """The process of the command: setsid becomes it."""
        return self._process.pid

    def press_ctrl_c(self) -> None:
        """As a user does."""
        os.write(self._master, b"\x03")

    def read_until(self, text: str, times: int = 1) -> None:
        """Reads until it has written this."""
        while self.output.count(text) < times:
            assert self._process.poll() is None, f"it has ended: {self.output}"
            self._read(0.1)

    def wait(self) -> int:
        """Waits for its end. Returns the exit code."""
        while self._process.poll() is None:
            self._read(0.1)
        while self._read(0):
            pass
        return self._process.returncode

    def _read(self, timeout_s: float) -> bool:
        assert time.monotonic() < self._deadline, f"it takes too long: {self.output}"
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        self.output += os.read(self._master, 65536).decode()
        return True


def children(pid: int) -> list[int]:
    """The processes that it has started, and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_end(pid: int) -> None:
    """Waits until there is no such process any more."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], TIMEOUT_S)[0], f"process {pid} still runs"
    finally:
        os.close(pidfd)
