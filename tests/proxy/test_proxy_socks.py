"""The SOCKS5 side: RFC 1928 and 1929."""

import asyncio
import os
import socket
import struct

import pytest
from proxied import ask, client, echo, finished, proxying, run, serving

from lklsock.proxy import Guard, Users
from lklsock.proxy.users import hash_password

GREETING = b"\x05\x01\x00"


def request(host: str, port: int, command: int = 1) -> bytes:
    try:
        kind, packed = 1, socket.inet_pton(socket.AF_INET, host)
    except OSError:
        try:
            kind, packed = 4, socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            kind, packed = 3, bytes((len(host),)) + host.encode()
    return bytes((5, command, 0, kind)) + packed + struct.pack("!H", port)


async def reply(reader: asyncio.StreamReader) -> tuple[int, tuple[str, int]]:
    version, code, _, kind = await reader.readexactly(4)
    assert version == 5
    family, length = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
    host = socket.inet_ntop(family, await reader.readexactly(length))
    (port,) = struct.unpack("!H", await reader.readexactly(2))
    return code, (host, port)


async def _receive(sock: socket.socket, size: int) -> tuple[bytes, tuple[str, int]]:
    # Python 3.10 has no sock_recvfrom().
    loop = asyncio.get_running_loop()
    while True:
        try:
            return sock.recvfrom(size)
        except BlockingIOError:
            ready = loop.create_future()
            loop.add_reader(sock, ready.set_result, None)
            await ready
            loop.remove_reader(sock)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("at_once", [False, True])
def test_connect_is_a_tunnel(host: str, at_once: bool) -> None:
    async def main() -> None:
        content = os.urandom(500_000)
        async with serving(echo) as port, proxying() as proxy, client(proxy) as (reader, writer):
            if at_once:
                writer.write(GREETING + request(host, port) + content)
            else:
                writer.write(GREETING)
            assert await reader.readexactly(2) == b"\5\0"
            if not at_once:
                writer.write(request(host, port))
            assert (await reply(reader))[0] == 0
            if not at_once:
                writer.write(content)
            writer.write_eof()
            assert await reader.read() == content
            exchange = await finished(proxy)
            assert (exchange.protocol, exchange.host, exchange.port) == ("socks5", host, port)
            assert exchange.bytes_up == exchange.bytes_down == len(content)

    run(main())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (b"\x05\x00", b"\x05\xff"),
        (b"\x05\x01\x02", b"\x05\xff"),
        (GREETING + b"\x05\x02\x00\x01\x7f\0\0\1\0\x50", b"\5\0\5\7\0\1\0\0\0\0\0\0"),
        (GREETING + b"\x05\x01\x00\x02\x7f\0\0\1\0\x50", b"\5\0\5\x08\0\1\0\0\0\0\0\0"),
        (GREETING + b"\x04\x01\x00\x01\x7f\0\0\1\0\x50", b"\5\0\5\1\0\1\0\0\0\0\0\0"),
        (GREETING + b"\x05\x01\x00\x03\x02\xff\xff\0\x50", b"\5\0\5\4\0\1\0\0\0\0\0\0"),
        (GREETING + request("missing.invalid", 80), b"\5\0\5\4\0\1\0\0\0\0\0\0"),
        (GREETING + request("127.0.0.1", 1), b"\5\0\5\5\0\1\0\0\0\0\0\0"),
        (GREETING + request("::1", 0), b"\5\0\5\1\0\1\0\0\0\0\0\0"),
        (b"\x04\x01\0\x50\x7f\0\0\1user\0", b"\0\x5b\0\0\0\0\0\0"),
    ],
)
def test_what_cannot_be_done_has_its_reply(words: bytes, answer: bytes) -> None:
    async def main() -> None:
        async with proxying() as proxy:
            assert await ask(proxy, words) == answer

    run(main())


def test_a_destination_that_is_guarded_is_not_allowed() -> None:
    async def main() -> None:
        async with proxying(guard=Guard()) as proxy:
            for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::ffff:127.0.0.1"):
                answer = await ask(proxy, GREETING + request(host, 80))
                assert answer[2:4] == b"\5\2", host

    run(main())


def test_users_and_passwords() -> None:
    async def main() -> None:
        users = Users({"ann": hash_password("secret")})
        async with serving(echo) as port, proxying(users=users) as proxy:
            # Who offers no password cannot come in.
            assert await ask(proxy, GREETING) == b"\x05\xff"
            for name, password in ((b"ann", b"wrong"), (b"bob", b"secret"), (b"", b"")):
                credentials = bytes((1, len(name))) + name + bytes((len(password),)) + password
                assert await ask(proxy, b"\x05\x02\x00\x02" + credentials) == b"\5\2\1\1"
            async with client(proxy) as (reader, writer):
                writer.write(b"\x05\x02\x00\x02\x01\x03ann\x06secret" + request("127.0.0.1", port))
                assert await reader.readexactly(4) == b"\5\2\1\0"
                assert (await reply(reader))[0] == 0
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
            assert (await finished(proxy, 5)).user == "ann"

    run(main())


def test_datagrams_go_through_an_association() -> None:
    async def main() -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        ):
            for sock in (far, near, stranger):
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
            there = far.getsockname()
            async with proxying() as proxy, client(proxy) as (reader, writer):
                writer.write(GREETING + request("0.0.0.0", 0, command=3))
                await reader.readexactly(2)
                code, relayed = await reply(reader)
                assert (code, relayed[0]) == (0, "127.0.0.1")
                head = b"\0\0\0" + request(*there)[3:]
                named = b"\0\0\0" + request("localhost", there[1])[3:]
                # What is no datagram of the protocol's, and fragments, are dropped.
                for wrong in (b"", b"\0\0\0\1", b"\0\0\1" + head[3:] + b"x", b"\0\0\0\7abcdef"):
                    near.sendto(wrong, relayed)
                for data in (head + b"one", named + b"two", head + b"x" * 60_000):
                    near.sendto(data, relayed)
                    payload, source = await _receive(far, 65536)
                    assert payload in (b"one", b"two", b"x" * 60_000)
                    far.sendto(payload, source)
                    back, _ = await _receive(near, 65536)
                    assert back == head + payload
                # Another socket has not asked.
                stranger.sendto(head + b"stranger", relayed)
                near.sendto(head + b"end", relayed)
                payload, source = await _receive(far, 65536)
                assert payload == b"end"
                writer.close()
                exchange = await finished(proxy)
                assert exchange.protocol == "socks5-udp"
                assert exchange.bytes_up == 60_009

    run(main())
