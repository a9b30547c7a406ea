# SPDX-License-Identifier: GPL-2.0-only
"""The CPythons at hand: one of each version that the project is for.

    python wheels/interpreters.py            # their paths, one a line; what is missing, to stderr
    python wheels/interpreters.py 3.13t      # that one

They are looked for on PATH, among pyenv's, and (the free-threaded one) in our own cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "third_party" / "lkl"))

from kernel_cache import open_cache

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
TIMEOUT_S = 60

# Whatever a shim, a link or a virtual environment is called: this says what it is.
PROBE = """
import json, os, sys, sysconfig
base = getattr(sys, "_base_executable", sys.executable)
print(json.dumps([
    ".".join(map(str, sys.version_info[:2])) + sys.abiflags.replace("d", ""),
    os.path.realpath(base),
    os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")),
]))
"""


def find(version: str) -> Path | None:
    """The interpreter of a version such as "3.12" or "3.13t", with headers; None without one."""
    for candidate in _candidates(version):
        try:
            done = subprocess.run(
                [candidate, "-c", PROBE],
                capture_output=True,
                text=True,
                check=True,
                timeout=TIMEOUT_S,
            )
            found, executable, has_headers = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        if found == version and has_headers:
            return Path(executable)
    return None


def _candidates(version: str) -> Iterator[str]:
    name = f"python{version}"
    yield sys.executable
    for directory in os.get_exec_path():
        path = shutil.which(name, path=directory)
        if path:
            yield path
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False)
        versions = Path(root.stdout.strip(), "versions")
        yield from sorted(map(str, versions.glob(f"*/bin/{name}")), reverse=True)
    with open_cache(os.environ) as cache:
        yield from sorted(map(str, cache.glob(f"python/*/bin/{name}")), reverse=True)


def main(versions: Sequence[str]) -> int:
    """Prints what is found; returns 1 if something is not."""
    missing = []
    for version in versions or VERSIONS:
        path = find(version)
        if path:
            print(path)
        else:
            missing.append(version)
    if missing:
        print(f"not here, or without headers: Python {', '.join(missing)}", file=sys.stderr)
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
