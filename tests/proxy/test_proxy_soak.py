"""What a day does to a proxy, in a minute: everything at once, again and again, with paths lost."""

import asyncio
import os
import random
import resource
from contextlib import suppress
from pathlib import Path

import pytest
from joined import joined_stacks, listener
from own_process import in_own_process
from proxied import all_gone, client, echo, head, proxying, serving, tunnel
from test_proxy_malformed import CORPUS, URL, mutated

from lklsock.proxy import Guard, Proxy, Upstream

SOAK_S = 60.0
WORKERS = 40
PATIENCE_S = 30.0


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _one(source: random.Random, proxy: Proxy, port: int) -> None:
    """Something that a client may do, good or bad."""
    kind = source.randrange(6)
    host = source.choice(["10.0.0.2", "10.1.0.2"])
    if kind == 0:
        async with client(proxy) as (reader, writer):
            seed = source.choice(list(CORPUS.values())).replace(b"URL", URL % port)
            writer.write(mutated(source, seed))
            writer.write_eof()
            await reader.read()
        return
    if kind == 1:
        # Leaves before it has an answer.
        async with client(proxy) as (_, writer):
            writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return
    if kind == 2:
        async with client(proxy) as (reader, writer):
            writer.write(b"GET http://10.0.0.2:1/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await head(reader))[0] in (502, 504)
        return
    async with tunnel(proxy, port, host) as (reader, writer):
        content = source.randbytes(source.randrange(1, 300_000))
        writer.write(content)
        if kind == 3:
            await reader.read(1000)
            return
        writer.write_eof()
        assert await reader.read() == content


async def _work(source: random.Random, proxy: Proxy, port: int, until: float) -> int:
    done = 0
    while asyncio.get_running_loop().time() < until:
        # A connection that loses its only path while it ends is never finished: MPTCP opens no
        # subflow for it any more. The proxy has to end what is idle; a hang is a fault.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await asyncio.wait_for(_one(source, proxy, port), PATIENCE_S)
        done += 1
    return done


@pytest.mark.full
@pytest.mark.slow
@in_own_process(timeout_s=SOAK_S + 120)
def test_nothing_is_left_of_a_minute_of_everything() -> None:
    async def main() -> None:
        near, far = joined_stacks()
        loop = asyncio.get_running_loop()

        async def flap() -> None:
            while True:
                for name in ("wire0", "wire1"):
                    await asyncio.to_thread(near.interface(name).hold_down, True)
                    await asyncio.sleep(0.7)
                    await asyncio.to_thread(near.interface(name).hold_down, False)
                    await asyncio.sleep(2)

        async with serving(echo, listener(far)) as port:
            async with proxying(
                Upstream.of_stack(near), guard=Guard(), header_s=2, idle_s=5
            ) as proxy:

                async def round_of(seconds: float, first: int) -> int:
                    until = loop.time() + seconds
                    sources = [random.Random(first + number) for number in range(WORKERS)]
                    work = [_work(source, proxy, port, until) for source in sources]
                    done = sum(await asyncio.gather(*work))
                    await all_gone(proxy, PATIENCE_S)
                    proxy.ended.clear()  # type: ignore[attr-defined]
                    return done

                flapping = asyncio.create_task(flap())
                await round_of(SOAK_S / 4, 0)
                before = descriptors(), resident_bytes()
                assert await round_of(SOAK_S * 3 / 4, WORKERS) > 500
                flapping.cancel()
                assert proxy.faults == 0
                assert descriptors() - before[0] < 20
                assert resident_bytes() - before[1] < 48 << 20

    asyncio.run(main())
