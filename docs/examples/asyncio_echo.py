"""asyncio on the stack: a server and a hundred clients in one event loop."""

import asyncio

import lklsock


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
    writer.close()


async def talk(address: tuple[str, int], number: int) -> int:
    reader, writer = await asyncio.open_connection(*address)
    message = f"client {number}".encode()
    writer.write(message)
    answer = await reader.readexactly(len(message))
    writer.close()
    await writer.wait_closed()
    return answer == message


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    async with server:
        right = await asyncio.gather(*(talk(address, number) for number in range(100)))
    print(sum(right), "of", len(right), "clients got their answer")


if __name__ == "__main__":
    with lklsock.patched(policy="all"):
        asyncio.run(main())
