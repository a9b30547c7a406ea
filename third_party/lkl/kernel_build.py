# SPDX-License-Identifier: GPL-2.0-only
"""Builds liblkl.so: Linux as a library, from Debian's kernel source and our own arch/lkl.

Runs alone, without any package but Python's own library:

    python third_party/lkl/kernel_build.py --output DIR

and is what setup.py's build_kernel calls. README.md beside this file tells the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import kernel_source
from kernel_cache import (
    appearing,
    digest_files,
    digest_of,
    files_below,
    forget_old_entries,
    locked,
    open_cache,
    write_whole,
)
from kernel_compile import WorkDir, compile_kernel, discard
from kernel_link import ARCHITECTURES, HostHalf, link_library, strip_library
from kernel_source import KernelSource
from kernel_tools import (
    BuildError,
    Toolchain,
    clean_environment,
    disk_full,
    find_toolchain,
    is_disk_full,
    jobs,
    require,
    say,
)

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent

FLAVOURS = ("release", "debug")
SANITIZERS = ("address", "thread")

LIBRARY = "liblkl.so"
LIBRARY_DEBUG = "liblkl.so.debug"
BUILD_INFO = "build-info.json"
CONFIG = "config"
SYSCALL_HEADER = "lkl_syscall_nr.h"
ALL_FILES = (LIBRARY, LIBRARY_DEBUG, BUILD_INFO, CONFIG, SYSCALL_HEADER)
PACKAGE_FILES = (LIBRARY, BUILD_INFO)


@dataclass(frozen=True)
class Request:
    """What to build."""

    arch: str
    flavour: str = "release"
    sanitize: str = ""
    update: bool = False
    clean: bool = False


def default_arch(environ: Mapping[str, str]) -> str:
    """The processor to build for: CROSS_COMPILE's, or this machine's."""
    prefix = environ.get("CROSS_COMPILE", "")
    if prefix:
        return Path(prefix).name.split("-")[0]
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine()
    )


def build(
    request: Request,
    output: Path,
    *,
    files: Sequence[str] = PACKAGE_FILES,
    environ: Mapping[str, str] = os.environ,
    project: Path = PROJECT,
) -> None:
    """Builds the library, or takes it from the cache, and puts `files` of it into `output`.

    Each file appears whole or not at all, and only if it differs from what is there.

    Args:
        request: what to build.
        output: the directory that gets the files; made if it is missing.
        files: names out of ALL_FILES.
        environ: the variables that README.md lists.
        project: the checkout whose arch/lkl, lkl.config and csrc are built.

    Raises:
        BuildError: with the reason and the remedy.
    """
    with _disk_errors(output):
        ready = environ.get("LKLSOCK_KERNEL_LIB", "")
        if ready:
            _take_ready_library(Path(ready).expanduser(), output)
            return
        if request.arch not in ARCHITECTURES:
            raise BuildError(
                f"there is no port to {request.arch}, only to {' and '.join(ARCHITECTURES)}"
            )
        toolchain = find_toolchain(request.arch, environ)
        patches = sorted((project / "third_party/lkl/patches").glob("[0-9]*.patch"))
        if patches:
            require(["patch"], environ)
        with open_cache(environ) as cache, _disk_errors(cache):
            source = kernel_source.locate(cache, environ, patches, update=request.update)
            entry = _entry(request, source, toolchain, patches, environ, cache, project)
            for name in files:
                if (entry / name).is_file():
                    write_whole(output / name, (entry / name).read_bytes())


@contextlib.contextmanager
def _disk_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(Path(error.filename or where)) from error
        raise


def _take_ready_library(library: Path, output: Path) -> None:
    if not library.is_file():
        raise BuildError(f"LKLSOCK_KERNEL_LIB: {library} does not exist")
    content = library.read_bytes()
    if content[:4] != b"\x7fELF":
        raise BuildError(f"LKLSOCK_KERNEL_LIB: {library} is not a shared library")
    info = library.with_name(BUILD_INFO)
    facts = json.loads(info.read_text()) if info.is_file() else {"source_kind": "unknown"}
    facts["library_sha256"] = hashlib.sha256(content).hexdigest()
    say(f"taking {library}")
    write_whole(output / LIBRARY, content)
    write_whole(output / BUILD_INFO, _as_json(facts))


def _as_json(facts: Mapping[str, object]) -> bytes:
    return (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode()


def _entry(
    request: Request,
    source: KernelSource,
    toolchain: Toolchain,
    patches: Sequence[Path],
    environ: Mapping[str, str],
    cache: Path,
    project: Path,
) -> Path:
    """The cache's directory of finished files for this request, built if it is not there."""
    lkl = project / "third_party/lkl"
    port = lkl / "arch/lkl"
    host = HostHalf(project, request.arch, request.sanitize, source.version)
    lists = [lkl / "lkl.config", *([lkl / "debug.config"] if request.flavour == "debug" else [])]
    facts: dict[str, object] = {
        "arch": request.arch,
        "compiler": f"{toolchain.compiler}, {toolchain.target}",
        "config_sha256": digest_files(lkl, lists),
        "flavour": request.flavour,
        "host_sha256": digest_files(project, host.inputs()),
        "libc": toolchain.libc,
        "licence": "GPL-2.0-only",
        "linux_version": source.version,
        "patches": {patch.name: digest_files(lkl, [patch]) for patch in patches},
        "port_sha256": digest_files(port, files_below(port)),
        "sanitize": request.sanitize,
        "source": source.origin,
        "source_kind": source.kind,
        "source_sha256": source.sha256,
    }
    key = digest_of({**facts, "tools": digest_files(HERE, HERE.glob("kernel_*.py"))})
    entry = cache / "kernel" / key
    with locked(entry):
        if (entry / BUILD_INFO).is_file() and not request.clean:
            os.utime(entry)
            say(f"Linux {source.version}, {request.flavour}: unchanged")
            return entry
        _build_entry(entry, request, source, toolchain, host, lists, environ, facts, cache)
    forget_old_entries(entry.parent)
    return entry


