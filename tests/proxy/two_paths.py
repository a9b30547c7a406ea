"""What runs at the ends of two shaped paths: see the fixture `far`."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from host_network import command, make_tap

PATHS = 2
RATE_MBIT = 40
SERVER = "10.4.0.1"
TIMEOUT_S = 60.0


class Program:
    """A program that runs beside this one, and what it says."""

    def __init__(self, words: list[str], ready: str) -> None:
        self.said = ""
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._is_ready = threading.Event()
        self._ready = ready
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._is_ready.wait(TIMEOUT_S), f"{words[0]} is not ready: {self.said}"
        assert self._process.poll() is None, f"{words[0]} has ended: {self.said}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said += line
            if self._ready in line:
                self._is_ready.set()
        self._is_ready.set()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def end(self) -> None:
        """Kills it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def server(far: str, directory: str | Path) -> Iterator[Program]:
    """A web server with MPTCP: http on port 80, https on 443, WebSockets on 8443."""
    script = Path(__file__).with_name("far_server.py")
    words = ["ip", "netns", "exec", far, sys.executable, str(script), SERVER, str(directory)]
    running = Program(words, "serving")
    try:
        yield running
    finally:
        running.end()


@contextlib.contextmanager
def proxy(*options: str) -> Iterator[Program]:
    """The command, in this process's namespace, on 127.0.0.1:3128, with a TAP for each path."""
    words = [sys.executable, "-m", "lklsock", "proxy", "--no-config", *options]
    for path in range(PATHS):
        make_tap(f"tap{path}", f"10.1.{path}.1/24")
        words += ["--tap", f"tap{path},10.1.{path}.2/24,10.1.{path}.1"]
    running = Program(words, "Ctrl-C ends it")
    try:
        yield running
    finally:
        running.end()


def certificate(directory: Path) -> None:
    """cert.pem and key.pem for the server."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -batch"
    subprocess.run(
        [
            *words.split(),
            *("-subj", f"/CN={SERVER}", "-addext", f"subjectAltName=IP:{SERVER}"),
            *("-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")),
        ],
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )


def cut(far: str, path: int) -> None:
    """Loses everything on a path, both ways, without a sign to either end."""
    network = f"10.1.{path}.0/24"
    command("ip", "rule", "add", "from", network, "blackhole", "priority", "1")
    command("ip", "-n", far, "route", "replace", "blackhole", network)


def environment() -> dict[str, str]:
    """Of programs that are to use the proxy."""
    address = "http://127.0.0.1:3128"
    names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy")
    return {**os.environ, **dict.fromkeys(names, address), "no_proxy": "127.0.0.1"}
