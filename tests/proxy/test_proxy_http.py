"""The HTTP side: what goes to servers, and what comes back to clients."""

import asyncio
import os
import socket
import struct

import pytest
from proxied import (
    OK,
    all_gone,
    answering,
    ask,
    await_that,
    client,
    echo,
    finished,
    full_listener,
    head,
    proxying,
    run,
    serving,
    status_of,
    tunnel,
)

from lklsock.proxy import Guard


def get(port: int, *headers: str, path: str = "/", method: str = "GET") -> bytes:
    lines = [f"{method} http://127.0.0.1:{port}{path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def test_a_request_goes_on_with_its_path_host_and_via() -> None:
    async def main() -> None:
        requests: list[bytes] = []
        async with serving(answering(OK, requests)) as port, proxying() as proxy:
            url = f"http://127.0.0.1:{port}/a/b?c=%20d#e".encode()
            request = b"GET " + url + b" HTTP/1.1\r\nHost: other\r\nX-Case: Kept\r\n"
            answer = await ask(proxy, request + b"Connection: close\r\n\r\n")
            assert status_of(answer) == 200
            assert b"Via: 1.1 lklsock\r\n" in answer
            assert answer.endswith(b"\r\n\r\nok")
            lines = requests[0].decode().split("\r\n")
            assert lines[0] == "GET /a/b?c=%20d HTTP/1.1"
            assert f"Host: 127.0.0.1:{port}" in lines
            assert "Host: other" not in lines
            assert "X-Case: Kept" in lines
            assert "Via: 1.1 lklsock" in lines

    run(main())


def test_headers_for_one_hop_go_no_further() -> None:
    async def main() -> None:
        requests: list[bytes] = []
        response = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nX-Own: 1\r\n"
            b"Connection: x-own\r\nProxy-Authenticate: Basic\r\nX-Kept: 1\r\n\r\nok"
        )
        async with serving(answering(response, requests)) as port, proxying() as proxy:
            dropped = [
                "Proxy-Authorization: Basic eDp5",
                "Proxy-Connection: keep-alive",
                "TE: gzip",
            ]
            dropped += ["Keep-Alive: 5", "Upgrade: h2c", "X-Hop: 1", "Trailer: x"]
            kept = ["Authorization: Basic eDp5", "Cookie: a=b"]
            listed = ["Connection: close, x-hop, content-length"]
            answer = await ask(proxy, get(port, *dropped, *kept, *listed))
            sent = requests[0].decode()
            for line in dropped:
                assert line.split(":")[0].lower() not in sent.lower().replace(
                    "authorization", "", 1
                )
            for line in kept:
                assert line in sent
            assert b"X-Kept" in answer
            for name in (b"Keep-Alive", b"X-Own", b"Proxy-Authenticate"):
                assert name not in answer

    run(main())


def test_options_goes_as_far_as_it_is_to() -> None:
    async def main() -> None:
        requests: list[bytes] = []
        async with serving(answering(OK, requests)) as port, proxying() as proxy:
            async with client(proxy) as (reader, writer):
                for method, left in (("OPTIONS", "0"), ("OPTIONS", "7"), ("GET", "0")):
                    writer.write(get(port, f"Max-Forwards: {left}", method=method))
                    status, headers = await head(reader)
                    assert status == 200
                    await reader.readexactly(int(headers["content-length"]))
            assert [request.split()[0] for request in requests] == [b"OPTIONS", b"GET"]
            assert b"Max-Forwards: 6\r\n" in requests[0]
            assert b"Max-Forwards: 0\r\n" in requests[1]
            answer = await ask(proxy, get(port, "Max-Forwards: x", method="OPTIONS"))
            assert status_of(answer) == 400

    run(main())


def test_several_requests_share_both_connections() -> None:
    async def main() -> None:
        accepted = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal accepted
            accepted += 1
            await answering(OK)(reader, writer)

        async with serving(handle) as port, proxying() as proxy:
            async with client(proxy) as (reader, writer):
                for _ in range(5):
                    writer.write(get(port))
                    assert (await head(reader))[0] == 200
                    assert await reader.readexactly(2) == b"ok"
                # And at once, one behind the other.
                writer.write(get(port) * 3)
                for _ in range(3):
                    assert (await head(reader))[0] == 200
                    assert await reader.readexactly(2) == b"ok"
            assert accepted == 1

    run(main())