def _build_entry(
    entry: Path,
    request: Request,
    source: KernelSource,
    toolchain: Toolchain,
    host: HostHalf,
    feature_lists: list[Path],
    environ: Mapping[str, str],
    facts: dict[str, object],
    cache: Path,
) -> None:
    started = time.monotonic()
    name = f"{source.name}-{toolchain.name}-{request.arch}-{request.flavour}"
    work = WorkDir(cache / "work" / name)
    env = clean_environment(environ)
    with locked(work.root), appearing(entry) as place:
        if request.clean:
            discard(work)
        compile_kernel(
            work,
            source,
            host.project / "third_party/lkl/arch/lkl",
            feature_lists,
            toolchain,
            env,
            flavour=request.flavour,
            jobs=jobs(environ),
        )
        link_library(work, host, toolchain, env, place / LIBRARY_DEBUG, jobs=jobs(environ))
        strip_library(place / LIBRARY_DEBUG, place / LIBRARY, toolchain, env)
        library = (place / LIBRARY).read_bytes()
        (place / CONFIG).write_bytes(work.config.read_bytes())
        (place / SYSCALL_HEADER).write_bytes(work.syscall_header.read_bytes())
        facts = {**facts, "library_sha256": hashlib.sha256(library).hexdigest()}
        (place / BUILD_INFO).write_bytes(_as_json(facts))
    say(
        f"Linux {source.version}, {request.flavour}: {LIBRARY} of {len(library) / 1e6:.2f} MB,"
        f" {time.monotonic() - started:.0f} s"
    )


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="kernel_build.py",
        description="Builds liblkl.so: Linux as a library.",
        epilog="Environment: LKLSOCK_CACHE_DIR, LKLSOCK_KERNEL_SOURCE, LKLSOCK_KERNEL_SHA256,"
        " LKLSOCK_KERNEL_LIB, LKLSOCK_JOBS, CC, CROSS_COMPILE; README.md tells of each.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=PROJECT / "src/lklsock/_kernel",
        metavar="DIR",
        help="where the finished files go (default: the package in this checkout)",
    )
    parser.add_argument("--flavour", choices=FLAVOURS, default="release")
    parser.add_argument("--sanitize", choices=SANITIZERS, default="", help="the host half only")
    parser.add_argument(
        "--arch",
        choices=ARCHITECTURES,
        help="the processor to build for (default: CROSS_COMPILE's, or this machine's)",
    )
    parser.add_argument(
        "--all-files",
        action="store_true",
        help="also symbols, configuration and system call numbers",
    )
    parser.add_argument(
        "--update", action="store_true", help="ask apt for a newer kernel source than the last one"
    )
    parser.add_argument("--clean", action="store_true", help="compile everything anew")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """The command line's entry: returns the exit status."""
    chosen = parse_arguments(arguments)

    def terminated(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, terminated)
    request = Request(
        arch=chosen.arch or default_arch(os.environ),
        flavour=chosen.flavour,
        sanitize=chosen.sanitize,
        update=chosen.update,
        clean=chosen.clean,
    )
    try:
        files = ALL_FILES if chosen.all_files else PACKAGE_FILES
        build(request, chosen.output, files=files)
    except BuildError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
