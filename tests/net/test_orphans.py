"""Data for a connection that nobody reads any more: it is reset at once, as TCP does it."""

from __future__ import annotations

import contextlib
import errno
import select
from collections.abc import Iterator

import pytest
from own_process import in_own_process
from worlds import JOIN_S, exchange, pause

import lklsock
from lklsock import socket

# What the end that is closed is; that its peer is TCP in the first two, it cannot tell.
KINDS = pytest.mark.parametrize("kind", ["tcp", "fallback", "mptcp"])
MEGABYTE = b"m" * 1_000_000


@contextlib.contextmanager
def connection(kind: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The end that will be closed, and its peer."""
    stack = lklsock.default_stack()
    stack.mptcp_mode = "prefer" if kind == "mptcp" else "off"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stack.mptcp_mode = "off" if kind == "tcp" else "prefer"
        ours = socket.create_connection(listener.getsockname(), JOIN_S)
        peer, _ = listener.accept()
    peer.settimeout(JOIN_S)
    with ours, peer:
        exchange(ours, peer)
        assert (ours.mptcp is not None) == (kind == "mptcp")
        yield ours, peer


def assert_reset(peer: socket.socket) -> None:
    """Its next data is refused within moments; a connection is given up only after a minute."""
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        for _ in range(600):
            peer.send(b"late")
            pause()
    assert lklsock.default_stack().counters()["TcpExt"]["TCPAbortOnData"] == 1


@KINDS
@in_own_process
def test_data_after_close_is_answered_with_a_reset(kind: str) -> None:
    with connection(kind) as (ours, peer):
        ours.close()
        assert peer.recv(1) == b""
        assert_reset(peer)


@KINDS
@in_own_process
def test_data_after_both_directions_are_shut_down_is_answered_with_a_reset(kind: str) -> None:
    with connection(kind) as (ours, peer):
        ours.shutdown(socket.SHUT_RDWR)
        assert peer.recv(1) == b""
        assert_reset(peer)
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


@KINDS
@in_own_process
def test_data_is_answered_with_a_reset_though_ours_is_not_all_sent(kind: str) -> None:
    with connection(kind) as (ours, peer):
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                ours.send(MEGABYTE)
        ours.close()
        peer.sendall(b"late")
        with pytest.raises(ConnectionResetError):
            while peer.recv(len(MEGABYTE)):
                pass


@KINDS
@in_own_process
def test_close_with_unread_data_is_a_reset(kind: str) -> None:
    with connection(kind) as (ours, peer):
        peer.sendall(b"unread")
        assert ours.recv(6, socket.MSG_PEEK)
        ours.close()
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


@KINDS
@in_own_process
def test_what_was_sent_before_close_arrives(kind: str) -> None:
    with connection(kind) as (ours, peer):
        ours.send(MEGABYTE)
        ours.close()
        received = 0
        while data := peer.recv(len(MEGABYTE)):
            received += len(data)
        assert received


@KINDS
@in_own_process
def test_data_after_sending_alone_is_shut_down_is_received(kind: str) -> None:
    with connection(kind) as (ours, peer):
        ours.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
        peer.sendall(b"answer")
        assert ours.recv(6) == b"answer"


@KINDS
@in_own_process
def test_what_waits_is_not_lost_when_both_have_shut_down_sending(kind: str) -> None:
    with connection(kind) as (ours, peer):
        peer.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            while True:
                sent += peer.send(MEGABYTE)
        peer.shutdown(socket.SHUT_WR)
        ours.shutdown(socket.SHUT_WR)
        received = 0
        while data := ours.recv(10_000):
            received += len(data)
        assert received == sent


@KINDS
@in_own_process
def test_end_that_came_before_a_reset_is_read_as_the_end(kind: str) -> None:
    with connection(kind) as (ours, peer):
        ours.close()
        poll = select.poll()
        poll.register(peer, select.POLLRDHUP)
        assert poll.poll(JOIN_S * 1000)
        peer.send(b"late")
        for _ in range(600):
            if poll.poll(0)[0][1] & select.POLLHUP:
                break
            pause()
        assert peer.recv(1) == b""
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE
