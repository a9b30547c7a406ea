"""`python -m lklsock proxy`: what it says, what it refuses, and how it ends."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from command_line import LKLSOCK, TIMEOUT_S, run
from required import library

library("h11")

from lklsock.cli._proxy_options import LIMITS  # noqa: E402
from lklsock.proxy import Limits  # noqa: E402
from lklsock.proxy.users import hash_password  # noqa: E402


class Running:
    """The command, which runs.

    Attributes:
        said: What it has said until it was ready.
        port: Where it listens on loopback.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = self.read_until("Ctrl-C ends it")
        found = re.search(r"127\.0\.0\.1:(\d+)", self.said)
        assert found is not None
        self.port = int(found[1])

    def read_until(self, text: str) -> str:
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            if text in line:
                return said
        raise AssertionError(f"it ended: {said}")

    def rest(self) -> str:
        _, err = self.process.communicate(timeout=TIMEOUT_S)
        return err

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)


@contextlib.contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The command, until the block ends, or the deadline: then what is read from it ends, too."""
    process = subprocess.Popen(
        [*LKLSOCK, "proxy", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = threading.Timer(TIMEOUT_S, process.kill)
    deadline.start()
    try:
        yield process
    finally:
        deadline.cancel()
        process.kill()
        process.communicate()


@contextlib.contextmanager
def proxy(*arguments: str | Path) -> Iterator[Running]:
    with started("--listen", "127.0.0.1:0", *arguments) as process:
        yield Running(process)


def ask(running: Running, credentials: str = "") -> bytes:
    with running.connect() as sock:
        sock.sendall(b"GET http://10.0.0.1/ HTTP/1.0\r\n" + credentials.encode() + b"\r\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


def test_who_starts_it_the_first_time_is_told_what_to_do() -> None:
    with proxy() as running:
        assert "NO WAY OUT" in running.said
        assert "--tap" in running.said
        assert f"chromium --proxy-server=http://127.0.0.1:{running.port}" in running.said
        answer = ask(running)
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"Network is unreachable" in answer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number: signal.Signals) -> None:
    with proxy() as running:
        running.process.send_signal(number)
        assert running.rest() == ""
        assert running.process.returncode == 0


def test_the_second_signal_does_not_wait_for_what_is_under_way() -> None:
    with proxy() as running, running.connect() as sock:
        sock.sendall(b"GET")
        # It has been read: the command serves the one before the next.
        ask(running)
        running.process.send_signal(signal.SIGTERM)
        running.read_until("may end within 30 s")
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        running.process.send_signal(signal.SIGTERM)
        running.rest()
        assert running.process.returncode == 0


def test_users_are_made_and_read_again(tmp_path: Path) -> None:
    def make(name: str, password: str) -> str:
        return subprocess.run(
            [*LKLSOCK, "proxy", "--hash-password", name],
            input=f"{password}\n",
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        ).stdout

    users = tmp_path / "users"
    users.write_text(make("ann", "x"))
    ann = "Proxy-Authorization: Basic YW5uOng=\r\n"
    with proxy("--auth-file", users) as running:
        assert ask(running).startswith(b"HTTP/1.1 407 ")
        assert ask(running, ann).startswith(b"HTTP/1.1 502 ")
        users.write_text(make("bob", "x"))
        running.process.send_signal(signal.SIGHUP)
        running.read_until("read again")
        assert ask(running, ann).startswith(b"HTTP/1.1 407 ")
        assert ask(running, "Proxy-Authorization: Basic Ym9iOng=\r\n").startswith(b"HTTP/1.1 502 ")
        # What is wrong changes nothing.
        users.write_text("bob:x\n")
        running.process.send_signal(signal.SIGHUP)
        assert "line 1" in running.read_until("nothing is changed")
        assert ask(running, "Proxy-Authorization: Basic Ym9iOng=\r\n").startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "0.0.0.0:0"], "0.0.0.0:0 can be reached by others: name users"),
        (["--listen", "3128"], "is not an address and a port"),
        (["--auth", "secret"], "a user is NAME:PASSWORD"),
        (["--auth-file", "/missing"], "No such file"),
        (["--allow-ports", "x"], "'x' is no port"),
        (["--allow-destination", "10.0.0.1/8"], "10.0.0.1/8"),
        (["--connections", "0"], "0 is not above 0"),
        (["--hash-password", "a:b"], "has no colon"),
        (["--dashboard", "0.0.0.0:0"], "0.0.0.0:0 can be reached by others"),
        (["--reverse", "0.0.0.0:80"], "is not LISTEN=TARGET"),
        (["--options-file", "/missing"], "No such file"),
        (["--config", "/missing"], "there is no configuration file /missing"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: list[str], message: str) -> None:
    done = run("proxy", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_options_come_from_a_file_and_limits_again(tmp_path: Path) -> None:
    options = tmp_path / "options"
    options.write_text("# what may be asked for\n--allow-ports 443\n--drain-s 1\n")
    with proxy("--options-file", options) as running:
        assert ask(running).startswith(b"HTTP/1.1 403 ")
        options.write_text("--allow-ports 80\n")
        running.process.send_signal(signal.SIGHUP)
        running.read_until("read again")
        assert ask(running).startswith(b"HTTP/1.1 502 ")
        options.write_text("--allow-ports 80 --nonsense\n")
        running.process.send_signal(signal.SIGHUP)
        assert f"{options}: unrecognized arguments" in running.read_until("nothing is changed")
    # What is given goes before it.
    options.write_text("--allow-ports 80\n")
    with proxy("--options-file", options, "--allow-ports", "443") as running:
        assert ask(running).startswith(b"HTTP/1.1 403 ")


def test_reading_again_does_not_open_it_to_everybody(tmp_path: Path) -> None:
    options, users = tmp_path / "options", tmp_path / "users"
    users.write_text(f"ann:{hash_password('x')}\n")
    options.write_text(f"--auth-file {users}\n")
    with proxy("--listen", "0.0.0.0:0", "--options-file", options) as running:
        options.write_text("--drain-s 1\n")
        running.process.send_signal(signal.SIGHUP)
        assert "can be reached by others" in running.read_until("nothing is changed")
        assert ask(running).startswith(b"HTTP/1.1 407 ")
        options.write_text("--open\n")
        running.process.send_signal(signal.SIGHUP)
        running.read_until("read again")
        assert ask(running).startswith(b"HTTP/1.1 502 ")


def test_a_configuration_has_the_stack(tmp_path: Path) -> None:
    config = tmp_path / "lklsock.toml"
    config.write_text('[stack]\nhostname = "near"\n')
    with proxy("--config", config) as running:
        assert "NO WAY OUT" in running.said
    config.write_text('[stack]\nnonsense = "off"\n')
    done = run("proxy", "--config", config)
    assert (done.returncode, "nonsense" in done.stderr) == (2, True)


def test_the_page_and_the_figures_are_where_it_says() -> None:
    library("prometheus_client", "prometheus-client")
    with proxy("--dashboard", "127.0.0.1:0") as running:
        there = running.said.split("dashboard on http://127.0.0.1:")[1].split("/")[0]
        for path, what in (("", b"lklsock proxy"), ("metrics", b"lklsock_proxy_clients 0.0")):
            with urllib.request.urlopen(f"http://127.0.0.1:{there}/{path}", timeout=30) as page:
                assert what in page.read()


def test_the_far_half_says_what_goes_where() -> None:
    with started("--no-config", "--reverse", "127.0.0.1:0=127.0.0.1:1") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert re.fullmatch(r"proxy: 127\.0\.0\.1:\d+ of the stack goes to 127.0.0.1:1\n", line)


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("proxy", "--listen", where)
    assert done.returncode == 1
    assert done.stderr == f"proxy: {where}: {os.strerror(98)}\n"


def test_without_h11_the_remedy_is_named(tmp_path: Path) -> None:
    (tmp_path / "h11.py").write_text("raise ModuleNotFoundError('h11')")
    command = [sys.executable, "-m", "lklsock", "proxy"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 2
    assert done.stderr == "proxy: the proxy takes h11: pip install 'lklsock[proxy]'\n"


def test_help_tells_the_limits_that_hold() -> None:
    limits = Limits()
    told = {option.lstrip("-").replace("-", "_"): what for option, _, what in LIMITS}
    assert set(told) == {field.name for field in fields(Limits)}
    for name, what in told.items():
        assert what.endswith(f"default: {getattr(limits, name):g}".replace("e+", "")), what
