"""What the tests need of the host's network, and what they make of it.

Only in network namespaces of their own, whose names begin with `lkls`.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

requires_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root: network namespaces")
requires_tun = pytest.mark.skipif(
    not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="takes /dev/net/tun"
)
requires_tcpdump = pytest.mark.skipif(
    shutil.which("tcpdump") is None, reason="takes tcpdump: apt install tcpdump"
)
requires_host_mptcp = pytest.mark.skipif(
    not Path("/proc/sys/net/mptcp/enabled").exists(), reason="takes a host kernel with MPTCP"
)


def command(*words: str) -> str:
    """Runs a program of the host. Returns what it printed."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr or done.stdout}"
    return done.stdout


def make_namespace(name: str) -> None:
    """Makes a network namespace with loopback up, in place of one that a dead run left."""
    remove_namespace(name)
    command("ip", "netns", "add", name)
    command("ip", "-n", name, "link", "set", "lo", "up")


def remove_namespace(name: str) -> None:
    """Removes it with all its devices, if it is there."""
    assert name.startswith("lkls")
    if Path("/run/netns", name).exists():
        command("ip", "netns", "del", name)


def make_tap(name: str, *addresses: str) -> None:
    """Makes a TAP device in the namespace that this process is in, and takes it up."""
    command("ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr")
    Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
    for address in addresses:
        command("ip", "addr", "add", address, "dev", name)
    command("ip", "link", "set", name, "up")


def in_namespace(name: str, function: Callable[[], Any]) -> Any:
    """Calls the function in a thread that is in that namespace: sockets that it makes are, too."""

    def call() -> Any:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{name}") as file:
            assert libc.setns(file.fileno(), 0) == 0, ctypes.get_errno()
        return function()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()
