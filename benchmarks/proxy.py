"""The proxy: throughput, two paths together, what it adds to a request, and idle connections.

Throughput is set beside the same proxy on host sockets and beside tinyproxy; the added time, beside
the host without a proxy. Clients and servers are the host's, in network namespaces. Needs root;
tinyproxy is left out where it is missing.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from figure import Figure, Target, alternate, main
from network import EVEN, PATH_COUNT, Network, direct, shaped, why_not
from programs import DEADLINE_S, run

RUNS = 3
BULK_S = 3.0
PATHS_S = 10.0
SETTLE_S = 1.0
REQUESTS = 1000
IDLE = 1000
PORT = 8000
PROXY_PORT = 3128
IPPROTO_MPTCP = 262
TINYPROXY_PORT = 3129

# ---- the ends, each in a process of its own


def _serve(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen(1024)
        print("ready", flush=True)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_answer, args=(sock,), daemon=True).start()


def _answer(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    chunk = bytes(1 << 18)
    with sock:
        try:
            while request := sock.recv(4096):
                while request.startswith(b"GET /bulk"):
                    sock.sendall(chunk)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            pass


def _tunnel(address: str, port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(f"CONNECT {address}:{PORT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    if head.split()[1] != b"200":
        raise RuntimeError(head.decode())
    return sock


def _download(address: str, port: int, seconds: float) -> float:
    """Mbit/s after a second."""
    buffer = bytearray(1 << 18)
    with _tunnel(address, port) as sock:
        sock.sendall(b"GET /bulk HTTP/1.1\r\n\r\n")
        settled = time.perf_counter() + SETTLE_S
        while time.perf_counter() < settled:
            sock.recv_into(buffer)
        count, start = 0, time.perf_counter()
        while (took_s := time.perf_counter() - start) < seconds:
            count += sock.recv_into(buffer)
        return count * 8 / took_s / 1e6


def _requests(address: str, port: int) -> float:
    """The median of a request on a connection that is kept, ms; port 0 for no proxy."""
    there = ("127.0.0.1", port) if port else (address, PORT)
    url = f"http://{address}:{PORT}/" if port else "/"
    request = f"GET {url} HTTP/1.1\r\nHost: {address}:{PORT}\r\n\r\n".encode()
    took: list[float] = []
    with socket.create_connection(there, DEADLINE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(REQUESTS):
            start = time.perf_counter()
            sock.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                answer += sock.recv(4096)
            took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


def _idle(address: str, port: int, pid: int) -> float:
    """What so many idle tunnels take of the proxy's memory, MB."""

    def resident_bytes() -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = [_tunnel(address, port) for _ in range(10)]
    start = resident_bytes()
    tunnels = [_tunnel(address, port) for _ in range(IDLE)]
    taken = (resident_bytes() - start) / 1e6
    for sock in (*before, *tunnels):
        sock.close()
    return taken


_ENDS: dict[str, Callable[..., float]] = {
    "download": lambda a, p, s: _download(a, int(p), float(s)),
    "requests": lambda a, p: _requests(a, int(p)),
    "idle": lambda a, p, pid: _idle(a, int(p), int(pid)),
}


# ---- what is measured


def _measure(network: Network, namespace: str, *words: object) -> float:
    """Runs an end in a namespace. Returns: its figure."""
    command = [*network.inside(namespace), sys.executable, __file__, *map(str, words)]
    return float(run(*command, deadline_s=DEADLINE_S))


