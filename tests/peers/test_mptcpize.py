"""Programs that know nothing of MPTCP, under mptcpize on the host's kernel, and the stack."""

import contextlib
import hashlib
import http.client
import http.server
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from far_end import add_host_endpoint, await_flows, await_listener, host_counters
from host_network import requires_host_mptcp, requires_root, requires_tun
from host_paths import connect_taps
from own_process import in_own_process
from required import program
from worlds import JOIN_S, Thread

import lklsock
from lklsock import mptcp, socket

pytestmark = [pytest.mark.root, requires_root, requires_tun, requires_host_mptcp]

HOST, STACK = "10.0.0.1", "10.0.0.2"
CONTENT = random.Random(3).randbytes(8_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
IPERF_PORT, NGINX_PORT = 5201, 8080
IPERF_COOKIE_BYTES = 37


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mptcpize(name: str, package: str, *arguments: str | Path) -> list[str]:
    """The words that run a program with MPTCP in the place of TCP."""
    return [program("mptcpize", "mptcpize"), "run", program(name, package), *map(str, arguments)]


@contextlib.contextmanager
def running(words: list[str], port: int) -> Iterator[None]:
    """Runs a server of the host, which listens on `port`, until the block ends."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        await_listener(port)
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        finally:
            process.kill()
            process.communicate()


def done(words: list[str]) -> str:
    """What a program of the host prints."""
    ran = subprocess.run(words, capture_output=True, text=True, timeout=JOIN_S, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives CONTENT, and says what it was given."""

    protocol_version = "HTTP/1.1"
    spoke_mptcp: ClassVar[list[bool]] = []

    def setup(self) -> None:
        super().setup()
        self.spoke_mptcp.append(mptcp.is_mptcp(self.connection))

    def do_GET(self) -> None:
        self._answer(CONTENT)

    def do_PUT(self) -> None:
        given = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(hashlib.sha256(given).hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """A web server of the stack's. Yields its port."""
    lklsock.patch(policy="all")
    server = http.server.ThreadingHTTPServer((STACK, 0), Handler)
    serving = Thread(server.serve_forever)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        serving.result()
        server.server_close()


@contextlib.contextmanager
def nginx(directory: Path, stack_port: int = 0) -> Iterator[None]:
    """Has nginx serve `directory`, and forward what is under /stack/."""
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"""
        daemon off; master_process off; pid {directory}/nginx.pid; user root;
        events {{}}
        http {{
            access_log off;
            server {{
                listen {NGINX_PORT};
                root {directory};
                location /stack/ {{ proxy_pass http://{STACK}:{stack_port or 80}/; }}
            }}
        }}
        """
    )
    arguments = ("-e", "stderr", "-p", directory, "-c", configuration)
    with running(mptcpize("nginx", "nginx-light", *arguments), NGINX_PORT):
        yield


@in_own_process
def test_curl_loads_from_the_stack_and_sends_to_it(namespace: str, tmp_path: str) -> None:
    connect_taps()
    directory = Path(tmp_path)
    (directory / "content").write_bytes(CONTENT)
    with web_server() as port:
        url = f"http://{STACK}:{port}/"
        curl = mptcpize("curl", "curl", "--silent", "--show-error", "--fail")
        done([*curl, "--output", str(directory / "loaded"), url])
        assert digest_of(directory / "loaded") == DIGEST
        assert done([*curl, "--upload-file", str(directory / "content"), url]) == DIGEST
    assert Handler.spoke_mptcp == [True, True]


@in_own_process
def test_nginx_serves_the_stack_over_two_paths(namespace: str, tmp_path: str) -> None:
    connect_taps()
    directory = Path(tmp_path)
    (directory / "content").write_bytes(CONTENT)
    add_host_endpoint("10.1.0.1", "signal")
    lklsock.patch(policy="all")
    with nginx(directory):
        connection = http.client.HTTPConnection(HOST, NGINX_PORT, timeout=JOIN_S)
        with contextlib.closing(connection):
            for _ in range(2):
                # The second time over the same connection.
                connection.request("GET", "/content")
                assert hashlib.sha256(connection.getresponse().read()).hexdigest() == DIGEST
                await_flows(connection.sock, 2)


@in_own_process
def test_nginx_forwards_to_the_stack(namespace: str, tmp_path: str) -> None:
    connect_taps()
    with web_server() as port, nginx(Path(tmp_path), port):
        loaded = Path(tmp_path, "loaded")
        curl = mptcpize("curl", "curl", "--silent", "--show-error", "--fail")
        done([*curl, "--output", str(loaded), f"http://{HOST}:{NGINX_PORT}/stack/"])
        assert digest_of(loaded) == DIGEST
    assert Handler.spoke_mptcp == [True]
    assert host_counters()["MPCapableACKRX"] == 1


class Relay:
    """Joins what is connected to it with a server of the host, in the stack.

    Attributes:
        passed: What went on from clients, and back to them, of both connections.
    """

    def __init__(self, port: int) -> None:
        self.passed: list[tuple[bytes, bytes]] = []
        self._port = port
        self._listener = socket.create_server((STACK, 0))
        self._listener.settimeout(JOIN_S)
        self.port = self._listener.getsockname()[1]
        self._ends: list[Any] = []
        self._threads = [Thread(self._serve) for _ in range(2)]

    def finish(self) -> None:
        """Ends both connections, whose ends at the programs are closed."""
        # The host's kernel may keep one that was closed with data unread, and window 0, for a
        # minute.
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.result()
        self._listener.close()

    def _serve(self) -> None:
        near, _ = self._listener.accept()
        with near, socket.create_connection((HOST, self._port), timeout=JOIN_S) as far:
            near.settimeout(JOIN_S)
            self._ends += near, far
            assert mptcp.is_mptcp(near)
            assert mptcp.is_mptcp(far)
            back = Thread(self._pump, far, near)
            on = self._pump(near, far)
            self.passed.append((on, back.result()))

    @staticmethod
    def _pump(source: Any, sink: Any) -> bytes:
        passed = bytearray()
        # iperf3 closes its connections while there is something left in them.
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                passed += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        return bytes(passed)


@pytest.mark.parametrize("reverse", [False, True])
@in_own_process
def test_iperf3_measures_iperf3_through_the_stack(
    namespace: str, tmp_path: str, reverse: bool
) -> None:
    connect_taps()
    source, sink = Path(tmp_path, "source"), Path(tmp_path, "sink")
    source.write_bytes(CONTENT)
    at_server, at_client = (source, sink) if reverse else (sink, source)
    server = mptcpize("iperf3", "iperf3", "--server", "--one-off", "--file", at_server)
    with running(server, IPERF_PORT):
        relay = Relay(IPERF_PORT)
        client = mptcpize("iperf3", "iperf3", "--client", STACK, "--port", str(relay.port))
        options = ["--file", str(at_client), "--time", "1", "--json", *["--reverse"] * reverse]
        report = json.loads(done([*client, *options]))
        relay.finish()
    assert "error" not in report
    # After a short write it sends other things than the file has (iperf 3.12, diskfile_send), and
    # it leaves what is under way when it ends: what it got is compared with what went through.
    on, back = max(relay.passed, key=lambda passed: sum(map(len, passed)))
    passed = back if reverse else on[IPERF_COOKIE_BYTES:]
    received = sink.stat().st_size
    assert received > 100_000
    assert digest_of(sink) == hashlib.sha256(passed[:received]).hexdigest()
