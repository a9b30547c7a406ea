"""The C programs: built on first use, run with a deadline, their output parsed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE_LIBRARY = PROJECT / "src" / "lklsock" / "_kernel" / "liblkl.so"
DEADLINE_S = 120.0


def library() -> str:
    """The liblkl.so to measure: LKLSOCK_KERNEL_LIB, or the one the package was built with."""
    given = os.environ.get("LKLSOCK_KERNEL_LIB")
    path = Path(given) if given else PACKAGE_LIBRARY
    if not path.is_file():
        sys.exit(f"{path}: no such file: build the package first, or set LKLSOCK_KERNEL_LIB")
    return str(path.resolve())


@cache
def program(name: str) -> str:
    """The path of a C program, brought up to date."""
    build = subprocess.run(
        ["make", "-s", "-C", str(PROJECT / "benchmarks" / "c")], capture_output=True, text=True
    )
    if build.returncode:
        sys.exit(build.stderr)
    return str(PROJECT / "build" / "benchmarks" / name)


def run(*command: str, deadline_s: float = DEADLINE_S) -> str:
    """Runs a command to its end.

    Returns:
        What it wrote.

    Raises:
        RuntimeError: It failed, with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=deadline_s)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def numbers(name: str, *arguments: object) -> list[list[float]]:
    """Runs a program that prints numbers. Returns: those of each line."""
    written = run(program(name), *map(str, arguments))
    return [[float(word) for word in line.split()] for line in written.splitlines()]


class Companion:
    """A program that runs beside this one and talks in lines. It ends at a deadline.

    Args:
        name: Of the program.
        arguments: Its arguments.
        prefix: The words before its name, such as `ip netns exec`.
        deadline_s: None for as long as this one.
    """

    def __init__(
        self,
        name: str,
        *arguments: object,
        prefix: Sequence[str] = (),
        deadline_s: float | None = None,
    ) -> None:
        self._command = [*prefix, program(name), *map(str, arguments)]
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watchdog: threading.Timer | None = None
        if deadline_s is not None:
            self._watchdog = threading.Timer(deadline_s, self._process.kill)
            self._watchdog.start()

    def tell(self, line: str) -> None:
        """Writes a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Waits for a line.

        Raises:
            RuntimeError: The program ended instead, with what it said.
        """
        assert self._process.stdout is not None and self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._process.stderr.read().strip() or f"ended: {self._process.wait()}"
            raise RuntimeError(f"{' '.join(self._command)}: {said}")
        return line.strip()

    def expect(self, wanted: str) -> None:
        """Waits for a line that must be `wanted`."""
        line = self.hear()
        if line != wanted:
            raise RuntimeError(f"{' '.join(self._command)}: {line!r} instead of {wanted!r}")

    def last_words(self, patience_s: float) -> str:
        """What the program still writes, if it ends by itself in that time; otherwise nothing."""
        assert self._process.stdout is not None
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return ""
        return self._process.stdout.read().strip()

    def end(self) -> None:
        """Ends the program."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()