@contextmanager
def _running(command: Sequence[str], ready: str) -> Iterator[int]:
    """A program, once it has said that it is ready. Yields: its process."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if ready in line:
                break
        else:
            raise RuntimeError(f"{command[0]} ended")
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _server(network: Network, address: str) -> Iterator[None]:
    limits = ["ip", "mptcp", "limits", "set", "subflows", "8", "add_addr_accepted", "8"]
    run(*network.inside("server"), *limits)
    command = [*network.inside("server"), sys.executable, __file__, "server", address]
    with _running(command, "ready"):
        yield


@contextmanager
def _proxy(network: Network, namespace: str, paths: int) -> Iterator[int]:
    """The proxy in a namespace, on so many TAPs of it, or on host sockets for 0."""
    command = [*network.inside(namespace), sys.executable, "-m", "lklsock", "proxy"]
    command += ["--no-config", "--listen", f"127.0.0.1:{PROXY_PORT}"]
    for path in range(paths):
        command += ["--tap", f"tap{path},10.1.{path}.2/24,10.1.{path}.1"]
    if not paths:
        command += ["--world", "host"]
    with _running(command, "Ctrl-C ends it") as pid:
        yield pid


@contextmanager
def _tinyproxy(network: Network) -> Iterator[None]:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"Port {TINYPROXY_PORT}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\n")
        file.flush()
        command = [*network.inside("client"), "tinyproxy", "-d", "-c", file.name]
        with _running(command, "Accepting"):
            yield


def _throughput(network: Network, runs: int) -> Iterator[Figure]:
    """The stack's proxy is with the TAPs, the host's with the veths; the server is one."""
    with _server(network, "0.0.0.0"), _proxy(network, "server", 1), _proxy(network, "client", 0):

        def download(namespace: str, address: str, port: int) -> float:
            return _measure(network, namespace, "download", address, port, BULK_S)

        ours = lambda: download("server", "10.1.0.1", PROXY_PORT)  # noqa: E731
        yield Figure(
            "proxy-throughput",
            "Mbit/s",
            alternate(runs, ours, lambda: download("client", "10.2.0.1", PROXY_PORT)),
            target=Target("ratio", ">=", 0.8),
        )
        if shutil.which("tinyproxy") is None:
            yield Figure("proxy-tinyproxy", skipped="needs tinyproxy (Debian: tinyproxy-bin)")
        else:
            with _tinyproxy(network):
                yield Figure(
                    "proxy-tinyproxy",
                    "Mbit/s",
                    alternate(runs, ours, lambda: download("client", "10.2.0.1", TINYPROXY_PORT)),
                    target=Target("ratio", ">=", 1),
                )
        yield Figure(
            "proxy-request",
            "ms",
            alternate(
                runs,
                lambda: _measure(network, "server", "requests", "10.1.0.1", PROXY_PORT),
                lambda: _measure(network, "client", "requests", "10.2.0.1", 0),
            ),
            less_is_better=True,
            target=Target("added", "<=", 1),
        )


def _idle_memory(network: Network, runs: int) -> Figure:
    taken = []
    with _server(network, "0.0.0.0"):
        for _ in range(runs):
            with _proxy(network, "server", 1) as pid:
                taken.append(_measure(network, "server", "idle", "10.1.0.1", PROXY_PORT, pid))
    return Figure(
        "proxy-idle-1000",
        "MB",
        single=taken,
        less_is_better=True,
        target=Target("lklsock", "<=", 60),
    )


def _two_paths(network: Network, runs: int) -> Figure:
    with _server(network, "10.4.0.2"), _proxy(network, "near", PATH_COUNT):
        words = ("download", "10.4.0.2", PROXY_PORT, PATHS_S)
        rates = [_measure(network, "near", *words) for _ in range(runs)]
    sum_mbit = sum(path.rate_bit_per_s for path in EVEN) / 1e6
    return Figure(
        "proxy-two-paths",
        "Mbit/s",
        single=rates,
        target=Target("lklsock", ">=", 0.92 * sum_mbit),
    )


def benchmark(runs: int) -> Iterator[Figure]:
    """All rows."""
    reason = why_not()
    if reason is not None:
        yield Figure("proxy", skipped=reason)
        return
    with direct() as network:
        yield from _throughput(network, runs)
        yield _idle_memory(network, runs)
    with shaped() as network:
        yield _two_paths(network, runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        _serve(sys.argv[2])
    elif sys.argv[1:2] and sys.argv[1] in _ENDS:
        print(_ENDS[sys.argv[1]](*sys.argv[2:]))
    else:
        main(benchmark, RUNS)
