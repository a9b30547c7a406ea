# SPDX-License-Identifier: GPL-2.0-only
"""Runs the C tests of the whole liblkl.so; each of their facts is shown in a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
OUT = ROOT / "build" / "tests-csrc-kernel"
PROGRAMS = sorted(file.stem for file in HERE.glob("test_*.c"))

BUILD_TIMEOUT_S = 120
RUN_TIMEOUT_S = 300

# The tests end while sockets are open, and no stack may be kept for later: coroutines leave theirs.
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    "TSAN_OPTIONS": "report_signal_unsafe=0",
}


def run(program: str, library: Path, sanitizer: str) -> None:
    """Builds and runs one program; the sanitizer is that of the library's host half, or none."""
    out = OUT / (sanitizer or "plain")
    build = ["make", "-s", "-C", str(HERE), f"OUT={out}", str(out / program)]
    if sanitizer:
        build.append(f"SANITIZE={sanitizer}")
    subprocess.run(build, check=True, timeout=BUILD_TIMEOUT_S)
    ran = subprocess.run(
        [out / program, library],
        env=os.environ | SANITIZER_OPTIONS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_c_program_passes(program: str) -> None:
    run(program, ROOT / "src" / "lklsock" / "_kernel" / "liblkl.so", "")


@pytest.mark.full
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_c_program_passes_under_a_sanitizer(program: str, sanitizer: str) -> None:
    library = ROOT / "build" / "kernel" / sanitizer / "liblkl.so"
    if not library.is_file():
        pytest.skip(f"needs kernel_build.py --sanitize {sanitizer} --output {library.parent}")
    run(program, library, sanitizer)
