"""How much the proxy takes on, how long it waits, and how it ends."""

import asyncio
import dataclasses
import resource
import socket
import tracemalloc
from pathlib import Path

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
    head,
    proxying,
    run,
    serving,
    status_of,
    tunnel,
)

from lklsock.proxy import Guard, Users
from lklsock.proxy import relay as relaying
from lklsock.proxy.users import hash_password


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize(
    ("words", "status"),
    [(b"GET http://127.0.0.1/ HTTP/1.1\r\nHo", 408), (b"G", 408), (b"\x05", None), (b"", None)],
)
def test_a_client_that_is_slow_with_its_request_is_not_waited_for(
    words: bytes, status: int | None
) -> None:
    async def main() -> None:
        async with proxying(header_s=0.2, keep_alive_s=0.2) as proxy:
            answer = await ask(proxy, words)
            assert (status_of(answer) if answer else None) == status
            await all_gone(proxy)

    run(main())


def test_a_head_that_trickles_in_has_one_deadline_for_all_of_it() -> None:
    async def main() -> None:
        async with proxying(header_s=0.3) as proxy, client(proxy) as (reader, writer):

            async def trickle() -> None:
                writer.write(b"GET http://127.0.0.1/ HTTP/1.1\r\n")
                while True:
                    writer.write(b"X: y\r\n")
                    await asyncio.sleep(0.02)

            trickling = asyncio.create_task(trickle())
            assert (await head(reader))[0] == 408
            trickling.cancel()

    run(main())


def test_a_tunnel_in_which_nothing_happens_ends() -> None:
    async def main() -> None:
        async with serving(echo) as port, proxying(idle_s=0.2) as proxy:
            async with tunnel(proxy, port) as (reader, _):
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            assert (await finished(proxy)).error == "idle"

    run(main())


def test_a_connection_that_is_kept_without_a_request_ends() -> None:
    async def main() -> None:
        async with serving(answering(OK)) as port, proxying(keep_alive_s=0.2) as proxy:
            request = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            assert (await ask(proxy, request)).endswith(b"ok")

    run(main())


@pytest.mark.parametrize("limit", ["connections", "connections_per_client"])
def test_one_connection_too_many_is_told_so(limit: str) -> None:
    async def main() -> None:
        async with serving(echo) as port, proxying(**{limit: 2}) as proxy:
            async with tunnel(proxy, port), tunnel(proxy, port):
                assert status_of(await ask(proxy, b"")) == 503
                assert proxy.refused == 1
            await all_gone(proxy)
            async with tunnel(proxy, port):
                pass

    run(main())


@pytest.mark.parametrize("how", ["tunnel", "response", "request"])
def test_a_slow_reader_holds_the_other_side_back_and_takes_no_memory(how: str) -> None:
    """What the sockets' buffers hold goes; the proxy adds one buffer, and not what is waiting."""

    async def main() -> None:
        chunk = bytes(1 << 16)
        gone = 0
        is_full = asyncio.Event()

        async def push(writer: asyncio.StreamWriter) -> None:
            nonlocal gone
            for _ in range(4096):
                writer.write(chunk)
                try:
                    await asyncio.wait_for(writer.drain(), 0.5)
                except asyncio.TimeoutError:
                    break
                gone += len(chunk)
            is_full.set()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if how == "request":
                await is_full.wait()
                return
            if how == "response":
                await reader.readuntil(b"\r\n\r\n")
                length = 4096 * len(chunk)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            await push(writer)

        async with serving(handle) as port, proxying() as proxy:
            before = resident_bytes()
            target = f"http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n".encode()
            async with client(proxy) as (_, writer):
                if how == "tunnel":
                    connect = f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n"
                    writer.write(connect.encode())
                elif how == "response":
                    writer.write(b"GET " + target + b"\r\n")
                else:
                    writer.write(b"PUT " + target + b"Content-Length: 268435456\r\n\r\n")
                    await push(writer)
                await is_full.wait()
                assert gone < 64 << 20
                assert resident_bytes() - before < 8 << 20

    run(main())


def test_draining_lets_what_is_under_way_end_and_takes_nobody_on() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await go_on.wait()
            writer.write(OK)

        async with serving(slow) as port, proxying() as proxy:
            async with client(proxy) as (reader, writer), client(proxy) as (idle, _):
                writer.write(f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await await_that(lambda: proxy.exchanges, "the request is under way")
                drain = asyncio.create_task(proxy.drain(timeout_s=10))
                # Who waits for nothing is let go.
                assert await idle.read() == b""
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(*proxy.at)  # type: ignore[attr-defined]
                go_on.set()
                status, headers = await head(reader)
                assert (status, headers["connection"]) == (200, "close")
                assert await reader.read() == b"ok"
                assert await drain == 0

    run(main())


def test_what_does_not_end_by_the_deadline_is_ended() -> None:
    async def main() -> None:
        async with serving(echo) as port, proxying() as proxy:
            async with tunnel(proxy, port) as (reader, _):
                assert await proxy.drain(timeout_s=0.1) == 1
                with pytest.raises(ConnectionResetError):
                    await reader.read()
                assert proxy.ended[-1].error == "drained"

    run(main())


def test_new_settings_hold_from_the_next_request_on_and_drop_no_connection() -> None:
    async def main() -> None:
        async with serving(answering(OK)) as port, serving(echo) as echoing, proxying() as proxy:
            request = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            async with client(proxy) as (reader, writer), tunnel(proxy, echoing) as tunnelled:
                writer.write(request)
                assert (await head(reader))[0] == 200
                await reader.readexactly(2)
                users = Users({"ann": hash_password("x")})
                proxy.settings = dataclasses.replace(proxy.settings, users=users, guard=Guard())
                writer.write(request)
                status, headers = await head(reader)
                assert status == 407
                await reader.readexactly(int(headers["content-length"]))
                authorized = request[:-2] + b"Proxy-Authorization: Basic YW5uOng=\r\n\r\n"
                writer.write(authorized)
                # The guard's, although there is a connection to the server.
                assert (await head(reader))[0] == 403
                tunnelled[1].write(b"still here")
                assert await tunnelled[0].readexactly(10) == b"still here"

    run(main())


def kept_bytes() -> int:
    """What the relay's own code has allocated."""
    relays = tracemalloc.Filter(True, relaying.__file__)
    traces = tracemalloc.take_snapshot().filter_traces([relays]).traces
    return sum(trace.size for trace in traces)


def test_what_was_kept_for_a_slow_reader_is_let_go_once_it_was_taken() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        (near, reader), (far, sender) = socket.socketpair(), socket.socketpair()
        with near, reader, far, sender:
            for sock in (near, reader, far, sender):
                sock.setblocking(False)
            buffer = memoryview(bytearray(relaying.BUFFER_BYTES))
            relay = relaying.relay(near, far, buffer=buffer, up=int, down=int)
            tasks = [asyncio.create_task(relay)]
            tasks.append(asyncio.create_task(loop.sock_sendall(sender, bytes(400_000))))
            try:
                await await_that(lambda: kept_bytes() > 16_384, "nothing is kept")
                left = 400_000
                while left:
                    left -= len(await loop.sock_recv(reader, 1 << 16))
                assert kept_bytes() < 8_192
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    tracemalloc.start()
    try:
        run(main())
    finally:
        tracemalloc.stop()