def test_a_connection_that_the_server_has_closed_is_made_again() -> None:
    async def main() -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()

        async with serving(once) as port, proxying() as proxy, client(proxy) as (reader, writer):
            for _ in range(20):
                writer.write(get(port))
                assert (await head(reader))[0] == 200
                assert await reader.readexactly(2) == b"ok"

    run(main())


def test_bodies_go_both_ways_chunked_and_counted() -> None:
    async def main() -> None:
        content = os.urandom(300_000)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = b""
                if b"chunked" in request:
                    assert b"content-length" not in request
                    while size := int((await reader.readline()).split(b";")[0], 16):
                        body += await reader.readexactly(size)
                        await reader.readexactly(2)
                    await reader.readexactly(2)
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for i in range(0, len(body), 50_000):
                        part = body[i : i + 50_000]
                        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                    writer.write(b"0\r\nX-Trailer: 1\r\n\r\n")
                else:
                    length = int(request.split(b"content-length: ")[1].split(b"\r\n")[0])
                    body = await reader.readexactly(length)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)

        async with serving(handle) as port, proxying() as proxy, client(proxy) as (reader, writer):
            writer.write(get(port, f"Content-Length: {len(content)}", method="PUT") + content)
            assert (await head(reader))[0] == 200
            assert await reader.readexactly(len(content)) == content
            writer.write(get(port, "Transfer-Encoding: chunked", method="POST"))
            for i in range(0, len(content), 77_777):
                part = content[i : i + 77_777]
                writer.write(b"%X;x=y\r\n%b\r\n" % (len(part), part))
            writer.write(b"0\r\n\r\n")
            status, headers = await head(reader)
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            assert "content-length" not in headers
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
            assert body == content
            exchange = await finished(proxy, 2)
            assert (exchange.bytes_up, exchange.bytes_down) == (len(content), len(content))

    run(main())


