# SPDX-License-Identifier: GPL-2.0-only
"""Whether an installed lklsock works: boots, sends by MPTCP over two wires, and halts.

    python wheels/smoke.py [--loopback]

It needs nothing but the package, takes about a second, and ends with one line.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import threading
import time
from typing import Any

import lklsock
from lklsock import mptcp, socket
from lklsock.link import Wire

BYTES = 1 << 20
TIMEOUT_S = 60.0


def transfer(client: Any, server: Any) -> None:
    """Sends random bytes one way and compares what arrives."""
    data = os.urandom(BYTES)

    def send() -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    for end in (client, server):
        end.settimeout(TIMEOUT_S)
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    received = hashlib.sha256()
    while piece := server.recv(1 << 16):
        received.update(piece)
    sender.join(TIMEOUT_S)
    assert received.digest() == hashlib.sha256(data).digest(), "other bytes arrived than were sent"


def connect(near: lklsock.Stack, far: lklsock.Stack, host: str) -> tuple[Any, Any, Any]:
    """A listener, and both ends of a connection to it."""
    with far:
        listener = socket.create_server(("", 0))
    with near:
        port = listener.getsockname()[1]
        client = socket.create_connection((host, port), timeout=TIMEOUT_S)
    listener.settimeout(TIMEOUT_S)
    return listener, client, listener.accept()[0]


def subflows_of(client: Any) -> int:
    """How many a connection has; none if it is not MPTCP."""
    return len(mptcp.subflows(client)) if client.mptcp else 0


def over_loopback(mode: str) -> None:
    """A transfer inside one stack, by TCP ("off") or MPTCP ("require")."""
    stack = lklsock.Stack(mptcp_mode=mode)
    listener, client, server = connect(stack, stack, "127.0.0.1")
    with listener, client, server:
        assert (client.mptcp is not None) == (mode == "require")
        transfer(client, server)
    stack.halt()


def over_wires() -> int:
    """A transfer between two stacks that two wires join. Returns the number of subflows."""
    near, far = lklsock.Stack(), lklsock.Stack()
    for path in range(2):
        ends = Wire.pair()
        near.add_link(ends[0], addresses=[f"10.{path}.0.1/24"], gateway=f"10.{path}.0.2")
        far.add_link(ends[1], addresses=[f"10.{path}.0.2/24"], gateway=f"10.{path}.0.1")
    mptcp.limits(far, subflows=2, add_addr_accepted=2)
    mptcp.preset("aggregate", stack=near)
    listener, client, server = connect(near, far, "10.0.0.2")
    with listener, client, server:
        deadline = time.monotonic() + TIMEOUT_S
        while (subflows := subflows_of(client)) < 2:
            assert time.monotonic() < deadline, "no second subflow came"
            # The other end's first answer says that it speaks MPTCP.
            server.sendall(b"?")
            client.recv(1)
            time.sleep(0.01)
        transfer(client, server)
    near.halt()
    far.halt()
    return subflows


def main() -> int:
    """The command line's entry: returns the exit status."""
    parser = argparse.ArgumentParser(description="Whether an installed lklsock works.")
    parser.add_argument(
        "--loopback", action="store_true", help="TCP and MPTCP inside one stack, without wires"
    )
    options = parser.parse_args()
    started = time.monotonic()
    if options.loopback:
        over_loopback("off")
        over_loopback("require")
        what = "TCP and MPTCP over loopback"
    else:
        what = f"MPTCP over {over_wires()} subflows"
    python = ".".join(map(str, sys.version_info[:3])) + sys.abiflags
    print(
        f"lklsock works: {what}, Python {python}, {os.uname().machine},"
        f" {time.monotonic() - started:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
