"""Contexts, connections and threads for the tests of this folder."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from lklsock import socket

JOIN_S = 30.0


class Peer(threading.Thread):
    """Runs a function meanwhile; `result` gives what it returned, or raises what it raised."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self._call = function, args, kwargs
        self._outcome: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        function, args, kwargs = self._call
        try:
            self._outcome = function(*args, **kwargs)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(JOIN_S)
        assert not self.is_alive(), "the thread did not end"
        if self._error is not None:
            raise self._error
        return self._outcome


def server_context(folder: str, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/{name}.pem")
    return context


def client_context(folder: str, name: str = "localhost") -> ssl.SSLContext:
    return ssl.create_default_context(cafile=f"{folder}/{name}.pem")


def plain_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection in the current stack."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    return client, accepted


def wrap_both(
    client: socket.socket,
    server: socket.socket,
    to_client: ssl.SSLContext,
    to_server: ssl.SSLContext,
    name: str = "localhost",
    **options: Any,
) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Shakes hands; options are for the client's wrap_socket()."""
    serving = Peer(to_server.wrap_socket, server, server_side=True)
    wrapped = to_client.wrap_socket(client, server_hostname=name, **options)
    return wrapped, serving.result()


@contextlib.contextmanager
def tls_pair(folder: str, **options: Any) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Client and server with TLS between them, over a connection in the current stack."""
    pair = wrap_both(*plain_pair(), client_context(folder), server_context(folder), **options)
    with pair[0], pair[1]:
        yield pair


def receive_exactly(sock: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        some = sock.recv(65536)
        assert some, f"the stream ended after {len(data)} bytes of {size}"
        data += some
    return bytes(data)
