"""Libraries whose sockets are made in C, and what takes them to the stack; and gevent."""

import socket
import threading
import warnings
from typing import Any

import pytest
from own_process import in_own_process
from programs import TIMEOUT_S, both_ways, check_stack, load
from test_servers import relay

import lklsock


@in_own_process
def test_grpc_call_goes_through_the_stack_by_relays() -> None:
    """Client, host's loopback, relay, the stack, relay, host's loopback, server."""
    load("first", "grpc:grpcio")
    import grpc

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda request, _: request * 2)

    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    server_port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def to_server() -> Any:
        sock = lklsock.original("socket", "socket")()
        sock.connect(("127.0.0.1", server_port))
        return sock

    inside = socket.create_server(("127.0.0.1", 0))
    carriers = [relay(inside, to_server)]
    outside = lklsock.original("socket", "socket")()
    outside.bind(("127.0.0.1", 0))
    outside.listen()
    carriers.append(relay(outside, lambda: socket.create_connection(inside.getsockname())))
    with grpc.insecure_channel(f"127.0.0.1:{outside.getsockname()[1]}") as channel:
        call = channel.unary_unary("/test/double")
        for size in (1, 1000, 1_000_000):
            assert call(b"x" * size, timeout=TIMEOUT_S) == b"x" * size * 2
    check_stack()
    assert "grpc" in lklsock.report().bypasses
    server.stop(0).wait()
    for carrier in (thread for threads in carriers for thread in threads):
        carrier.join(TIMEOUT_S)
        assert not carrier.is_alive()
    for listener in (inside, outside):
        listener.close()


@both_ways
@in_own_process
def test_uvloop_talks_over_a_bridge(when: str) -> None:
    load(when, "uvloop")
    import asyncio

    import uvloop

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()

    async def main() -> None:
        sock = socket.create_connection(listener.getsockname())
        end = lklsock.original("socket", "socket")(fileno=sock.bridge())
        end.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=end)
        for size in (1, 100_000):
            writer.write(b"x" * size)
            assert await reader.readexactly(size) == b"x" * size
        writer.close()
        await writer.wait_closed()

    uvloop.run(asyncio.wait_for(main(), TIMEOUT_S))
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    listener.close()
    check_stack()


@both_ways
@in_own_process
def test_gevents_own_sockets_stay_the_hosts(when: str) -> None:
    load(when, "gevent", "gevent.socket:gevent", "gevent.server:gevent")
    import gevent
    from gevent.server import StreamServer
    from gevent.socket import create_connection

    def echo(sock: Any, _: Any) -> None:
        while data := sock.recv(100):
            sock.sendall(data)

    server = StreamServer(("127.0.0.1", 0), echo)
    server.start()

    def talk() -> bytes:
        with create_connection(("127.0.0.1", server.server_port)) as sock:
            sock.sendall(b"hello")
            return bytes(sock.recv(100))

    tasks = [gevent.spawn(talk) for _ in range(10)]
    gevent.joinall(tasks, timeout=TIMEOUT_S, raise_error=True)
    assert [task.value for task in tasks] == [b"hello"] * 10
    server.stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()):
            listener.accept()[0].close()
    check_stack()


@pytest.mark.parametrize("order", ["gevent first", "gevent last"])
@in_own_process
def test_gevents_patching_is_warned_about(order: str) -> None:
    load_order = order == "gevent first"
    gevent_monkey = load("never", "gevent.monkey:gevent")[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if load_order:
            gevent_monkey.patch_all()
            lklsock.patch()
        else:
            lklsock.patch()
            gevent_monkey.patch_all()
    assert any("gevent" in str(one.message) for one in caught)
    assert any("gevent" in problem for problem in lklsock.report().problems)
