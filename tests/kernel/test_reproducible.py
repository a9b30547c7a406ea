"""The same inputs give the same library, wherever they lie."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernel_cache import open_cache

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 3600


def built_in(place: Path, cache: Path) -> str:
    """Builds the library there, with the source alone of `cache`, and returns its SHA-256."""
    checkout = place / "checkout"
    for part in ("third_party", "csrc"):
        shutil.copytree(ROOT / part, checkout / part)
    (place / "cache").mkdir()
    (place / "cache/source").symlink_to(cache / "source")
    command = [sys.executable, checkout / "third_party/lkl/kernel_build.py"]
    subprocess.run(
        [*command, "--output", place / "out"],
        env={**os.environ, "LKLSOCK_CACHE_DIR": str(place / "cache"), "LKLSOCK_KERNEL_LIB": ""},
        check=True,
        timeout=TIMEOUT_S,
    )
    return hashlib.sha256((place / "out/liblkl.so").read_bytes()).hexdigest()


@pytest.mark.full
@pytest.mark.slow
def test_two_builds_in_different_places_give_the_same_library(tmp_path: Path) -> None:
    with open_cache(os.environ) as cache:
        first = built_in(tmp_path / "here", cache)
        assert built_in(tmp_path / "in-a-place-with-a-longer-name", cache) == first
