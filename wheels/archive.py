# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages of another release or processor, from the mirror that this system is set up with.

apt does the work, with a state of its own: as any user, verified by the signed index, and without
a change to the system.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "third_party" / "lkl"))

from kernel_tools import BuildError, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TIMEOUT_S = 1800


class Archive:
    """One release of Debian, for one processor.

    Args:
        state: a directory for apt's lists and caches; made if it is missing.
        release: a code name, such as "trixie".
        architecture: in Debian's words; the machine's own if empty.
    """

    def __init__(self, state: Path, release: str, architecture: str = "") -> None:
        self.release = release
        self.architecture = architecture or _said(["dpkg", "--print-architecture"]).strip()
        self._state = state / f"{release}-{self.architecture}"
        self._config = self._state / "apt.conf"
        self._updated = False

    @property
    def mirror(self) -> str:
        """The address from which this system has its own release."""
        return _system_mirror(self._state.parent)

    def download_source(self, package: str, directory: Path) -> list[Path]:
        """Fetches the files of a source package, and returns them."""
        directory.mkdir(parents=True, exist_ok=True)
        self._apt(["source", "--download-only", package], directory)
        return sorted(directory.glob(f"{package}_*"))

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Fetches packages and all that they depend on, and returns the files."""
        self._apt(["install", "--download-only", "--no-install-recommends", "--yes", *packages])
        return sorted((self._state / "cache/archives").glob("*.deb"))

    def _apt(self, arguments: Sequence[str], cwd: Path | None = None) -> None:
        if not self._updated:
            self._set_up()
            _said(["apt-get", "-qq", "update"], config=self._config)
            self._updated = True
        say(f"apt-get {' '.join(arguments)}, of {self.release}, {self.architecture}")
        _said(["apt-get", "-qq", *arguments], config=self._config, cwd=cwd)

    def _set_up(self) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self._state / name).mkdir(parents=True, exist_ok=True)
        installed = self._state / "installed"
        installed.touch()
        signed = f"Signed-By: {KEYRING}\n" if KEYRING.is_file() else ""
        (self._state / "archive.sources").write_text(
            f"Types: deb deb-src\nURIs: {self.mirror}\nSuites: {self.release}\n"
            f"Components: main\n{signed}"
        )
        self._config.write_text(
            f'Dir::State "{self._state}/state";\nDir::Cache "{self._state}/cache";\n'
            f'Dir::State::status "{installed}";\n'
            f'Dir::Etc::sourcelist "{self._state}/archive.sources";\nDir::Etc::sourceparts "-";\n'
            f'APT::Architecture "{self.architecture}";\n'
            f'APT::Architectures {{ "{self.architecture}"; }};\n'
            'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        )


def _system_mirror(state: Path) -> str:
    """The address of the archive of this system's release, as apt knows it."""
    own = state / "system"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (own / name).mkdir(parents=True, exist_ok=True)
    config = own / "apt.conf"
    config.write_text(
        f'Dir::State "{own}/state";\nDir::Cache "{own}/cache";\nAPT::Sandbox::User "root";\n'
    )
    # Which of the lists are Debian's own is known only when they are here.
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    asked += ["Origin: Debian", "Label: Debian", "Component: main"]
    found = _said(asked, config=config).split()
    if not found:
        _said(["apt-get", "-qq", "update"], config=config)
        found = _said(asked, config=config).split()
    if not found:
        raise BuildError("apt knows no archive of Debian; add one to its sources")
    return found[0]


def _said(command: Sequence[str], *, config: Path | None = None, cwd: Path | None = None) -> str:
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    if config:
        env["APT_CONFIG"] = str(config)
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"`{command[0]}` failed: {error}") from error
    if done.returncode:
        last = "\n    ".join(done.stderr.strip().splitlines()[-5:])
        raise BuildError(f"`{' '.join(command)}` failed:\n    {last}")
    return done.stdout
