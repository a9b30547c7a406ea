"""Processes that serve their status, each test's in a directory of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_BEGIN = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).resolve().parent.parent)!r})
import worlds
from lklsock import mptcp, socket, status
def stay():
    print("ready", os.getpid(), flush=True)
    sys.stdin.read()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processes of a test have their sockets, and no others do."""
    path = tmp_path / "run"
    path.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    monkeypatch.delenv("LKLSOCK_STATUS", raising=False)
    return path / "lklsock"


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Starts a Python program, which is there when its "ready" has come, until the test's end.

    `start(program, *command, **environment)`: the program may use `worlds`, `mptcp`, `socket` and
    `status`, and ends with `stay()`.
    """
    processes: list[subprocess.Popen[str]] = []

    def started(program: str, *command: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*(command or (sys.executable, "-c")), _BEGIN + program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()
