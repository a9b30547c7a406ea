"""The stand-in for liblkl.so (fake_liblkl/): how to build it, and its knobs."""

import shutil
import subprocess
from enum import IntEnum
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INCLUDE = HERE.parent.parent / "csrc" / "include"


class Knob(IntEnum):
    """System calls of the fake that are for the test; see fake.h."""

    FAIL = 100000
    STATE = 100001
    OPEN_SOCKETS = 100002
    TASKS = 100003
    LINKS = 100004
    FORKS = 100005
    BOOT_FAIL = 100006
    ADD = 100007
    CALLS = 100008
    ADDRESS = 100009
    NAME = 100010


def build(library: Path, *flags: str) -> Path:
    """Compiles the fake to this file."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc")
    subprocess.run(
        [
            compiler,
            *("-shared", "-fPIC", "-fvisibility=hidden", "-O1", f"-I{INCLUDE}"),
            *flags,
            *("-o", str(library)),
            *sorted(str(source) for source in (HERE / "fake_liblkl").glob("*.c")),
        ],
        check=True,
        timeout=60,
    )
    return library
