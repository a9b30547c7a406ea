"""The proxy on a stack: its connections out are MPTCP's, over all links."""

import asyncio
import contextlib
import os
import socket as stdlib
from typing import Any

import pytest
from joined import joined_stacks, listener
from own_process import in_own_process
from proxied import (
    OK,
    TIMEOUT_S,
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
from system_calls import panic

from lklsock import KernelPanicError, Stack, mptcp, socket
from lklsock.proxy import Guard, Proxy, Settings, Upstream
from lklsock.proxy.failure import Failure
from lklsock.proxy.service import Service


@in_own_process
def test_a_tunnel_has_a_subflow_on_each_path() -> None:
    async def main() -> None:
        near, far = joined_stacks()
        content = os.urandom(3_000_000)
        async with serving(echo, listener(far)) as port:
            async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
                async with tunnel(proxy, port, "10.0.0.2") as (reader, writer):
                    (exchange,) = proxy.exchanges.values()
                    upstream: Any = exchange.upstream
                    assert exchange.mptcp
                    writer.write(b"x")
                    assert await reader.readexactly(1) == b"x"
                    await await_that(lambda: len(mptcp.subflows(upstream)) == 2, "two subflows")
                    paths = {subflow.local[0] for subflow in mptcp.subflows(upstream)}
                    assert paths == {"10.0.0.1", "10.1.0.1"}
                    writer.write(content)
                    writer.write_eof()
                    assert await reader.read() == content
                assert (await finished(proxy)).error is None

    run(main())


@pytest.mark.parametrize("way", ["connect", "http", "socks"])
@in_own_process
def test_ipv6_is_as_good(way: str) -> None:
    async def main() -> None:
        near, far = joined_stacks()
        handler = answering(OK) if way == "http" else echo
        async with serving(handler, listener(far, socket.AF_INET6)) as port:
            async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
                if way == "http":
                    url = f"http://[fd01::2]:{port}/".encode()
                    answer = await ask(proxy, b"GET " + url + b" HTTP/1.0\r\nHost: x\r\n\r\n")
                    assert status_of(answer) == 200
                elif way == "connect":
                    async with tunnel(proxy, port, "[fd01::2]") as (reader, writer):
                        writer.write(b"six")
                        assert await reader.readexactly(3) == b"six"
                else:
                    async with client(proxy) as (reader, writer):
                        packed = stdlib.inet_pton(stdlib.AF_INET6, "fd01::2")
                        writer.write(b"\5\1\0\5\1\0\4" + packed + port.to_bytes(2, "big") + b"six")
                        # Where it has been bound to is an IPv6 address, too.
                        assert (await reader.readexactly(24))[2:6] == b"\5\0\0\4"
                        assert await reader.readexactly(3) == b"six"
                exchange = await finished(proxy)
                assert (exchange.host, exchange.mptcp) == ("fd01::2", True)

    run(main())


@in_own_process
def test_a_new_connection_finds_the_path_that_is_left() -> None:
    """The first path loses all without a sign, and the kernel would choose it."""

    async def main() -> None:
        near, far = joined_stacks()
        async with serving(echo, listener(far)) as port:
            async with proxying(Upstream.of_stack(near), guard=Guard(), connect_s=10) as proxy:
                near.interface("wire0").cut()
                async with tunnel(proxy, port, "10.1.0.2"):
                    pass
                # The way to this one leads by the first path.
                far.interface("wire1").add_address("10.9.0.1/32")
                async with tunnel(proxy, port, "10.9.0.1") as (reader, writer):
                    (exchange,) = [each for each in proxy.exchanges.values() if each.upstream]
                    upstream: Any = exchange.upstream
                    assert upstream.getsockname()[0] == "10.1.0.1"
                    writer.write(b"there")
                    assert await reader.readexactly(5) == b"there"

    run(main())


@in_own_process
def test_a_server_without_mptcp_is_reached_by_tcp() -> None:
    async def main() -> None:
        near, far = joined_stacks(mptcp_mode="off")
        async with serving(answering(OK), listener(far)) as port:
            async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
                request = f"GET http://10.0.0.2:{port}/ HTTP/1.1\r\nHost: x\r\n".encode()
                answer = await ask(proxy, request + b"Connection: close\r\n\r\n")
                assert status_of(answer) == 200
                exchange = await finished(proxy)
                assert exchange.mptcp is False

    run(main())


@in_own_process
def test_the_stack_itself_and_its_loopback_are_guarded() -> None:
    async def main() -> None:
        near, _ = joined_stacks()
        async with serving(echo, listener(near)) as port:
            async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
                for host in ("127.0.0.1", "10.0.0.1", "10.1.0.1"):
                    answer = await ask(
                        proxy, f"CONNECT {host}:{port} HTTP/1.0\r\nHost: x\r\n\r\n".encode()
                    )
                    assert status_of(answer) == 403, host

    run(main())


@in_own_process
def test_without_links_nothing_is_reached_and_that_is_said() -> None:
    async def main() -> None:
        async with proxying(Upstream.of_stack(Stack()), guard=Guard()) as proxy:
            answer = await ask(proxy, b"GET http://10.0.0.1/ HTTP/1.0\r\nHost: x\r\n\r\n")
            assert status_of(answer) == 502
            assert b"Network is unreachable" in answer

    run(main())


@in_own_process
def test_datagrams_and_names_go_through_the_stack() -> None:
    async def main() -> None:
        near, far = joined_stacks()
        with far:
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("10.0.0.2", 0))
        server.setblocking(False)
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[bytes] = asyncio.Queue()

        def answer() -> None:
            data, source = server.recvfrom(1000)
            arrived.put_nowait(data)
            server.sendto(data[::-1], source)

        loop.add_reader(server, answer)
        port = server.getsockname()[1]
        async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
            async with client(proxy) as (reader, writer):
                writer.write(b"\5\1\0\5\3\0\1" + bytes(6))
                relayed = (await reader.readexactly(12))[2:]
                to = stdlib.inet_ntoa(relayed[4:8]), int.from_bytes(relayed[8:], "big")
                with stdlib.socket(stdlib.AF_INET, stdlib.SOCK_DGRAM) as sock:
                    sock.settimeout(TIMEOUT_S)
                    sock.sendto(b"\0\0\0\1\x0a\0\0\2" + port.to_bytes(2, "big") + b"abc", to)
                    assert await arrived.get() == b"abc"
                    back = await asyncio.to_thread(sock.recv, 1000)
                    assert back.endswith(b"cba")
        loop.remove_reader(server)
        server.close()

    run(main())


