# SPDX-License-Identifier: GPL-2.0-only
"""The tools of the kernel's build: which are needed, how they run, what is said when they fail."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRESS_PERIOD_S = 10.0
LOG_TAIL_LINES = 30

# What a build may see of the caller's environment: MAKEFLAGS, CFLAGS, LDFLAGS, ARCH, KCFLAGS and
# their like belong to somebody else's build.
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")

# Program -> package, in Debian and in Fedora.
PACKAGES = {
    "make": ("make", "make"),
    "gcc": ("gcc", "gcc"),
    "ld": ("binutils", "binutils"),
    "flex": ("flex", "flex"),
    "bison": ("bison", "bison"),
    "bc": ("bc", "bc"),
    "patch": ("patch", "patch"),
    "aarch64-linux-gnu-gcc": ("gcc-aarch64-linux-gnu", "gcc-aarch64-linux-gnu"),
    "aarch64-linux-gnu-ld": ("binutils-aarch64-linux-gnu", "binutils-aarch64-linux-gnu"),
}
SAME_PACKAGE = {"objcopy": "ld", "strip": "ld", "readelf": "ld", "nm": "ld"}

NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")


class BuildError(Exception):
    """The build can't go on; the message names the reason and the remedy."""


def say(text: str) -> None:
    """Prints one whole line of progress."""
    print(f"[lklsock] {text}", file=sys.stderr, flush=True)


def disk_full(where: Path) -> BuildError:
    """The error for a file system that has no room left."""
    return BuildError(
        f"no space left on the file system of {where}\n"
        "  free about 1 GB there, or set LKLSOCK_CACHE_DIR to a directory on another one"
    )


def is_disk_full(error: OSError) -> bool:
    """Whether `error` means that there is no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Toolchain:
    """The C compiler of the target and the binutils beside it."""

    cc: tuple[str, ...]
    prefix: str
    arch: str
    is_clang: bool
    compiler: str
    target: str
    libc: str

    def binutil(self, name: str) -> str:
        """The command name of one of the target's binutils."""
        return self.prefix + name

    @property
    def name(self) -> str:
        """Compiler and version as one word, for directory names."""
        return self.compiler.replace(" ", "-")


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every tool of the build: reproducible, and free of others' flags."""
    kept = {name: environ[name] for name in KEPT_VARIABLES if name in environ}
    kept |= {name: value for name, value in environ.items() if name.startswith("CCACHE_")}
    return kept | {
        "LC_ALL": "C",
        "SOURCE_DATE_EPOCH": "0",
        "KBUILD_BUILD_TIMESTAMP": "1970-01-01 00:00:00 UTC",
        "KBUILD_BUILD_USER": "lklsock",
        "KBUILD_BUILD_HOST": "lklsock",
        "KBUILD_BUILD_VERSION": "1",
    }


def jobs(environ: Mapping[str, str]) -> int:
    """How many jobs run at once: LKLSOCK_JOBS, or one a usable CPU."""
    wanted = environ.get("LKLSOCK_JOBS", "")
    if not wanted:
        return len(os.sched_getaffinity(0))
    if not wanted.isdecimal() or int(wanted) < 1:
        raise BuildError(f"LKLSOCK_JOBS is {wanted!r}; a number of at least 1 was expected")
    return int(wanted)


def require(programs: Sequence[str], environ: Mapping[str, str]) -> None:
    """Raises one BuildError that names every missing program and the packages to install."""
    missing = [name for name in programs if not shutil.which(name, path=environ.get("PATH"))]
    if not missing:
        return
    debian, fedora = [], []
    for name in missing:
        head, _, tail = name.rpartition("-")
        stem = f"{head}-{SAME_PACKAGE[tail]}" if head and tail in SAME_PACKAGE else name
        package = PACKAGES.get(SAME_PACKAGE.get(stem, stem), (stem, stem))
        debian.append(package[0])
        fedora.append(package[1])
    raise BuildError(
        f"the kernel cannot be built without: {', '.join(missing)}\n"
        f"  Debian, Ubuntu:  apt-get install {' '.join(dict.fromkeys(debian))}\n"
        f"  Fedora:          dnf install {' '.join(dict.fromkeys(fedora))}"
    )


