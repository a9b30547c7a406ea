"""The same inputs give the same library, wherever they lie."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 3600


def user_cache() -> Path:
    """Where an earlier build has put the kernel's source."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~").expanduser() / ".cache"
    return Path(os.environ.get("LKLSOCK_CACHE_DIR") or Path(base) / "lklsock")


def built_in(place: Path) -> str:
    """Builds the library there, with nothing from an earlier build, and returns its SHA-256."""
    checkout = place / "checkout"
    for part in ("third_party", "csrc"):
        shutil.copytree(ROOT / part, checkout / part)
    (place / "cache").mkdir()
    if (user_cache() / "source").is_dir():
        (place / "cache/source").symlink_to(user_cache() / "source")
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
    first = built_in(tmp_path / "here")
    assert built_in(tmp_path / "in-a-place-with-a-longer-name") == first
