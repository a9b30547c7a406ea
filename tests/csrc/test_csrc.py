# SPDX-License-Identifier: GPL-2.0-only
"""Runs the C tests of csrc/host and csrc/link, plain and under the sanitizers of `make check`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "build" / "tests-csrc"
PROGRAMS = sorted(file.stem for file in HERE.glob("test_*.c"))
VARIANTS = ("plain", "asan")

BUILD_TIMEOUT_S = 300
RUN_TIMEOUT_S = 300
SKIP_CODE = 77


def make(*targets: str, timeout_s: float) -> None:
    """Runs make in this directory.

    Raises:
        subprocess.CalledProcessError: a target failed; its output is shown by pytest.
    """
    subprocess.run(
        ["make", "-s", "-j2", "-C", str(HERE), f"OUT={OUT}", *targets],
        check=True,
        timeout=timeout_s,
    )


@pytest.fixture(scope="module", params=VARIANTS)
def programs(request: pytest.FixtureRequest) -> Path:
    """The directory of the built programs of one variant."""
    variant: str = request.param
    make(f"build-{variant}", timeout_s=BUILD_TIMEOUT_S)
    return OUT / variant


@pytest.mark.parametrize("program", PROGRAMS)
def test_c_program_passes(programs: Path, program: str) -> None:
    ran = subprocess.run(
        [programs / program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )
    if ran.returncode == SKIP_CODE:
        pytest.skip(ran.stdout.strip().splitlines()[-1])
    assert ran.returncode == 0, ran.stdout
