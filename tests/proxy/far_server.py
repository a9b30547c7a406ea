"""A web server of the host's kernel, with MPTCP: `far_server.py ADDRESS DIRECTORY`.

The directory has cert.pem and key.pem, and what else is served. Run by two_paths.server.
"""

import asyncio
import contextlib
import functools
import hashlib
import http.server
import os
import random
import socket
import ssl
import struct
import sys
import threading
import zlib
from pathlib import Path

IPPROTO_MPTCP = 262
OBJECTS = 60
CHUNK = random.Random(0).randbytes(1 << 20)


def listener(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(1024)
    return sock


def png(number: int, side: int = 64) -> bytes:
    """A picture of noise; no two are the same."""
    noise = random.Random(number)
    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack("!I", len(data)) + body + struct.pack("!I", zlib.crc32(body))

    head = struct.pack("!IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def bulk_digest(megabytes: int) -> str:
    """The SHA-256 of /bulk/MEGABYTES."""
    digest = hashlib.sha256()
    for _ in range(megabytes):
        digest.update(CHUNK)
    return digest.hexdigest()


PAGE = "".join(
    (
        "<!doctype html><title>many objects</title><h1>Many objects</h1>",
        "<a id=download download=bulk.bin href=/bulk/48>bulk</a><p>",
        *(f"<img src=/object/{number} width=64 height=64>" for number in range(OBJECTS)),
    )
).encode()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, kind, *rest = self.path.partition("?")[0].split("/")
        if kind == "page":
            self._send(PAGE, "text/html")
        elif kind == "object":
            self._send(png(int(rest[0])), "image/png")
        elif kind == "bulk":
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(int(rest[0]) << 20))
            self.end_headers()
            for _ in range(int(rest[0])):
                self.wfile.write(CHUNK)
        elif kind == "small":
            self._send(b"ok", "text/plain")
        else:
            super().do_GET()

    def do_PUT(self) -> None:
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read(min(left, 1 << 18))
            digest.update(data)
            left -= len(data)
        self._send(digest.hexdigest().encode(), "text/plain")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, sock: socket.socket, directory: str, tls: ssl.SSLContext | None) -> None:
        handler = functools.partial(Handler, directory=directory)
        super().__init__(sock.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self._tls = tls

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        # On the connection's own thread: a slow handshake holds nobody up.
        with contextlib.suppress(OSError):
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        pass


async def serve_websockets(sock: socket.socket, tls: ssl.SSLContext) -> None:
    from websockets.asyncio.server import serve

    async def echo(connection: object) -> None:
        async for message in connection:  # type: ignore[attr-defined]
            await connection.send(message)  # type: ignore[attr-defined]

    async with serve(echo, sock=sock, ssl=tls, max_size=None):
        await asyncio.get_running_loop().create_future()


def main() -> None:
    address, directory = sys.argv[1:]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(directory, "cert.pem"), Path(directory, "key.pem"))
    for port, context in ((80, None), (443, tls)):
        running = Server(listener(address, port), directory, context)
        threading.Thread(target=running.serve_forever, daemon=True).start()
    websockets = listener(address, 8443)
    websockets.setblocking(False)
    print("serving", flush=True)
    asyncio.run(serve_websockets(websockets, tls))


if __name__ == "__main__":
    os.chdir(sys.argv[2])
    main()
