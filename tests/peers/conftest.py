"""The kernel's own test program, built from the source that the library was built from."""

import os
import subprocess
from pathlib import Path

import pytest
from required import missing

import kernel_source
from kernel_cache import open_cache
from kernel_tools import BuildError

PATCHES = Path(kernel_source.__file__).with_name("patches")


@pytest.fixture(scope="session")
def mptcp_connect(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the program."""
    program = tmp_path_factory.mktemp("peers") / "mptcp_connect"
    try:
        with open_cache(os.environ) as cache:
            source = kernel_source.locate(cache, os.environ, sorted(PATCHES.glob("[0-9]*.patch")))
            file = source.tree / kernel_source.TEST_KEPT
            if not file.is_file():
                missing(f"{file}, which older builds left out", f"rm -r {cache}/source")
            subprocess.run(
                ["gcc", "-O1", "-o", program, file], check=True, capture_output=True, timeout=60
            )
    except (BuildError, OSError) as error:
        missing("mptcp_connect", str(error))
    return str(program)
