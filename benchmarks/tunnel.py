"""A stack behind a Tunnel, and one behind a Vxlan link, against the host's own vxlan device.

Bulk over TCP, both ways, over a veth between two namespaces. The host's device has its segmentation
offload off, as it has over a network card without one. Vxlan's row beside the tunnel's shows what
the seal and the gateway's process cost. Needs root.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figure import Figure, Target, alternate, main
from network import Network, why_not
from programs import PROJECT, run

RUNS = 5
BULK_S = 2.5
SETTLE_S = 0.5
DEADLINE_S = 60.0

END = str(Path(__file__).with_name("tunnel_end.py"))
KINDS = {"host": "10.9.0.1", "tunnel": "10.9.1.1", "vxlan": "10.9.2.1"}
"""The server's address behind each."""

_ports = itertools.count(5000)

# SIOCETHTOOL with ETHTOOL_STSO, ETHTOOL_SGSO: no program of the distribution's is needed.
_OFFLOADS_OFF = """
import array, fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for command in (0x1F, 0x24):
        value = array.array("I", [command, 0])
        request = struct.pack("16sP", sys.argv[1].encode(), value.buffer_info()[0])
        fcntl.ioctl(sock, 0x8946, request.ljust(40, b"\\0"))
"""


def _vxlan(network: Network, name: str, device: str, number: int, ends: tuple[int, int]) -> None:
    local, remote = ends
    how = f"id {number} local 192.0.2.{local} remote 192.0.2.{remote} dstport {4788 + number}"
    network.ip(name, f"link add {device} type vxlan {how}")
    network.ip(name, f"addr add 10.9.{2 * (number - 1)}.{local}/24 dev {device}")
    network.ip(name, f"link set {device} up")


@contextmanager
def place() -> Iterator[tuple[Network, str]]:
    """Namespaces "server" and "client" with everything; and the tunnel's key."""
    network = Network()
    gateway: subprocess.Popen[str] | None = None
    with tempfile.TemporaryDirectory() as directory:
        key_file = Path(directory, "key")
        words = [sys.executable, "-m", "lklsock", "gateway"]
        key = run(*words, "--new-key").strip()
        key_file.touch(0o600)
        key_file.write_text(key)
        try:
            for name in ("server", "client"):
                network.add(name)
            network.veth("client", "wan", "server", "wan", "192.0.2")
            for name, ends in (("server", (1, 2)), ("client", (2, 1))):
                _vxlan(network, name, "vx1", 1, ends)
                run(*network.inside(name), sys.executable, "-c", _OFFLOADS_OFF, "vx1")
            _vxlan(network, "server", "vx2", 2, (1, 2))
            network.ip("server", "tuntap add tap0 mode tap vnet_hdr")
            network.ip("server", f"addr add {KINDS['tunnel']}/24 dev tap0")
            network.ip("server", "link set tap0 mtu 1426 up")
            gateway = subprocess.Popen(
                [*network.inside("server"), *words, "--tap", "tap0", "--key-file", str(key_file)],
                stderr=subprocess.PIPE,
                text=True,
            )
            assert gateway.stderr is not None
            line = gateway.stderr.readline()
            if "listening" not in line:
                raise RuntimeError(line)
            yield network, key
        finally:
            if gateway is not None:
                gateway.terminate()
                gateway.communicate(timeout=DEADLINE_S)
            network.remove()


def gbit_per_s(network: Network, key: str, kind: str, direction: str) -> float:
    """What the receiver of one transfer saw."""
    port = str(next(_ports))
    words = [sys.executable, END]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    pipe = subprocess.PIPE
    server = subprocess.Popen(
        [*network.inside("server"), *words, "server", port], stdout=pipe, text=True
    )
    client: subprocess.Popen[str] | None = None
    try:
        assert server.stdout is not None
        server.stdout.readline()
        end = (kind, KINDS[kind], port, direction, str(BULK_S), str(SETTLE_S), key)
        client = subprocess.Popen(
            [*network.inside("client"), *words, "client", *end],
            stdout=pipe,
            text=True,
            env=environment,
        )
        said, _ = client.communicate(timeout=DEADLINE_S)
        if direction == "out":
            said, _ = server.communicate(timeout=DEADLINE_S)
        return float(said) * 8 / 1e9
    finally:
        for process in (client, server):
            if process is not None:
                process.kill()
                process.wait()


def benchmark(runs: int) -> Iterator[Figure]:
    """All rows."""
    reason = why_not()
    if reason is not None:
        yield Figure("tunnel", skipped=reason)
        return
    with place() as (network, key):
        for kind in ("tunnel", "vxlan"):
            for direction in ("out", "in"):
                yield Figure(
                    f"{kind}-bulk-{direction}",
                    "Gbit/s",
                    alternate(
                        runs,
                        lambda kind=kind, direction=direction: gbit_per_s(
                            network, key, kind, direction
                        ),
                        lambda direction=direction: gbit_per_s(network, key, "host", direction),
                    ),
                    target=Target("ratio", ">=", 1.0),
                )


if __name__ == "__main__":
    main(benchmark, RUNS)
