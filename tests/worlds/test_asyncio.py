"""asyncio in a patched program: it asks for descriptors before it connects, binds and sends."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from both import DEADLINE_S, address, listener, peer, use
from own_process import in_own_process

import lklsock

WORLDS = ["host", "stack"]


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Runs it in a patched program."""
    use()
    lklsock.patch()
    assert lklsock.is_patched()

    async def limited() -> None:
        await asyncio.wait_for(main(), DEADLINE_S)

    asyncio.run(limited())


class Peer:
    """A blocking socket of one world, used in threads."""

    def __init__(self, sock: Any) -> None:
        sock.settimeout(DEADLINE_S)
        self.sock = sock

    async def call(self, name: str, *args: Any) -> Any:
        return await asyncio.to_thread(getattr(self.sock, name), *args)


def datagram_peer(world: str) -> Peer:
    cls = lklsock.original("socket", "socket") if world == "host" else peer(world).socket
    sock = cls(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address(world), 0))
    return Peer(sock)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.queue.put_nowait((data, addr))


@pytest.mark.parametrize("world", WORLDS)
@in_own_process
def test_streams_reach_either_world(world: str) -> None:
    async def talk(server: Peer) -> None:
        reader, writer = await asyncio.open_connection(*server.sock.getsockname())
        other, _ = await server.call("accept")
        with other:
            writer.write(bytes(1 << 20))
            await writer.drain()
            received = 0
            while received < 1 << 20:
                received += len(await asyncio.to_thread(other.recv, 1 << 20))
            other.sendall(b"pong")
            assert await reader.readexactly(4) == b"pong"
            other.shutdown(socket.SHUT_WR)
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        with listener(world) as server:
            await talk(Peer(server))

    run(main)


@pytest.mark.parametrize("world", WORLDS)
@in_own_process
def test_refused_connection_is_told(world: str) -> None:
    async def main() -> None:
        with listener(world) as server:
            name = server.getsockname()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*name)

    run(main)


@in_own_process
def test_server_is_reached_from_both_worlds() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def main() -> None:
        with lklsock.original("socket", "socket")() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        server = await asyncio.start_server(echo, None, port)
        async with server:
            assert len(server.sockets) == 2
            for loopback in ("127.0.0.1", "::1"):
                for world in WORLDS * 2:
                    create = peer(world).create_connection
                    client = await asyncio.to_thread(create, (loopback, port), DEADLINE_S)
                    with client:
                        client.sendall(b"x")
                        assert await asyncio.to_thread(client.recv, 10) == b"x"

    run(main)


@pytest.mark.parametrize("world", WORLDS)
@in_own_process
def test_connected_datagrams(world: str) -> None:
    async def main() -> None:
        other = datagram_peer(world)
        with other.sock:
            transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                Datagrams, remote_addr=other.sock.getsockname()
            )
            transport.sendto(b"ping")
            data, name = await other.call("recvfrom", 10)
            assert data == b"ping"
            other.sock.sendto(b"pong", name)
            assert (await protocol.queue.get())[0] == b"pong"
            transport.close()

    run(main)


@pytest.mark.parametrize("bound", [False, True])
@in_own_process
def test_datagrams_to_and_from_both_worlds(bound: bool) -> None:
    async def main() -> None:
        options: Any = {"local_addr": ("0.0.0.0", 0)} if bound else {"family": socket.AF_INET}
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            Datagrams, **options
        )
        for world in WORLDS * 3:
            other = datagram_peer(world)
            with other.sock:
                transport.sendto(world.encode(), other.sock.getsockname())
                data, name = await other.call("recvfrom", 10)
                assert data == world.encode()
                other.sock.sendto(b"answer", name)
                assert await protocol.queue.get() == (b"answer", other.sock.getsockname())
        transport.close()

    run(main)
