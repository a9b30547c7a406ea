"""The far half, the access log, and what systemd is told."""

import asyncio
import contextlib
import json
import os
import signal
import socket as stdlib
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from joined import joined_stacks
from own_process import in_own_process
from proxied import (
    OK,
    answering,
    ask,
    await_that,
    client,
    echo,
    finished,
    full_listener,
    listening,
    proxying,
    run,
    serving,
)
from required import program

from lklsock import Stack, mptcp, socket
from lklsock.proxy import Proxy, Settings, Upstream, reverse, systemd
from lklsock.proxy.access_log import AccessLog
from lklsock.proxy.proxy_protocol import header
from lklsock.proxy.server import Front

ROOT = Path(__file__).resolve().parents[2]


@contextlib.asynccontextmanager
async def reversing(
    stack: Stack | None, port: int, sends_header: bool = False
) -> AsyncIterator[Proxy]:
    """The far half, on a stack or on the host, before a server on loopback."""
    proxy = Proxy(Settings(), Upstream.of_host())
    backend = reverse.Backend(("0.0.0.0", 0), ("127.0.0.1", port), sends_header)
    listener = reverse.listen(backend.listen, stack)
    async with listening(proxy, Front(listener, reverse.speaker(backend, proxy.upstream))):
        yield proxy


async def connection(
    stack: Stack, host: str, port: int
) -> tuple[Any, asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of a stack's."""
    with stack:
        sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, port))
    return sock, *await asyncio.open_connection(sock=sock)


def test_header_of_the_proxy_protocol() -> None:
    signature = bytes.fromhex("0d0a0d0a000d0a515549540a")
    four = header(("192.0.2.1", 1000), ("192.0.2.2", 443))
    assert four == signature + bytes.fromhex("2111000c") + bytes(
        (192, 0, 2, 1, 192, 0, 2, 2)
    ) + struct.pack("!HH", 1000, 443)
    six = header(("2001:db8::1", 1000, 0, 0), ("2001:db8::2", 443, 0, 0))
    assert six[12:16] == bytes.fromhex("21210024")
    assert len(six) == 16 + 36
    # A socket of both families sees IPv4 clients by an IPv6 address.
    assert header(("::ffff:192.0.2.1", 1000, 0, 0), ("::ffff:192.0.2.2", 443, 0, 0)) == four


@pytest.mark.parametrize("sends_header", [False, True])
@in_own_process
def test_mptcp_comes_and_a_plain_server_answers(sends_header: bool) -> None:
    async def main() -> None:
        near, far = joined_stacks()
        mptcp.preset("aggregate", announce=True, stack=far)
        content = os.urandom(2_000_000)
        async with serving(echo) as port, reversing(far, port, sends_header) as proxy:
            _, there = proxy.at  # type: ignore[attr-defined]
            sock, reader, writer = await connection(near, "10.0.0.2", there)
            assert sock.mptcp is not None
            if sends_header:
                came = await reader.readexactly(28)
                assert came == header(sock.getsockname(), ("10.0.0.2", there))
            writer.write(content)
            writer.write_eof()
            assert await reader.read() == content
            writer.close()
            exchange = await finished(proxy)
            assert (exchange.protocol, exchange.mptcp, exchange.error) == ("reverse", True, None)

    run(main())


@in_own_process
def test_a_server_that_is_not_there_ends_the_connection_and_no_more() -> None:
    async def main() -> None:
        stack = Stack()
        async with reversing(stack, 1) as proxy:
            _, there = proxy.at  # type: ignore[attr-defined]
            for count in (1, 2):
                _, reader, writer = await connection(stack, "127.0.0.1", there)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
                assert (await finished(proxy, count)).error == "connection_refused"

    run(main())


def test_who_waits_for_a_server_is_ended_with_the_proxy() -> None:
    async def main() -> None:
        with full_listener() as port:
            async with reversing(None, port) as proxy, client(proxy):
                await await_that(lambda: proxy.exchanges, "the server is connected to")
                assert await proxy.drain(timeout_s=0.1) == 1
                assert (await finished(proxy)).error == "drained"
                assert not proxy.exchanges

    run(main())


