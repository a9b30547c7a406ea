"""What is no request, or might be read in two ways: refused, and nobody behind hears of it."""

import asyncio
import random

import pytest
from proxied import OK, all_gone, answering, ask, client, head, proxying, run, serving, status_of

URL = b"http://127.0.0.1:%d/"

CORPUS = {
    "nothing": b"\r\n\r\n",
    "no version": b"GET URL\r\n\r\n",
    "a version of the future": b"GET URL HTTP/3.0\r\nHost: x\r\n\r\n",
    "an old one": b"GET URL HTTP/0.9\r\nHost: x\r\n\r\n",
    "two spaces": b"GET  URL HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": b"GET URL a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control character in it": b"GET URL\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": b"GET URL HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a header without a colon": b"GET URL HTTP/1.1\r\nHost: x\r\nX\r\n\r\n",
    "a space before the colon": b"GET URL HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
    "a line of headers goes on first": b"GET URL HTTP/1.1\r\n Host: x\r\n\r\n",
    "no host": b"GET URL HTTP/1.1\r\n\r\n",
    "two hosts": b"GET URL HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "binary": bytes(range(128, 256)) * 4,
    "an origin's request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "all of the proxy": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "another scheme": b"GET ftp://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "https": b"GET https://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host in the URL": b"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n",
    "no port in the URL": b"GET http://127.0.0.1:99999/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bracket": b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT to a URL": b"CONNECT URL HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT without a port": b"CONNECT 127.0.0.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT to port 0": b"CONNECT 127.0.0.1:0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT to a long port": b"CONNECT 127.0.0.1:0000080 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT with a user": b"CONNECT a@127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT to ::1 bare": b"CONNECT ::1:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TRACE": b"TRACE URL HTTP/1.1\r\nHost: x\r\n\r\n",
    "a head too long": b"GET URL HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "a line too long": b"GET URL" + b"x" * 70_000,
}

_POST = b"POST URL HTTP/1.1\r\nHost: x\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_AFTER = b"GET URLsmuggled HTTP/1.1\r\nHost: x\r\n\r\n"

SMUGGLING = {
    "CL and TE": _POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "two lengths in one": _POST + b"Content-Length: 0, 44\r\n\r\n",
    "a sign": _POST + b"Content-Length: +0\r\n\r\n",
    "hexadecimal": _POST + b"Content-Length: 0x0\r\n\r\n",
    "negative": _POST + b"Content-Length: -1\r\n\r\n",
    "identity": _POST + b"Transfer-Encoding: identity\r\n\r\n",
    "xchunked": _POST + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunked twice": _POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
    "TE twice": _POST + b"Transfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE with a tab": _POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n",
    "TE in 1.0": b"POST URL HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF everywhere": b"GET URL HTTP/1.1\nHost: x\n\n",
    "bare LF in a header": b"GET URL HTTP/1.1\r\nHost: x\r\nX: y\nZ: chunked\r\n\r\n",
    "bare LF at the end": b"GET URL HTTP/1.1\r\nHost: x\r\n\n",
    "bare LF after the request line": b"GET URL HTTP/1.1\nHost: x\r\n\r\n",
    "bare CR": b"GET URL HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 5\r\n\r\n",
    "a chunk with bare LF": _POST + _CHUNKED + b"1\nx\r\n0\r\n\r\n",
    "a chunk that does not end": _POST + _CHUNKED + b"1\r\nxx0\r\n\r\n",
    "a size that is none": _POST + _CHUNKED + b"g\r\n\r\n",
    "a size with a sign": _POST + _CHUNKED + b"+1\r\nx\r\n0\r\n\r\n",
    "a size too long": _POST + _CHUNKED + b"00000000000000000000000000000001\r\nx\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", CORPUS)
def test_no_request_is_refused(name: str) -> None:
    async def main() -> None:
        requests: list[bytes] = []
        async with serving(answering(OK, requests)) as port, proxying(header_s=1) as proxy:
            request = CORPUS[name].replace(b"URL", URL % port)
            answer = await ask(proxy, request, end=not request.endswith(b"\r\n\r\n"))
            assert 400 <= status_of(answer) < 600, answer
            assert status_of(answer) not in (500, 502), answer
            assert not requests

    run(main())


@pytest.mark.parametrize("name", SMUGGLING)
def test_nothing_is_smuggled(name: str) -> None:
    """What two readers may take for one request or for two is refused; what follows, not read."""

    async def main() -> None:
        requests: list[bytes] = []
        async with serving(answering(OK, requests)) as port, proxying(header_s=1) as proxy:
            answer = await ask(proxy, (SMUGGLING[name] + _AFTER).replace(b"URL", URL % port))
            assert status_of(answer) in (400, 501), answer
            assert answer.count(b"HTTP/1.1 ") == 1
            assert not any(b"smuggled" in request for request in requests)

    run(main())


def test_bytes_that_come_one_by_one_are_as_good() -> None:
    async def main() -> None:
        async with serving(answering(OK)) as port, proxying() as proxy:
            async with client(proxy) as (reader, writer):
                request = b"GET " + URL % port + b" HTTP/1.1\r\nHost: x\r\n\r\n"
                for byte in request * 2:
                    writer.write(bytes((byte,)))
                    await writer.drain()
                for _ in range(2):
                    assert (await head(reader))[0] == 200
                    assert await reader.readexactly(2) == b"ok"

    run(main())


def mutated(source: random.Random, request: bytes) -> bytes:
    """A request with some bytes changed, added, doubled or gone."""
    data = bytearray(request)
    for _ in range(source.randint(1, 6)):
        where = source.randrange(len(data) + 1)
        kind = source.randrange(5)
        if kind == 0:
            data[where:where] = source.randbytes(source.randint(1, 4))
        elif kind == 1:
            del data[where : where + source.randint(1, 8)]
        elif kind == 2:
            data[where:where] = source.choice(
                [b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"0\r\n\r\n", b"Content-Length: 3\r\n"]
            )
        elif kind == 3:
            end = where + source.randint(1, 30)
            data[where:where] = data[where:end]
        elif where < len(data):
            data[where] = source.randrange(256)
    return bytes(data)


def test_fuzzed_requests_are_answered_or_refused_and_end() -> None:
    async def main() -> None:
        seeds = [
            *(value for value in CORPUS.values() if len(value) < 1000),
            *SMUGGLING.values(),
            _POST + b"Content-Length: 3\r\n\r\nabc",
            _POST + _CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
            b"GET URL HTTP/1.1\r\nHost: x\r\n\r\n",
            b"CONNECT 127.0.0.1:PORT HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\1\0\x50",
            b"\x05\x02\x00\x02\x05\x01\x00\x03\x09localhost\0\x50",
            b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0",
            b"\x04\x01\0\x50\x7f\0\0\1user\0",
        ]
        source = random.Random(7)

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1000)
            writer.write(OK)

        async with serving(swallow) as port, proxying(header_s=0.5, response_s=0.5) as proxy:
            for _ in range(400):
                seed = source.choice(seeds).replace(b"PORT", b"%d" % port)
                await ask(proxy, mutated(source, seed.replace(b"URL", URL % port)), end=True)
            await all_gone(proxy)
            # It goes on.
            answer = await ask(
                proxy, b"GET " + URL % port + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            assert status_of(answer) == 200
            assert proxy.faults == 0

    run(main())