def find_toolchain(arch: str, environ: Mapping[str, str]) -> Toolchain:
    """Finds the compiler (CC, or CROSS_COMPILE's gcc) and checks that every tool is there.

    Raises:
        BuildError: a tool is missing, or the compiler makes code for another processor.
    """
    prefix = environ.get("CROSS_COMPILE", "")
    cc = tuple(shlex.split(environ.get("CC", ""))) or (f"{prefix}gcc",)
    binutils = [prefix + name for name in ("ld", "objcopy", "strip", "readelf", "nm")]
    # Helper programs of the kernel's build are made with the build machine's own gcc.
    require(list(dict.fromkeys([cc[0], "make", "gcc", *binutils, "flex", "bison", "bc"])), environ)
    env = clean_environment(environ)
    version_text = output([*cc, "--version"], env)
    is_clang = "clang" in version_text
    version = (
        output([*cc, "-dumpversion"], env) if is_clang else output([*cc, "-dumpfullversion"], env)
    )
    target = output([*cc, "-dumpmachine"], env)
    if target.split("-")[0] != arch:
        raise BuildError(
            f"{shlex.join(cc)} makes code for {target}, not for {arch}\n"
            f"  set CROSS_COMPILE={arch}-linux-gnu- (Debian: apt-get install"
            f" gcc-{arch.replace('_', '-')}-linux-gnu), or give --arch"
        )
    libc = output(
        [*cc, "-E", "-P", "-x", "c", "-"],
        env,
        given="#include <features.h>\n__GLIBC__ __GLIBC_MINOR__\n",
    )
    return Toolchain(
        cc=cc,
        prefix=prefix,
        arch=arch,
        is_clang=is_clang,
        compiler=f"{'clang' if is_clang else 'gcc'} {version}",
        target=target,
        libc="other libc" if "__GLIBC__" in libc else f"glibc {'.'.join(libc.split()[-2:])}",
    )


def output(command: Sequence[str], env: Mapping[str, str], given: str = "") -> str:
    """Runs a short command and returns what it printed, stripped."""
    try:
        done = subprocess.run(
            command, env=env, input=given, capture_output=True, text=True, check=True, timeout=120
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "no message").strip().splitlines()[-1:]
        raise BuildError(f"`{shlex.join(command)}` failed: {''.join(last)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"`{shlex.join(command)}` failed: {error}") from error
    return done.stdout.strip()


def run_logged(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None] = lambda line: None,
) -> None:
    """Runs a long command with its output appended to `log`, each line also given to `on_line`.

    The command gets a process group of its own, which dies with this function: an interrupted
    build leaves no compiler behind.

    Raises:
        BuildError: it failed; with the last lines of its output and the path of the log.
    """
    tail: list[str] = []
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"$ {shlex.join(command)}\n")
        sink.flush()
        # A signal between the fork and the assignment would leave a process that nobody knows.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
            )
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        assert process.stdout is not None
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for line in process.stdout:
                sink.write(line)
                tail = [*tail[-(LOG_TAIL_LINES - 1) :], line.rstrip()]
                on_line(line)
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
        finally:
            process.stdout.close()
            process.wait()
    if process.returncode == 0:
        return
    if any(NO_SPACE.search(line) for line in tail):
        raise disk_full(log)
    shown = "\n".join(f"    {line}" for line in tail)
    raise BuildError(
        f"`{shlex.join(command)}` failed with status {process.returncode}:\n{shown}\n"
        f"  the whole output is in {log}"
    )


class Progress:
    """Counts compiled objects in make's output, and says so every ten seconds."""

    def __init__(self, what: str, expected: int) -> None:
        self.what = what
        self.expected = expected
        self.objects = 0
        self._started = self._said = time.monotonic()

    def line(self, text: str) -> None:
        """Takes one line of make's output."""
        if re.match(r"\s+(CC|AS)\s", text):
            self.objects += 1
        now = time.monotonic()
        if now - self._said >= PROGRESS_PERIOD_S:
            self._said = now
            say(f"{self.what} {self.objects}/{max(self.expected, self.objects)} objects, "
                f"{now - self._started:.0f} s")  # fmt: skip

    def done(self) -> None:
        """Says what was compiled, if anything was."""
        if self.objects:
            say(f"{self.what} compiled: {self.objects} objects, "
                f"{time.monotonic() - self._started:.0f} s")  # fmt: skip