@in_own_process
def test_datagrams_do_not_go_to_the_stack_itself() -> None:
    async def main() -> None:
        near, _ = joined_stacks()
        async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
            upstream = proxy.upstream
            assert await upstream.resolve_datagram("10.0.0.2", 53, Guard()) == (
                stdlib.AF_INET,
                ("10.0.0.2", 53),
            )
            for host in ("10.0.0.1", "10.1.0.1", "fd00::1"):
                with pytest.raises(Failure, match="destination_ip_prohibited"):
                    await upstream.resolve_datagram(host, 53, Guard())

    run(main())


@pytest.mark.parametrize("has_tunnel", [True, False])
@in_own_process
def test_the_loss_of_the_kernel_ends_the_service(has_tunnel: bool) -> None:
    async def main() -> None:
        near, far = joined_stacks()
        settings = Settings(listen=(("127.0.0.1", 0),))
        proxy = Proxy(settings, Upstream.of_stack(near))
        ready: asyncio.Queue[Any] = asyncio.Queue()
        service = Service(proxy, lambda: settings, print)
        running = asyncio.create_task(service.run(None, ready.put_nowait))
        (there,) = await ready.get()
        async with serving(echo, listener(far)) as port:
            reader, writer = await asyncio.open_connection(*there)
            request = f"CONNECT 10.0.0.2:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            if has_tunnel:
                writer.write(request)
                assert (await head(reader))[0] == 200
            with pytest.raises(KernelPanicError):
                panic(near)
            writer.write(request)
            with pytest.raises(KernelPanicError):
                await running
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    run(main())


@in_own_process(timeout_s=90)
def test_500_connections_at_once() -> None:
    async def main() -> None:
        near, far = joined_stacks()

        async def one(proxy: Any, port: int, number: int) -> None:
            async with tunnel(proxy, port, f"10.{number % 2}.0.2") as (reader, writer):
                content = b"%d " % number * 1000
                writer.write(content)
                assert await reader.readexactly(len(content)) == content

        async with serving(echo, listener(far)) as port:
            async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
                await asyncio.gather(*(one(proxy, port, number) for number in range(500)))
                await finished(proxy, 500)
                assert all(exchange.mptcp for exchange in proxy.ended)

    asyncio.run(asyncio.wait_for(main(), 80))


@in_own_process
def test_a_server_closes_and_heads_come_over_mptcp() -> None:
    async def main() -> None:
        near, far = joined_stacks()
        async with serving(answering(OK), listener(far)) as port:
            async with proxying(Upstream.of_stack(near), guard=Guard()) as proxy:
                async with client(proxy) as (reader, writer):
                    for _ in range(20):
                        url = f"http://10.1.0.2:{port}/".encode()
                        writer.write(b"GET " + url + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                        assert (await head(reader))[0] == 200
                        assert await reader.readexactly(2) == b"ok"

    run(main())
