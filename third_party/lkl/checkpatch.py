# SPDX-License-Identifier: GPL-2.0-only
"""Runs the kernel's own checkpatch.pl over arch/lkl, less what checkpatch.exceptions lets pass.

    python third_party/lkl/checkpatch.py

The script is that of the kernel source in the cache; a build has brought it there. It takes perl.
"""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kernel_source
from kernel_cache import files_below, open_cache
from kernel_tools import BuildError, require, say

HERE = Path(__file__).resolve().parent
PORT = HERE / "arch/lkl"
EXCEPTIONS = HERE / "checkpatch.exceptions"
SUFFIXES = (".c", ".h", ".S")
LINE_COLUMNS = 140

COMPLAINT = re.compile(r"(?P<file>.+?):(?P<line>\d+): (?:ERROR|WARNING|CHECK):(?P<type>\w+): .*")


def exceptions() -> list[tuple[str, str]]:
    """Pairs of a complaint's type and a pattern for the files that may have it."""
    found = []
    for line in EXCEPTIONS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, pattern, reason = line.split(maxsplit=2)
            assert reason
            found.append((kind, pattern))
    return found


def complaints(script: Path) -> Iterator[tuple[str, str, str]]:
    """Every complaint: its type, the file, the whole line."""
    files = [str(file.relative_to(HERE)) for file in files_below(PORT) if file.suffix in SUFFIXES]
    options = ["--no-tree", "--no-summary", "--terse", "--show-types", "--strict"]
    options += [f"--max-line-length={LINE_COLUMNS}", "--file"]
    done = subprocess.run(
        ["perl", script, *options, *files], cwd=HERE, capture_output=True, text=True, check=False
    )
    found = list(filter(None, map(COMPLAINT.fullmatch, done.stdout.splitlines())))
    if done.returncode and not found:
        raise BuildError(f"checkpatch.pl failed: {done.stderr.strip()}")
    for complaint in found:
        yield complaint["type"], complaint["file"].removeprefix("arch/lkl/"), complaint[0]


def check() -> list[str]:
    """What is wrong with the port's style, or with the list of exceptions."""
    require(["perl"], os.environ)
    with open_cache(os.environ) as cache:
        patches = sorted((HERE / "patches").glob("[0-9]*.patch"))
        tree = kernel_source.locate(cache, os.environ, patches).tree
        unused = set(allowed := exceptions())
        faults = []
        for kind, file, text in complaints(tree / "scripts/checkpatch.pl"):
            covering = {(k, p) for k, p in allowed if k == kind and fnmatch.fnmatch(file, p)}
            unused -= covering
            if not covering:
                faults.append(text)
    faults += [f"{EXCEPTIONS.name}: nothing needs {kind} {pattern}" for kind, pattern in unused]
    return faults


def main() -> int:
    """The command line's entry: returns the exit status."""
    try:
        faults = check()
    except BuildError as error:
        say(f"error: {error}")
        return 1
    for fault in faults:
        print(fault)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
