# SPDX-License-Identifier: GPL-2.0-only
"""Where a build keeps its things: directories, locks, keys, and files that appear only whole.

- source/<id>/: an unpacked kernel source, never written to after it has appeared.
- download/: what apt fetched.
- work/<name>/: object files, kept from build to build.
- kernel/<key>/: finished libraries; the key names everything they were made of.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kernel_tools import BuildError, disk_full, is_disk_full, say

# Finished libraries kept, most recently used first. About 12 MB each.
ENTRIES_KEPT = 16


@contextlib.contextmanager
def open_cache(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yields the cache's directory; an empty LKLSOCK_CACHE_DIR gives one that lives for this build.

    Raises:
        BuildError: it can't be made, or its file system is full.
    """
    place = environ.get("LKLSOCK_CACHE_DIR")
    if place == "":
        with tempfile.TemporaryDirectory(prefix="lklsock-build-") as temporary:
            yield Path(temporary)
        return
    if place is None:
        base = environ.get("XDG_CACHE_HOME") or str(Path("~").expanduser() / ".cache")
        place = str(Path(base) / "lklsock")
    root = Path(place).absolute()
    try:
        for part in ("source", "download", "work", "kernel"):
            (root / part).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(root) from error
        raise BuildError(
            f"the cache {root} cannot be written: {error.strerror}\n"
            "  set LKLSOCK_CACHE_DIR to a directory that can, or to nothing for no cache"
        ) from error
    yield root


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of `path` (a file `.<name>.lock` beside it) against other builds."""
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another build that uses {path}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yields an empty directory that becomes `path` if the block succeeds, and vanishes if not."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_whole(path: Path, data: bytes) -> bool:
    """Gives `path` this content by a rename, unless it has it. Returns whether it changed.

    The file is never written in place: a process may have the old one mapped.
    """
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(data)
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def mirror(source: Path, target: Path) -> int:
    """Makes `target` hold the files of `source`, writing only what differs. Returns the number.

    Unchanged files keep their time stamps, so that make compiles only what depends on a change.
    """
    wanted = {file.relative_to(source): file for file in files_below(source)}
    changed = 0
    for old in list(files_below(target)):
        if old.relative_to(target) not in wanted:
            old.unlink()
            changed += 1
    for name, file in wanted.items():
        if (target / name).is_dir():
            shutil.rmtree(target / name)
        changed += write_whole(target / name, file.read_bytes())
    return changed


def files_below(root: Path) -> Iterator[Path]:
    """Every file below `root`, sorted, without editors' and Python's leavings."""
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name != "__pycache__")
        for name in sorted(files):
            if not name.startswith(".") and not name.endswith(("~", ".orig", ".rej", ".pyc")):
                yield Path(directory, name)


def digest_files(root: Path, files: Iterable[Path]) -> str:
    """The SHA-256 of the names (relative to `root`) and contents of `files`."""
    total = hashlib.sha256()
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def digest_of(parts: Mapping[str, object]) -> str:
    """One short key for everything named in `parts`."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def forget_old_entries(kernels: Path) -> None:
    """Removes all but the most recently used finished libraries."""
    entries = [entry for entry in kernels.iterdir() if not entry.name.startswith(".")]
    entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in entries[ENTRIES_KEPT:]:
        shutil.rmtree(entry, ignore_errors=True)
