"""asyncio's TLS in a patched program: its own, over memory, on sockets of the stack."""

import asyncio

from own_process import in_own_process
from secure import client_context, server_context

import lklsock

BULK = bytes(range(256)) * 4000
DEADLINE_S = 45


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Sends BULK, and returns what comes back."""

    async def send() -> None:
        writer.write(BULK)
        await writer.drain()

    sending = asyncio.create_task(send())
    data = await reader.readexactly(len(BULK))
    await sending
    return data


def on_the_stack(writer: asyncio.StreamWriter) -> bool:
    """Whether MPTCP, which only the stack has, carries the connection."""
    sock = writer.get_extra_info("socket")._sock
    return sock._lkl is not None and sock.mptcp is not None


@in_own_process
def test_streams_over_tls(certificates: str) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context(certificates))
        port = server.sockets[0].getsockname()[1]
        async with server:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=client_context(certificates),
                server_hostname="localhost",
            )
            assert on_the_stack(writer)
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert await exchange(reader, writer) == BULK
            writer.close()
            await writer.wait_closed()

    with lklsock.patched(policy="all"):
        asyncio.run(asyncio.wait_for(main(), DEADLINE_S))


@in_own_process
def test_a_plain_connection_goes_on_with_tls(certificates: str) -> None:
    class Received(asyncio.Protocol):
        """Puts what comes into a queue."""

        def __init__(self) -> None:
            self.queue: asyncio.Queue[bytes] = asyncio.Queue()

        def data_received(self, data: bytes) -> None:
            self.queue.put_nowait(data)

    class Server(Received):
        """Starts TLS when it is asked to, and sends back one message."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.serving = asyncio.ensure_future(self.serve(transport))

        async def serve(self, transport: asyncio.Transport) -> None:
            loop = asyncio.get_running_loop()
            assert await self.queue.get() == b"STARTTLS\n"
            transport.write(b"OK\n")
            context = server_context(certificates)
            upgraded = await loop.start_tls(transport, self, context, server_side=True)
            assert upgraded is not None
            upgraded.write(await self.queue.get())
            upgraded.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            transport, protocol = await loop.create_connection(Received, "127.0.0.1", port)
            transport.write(b"STARTTLS\n")
            assert await protocol.queue.get() == b"OK\n"
            context = client_context(certificates)
            upgraded = await loop.start_tls(
                transport, protocol, context, server_hostname="localhost"
            )
            assert upgraded is not None
            assert upgraded.get_extra_info("peercert")
            upgraded.write(b"secret")
            assert await protocol.queue.get() == b"secret"
            upgraded.close()

    with lklsock.patched(policy="all"):
        asyncio.run(asyncio.wait_for(main(), DEADLINE_S))
