"""A trial: a transfer by Multipath TCP between two stacks, over two wires."""

from __future__ import annotations

import hashlib
import socket as stdlib
import threading
import time
from collections.abc import Iterator

from ... import mptcp
from ..._socket import socket
from ...errors import KernelError
from ...link import Wire
from ...stack import Stack
from .check import Check

_BYTES = 4 << 20
_TIMEOUT_S = 20.0
_SECOND_PATH_S = 2.0


def checks() -> Iterator[Check]:
    """One."""
    try:
        yield _transfer()
    except (ImportError, OSError, KernelError) as error:
        yield Check("trial", "no", f"{type(error).__name__}: {error}", essential=True)


def _transfer() -> Check:
    near, far = Stack(hostname="near"), Stack(hostname="far")
    try:
        for number in range(2):
            left, right = Wire.pair()
            near.add_link(left, addresses=[f"10.{number}.0.1/24"])
            far.add_link(right, addresses=[f"10.{number}.0.2/24"])
        mptcp.limits(near, subflows=2, add_addr_accepted=2)
        mptcp.limits(far, subflows=2)
        mptcp.endpoint_add("10.1.0.2", flags=["signal"], stack=far)
        with far.socket() as listener, near.socket() as sender:
            listener.bind(("", 0))
            listener.listen()
            for sock in (listener, sender):
                sock.settimeout(_TIMEOUT_S)
            sender.connect(("10.0.0.2", listener.getsockname()[1]))
            with listener.accept()[0] as receiver:
                receiver.settimeout(_TIMEOUT_S)
                return _judged(sender, receiver)
    finally:
        near.halt(0)
        far.halt(0)


def _judged(sender: socket, receiver: stdlib.socket) -> Check:
    data = bytes(range(256)) * (_BYTES // 256)
    if not mptcp.is_mptcp(sender):
        return Check("trial", "no", "the connection fell back to TCP", essential=True)
    _await_second_path(sender, receiver)
    begin = time.perf_counter()
    thread = threading.Thread(target=sender.sendall, args=(data,), daemon=True)
    thread.start()
    digest, left = hashlib.sha256(), _BYTES
    while left:
        chunk = receiver.recv(min(left, 1 << 18))
        if not chunk:
            return Check("trial", "no", f"{left} bytes did not come", essential=True)
        digest.update(chunk)
        left -= len(chunk)
    thread.join(_TIMEOUT_S)
    rate = _BYTES * 8 / (time.perf_counter() - begin) / 1e6
    if digest.digest() != hashlib.sha256(data).digest():
        return Check("trial", "no", "the bytes that came are others", essential=True)
    subflows = len(mptcp.subflows(sender))
    detail = f"{_BYTES >> 20} MiB by MPTCP between two stacks, {subflows} subflows, {rate:.0f}"
    return Check("trial", "ok", f"{detail} Mbit/s", essential=True)


def _await_second_path(sender: socket, receiver: stdlib.socket) -> None:
    """The second subflow comes when the first has carried something; it is not waited for long."""
    until_s = time.monotonic() + _SECOND_PATH_S
    while len(mptcp.subflows(sender)) < 2 and time.monotonic() < until_s:
        sender.sendall(b"?")
        receiver.recv(1)
        time.sleep(0.005)
