"""The debug build of `make test-full`: the kernel's own tests, and lockdep over a busy day."""

import re
from pathlib import Path

import pytest
from own_process import in_own_process

from lklsock import Stack, _life, socket
from lklsock.link import Wire

LIBRARY = Path(__file__).parents[2] / "build" / "kernel" / "debug" / "liblkl.so"

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY} is missing: make test-full"),
]


def debug_stack(command_line: str = "") -> Stack:
    _life._library = lambda: str(LIBRARY)
    return Stack(command_line=command_line, console_level=8)


@in_own_process(timeout_s=180)
def test_kernels_own_tests_pass() -> None:
    stack = debug_stack("kunit.enable=1")
    stack.boot()
    console = stack.console()
    for suite, cases in (("mptcp-crypto", 1), ("mptcp-token", 4)):
        assert re.search(rf"^ok \d+ {suite}$", console, re.MULTILINE), console
        names = re.findall(rf"^ +ok \d+ {suite.replace('-', '_')}_\w+$", console, re.MULTILINE)
        assert len(names) == cases
    assert "not ok" not in console


@in_own_process(timeout_s=180)
def test_lockdep_has_no_complaint() -> None:
    left, right = debug_stack(), debug_stack()
    for path in range(2):
        near, far = Wire.pair()
        left.add_link(near, addresses=[f"10.{path}.0.1/24", f"fd0{path}::1/64"])
        right.add_link(far, addresses=[f"10.{path}.0.2/24", f"fd0{path}::2/64"])
    for mode, family, host in (
        ("prefer", socket.AF_INET, "10.0.0.2"),
        ("off", socket.AF_INET6, "fd00::2"),
    ):
        left.mptcp_mode = right.mptcp_mode = mode
        with right:
            server = socket.create_server((host, 0), family=family)
        with left:
            client = socket.create_connection(server.getsockname()[:2], timeout=30)
        accepted, _ = server.accept()
        accepted.settimeout(30)
        for _ in range(200):
            client.sendall(bytes(20_000))
            left_over = 20_000
            while left_over:
                left_over -= len(accepted.recv(left_over))
        ifindex = left.interface("wire1").ifindex
        left.kernel.interface_up(ifindex, False)
        left.kernel.interface_up(ifindex, True)
        for sock in (client, accepted, server):
            sock.close()
    consoles = left.console() + right.console()
    left.halt()
    consoles += left.console()
    for complaint in ("WARNING", "possible", "BUG", "Call Trace", "suspicious"):
        assert complaint not in consoles, consoles
