# SPDX-License-Identifier: GPL-2.0-only
"""Builds a free-threaded CPython 3.13 of Debian's source package, once, into the cache.

    python wheels/free_threaded.py           # prints its path

Debian 12 has no such Python, and Debian 13 no free-threaded one. Five minutes on two cores.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from archive import Archive
from kernel_cache import appearing, locked, open_cache
from kernel_tools import BuildError, Progress, clean_environment, jobs, run_logged, say

RELEASE = "trixie"
PACKAGE = "python3.13"
NAME = "python3.13t"
EXPECTED_OBJECTS = 1310
OPTIONS = (
    "--disable-gil",
    "--disable-test-modules",
    "--without-static-libpython",
    "--with-ensurepip",
)


def provide(cache: Path) -> Path:
    """The interpreter's path; builds it if the cache has none.

    Raises:
        BuildError: the source cannot be had, or does not compile.
    """
    home = cache / "python" / NAME
    with locked(home):
        if not (home / "bin" / NAME).is_file():
            _build(home, cache)
    return home / "bin" / NAME


def _build(home: Path, cache: Path) -> None:
    say(f"building a free-threaded {PACKAGE}; about five minutes, once")
    files = Archive(cache / "apt", RELEASE).download_source(PACKAGE, cache / "download")
    sources = [file for file in files if file.name.endswith(".orig.tar.xz")]
    if not sources:
        raise BuildError(f"the source package {PACKAGE} of {RELEASE} has no .orig.tar.xz")
    log = home.with_suffix(".log")
    log.write_text("")
    env = clean_environment(os.environ)
    with tempfile.TemporaryDirectory(prefix="lklsock-python-") as temporary:
        progress = Progress(NAME, EXPECTED_OBJECTS)

        def on_line(line: str) -> None:
            progress.line("  CC " if " -c " in line else line)

        tree = Path(temporary)
        # The prefix is where it will be, the files go where it appears from.
        with appearing(home) as place:
            for command in (
                ["tar", "-xJ", "--strip-components=1", "-f", str(sources[-1])],
                ["./configure", f"--prefix={home}", *OPTIONS],
                ["make", f"-j{jobs(os.environ)}"],
                ["make", "install", f"DESTDIR={place}/root"],
            ):
                run_logged(command, cwd=tree, env=env, log=log, on_line=on_line)
            progress.done()
            for part in (place / "root").joinpath(*home.parts[1:]).iterdir():
                part.rename(place / part.name)
            shutil.rmtree(place / "root")


def main(arguments: Sequence[str]) -> int:
    """The command line's entry: returns the exit status."""
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open_cache(os.environ) as cache:
            print(provide(cache))
    except BuildError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
