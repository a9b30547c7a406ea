"""Runs tests of CPython in the interpreter under test, and notes each outcome at once.

This file runs alone, with that interpreter's stdlib and nothing else, in a process that may hang
or crash; `watch` reads its notes. One JSON object a line: {"start": id}, then {"end": id,
"outcome": ..., "text": ..., "time_s": ...}; {"absent": module} if this Python has no such tests;
{"finished": true} at last.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import unittest
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

PASSED, SKIPPED, FAILED = "passed", "skipped", "failed"
_RANK = (PASSED, SKIPPED, FAILED)
_TEXT_MAX = 4000


class Notes(unittest.TestResult):
    """Writes down each test's outcome."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._pid = os.getpid()
        self._outcome = ""
        self._text = ""
        self._began_s = 0.0

    def write(self, **note: Any) -> None:
        # Not a child that a test has forked.
        if os.getpid() == self._pid:
            os.write(self._fd, json.dumps(note).encode() + b"\n")

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self._outcome = self._text = ""
        self._began_s = time.monotonic()
        self.write(start=test.id())

    def stopTest(self, test: Any) -> None:
        super().stopTest(test)
        self.write(
            end=test.id(),
            outcome=self._outcome or FAILED,
            text=self._text[-_TEXT_MAX:],
            time_s=round(time.monotonic() - self._began_s, 3),
        )

    def _note(self, outcome: str, text: str = "") -> None:
        if not self._outcome or _RANK.index(outcome) > _RANK.index(self._outcome):
            self._outcome = outcome
        self._text += text

    def addSuccess(self, test: Any) -> None:
        self._note(PASSED)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self._note(PASSED)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._note(FAILED, "passed, and is expected to fail")

    def addSkip(self, test: Any, reason: str) -> None:
        self._note(SKIPPED, reason)

    def addError(self, test: Any, err: Any) -> None:
        text: str = self._exc_info_to_string(err, test)  # type: ignore[attr-defined]
        self._note(FAILED, text)
        if not isinstance(test, unittest.TestCase):
            # A fixture of a class or a module: its tests do not run.
            self.write(fixture=test.id(), text=text[-_TEXT_MAX:])

    addFailure = addError

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.addError(test, err)


def patch(mode: str) -> None:
    if mode == "stdlib":
        return
    import lklsock

    if mode == "default":
        lklsock.patch()
    else:
        lklsock.patch(policy="all", mptcp="off" if mode == "all-tcp" else "prefer")


def part_of(suite: Any, wanted: Callable[[str], bool]) -> Any:
    """The suite with only the tests whose ids are wanted."""
    if isinstance(suite, unittest.TestCase):
        return suite if wanted(suite.id()) else None
    parts = (part_of(part, wanted) for part in suite)
    return type(suite)(part for part in parts if part is not None)


def load(names: list[str]) -> unittest.TestSuite:
    """The tests.

    Raises:
        ModuleNotFoundError: This Python has no such module.
    """
    for name in names:
        with suppress(unittest.SkipTest):
            import_module(module_of(name))
    return unittest.TestLoader().loadTestsFromNames(names)


def module_of(name: str) -> str:
    """The module of the name of a module or of a class."""
    return ".".join(part for part in name.split(".") if not part[0].isupper())


def set_up(resources: list[str]) -> None:
    """What `python -m test` does first."""
    from test import support

    support.use_resources = resources
    support.record_original_stdout(sys.stdout)
    sys.addaudithook(lambda name, args: None)


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    faulthandler.enable()
    notes = Notes(plan["notes"])
    patch(plan["mode"])
    try:
        set_up(plan["resources"])
        suite = load(plan["names"])
    except ModuleNotFoundError as error:
        if error.name not in ("test", "test.support", *map(module_of, plan["names"])):
            raise
        notes.write(absent=error.name)
        return
    done = set(plan["done"])
    tests = None if plan["tests"] is None else set(plan["tests"])
    part_of(suite, lambda test: test not in done and (tests is None or test in tests)).run(notes)
    notes.write(finished=True)


if __name__ == "__main__":
    # The tests shall find nothing of this folder.
    del sys.path[0]
    main()
