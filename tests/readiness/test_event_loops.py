"""Event loops on kernel sockets: asyncio, trio and anyio, in patched programs."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from own_process import in_own_process
from required import library

import lklsock

DEADLINE_S = 30
BULK = bytes(range(256)) * 4096


def run(main: Callable[[], Awaitable[None]]) -> None:
    lklsock.patch(policy="all")

    async def limited() -> None:
        await asyncio.wait_for(main(), DEADLINE_S)

    asyncio.run(limited())


@in_own_process
def test_asyncio_server_and_streams_echo_megabytes() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def talk(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BULK)
        writer.write_eof()
        assert await reader.read() == BULK
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await asyncio.gather(*(talk(port) for _ in range(4)))

    run(main)


@in_own_process
def test_asyncio_create_server_tells_protocols_of_loss() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[Any] = loop.create_future()

        class Greets(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                transport.write(b"hello")

            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(exc)

        server = await loop.create_server(Greets, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
            assert await lost is None

    run(main)


@in_own_process
def test_asyncio_sock_calls() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.create_task(loop.sock_accept(listener))
            await loop.sock_connect(client, listener.getsockname())
            server, _ = await accepting
            with server:
                sending = asyncio.create_task(loop.sock_sendall(client, BULK))
                received = bytearray()
                block = bytearray(65536)
                while len(received) < len(BULK):
                    received += block[: await loop.sock_recv_into(server, block)]
                await sending
                assert received == BULK
                waiting = asyncio.create_task(loop.sock_recv(server, 1))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await loop.sock_sendall(client, b"x")
                assert await loop.sock_recv(server, 10) == b"x"
            address = listener.getsockname()
        with socket.socket() as late:
            late.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(late, address)

    run(main)


@in_own_process
def test_asyncio_datagrams() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        class Echo(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                self.transport.sendto(data, addr)

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                answers.put_nowait(data)

        server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        client, _ = await loop.create_datagram_endpoint(
            Client, remote_addr=server.get_extra_info("sockname")
        )
        for number in range(50):
            client.sendto(b"%d" % number)
            assert await answers.get() == b"%d" % number
        client.close()
        server.close()

    run(main)


@in_own_process
def test_trio_streams_echo_megabytes() -> None:
    lklsock.patch(policy="all")
    trio: Any = library("trio")

    async def echo(stream: Any) -> None:
        async for data in stream:
            await stream.send_all(data)

    async def main() -> None:
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                (listener, *_) = await nursery.start(
                    lambda task_status=trio.TASK_STATUS_IGNORED: trio.serve_tcp(
                        echo, 0, host="127.0.0.1", task_status=task_status
                    )
                )
                stream = await trio.open_tcp_stream(*listener.socket.getsockname())
                async with stream:
                    nursery.start_soon(stream.send_all, BULK)
                    received = bytearray()
                    while len(received) < len(BULK):
                        received += await stream.receive_some()
                    assert received == BULK
                nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@in_own_process
def test_anyio_streams_echo_megabytes(backend: str) -> None:
    lklsock.patch(policy="all")
    library(backend)
    anyio: Any = library("anyio")

    async def echo(stream: Any) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async def main() -> None:
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as group:
                listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
                group.start_soon(listener.serve, echo)
                port = listener.extra(anyio.abc.SocketAttribute.local_port)
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    group.start_soon(stream.send, BULK)
                    received = bytearray()
                    while len(received) < len(BULK):
                        received += await stream.receive()
                    assert received == BULK
                group.cancel_scope.cancel()

    anyio.run(main, backend=backend)
