"""Urgent data of TCP, as pollers of the host see it."""

from __future__ import annotations

import contextlib
import select
import socket as host
from collections.abc import Iterator

import pytest
from own_process import in_own_process
from worlds import JOIN_S

import lklsock
from lklsock import socket

READ, URGENT = select.POLLIN, select.POLLPRI


def pairs_have_urgent_data() -> bool:
    left, right = host.socketpair()
    with left, right:
        try:
            left.send(b"u", host.MSG_OOB)
        except OSError:
            return False
    return True


pytestmark = pytest.mark.skipif(
    not pairs_have_urgent_data(),
    reason="AF_UNIX of this host has no MSG_OOB, which takes Linux 5.15 with CONFIG_AF_UNIX_OOB",
)


@contextlib.contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Who sends, and who polls; without MPTCP, which has no urgent data."""
    lklsock.default_stack().mptcp_mode = "off"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    receiver.setblocking(False)
    with sender, receiver:
        yield sender, receiver


def polled(sock: socket.socket, events: int, timeout_s: float = JOIN_S) -> int:
    poll = select.poll()
    poll.register(sock, events)
    return sum(mask for _, mask in poll.poll(timeout_s * 1000))


@in_own_process
def test_urgent_data_is_shown_until_it_is_read() -> None:
    with connection() as (sender, receiver):
        assert not polled(receiver, READ | URGENT, 0)
        sender.send(b"u", socket.MSG_OOB)
        assert polled(receiver, URGENT) == URGENT
        assert select.select([], [], [receiver], 0) == ([], [], [receiver])
        assert receiver.recv(8, socket.MSG_OOB) == b"u"
        assert not polled(receiver, READ | URGENT, 0)
        sender.send(b"v", socket.MSG_OOB)
        assert polled(receiver, URGENT) == URGENT
        assert receiver.recv(8, socket.MSG_OOB) == b"v"


@in_own_process
def test_ordinary_data_around_it_stays_readable() -> None:
    with connection() as (sender, receiver):
        sender.send(b"before")
        assert polled(receiver, READ) == READ
        sender.send(b"u", socket.MSG_OOB)
        assert polled(receiver, URGENT) == URGENT
        sender.send(b"behind")
        assert receiver.recv(8, socket.MSG_OOB) == b"u"
        assert polled(receiver, READ | URGENT, 0) == READ
        assert receiver.recv(100) == b"before"
        assert polled(receiver, READ) == READ
        assert receiver.recv(100) == b"behind"
        assert not polled(receiver, READ | URGENT, 0)


@in_own_process
def test_program_that_has_no_use_for_it_is_not_woken_for_ever() -> None:
    with connection() as (sender, receiver):
        sender.send(b"u", socket.MSG_OOB)
        assert polled(receiver, URGENT)
        with pytest.raises(BlockingIOError):
            receiver.recv(100)
        assert not polled(receiver, READ | URGENT, 0)
        sender.send(b"ordinary")
        assert polled(receiver, READ | URGENT) == READ
        # Nobody has read it: a byte of it is in place of it from now on.
        sender.send(b"v", socket.MSG_OOB)
        assert receiver.recv(100) == b"ordinary"
        assert receiver.recv(8, socket.MSG_OOB) == b"v"
        sender.send(b"w", socket.MSG_OOB)
        assert polled(receiver, URGENT) == URGENT


@in_own_process
def test_urgent_data_before_the_end_is_shown() -> None:
    with connection() as (sender, receiver):
        receiver.fileno()
        sender.send(b"u", socket.MSG_OOB)
        sender.shutdown(socket.SHUT_WR)
        assert polled(receiver, READ | URGENT) == READ | URGENT
        assert receiver.recv(8, socket.MSG_OOB) == b"u"
        assert receiver.recv(1) == b""
        assert polled(receiver, READ | URGENT, 0) == READ
