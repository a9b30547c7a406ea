# SPDX-License-Identifier: GPL-2.0-only
"""Builds and tries wheels for every CPython at hand, with cibuildwheel in a local image.

    python wheels/container.py [3.12 ...]

As root, for debootstrap and podman. The kernel is built once for all, in the cache, which the
container shares; so is what apt has fetched of its source. `[tool.cibuildwheel]` in pyproject.toml
says what is built and how it is tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import image
import interpreters
import kernel_source
from kernel_cache import open_cache
from kernel_tools import BuildError, require, say
from native import DIST, HERE

PROJECT = HERE.parent
TIMEOUT_S = 3600


def found(versions: Sequence[str]) -> dict[str, Path]:
    """The interpreters that can be copied into an image."""
    known = {}
    for version in versions:
        path = interpreters.find(version)
        if path is None:
            say(f"no wheel for Python {version}: it is not here, or has no headers")
        elif path.parent.parent == Path("/usr"):
            say(f"no wheel for Python {version}: {path} is a part of the system, and stays there")
        else:
            known[version] = path
    if not known:
        raise BuildError("there is no Python to build a wheel for; pyenv installs some")
    return known


def build(pythons: Mapping[str, Path], cache: Path, directory: Path) -> None:
    """Has cibuildwheel build, repair and test in the container."""
    podman = image.podman_environment(directory)
    name = image.provide(pythons, cache / "apt", podman)
    # Fetched here: the image's own archive has not this series.
    patches = sorted((PROJECT / "third_party/lkl/patches").glob("[0-9]*.patch"))
    kernel_source.locate(cache, os.environ, patches)
    settings = {
        "CIBW_CONTAINER_ENGINE": "podman",
        "CIBW_MANYLINUX_X86_64_IMAGE": name,
        "CIBW_BUILD": " ".join(f"cp{v.replace('.', '')}-manylinux_x86_64" for v in pythons),
        "CIBW_ENVIRONMENT_LINUX": f"LKLSOCK_CACHE_DIR=/host{cache}",
        "CIBW_ENVIRONMENT_PASS_LINUX": " ".join(
            ["LKLSOCK_JOBS", "SOURCE_DATE_EPOCH", *_of_pip_and_proxies()]
        ),
    }
    command = [sys.executable, "-m", "cibuildwheel", "--platform", "linux"]
    command += ["--archs", "x86_64", "--output-dir", str(DIST)]
    subprocess.run(
        command,
        cwd=_clean_copy(directory),
        env={**podman, **settings},
        check=True,
        timeout=TIMEOUT_S,
    )


def _clean_copy(directory: Path) -> Path:
    """The checkout without what was built in it: that must not get into a wheel."""
    built = ("build", "dist", "*.so", "_kernel", "*.egg-info", "__pycache__", ".*")
    return Path(
        shutil.copytree(PROJECT, directory / "project", ignore=shutil.ignore_patterns(*built))
    )


def _of_pip_and_proxies() -> list[str]:
    """What says how packages are reached from here."""
    return [
        name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")
    ]


def main(arguments: Sequence[str]) -> int:
    """The command line's entry: returns the exit status."""
    try:
        if os.geteuid():
            raise BuildError("wheels are built in a container: run `make wheels` as root")
        require(["debootstrap", "podman", "runc"], os.environ)
        with open_cache(os.environ) as cache, tempfile.TemporaryDirectory() as temporary:
            build(found(arguments or interpreters.VERSIONS), cache, Path(temporary))
    except (BuildError, subprocess.SubprocessError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
