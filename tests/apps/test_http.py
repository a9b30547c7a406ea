"""Clients and servers of HTTP and WebSocket, all on the stack's loopback."""

import asyncio
import contextlib
import http.server
import io
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_process import in_own_process
from programs import TIMEOUT_S, both_ways, certificate, check_stack, load

BODY = bytes(range(256)) * 8192

schemes = pytest.mark.parametrize("scheme", ["http", "https"])


class Handler(http.server.BaseHTTPRequestHandler):
    """GET gives a large body, POST what it was sent; connections are kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(BODY)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(scheme: str, directory: str) -> Iterator[tuple[str, str]]:
    """An HTTP server of the stdlib. Gives its URL, and the certificate to trust."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cert, key = certificate(Path(directory))
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/", cert
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@both_ways
@schemes
@in_own_process
def test_requests(when: str, scheme: str, tmp_path: Path) -> None:
    (requests,) = load(when, "requests")
    with serving(scheme, str(tmp_path)) as (url, cert), requests.Session() as session:
        # The environment may name other certificates, and goes first.
        session.trust_env = False
        session.verify = cert
        for _ in range(3):
            assert session.get(url, timeout=TIMEOUT_S).content == BODY
        assert session.post(url, data=BODY, timeout=TIMEOUT_S).content == BODY
        with session.get(url, stream=True, timeout=TIMEOUT_S) as response:
            assert b"".join(response.iter_content(1000)) == BODY
        check_stack()
    with pytest.raises(requests.ConnectionError):
        requests.get("http://127.0.0.1:1/", timeout=TIMEOUT_S)


@both_ways
@schemes
@in_own_process
def test_urllib3(when: str, scheme: str, tmp_path: Path) -> None:
    (urllib3,) = load(when, "urllib3")
    with serving(scheme, str(tmp_path)) as (url, cert):
        with urllib3.PoolManager(2, ca_certs=cert, timeout=TIMEOUT_S) as pool:
            for _ in range(3):
                assert pool.request("GET", url).data == BODY
            assert pool.request("POST", url, body=BODY).data == BODY
        check_stack()


@both_ways
@schemes
@in_own_process
def test_httpx(when: str, scheme: str, tmp_path: Path) -> None:
    (httpx,) = load(when, "httpx")
    with serving(scheme, str(tmp_path)) as (url, cert):
        context = ssl.create_default_context(cafile=cert)
        with httpx.Client(verify=context, timeout=TIMEOUT_S) as client:
            assert client.get(url).content == BODY
            assert client.post(url, content=BODY).content == BODY
        check_stack()


async def fetch_with_httpx(url: str, cert: str) -> None:
    import httpx

    context = ssl.create_default_context(cafile=cert)
    async with httpx.AsyncClient(verify=context, timeout=TIMEOUT_S) as client:
        assert (await client.get(url)).content == BODY
        assert (await client.post(url, content=BODY)).content == BODY


@both_ways
@schemes
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@in_own_process
def test_httpx_in_an_event_loop(when: str, scheme: str, loop: str, tmp_path: Path) -> None:
    load(when, "httpx", "anyio", loop)
    import anyio

    with serving(scheme, str(tmp_path)) as (url, cert):
        anyio.run(fetch_with_httpx, url, cert, backend=loop)
        check_stack()


@both_ways
@schemes
@in_own_process
def test_aiohttp(when: str, scheme: str, tmp_path: Path) -> None:
    load(when, "aiohttp")
    from aiohttp import ClientSession, TCPConnector, WSMsgType, web

    cert, key = certificate(Path(tmp_path))
    theirs = None
    if scheme == "https":
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(cert, key)

    async def get(request: Any) -> Any:
        return web.Response(body=BODY)

    async def post(request: Any) -> Any:
        return web.Response(body=await request.read())

    async def talk(request: Any) -> Any:
        answers = web.WebSocketResponse(max_msg_size=0)
        await answers.prepare(request)
        async for message in answers:
            await answers.send_bytes(message.data)
        return answers

    async def main() -> None:
        app = web.Application(client_max_size=0)
        app.add_routes([web.get("/", get), web.post("/", post), web.get("/talk", talk)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=theirs)
        await site.start()
        url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/"
        connector = TCPConnector(ssl=ssl.create_default_context(cafile=cert))
        async with ClientSession(connector=connector) as session:
            for _ in range(3):
                async with session.get(url) as response:
                    assert await response.read() == BODY
            async with session.post(url, data=io.BytesIO(BODY)) as response:
                assert await response.read() == BODY
            async with session.ws_connect(f"{url}talk", max_msg_size=0) as messages:
                await messages.send_bytes(BODY)
                message = await messages.receive()
                assert (message.type, message.data) == (WSMsgType.BINARY, BODY)
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))
    check_stack()


@both_ways
@schemes
@in_own_process
def test_websockets_in_threads(when: str, scheme: str, tmp_path: Path) -> None:
    load(when, "websockets")
    from websockets.sync.client import connect
    from websockets.sync.server import serve

    cert, key = certificate(Path(tmp_path))
    ours = theirs = None
    if scheme == "https":
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(cert, key)
        ours = ssl.create_default_context(cafile=cert)

    def talk(connection: Any) -> None:
        for message in connection:
            connection.send(message)

    with serve(talk, "127.0.0.1", 0, ssl=theirs, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"{scheme.replace('http', 'ws')}://127.0.0.1:{server.socket.getsockname()[1]}"
        with connect(url, ssl=ours, max_size=None) as connection:
            for message in ("text", BODY):
                connection.send(message)
                assert connection.recv(TIMEOUT_S) == message
        server.shutdown()
        thread.join()
    check_stack()


@both_ways
@in_own_process
def test_websockets_in_an_event_loop(when: str) -> None:
    load(when, "websockets")
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def talk(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serve(talk, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}", max_size=None) as connection:
                for message in ("text", BODY):
                    await connection.send(message)
                    assert await connection.recv() == message

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))
    check_stack()
