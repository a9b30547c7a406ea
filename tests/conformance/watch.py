"""Runs a suite in a watched process: a hang or a crash is one failed test, not the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suites import Suite

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "src"

# How long one test may take, and the loading of all of them.
DEADLINE_S = 120.0
# For stacks to be written, and for a process to end when its tests have ended.
GRACE_S = 20.0
_LOOK_S = 0.1
_TAIL = 3000


@dataclass
class Outcome:
    """How one test ended.

    Attributes:
        outcome: "passed", "skipped" or "failed".
        text: Why it was skipped or failed.
    """

    outcome: str
    text: str = ""
    time_s: float = 0.0


@dataclass
class Run:
    """What became of a suite.

    Attributes:
        tests: By id.
        troubles: What belongs to no test: a fixture that failed, a process that did not end.
        absent: The module that this Python lacks, if it is that.
    """

    tests: dict[str, Outcome] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    absent: str = ""

    def passed(self) -> set[str]:
        return {name for name, test in self.tests.items() if test.outcome == "passed"}


class _Process:
    """The process, and what it has noted so far."""

    def __init__(self, command: list[str], notes: Path, log: Path, directory: str) -> None:
        self._notes = notes
        self._log = log
        self._start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(SOURCES), "TMPDIR": directory},
                start_new_session=True,
            )

    def notes(self) -> Iterator[dict[str, Any] | None]:
        """Its notes as they come, None while there is none; ends when the process does."""
        rest = b""
        ended = False
        self._notes.touch()
        with self._notes.open("rb") as file:
            while True:
                *lines, rest = (rest + file.read()).split(b"\n")
                yield from map(json.loads, lines)
                if lines:
                    continue
                if ended:
                    return
                yield None
                ended = self.ended(_LOOK_S)

    def ended(self, timeout_s: float) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def status(self) -> int:
        return self._process.returncode

    def kill(self) -> None:
        """Ends it, with its stacks in the log if it is alive."""
        if not self.ended(0):
            self._process.send_signal(signal.SIGABRT)
            self.ended(GRACE_S)
        # What it has started is in its session, mostly.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        with self._log.open("rb") as file:
            file.seek(max(self._start, self._log.stat().st_size - _TAIL))
            return file.read().decode(errors="replace")


def run(
    python: str,
    mode: str,
    suite: Suite,
    log: Path,
    *,
    tests: Iterable[str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> Run:
    """Runs what `suite` names, in processes one after the other until each test had its turn.

    Args:
        python: The interpreter under test.
        mode: One of `suites`.
        suite: What to run.
        log: Where the tests' own output goes.
        tests: The ids of those to run; None for all.
        deadline_s: For one test.
    """
    result = Run()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    wanted = None if tests is None else list(tests)
    while True:
        before = len(result.tests)
        with _process(python, mode, suite, log, wanted, result) as process:
            finished = _follow(process, result, deadline_s)
        if finished or result.absent:
            return result
        if len(result.tests) == before:
            result.troubles.append(f"no test got its turn:\n{process.tail()}")
            return result


@contextmanager
def _process(
    python: str, mode: str, suite: Suite, log: Path, tests: list[str] | None, so_far: Run
) -> Iterator[_Process]:
    with tempfile.TemporaryDirectory(prefix="lkls-", ignore_cleanup_errors=True) as directory:
        notes = Path(directory) / "notes"
        plan = {
            "mode": mode,
            "names": suite.names,
            "resources": suite.resources,
            "notes": str(notes),
            "done": list(so_far.tests),
            "tests": tests,
        }
        plan_file = Path(directory) / "plan"
        plan_file.write_text(json.dumps(plan))
        work = Path(directory) / "work"
        work.mkdir()
        command = [python, str(HERE / "subject.py"), str(plan_file)]
        process = _Process(command, notes, log, str(work))
        try:
            yield process
        finally:
            process.kill()


def _follow(process: _Process, result: Run, deadline_s: float) -> bool:
    """Reads the notes until the process ends or hangs. Returns whether all tests had their turn."""
    current = ""
    began_s = time.monotonic()
    finished = False
    for note in process.notes():
        if note is None:
            if time.monotonic() - began_s > deadline_s:
                process.kill()
                if finished:
                    result.troubles.append(f"the process did not end:\n{process.tail()}")
                elif current:
                    text = f"hung for {deadline_s:.0f} s\n{process.tail()}"
                    result.tests[current] = Outcome("failed", text, deadline_s)
                return finished
            continue
        began_s = time.monotonic()
        if "start" in note:
            current = note["start"]
        elif "end" in note:
            current = ""
            result.tests[note["end"]] = Outcome(note["outcome"], note["text"], note["time_s"])
        elif "fixture" in note:
            result.troubles.append(f"{note['fixture']}: {note['text']}")
        elif "absent" in note:
            result.absent = note["absent"]
        else:
            finished = True
            deadline_s = GRACE_S
    if process.status and current:
        text = f"the process ended with {process.status}\n{process.tail()}"
        result.tests[current] = Outcome("failed", text)
    elif process.status and finished:
        result.troubles.append(f"the process ended with {process.status}:\n{process.tail()}")
    return finished
