# SPDX-License-Identifier: GPL-2.0-only
"""Gets Debian's kernel source package through apt, as any user, with an apt state of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from kernel_cache import locked
from kernel_tools import BuildError, disk_full, say

PACKAGE = "linux-source-6.12"

WITHOUT_APT = (
    "set LKLSOCK_KERNEL_SOURCE to a linux-source-6.12_*.deb of Debian, or to a Linux 6.12"
    " .tar.xz or tree"
)


def download(
    directory: Path, environ: Mapping[str, str], acceptable: Callable[[str], bool]
) -> Path:
    """Downloads the newest package whose kernel version is acceptable, and returns its file.

    apt's candidate is tried first, then what else the archive's index offers: an index can name
    a file that the archive has dropped. apt checks the file against the signed index.

    Args:
        directory: where the package and a private apt state are kept.
        environ: the caller's environment.
        acceptable: whether a kernel version as "6.12.117" will do.

    Raises:
        BuildError: no apt, no network, or no such package; with what apt said.
    """
    if not shutil.which("apt-get", path=environ.get("PATH")):
        raise BuildError(f"there is no apt-get to fetch the kernel source with\n  {WITHOUT_APT}")
    with locked(directory / "apt"):
        return _download(directory, environ, acceptable)


def _download(
    directory: Path, environ: Mapping[str, str], acceptable: Callable[[str], bool]
) -> Path:
    state, cache = directory / "apt" / "state", directory / "apt" / "cache"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    # The system's list of archives and its keys stay in force; state and cache are ours.
    options = [
        *("-o", f"Dir::State={state}", "-o", f"Dir::Cache={cache}"),
        *("-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"),
        *("-o", "Acquire::Retries=3"),
    ]
    say(f"asking apt for {PACKAGE}")
    updated = _run(["apt-get", *options, "-qq", "update"], directory, environ)
    offered = _run(["apt-cache", *options, "madison", PACKAGE], directory, environ)
    versions = list(_versions(offered.stdout))
    usable = [version for version in versions if acceptable(version.split("-")[0])]
    if not usable:
        found = f" (it has {', '.join(versions)})" if versions else ""
        said = updated.stderr.strip().splitlines()[:3]
        reason = "".join(f"\n    {line}" for line in said)
        raise BuildError(f"apt offers no usable {PACKAGE}{found}{reason}\n  {WITHOUT_APT}")
    complaints: list[str] = []
    for version in usable:
        say(f"downloading {PACKAGE} {version}, about 150 MB")
        done = _run(
            ["apt-get", *options, "-qq", "download", f"{PACKAGE}={version}"], directory, environ
        )
        file = directory / f"{PACKAGE}_{version.replace(':', '%3a')}_all.deb"
        if done.returncode == 0 and file.is_file():
            return file
        if "No space left" in done.stderr:
            raise disk_full(directory)
        complaints += done.stderr.strip().splitlines()[:2]
    reason = "".join(f"\n    {line}" for line in complaints)
    raise BuildError(f"apt could not download {PACKAGE}:{reason}\n  {WITHOUT_APT}")


def _versions(madison: str) -> Iterator[str]:
    """The versions in `apt-cache madison`'s table, the newest first, each once."""
    seen: set[str] = set()
    for line in madison.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 3 and fields[0] == PACKAGE and fields[1] not in seen:
            seen.add(fields[1])
            yield fields[1]


def _run(
    command: Sequence[str], cwd: Path, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env={**environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=1800,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"`{os.path.basename(command[0])}` failed: {error}") from error
