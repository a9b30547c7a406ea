"""The near end's part: it connects, sends, and cuts a path."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import time
from collections.abc import Callable, Iterator

from ... import mptcp
from ..._interface import Interface
from ...link import AnyLink, Direction, Fd, Impair, Wire
from ...stack import Stack
from . import DemoError, host_peer
from .far_process import Event, FarProcess
from .plan import CUT_PATH, PATHS, PORT, PREFIX_LEN, SEED, Plan
from .record import Interval, Record, Sample

Watcher = Callable[[Record], None]

_READY_S = 20.0
_CONNECT_S = 10.0
_TICK_S = 0.02
_BLOCK_BYTES = 1 << 16


def transfer(plan: Plan, watch: Watcher) -> Record:
    """Does what the plan says.

    Args:
        plan: What shall happen.
        watch: Is called some ten times a second.

    Raises:
        DemoError: It cannot go on.
        OSError: It cannot go on.
    """
    with contextlib.ExitStack() as cleanup:
        if plan.peer == "host":
            far, links = _start_host(plan, cleanup)
        else:
            far, links = _start_wires(plan, cleanup)
        stack = Stack(hostname="near", mptcp_mode="require")
        cleanup.callback(stack.halt)
        interfaces = [
            stack.add_link(
                _shaped(link, plan),
                name=path.name,
                addresses=[f"{path.near}/{PREFIX_LEN}"],
                gateway=path.far,
            )
            for link, path in zip(links, PATHS, strict=True)
        ]
        cleanup.enter_context(mptcp.preset("aggregate", stack=stack))
        run = _Run(plan, far, interfaces[CUT_PATH], watch)
        far.wait_for("ready", _READY_S, run.note)
        with stack.socket() as connection:
            run.record.kernel = stack.version
            run.connect(connection)
            run.send(connection)
            run.finish(connection)
        return run.record


def _start_wires(plan: Plan, cleanup: contextlib.ExitStack) -> tuple[FarProcess, list[AnyLink]]:
    pairs = [Wire.pair() for _ in PATHS]
    far_fds = [far.fd for _, far in pairs if far.fd is not None]
    try:
        arguments = {"peer": plan.peer, "fds": far_fds, "deadline_s": plan.deadline_s}
        far = cleanup.enter_context(FarProcess(arguments, far_fds))
    finally:
        for fd in far_fds:
            os.close(fd)
    return far, [near for near, _ in pairs]


def _start_host(plan: Plan, cleanup: contextlib.ExitStack) -> tuple[FarProcess, list[AnyLink]]:
    prefix = cleanup.enter_context(host_peer.namespace())
    channel, far_channel = socket.socketpair()
    with channel, far_channel:
        fd = far_channel.fileno()
        arguments = {"peer": plan.peer, "fd": fd, "deadline_s": plan.deadline_s}
        far = cleanup.enter_context(FarProcess(arguments, [fd], prefix))
        far_channel.close()
        taps = host_peer.receive_taps(channel)
    return far, [Fd(fd) for fd in taps]


def _shaped(link: AnyLink, plan: Plan) -> Impair:
    path = Direction(
        delay_ms=plan.delay_ms,
        rate_bit_per_s=plan.rate_bit_per_s,
        queue_bytes=plan.queue_bytes,
    )
    return Impair(link, seed=SEED, tx=path, rx=path)


class _Run:
    """A transfer that is going on."""

    def __init__(self, plan: Plan, far: FarProcess, cut: Interface, watch: Watcher) -> None:
        self.record = Record(plan)
        self._far = far
        self._cut = cut
        self._watch = watch

    def connect(self, connection: socket.socket) -> None:
        """Connects over the first path; the preset opens a subflow over the second one."""
        connection.settimeout(_CONNECT_S)
        connection.connect((PATHS[0].far, PORT))
        connection.settimeout(_TICK_S)

    def send(self, connection: socket.socket) -> None:
        """Sends until the time is up, as much as the connection takes."""
        record, digest = self.record, hashlib.sha256()
        record.start_ns = time.monotonic_ns()
        for block in _random_blocks():
            left = memoryview(block)
            while left:
                self._tick()
                if record.seconds(time.monotonic_ns()) >= record.plan.seconds:
                    record.sent_sha256 = digest.hexdigest()
                    return
                try:
                    sent = connection.send(left)
                except TimeoutError:
                    continue
                digest.update(left[:sent])
                record.sent_bytes += sent
                left = left[sent:]

    def finish(self, connection: socket.socket) -> None:
        """Waits until the far end has all."""
        record = self.record
        info = mptcp.info(connection)
        if info is None:
            raise DemoError("the connection fell back to TCP")
        record.subflows = 1 + info.subflows
        connection.shutdown(socket.SHUT_WR)
        done = self._far.wait_for("done", record.plan.drain_s, self.note)
        record.end_ns = record.samples[-1].ns
        record.received_bytes = done["bytes"]
        record.received_sha256 = done["sha256"]

    def note(self, event: Event) -> None:
        """Takes down what the far end tells."""
        if event["event"] == "sample":
            self.record.samples.append(Sample(*event["values"]))
            self._watch(self.record)
        elif event["event"] == "gap":
            self.record.gaps.append(Interval(*event["values"]))

    def _tick(self) -> None:
        record, plan, now_ns = self.record, self.record.plan, time.monotonic_ns()
        if record.cut_ns is None and record.seconds(now_ns) >= plan.cut_s:
            self._cut.cut()
            record.cut_ns = now_ns
        elif record.mend_ns is None and record.seconds(now_ns) >= plan.mend_s:
            self._cut.mend()
            record.mend_ns = now_ns
        for event in self._far.events():
            self.note(event)


def _random_blocks() -> Iterator[bytes]:
    source = random.Random(SEED)
    while True:
        yield source.randbytes(_BLOCK_BYTES)