def test_the_host_listens_as_well() -> None:
    async def main() -> None:
        async with serving(echo) as port, reversing(None, port) as proxy:
            async with client(proxy) as (reader, writer):
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"

    run(main())


def test_a_backend_is_read_or_refused() -> None:
    found = reverse.parse_backend("[::]:443=127.0.0.1:8443")
    assert (found.listen, found.target) == (("::", 443), ("127.0.0.1", 8443))
    for wrong in ("", "0.0.0.0:80", "80=81", "0.0.0.0:80=x", "=:"):
        with pytest.raises(ValueError):
            reverse.parse_backend(wrong)


# ---- the access log


def test_each_request_has_its_line_and_no_secret_is_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "log"
        log = AccessLog(str(path))
        async with serving(answering(OK)) as port, proxying() as proxy:
            proxy.on_finish.append(log.write)
            request = f"GET http://u:pw@127.0.0.1:{port}/secret?q=1 HTTP/1.0\r\nHost: x\r\n\r\n"
            await ask(proxy, request.encode())
            await finished(proxy)
            # Somebody moves it away.
            path.rename(tmp_path / "old")
            log.reopen()
            await ask(proxy, b"nonsense\r\n\r\n")
            await finished(proxy, 2)
        log.close()
        (first,) = map(json.loads, (tmp_path / "old").read_text().splitlines())
        (second,) = map(json.loads, path.read_text().splitlines())
        assert first["host"] == "127.0.0.1"
        assert (first["status"], first["down"], first["error"]) == (200, 2, None)
        assert (second["status"], second["error"]) == (400, "http_request_error")
        for secret in ("pw", "secret", "q=1"):
            assert secret not in (tmp_path / "old").read_text()

    run(main())


def test_a_log_that_cannot_be_written_ends_nothing_and_can_be_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("takes /dev/full")
    path = tmp_path / "log"
    path.symlink_to("/dev/full")

    async def main() -> None:
        log = AccessLog(str(path))
        async with serving(answering(OK)) as port, proxying() as proxy:
            proxy.on_finish.append(log.write)
            request = f"GET http://127.0.0.1:{port}/ HTTP/1.0\r\nHost: x\r\n\r\n".encode()
            for _ in range(3):
                assert (await ask(proxy, request)).endswith(b"ok")
            await finished(proxy, 3)
            path.unlink()
            log.reopen()
            await ask(proxy, request)
            await finished(proxy, 4)
            assert proxy.faults == 0
        log.close()

    run(main())
    assert caplog.text.count("access log") == 1
    assert len(path.read_text().splitlines()) == 1


# ---- systemd


def test_systemd_is_told_of_each_state(tmp_path: Path) -> None:
    with stdlib.socket(stdlib.AF_UNIX, stdlib.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        command = [sys.executable, "-m", "lklsock", "proxy", "--no-config"]
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0"],
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "200000",
            },
            stderr=subprocess.DEVNULL,
        )

        def told(what: str) -> str:
            while what not in (text := sock.recv(1000).decode()):
                assert text == "WATCHDOG=1", text
            return text

        try:
            told("READY=1")
            told("WATCHDOG=1")
            process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in told("RELOADING=1")
            told("READY=1")
            told("WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            told("STOPPING=1")
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/missing/socket")
    assert not systemd.notify("READY=1")


@pytest.mark.parametrize("name", ["lklsock-proxy.service", "lklsock-reverse-proxy.service"])
def test_units_are_right(name: str, tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    text = (ROOT / "systemd" / name).read_text()
    # The program is not installed there on this machine.
    unit = tmp_path / name
    unit.write_text(text.replace("/usr/bin/python3", sys.executable))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60)
    assert name not in done.stderr, done.stderr
