"""Programs of others on the stack: how they are patched, and the servers that they talk to."""

import contextlib
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from host_network import make_tap, requires_root, requires_tun
from required import library

import lklsock
from lklsock.link import Tap

TIMEOUT_S = 40.0

HOST, STACK = "10.0.0.1", "10.0.0.2"
"""The host's end of the TAP device, and the stack's."""

needs_namespace = [pytest.mark.root, requires_root, requires_tun]

both_ways = pytest.mark.parametrize("when", ["first", "late"])
"""Patched before the library is imported, or after."""


def load(when: str, *names: str, policy: str = "all") -> list[ModuleType]:
    """Imports libraries and patches, in one order or the other.

    Args:
        when: Patched "first" or "late".
        names: Of the modules; "module:distribution" where pip knows it by another name.
        policy: That of `lklsock.patch`.
    """
    if when == "first":
        lklsock.patch(policy=policy)
    modules = [library(*name.split(":")) for name in names]
    if when == "late":
        lklsock.patch(policy=policy)
    return modules


def check_stack(connections: int = 1) -> None:
    """Asserts that the stack carried so many connections at least, each of them by MPTCP.

    Those to a server of a host without MPTCP fall back.
    """
    report = lklsock.report()
    # PySocks, which urllib3 imports where it is there, derives classes from the original.
    assert not [name for name in report.too_early if not name.startswith("socks.")], report
    counted = report.connections["opened"] + report.connections["fell back"]
    assert counted >= connections, report


def join_host() -> None:
    """Joins the default stack to the host's namespace that this process is in."""
    make_tap("tap0", f"{HOST}/24")
    lklsock.default_stack().add_link(Tap("tap0"), addresses=[f"{STACK}/24"])


@contextlib.contextmanager
def server(command: Sequence[str], ready: str) -> Iterator[None]:
    """Runs a server of the host until the block ends, or this process does.

    Args:
        command: Words.
        ready: What it prints when it serves.
    """
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: deque[str] = deque(maxlen=100)
    serves = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if ready in line:
                serves.set()
        serves.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert serves.wait(TIMEOUT_S), f"{command[0]} does not serve: {''.join(lines)}"
        assert process.poll() is None, f"{command[0]} ended: {''.join(lines)}"
        yield
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def certificate(directory: Path) -> tuple[str, str]:
    """A certificate for localhost, and its key: paths."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    return str(cert), str(key)
