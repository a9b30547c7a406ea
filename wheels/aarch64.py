# SPDX-License-Identifier: GPL-2.0-only
"""Builds a wheel for aarch64 with a cross compiler, and tries it under qemu-user.

    python wheels/aarch64.py

It takes Debian's gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu and qemu-user, and a CPython with
headers of the version that this Debian has: the target's own is fetched from the archive. The
Python that runs this has setuptools, pybind11, build and auditwheel.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from archive import Archive
from kernel_cache import appearing, locked, open_cache
from kernel_tools import BuildError, require, say
from native import TIMEOUT_S, build_wheel, run

HERE = Path(__file__).resolve().parent
TRIPLET = "aarch64-linux-gnu"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def sysroot(cache: Path, release: str) -> Path:
    """A directory with the target's Python, its headers and libraries, as Debian has them."""
    root = cache / "sysroot" / f"{release}-arm64-python{VERSION}"
    with locked(root):
        if not root.is_dir():
            archive = Archive(cache / "apt", release, "arm64")
            packages = archive.download(
                [f"libpython{VERSION}-dev", f"python{VERSION}", "libstdc++6"]
            )
            with appearing(root) as place:
                for package in packages:
                    run(["dpkg-deb", "-x", package, place])
    return root


def cross_environment(root: Path, directory: Path) -> dict[str, str]:
    """What makes setuptools of this machine's Python build for the target's."""
    name = f"_sysconfigdata__{TRIPLET}"
    shutil.copy(root / f"usr/lib/python{VERSION}/{name}.py", directory)
    include = f"-I{root}/usr/include/python{VERSION} -idirafter {root}/usr/include"
    return {
        **os.environ,
        "CROSS_COMPILE": f"{TRIPLET}-",
        "CC": f"{TRIPLET}-gcc",
        "CXX": f"{TRIPLET}-g++",
        "LDSHARED": f"{TRIPLET}-gcc -shared",
        "LDCXXSHARED": f"{TRIPLET}-g++ -shared",
        "CPPFLAGS": include,
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "_PYTHON_SYSCONFIGDATA_NAME": name,
        "PYTHONPATH": str(directory),
    }


def test(wheel: Path, root: Path, directory: Path) -> None:
    """Installs the wheel beside the target's Python, and has it work."""
    site = directory / "site"
    tags = wheel.stem.split("-")[-1].split(".")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)]
    install += ["--only-binary", ":all:", "--python-version", VERSION, "--implementation", "cp"]
    install += [f"--platform={tag}" for tag in tags]
    run([*install, str(wheel)])
    target: list[str | Path] = ["qemu-aarch64", "-L", root, root / f"usr/bin/python{VERSION}"]
    env = {"PYTHONPATH": str(site), "PATH": os.environ["PATH"], "HOME": str(directory)}
    for arguments in (["--loopback"], []):
        command = [*target, HERE / "smoke.py", *arguments]
        subprocess.run(command, env=env, check=True, timeout=TIMEOUT_S)


def main() -> int:
    """The command line's entry: returns the exit status."""
    try:
        require([f"{TRIPLET}-gcc", f"{TRIPLET}-g++", f"{TRIPLET}-ld", "qemu-aarch64"], os.environ)
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
        with open_cache(os.environ) as cache, tempfile.TemporaryDirectory() as temporary:
            root = sysroot(cache, release)
            environ = cross_environment(root, Path(temporary))
            wheel = build_wheel(Path(temporary), ["--no-isolation"], environ)
            test(wheel, root, Path(temporary))
        say(f"wheels/dist/{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, works")
    except (BuildError, subprocess.SubprocessError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
