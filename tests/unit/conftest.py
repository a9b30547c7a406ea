"""Fixtures of the unit tests: the binding over a stand-in for liblkl.so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import fake
import pytest

if TYPE_CHECKING:
    from lklsock import _lkl


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the compiled fake."""
    return fake.build(tmp_path_factory.mktemp("fake") / "liblkl-fake.so")


@pytest.fixture
def kernel(fake_library: Path) -> Iterator[_lkl.Kernel]:
    """A booted fake kernel of the test's own."""
    # Not above: the tests of the build need no extension.
    import lklsock.errors  # noqa: F401  (hands its classes to the binding)
    from lklsock import _lkl

    kernel = _lkl.Kernel(str(fake_library))
    kernel.boot(16 << 20)
    yield kernel
    if kernel.state == "running":
        kernel.halt(0)