@pytest.mark.parametrize(
    ("method", "response", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n', b""),
        ("GET", b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx", b"x"),
        ("OPTIONS", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_responses_end_where_they_end(method: str, response: bytes, body: bytes) -> None:
    async def main() -> None:
        async with serving(answering(response)) as port, proxying() as proxy:
            async with client(proxy) as (reader, writer):
                for _ in range(2):
                    writer.write(get(port, method=method))
                    assert (await head(reader))[0] == status_of(response)
                    assert await reader.readexactly(len(body)) == body

    run(main())


def test_a_response_that_ends_with_its_connection() -> None:
    async def main() -> None:
        async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")

        async with serving(old) as port, proxying() as proxy:
            answer = await ask(proxy, get(port, "Connection: close"))
            assert b"transfer-encoding: chunked" in answer.lower()
            assert answer.endswith(b"9\r\nall of it\r\n0\r\n\r\n")
            answer = await ask(proxy, get(port).replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert answer.endswith(b"\r\n\r\nall of it")

    run(main())


def test_a_client_is_told_to_continue_by_the_server() -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readuntil(b"\r\n\r\n")
            assert b"100-continue" in request
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert await reader.readexactly(4) == b"body"
            writer.write(OK)

        async with serving(handle) as port, proxying() as proxy, client(proxy) as (reader, writer):
            writer.write(get(port, "Content-Length: 4", "Expect: 100-continue", method="POST"))
            assert (await head(reader))[0] == 100
            writer.write(b"body")
            assert (await head(reader))[0] == 200

    run(main())


def test_an_answer_may_come_before_the_body_has_gone() -> None:
    async def main() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            await writer.drain()

        async with serving(refuse) as port, proxying() as proxy, client(proxy) as (reader, writer):
            writer.write(get(port, "Content-Length: 100000000", method="POST") + b"x" * 100_000)
            status, _ = await head(reader)
            assert status == 413
            assert await reader.read() == b"big"

    run(main())


def test_connect_is_a_tunnel_both_ways_with_half_close() -> None:
    async def main() -> None:
        content = os.urandom(2_000_000)
        async with serving(echo) as port, proxying() as proxy:
            async with tunnel(proxy, port) as (reader, writer):
                writer.write(content)
                writer.write_eof()
                # The server sees the end, and answers after it.
                assert await reader.read() == content
            exchange = await finished(proxy)
            assert (exchange.protocol, exchange.status, exchange.error) == ("connect", 200, None)
            assert (exchange.bytes_up, exchange.bytes_down) == (len(content), len(content))
            assert (exchange.host, exchange.port) == ("127.0.0.1", port)

    run(main())


def test_what_a_client_says_before_the_tunnel_stands_is_not_lost() -> None:
    async def main() -> None:
        async with serving(echo) as port, proxying() as proxy, client(proxy) as (reader, writer):
            # A name takes some time.
            request = f"CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            writer.write(request + b"early")
            # Nor is its end the client's, although there is no answer yet.
            writer.write_eof()
            assert (await head(reader))[0] == 200
            assert await reader.read() == b"early"

    run(main())


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize(
    ("case", "status", "kind"),
    [
        ("refused", 502, "connection_refused"),
        ("name", 502, "dns_error"),
        ("loopback", 403, "destination_ip_prohibited"),
        ("port", 403, "http_request_denied"),
        ("silent", 504, "connection_timeout"),
    ],
)
def test_what_cannot_be_reached_has_a_status_and_a_reason(
    method: str, case: str, status: int, kind: str
) -> None:
    async def main() -> None:
        host, port, guard = "127.0.0.1", _closed_port(), None
        connect_s = 10.0
        if case == "name":
            host = "missing.invalid"
        elif case == "loopback":
            guard = Guard()
        elif case == "port":
            guard = Guard(ports=(range(1, 2),))
        elif case == "silent":
            port, connect_s = silent, 0.5
        async with proxying(guard=guard, connect_s=connect_s) as proxy:
            target = f"{host}:{port}" if method == "CONNECT" else f"http://{host}:{port}/"
            request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            async with client(proxy) as (reader, writer):
                # What went wrong does not end the client's connection.
                for _ in range(2):
                    writer.write(request)
                    found, headers = await head(reader)
                    assert found == status
                    assert headers["proxy-status"] == f"lklsock; error={kind}"
                    text = await reader.readexactly(int(headers["content-length"]))
                    assert text.startswith(b"lklsock proxy: ")
            exchange = await finished(proxy, 2)
            assert (exchange.status, exchange.error) == (status, kind)

    with full_listener() as silent:
        run(main())


@pytest.mark.parametrize(
    ("response", "status", "kind"),
    [
        (b"", 502, "http_response_incomplete"),
        (b"HTTP/1.1 200 O", 502, "http_response_incomplete"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 502, "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 502, "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, 502, "http_protocol_error"),
        (None, 504, "http_response_timeout"),
    ],
)
def test_a_server_that_does_not_answer_well_is_told_of(
    response: bytes | None, status: int, kind: str
) -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            if response is None:
                await reader.read()
            else:
                writer.write(response)
                await writer.drain()

        async with serving(handle) as port, proxying(response_s=0.3) as proxy:
            answer = await ask(proxy, get(port, "Connection: close"))
            assert status_of(answer) == status
            assert f"error={kind}\r\n".encode() in answer

    run(main())


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_response_that_breaks_off_does_not_look_complete(framing: str) -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n10\r\npart".encode())
            await writer.drain()

        async with serving(handle) as port, proxying() as proxy:
            answer = await ask(proxy, get(port))
            assert answer == b"reset" or not answer.endswith(b"0\r\n\r\n")
            exchange = await finished(proxy)
            assert exchange.error == "http_response_incomplete"

    run(main())


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("when", ["waiting", "body", "tunnel"])
def test_a_client_that_leaves_takes_its_server_connection_along(how: str, when: str) -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if when == "body":
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
            try:
                await reader.read()
            except ConnectionError:
                pass
            finally:
                left.set()

        async with serving(handle) as port, proxying() as proxy:
            reader, writer = await asyncio.open_connection(*proxy.at)  # type: ignore[attr-defined]
            if when == "tunnel":
                writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await head(reader)
            else:
                writer.write(get(port))
                if when == "body":
                    await head(reader)
                else:
                    await await_that(
                        lambda: any(e.upstream for e in proxy.exchanges.values()), "it is connected"
                    )
            if how == "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
            await asyncio.wait_for(left.wait(), 5)
            await finished(proxy)
            await all_gone(proxy)

    run(main())


def test_a_server_that_resets_resets_the_tunnel() -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        async with serving(handle) as port, proxying() as proxy:
            async with tunnel(proxy, port) as (reader, writer):
                writer.write(b"x")
                with pytest.raises(ConnectionResetError):
                    await reader.read()

    run(main())
