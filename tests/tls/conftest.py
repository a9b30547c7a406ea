"""The certificates that the tests of this folder use."""

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("localhost", "other.test")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NAME.pem for each name: a self-signed certificate and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("takes openssl: apt install openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for name in NAMES:
        key, certificate = folder / "key", folder / "certificate"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"),
                *("-keyout", key, "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        (folder / f"{name}.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    return folder
