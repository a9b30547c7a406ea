"""Runs CPython's own tests on the stdlib's sockets and on ours, and compares.

    python tests/conformance/run.py [--python PROGRAM] [--mode all|all-tcp|default] [suite ...]

Another interpreter than this one must have the extension built in place for it. What a run wrote
is below build/conformance/; the stdlib's outcomes are kept there, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict

import watch
from suites import ALWAYS, PATCHED, STDLIB, SUITES
from verdict import Verdict, complaints, judge, table

BUILD = watch.HERE.parent.parent / "build" / "conformance"
# The tests wait more than they work.
JOBS = (os.cpu_count() or 1) + 2


class Conformance:
    """The runs of one interpreter.

    Attributes:
        version: Of the interpreter, such as "3.11.7".
    """

    def __init__(
        self, python: str, *, only: str = "", deadline_s: float = watch.DEADLINE_S
    ) -> None:
        self._python = python
        self._only = only
        self._deadline_s = deadline_s
        about = subprocess.run(
            [python, "-c", "import sys; print(sys.version.split()[0]); print(sys.version)"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        self.version = about.split()[0]
        build = hashlib.sha256(about.encode()).hexdigest()[:8]
        self._directory = BUILD / f"{self.version}-{build}"

    def verdicts(
        self,
        names: Iterable[str],
        modes: Iterable[str],
        *,
        again: bool = False,
        jobs: int = JOBS,
        tell: Callable[[Verdict], None] | None = None,
    ) -> list[Verdict]:
        """Runs suites, several at a time.

        Args:
            names: The suites.
            modes: How to patch.
            again: Whether to run on the stdlib what has been run.
            jobs: How many processes at a time.
            tell: Is called with each verdict as soon as there is one.
        """
        names, modes = list(names), list(modes)
        with ThreadPoolExecutor(jobs) as pool:
            # First in, first run: what one of the later ones waits for is under way.
            stdlib = {name: pool.submit(self._stdlib, name, again) for name in names}
            found = [
                pool.submit(self._verdict, name, mode, stdlib[name])
                for name in names
                for mode in modes
            ]
            for verdict in as_completed(found):
                if tell is not None:
                    tell(verdict.result())
            return [verdict.result() for verdict in found]

    def _verdict(self, name: str, mode: str, stdlib: Future[watch.Run]) -> Verdict:
        before = stdlib.result()
        if before.absent:
            return Verdict(name, mode, absent=before.absent)
        return judge(name, mode, before, self._run(name, mode, before.passed()))

    def _run(self, name: str, mode: str, tests: Iterable[str] | None = None) -> watch.Run:
        return watch.run(
            self._python,
            mode,
            SUITES[name],
            self._directory / mode / f"{name}.log",
            tests=tests,
            deadline_s=self._deadline_s,
        )

    def _stdlib(self, name: str, again: bool) -> watch.Run:
        file = self._directory / STDLIB / f"{name}.json"
        if again or not file.exists():
            run = self._run(name, STDLIB)
            file.write_text(json.dumps(asdict(run), indent=1))
        text = json.loads(file.read_text())
        tests = {test: watch.Outcome(**outcome) for test, outcome in text.pop("tests").items()}
        return watch.Run({test: o for test, o in tests.items() if self._only in test}, **text)


def main() -> int:
    parser = argparse.ArgumentParser(description="CPython's tests, on the stdlib and on lklsock")
    parser.add_argument("suite", nargs="*", help=f"default: all of {', '.join(SUITES)}")
    parser.add_argument("--python", default=sys.executable, help="the interpreter under test")
    parser.add_argument("--mode", action="append", choices=PATCHED, help="default: each")
    parser.add_argument("--always", action="store_true", help="the suites of `make test` only")
    parser.add_argument("--only", default="", help="what the ids of tests must contain")
    parser.add_argument("--again", action="store_true", help="run the stdlib again, too")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--deadline", type=float, default=watch.DEADLINE_S, help="seconds, a test")
    parser.add_argument("--lines", type=int, default=12, help="of the text of each failure")
    options = parser.parse_args()
    names = options.suite or list(ALWAYS if options.always else SUITES)
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]}: one of {', '.join(SUITES)}")
    conformance = Conformance(options.python, only=options.only, deadline_s=options.deadline)

    def tell(verdict: Verdict) -> None:
        if not verdict.holds:
            print(complaints(verdict, options.lines), end="\n\n", flush=True)

    verdicts = conformance.verdicts(
        names, options.mode or PATCHED, again=options.again, jobs=options.jobs, tell=tell
    )
    print(f"Python {conformance.version}")
    print(table(verdicts))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
