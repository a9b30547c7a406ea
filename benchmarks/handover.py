"""The longest silence when a link is lost under the preset "interactive", and how soon it is back.

Two stacks, joined by two wires of 100 Mbit/s with 10 ms round trip time; each run cuts one of
them, in turn, and mends it a second later. "carrier" tells the sender's stack of it, "silent" tells
nobody. The figure is the longest time in which the receiving program got no byte within that
second; for "return", the time from the mending until the link carries data again. No root needed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from figure import Figure, Target, main

RUNS = 10
SECONDS_CUT = 1.0
PATIENCE_S = 10.0
WAYS = ("carrier", "silent")


def _measure(way: str, direction: str, path: int) -> dict[str, float]:
    """One run, in a process of its own: a kernel lives as long as its process."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", way, direction, str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def benchmark(runs: int) -> Iterator[Figure]:
    """For each way and direction a row for the silence and one for the return."""
    for way, direction in itertools.product(WAYS, ("up", "down")):
        found = [_measure(way, direction, run % 2) for run in range(runs)]
        yield Figure(
            f"handover-{way}-{direction}",
            "ms",
            single=[one["gap_ms"] for one in found],
            less_is_better=True,
            target=Target("lklsock", "<=", 50.0 if way == "carrier" else 250.0),
        )
        yield Figure(
            f"return-{way}-{direction}",
            "ms",
            single=[one["return_ms"] for one in found],
            less_is_better=True,
            target=Target("lklsock", "<=", 2000.0),
        )


def _one(way: str, direction: str, path: int) -> dict[str, float]:
    from lklsock import Stack, mptcp, socket
    from lklsock.link import Impair, Wire

    ours, theirs = Stack(), Stack()
    for number in (0, 1):
        near, far = Wire.pair()
        ours.add_link(
            Impair(near, delay_ms=5, rate_bit_per_s=100_000_000, queue_bytes=250_000),
            addresses=[f"10.{number}.0.1/24"],
            gateway=f"10.{number}.0.2",
        )
        theirs.add_link(far, addresses=[f"10.{number}.0.2/24"], gateway=f"10.{number}.0.1")
    mptcp.preset("interactive", stack=ours)
    # The server is a stack like any other, and may send, too.
    mptcp.preset("interactive", announce=True, stack=theirs)
    with theirs:
        listener = socket.create_server(("", 0))
    with ours:
        client = socket.create_connection(("10.0.0.2", listener.getsockname()[1]))
    server, _ = listener.accept()
    sender, receiver = (client, server) if direction == "up" else (server, client)
    arrivals: list[float] = []
    ended = threading.Event()

    def send() -> None:
        block = bytes(1 << 16)
        while not ended.is_set():
            sender.sendall(block)
        sender.shutdown(socket.SHUT_WR)

    def receive() -> None:
        room = bytearray(1 << 18)
        while receiver.recv_into(room):
            arrivals.append(time.monotonic())

    threads = [threading.Thread(target=function) for function in (send, receive)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    wire = ours.interface(f"wire{path}")
    key = "tx_bytes" if direction == "up" else "rx_bytes"
    cut = time.monotonic()
    wire.cut(carrier=way == "carrier")
    time.sleep(SECONDS_CUT)
    mended = time.monotonic()
    before = wire.counters()[key]
    wire.mend()
    while wire.counters()[key] < before + 100_000 and time.monotonic() < mended + PATIENCE_S:
        time.sleep(0.005)
    returned = time.monotonic()
    ended.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    near_cut = [at for at in arrivals if cut - 0.1 < at < mended]
    gaps = [later - earlier for earlier, later in itertools.pairwise([*near_cut, mended])]
    return {"gap_ms": max(gaps) * 1e3, "return_ms": (returned - mended) * 1e3}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--one", nargs=3)
    chosen, _ = parser.parse_known_args()
    if chosen.one:
        print(json.dumps(_one(chosen.one[0], chosen.one[1], int(chosen.one[2]))))
        sys.stdout.flush()
    else:
        main(benchmark, RUNS)
