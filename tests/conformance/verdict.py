"""Compares a run on our sockets with the same run on the stdlib's."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from suites import ALL, STDLIB
from watch import Run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXPECTED_FILE = Path(__file__).resolve().parent / "expected.toml"
SHARE_MIN = 0.99


def expected_failures(mode: str) -> dict[str, str]:
    """Why tests fail that are known to, by test id.

    The table of a mode in the file adds to the one for all modes.
    """
    tables = tomllib.loads(EXPECTED_FILE.read_text())
    return {**tables.get("always", {}), **tables.get(mode, {}), **beyond_mptcp(mode)}


def beyond_mptcp(mode: str) -> dict[str, str]:
    """Those of them that ask for what MPTCP has not, where it is in the place of TCP."""
    tables: dict[str, dict[str, str]] = tomllib.loads(EXPECTED_FILE.read_text())
    return tables.get("mptcp", {}) if mode == ALL else {}


@dataclass
class Verdict:
    """One line of the table.

    Attributes:
        name: The suite.
        mode: How it was patched.
        absent: The module that this Python lacks: then nothing was to be compared.
        stdlib: How many tests pass on the stdlib.
        ours: How many of these pass on our sockets.
        excused: The tests that do not, and need not, each with the reason.
        failures: Those that should, each with why not.
        surprises: The excused ones that pass.
        troubles: What belongs to no test.
    """

    name: str
    mode: str
    absent: str = ""
    stdlib: int = 0
    ours: int = 0
    excused: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.ours / self.stdlib if self.stdlib else 1.0

    @property
    def enough(self) -> bool:
        """Whether as many pass as should; one is always allowed to be excused.

        What MPTCP cannot do is not held against us, though it is in the figures.
        """
        missing = self.stdlib - self.ours - len(self.excused.keys() & beyond_mptcp(self.mode))
        return missing <= max(1, self.stdlib * (1 - SHARE_MIN))

    @property
    def holds(self) -> bool:
        return self.enough and not (self.failures or self.surprises or self.troubles)


def judge(name: str, mode: str, stdlib: Run, ours: Run) -> Verdict:
    """What a suite shows. A test that is skipped or missing here, and passes there, has failed."""
    expected = expected_failures(mode)
    want = stdlib.passed()
    have = ours.passed() & want
    verdict = Verdict(name, mode, stdlib=len(want), ours=len(have))
    for test in sorted(want - have):
        if test in expected:
            verdict.excused[test] = expected[test]
        elif test in ours.tests:
            outcome = ours.tests[test]
            verdict.failures[test] = f"{outcome.outcome}: {outcome.text}"
        else:
            verdict.failures[test] = "did not run"
    verdict.surprises = sorted(have & set(expected))
    known = {trouble.split(":")[0] for trouble in stdlib.troubles}
    verdict.troubles = [text for text in ours.troubles if text.split(":")[0] not in known]
    return verdict


def table(verdicts: list[Verdict]) -> str:
    """For people."""
    rows = [("suite", "mode", STDLIB, "ours", "percent", "excused", "unexpected")]
    for verdict in verdicts:
        if verdict.absent:
            rows.append((verdict.name, verdict.mode, f"no {verdict.absent}", *[""] * 4))
            continue
        unexpected = len(verdict.failures) + len(verdict.surprises) + len(verdict.troubles)
        rows.append(
            (
                verdict.name,
                verdict.mode,
                str(verdict.stdlib),
                str(verdict.ours),
                f"{100 * verdict.share:.1f}",
                str(len(verdict.excused)),
                str(unexpected),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def complaints(verdict: Verdict, lines_max: int = 12) -> str:
    """What is unexpected of a suite, the last lines of each text."""
    parts = []
    for test, text in verdict.failures.items():
        parts.append(f"{verdict.mode}: {test}\n{_tail(text, lines_max)}")
    for test in verdict.surprises:
        parts.append(f"{verdict.mode}: {test} passes: remove it from {EXPECTED_FILE.name}")
    for text in verdict.troubles:
        parts.append(f"{verdict.mode}: {verdict.name}: {_tail(text, lines_max)}")
    if not verdict.enough:
        parts.append(
            f"{verdict.mode}: {verdict.name}: {100 * verdict.share:.2f} % pass"
            f" of what passes on the stdlib, less than {100 * SHARE_MIN:.0f} %"
        )
    return "\n\n".join(parts)


def _tail(text: str, lines_max: int) -> str:
    lines = text.rstrip().splitlines()[-lines_max:]
    return "\n".join(f"    {line}" for line in lines)
