# SPDX-License-Identifier: GPL-2.0-only
"""A connection that fell back to TCP, with a peer made by hand: every segment is the test's."""

from __future__ import annotations

import errno
import select
import socket as host
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from own_process import in_own_process

import lklsock
from lklsock.link import Wire

VNET_HEADER = struct.pack("<BBHHHHH", 2, 0, 0, 0, 0, 0, 0)  # the checksum is known to be good
OURS, PEERS = bytes((10, 0, 0, 2)), bytes((10, 0, 0, 1))
PEERS_MAC = bytes((2, 0, 0, 0, 0, 1))
PORT = 80
FIN, SYN, ACK = 1, 2, 16
MP_CAPABLE = bytes((30, 12, 1, 1)) + b"peer key"
"""Version 1, HMAC-SHA256."""
FIRST = 1000
"""The peer's first sequence number."""


class Peer:
    """The other end of a wire: a host that speaks TCP, and no MPTCP behind the SYNs."""

    def __init__(self, wire: host.socket, mac: bytes) -> None:
        self._wire = wire
        self._mac = mac
        self._port = self._theirs = 0
        self._acknowledged = self._window = 0

    def _frames(self) -> Iterator[bytes]:
        while True:
            yield self._wire.recv(70000)[12:]

    def _send(self, ethertype: int, packet: bytes) -> None:
        frame = self._mac + PEERS_MAC + struct.pack("!H", ethertype) + packet
        self._wire.send(VNET_HEADER + frame)

    def segment(
        self, start: int, data: bytes = b"", flags: int = ACK, options: bytes = b""
    ) -> None:
        """Sends a segment; `start` counts from the first byte of the stream."""
        header = struct.pack(
            "!HHIIBBHHH", PORT, self._port, FIRST + start, self._theirs,
            5 + len(options) // 4 << 4, flags, 60000, 0, 0,
        ) + options  # fmt: skip
        size = 20 + len(header) + len(data)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, 6, 0) + PEERS + OURS
        total = sum(struct.unpack("!10H", ip))
        checksum = 0xFFFF - (total % 0xFFFF)
        self._send(0x0800, ip[:10] + struct.pack("!H", checksum) + ip[12:] + header + data)

    def await_end(self) -> None:
        """Until we have sent all; it is acknowledged from then on."""
        for flags, _, sequence, _ in self._segments():
            if flags & FIN:
                self._theirs = sequence + 1
                return

    def stream(self) -> bytes:
        """All that we send, acknowledged as it comes, to our end."""
        received = bytearray()
        for flags, _, sequence, data in self._segments():
            if sequence == self._theirs:
                received += data
                self._theirs += len(data) + (flags & FIN)
            self.segment(0)
            if sequence + len(data) + 1 == self._theirs and flags & FIN:
                break
        return bytes(received)

    def room(self, start: int, least: int = 0) -> int:
        """The window that came with the acknowledgement of all before `start`, once it is that."""
        for _ in self._segments():
            if self._acknowledged == (FIRST + start) % 2**32 and self._window >= least:
                break
        return self._window

    def _segments(self) -> Iterator[tuple[int, int, int, bytes]]:
        """The flags, source port, sequence number and data of each; answers ARP meanwhile."""
        for frame in self._frames():
            if frame[12:14] == b"\x08\x06":
                reply = frame[14:20] + b"\0\2" + PEERS_MAC + PEERS + frame[22:32]
                self._send(0x0806, reply)
            elif frame[12:14] == b"\x08\x00" and frame[23] == 6:
                port, _, sequence, self._acknowledged = struct.unpack("!HHII", frame[34:46])
                (self._window,) = struct.unpack("!H", frame[48:50])
                end = 14 + int.from_bytes(frame[16:18], "big")
                yield frame[47], port, sequence, frame[34 + (frame[46] >> 4) * 4 : end]

    def accept(self, options: bytes) -> None:
        """Answers a SYN."""
        for flags, port, sequence, _ in self._segments():
            if flags == SYN:
                self._port, self._theirs = port, sequence + 1
                self.segment(-1, flags=SYN | ACK, options=options)
                return


def stream(count: int) -> bytes:
    return bytes(i % 251 for i in range(count))


@contextmanager
def connection(options: bytes = b"") -> Iterator[tuple[Peer, host.socket]]:
    """A peer, and our connection to it; without options in the SYN's answer it has fallen back."""
    ends = host.socketpair(host.AF_UNIX, host.SOCK_SEQPACKET)
    ends[1].settimeout(20)
    stack = lklsock.default_stack()
    mac = "02:00:00:00:00:02"
    stack.add_link(Wire(fd=ends[0].detach(), mac=mac), addresses=["10.0.0.2/24"])
    peer = Peer(ends[1], bytes.fromhex(mac.replace(":", "")))
    with ends[1], lklsock.socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(("10.0.0.1", PORT)) == errno.EINPROGRESS
        peer.accept(options)
        assert select.select([], [sock], [], 20)[1]
        assert sock.getsockopt(host.SOL_SOCKET, host.SO_ERROR) == 0
        sock.settimeout(20)
        assert (sock.mptcp is None) == (not options)
        yield peer, sock


def received(sock: host.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += sock.recv(count - len(data))
    return data


@in_own_process
@pytest.mark.parametrize("overlap", [1, 99])
def test_segments_that_overlap_are_received_once(overlap: int) -> None:
    # As from a sender that lost our acknowledgement, and sends again with more behind it.
    data = stream(100 * 50)
    with connection() as (peer, sock):
        peer.segment(0, data[:100])
        assert received(sock, 100) == data[:100]
        for start in range(100, len(data), 100):
            peer.segment(start - overlap, data[start - overlap : start + 100])
            assert received(sock, 100) == data[start : start + 100]


@in_own_process
def test_overlapping_segments_that_wait_together_are_received_once() -> None:
    data = stream(4000)
    with connection() as (peer, sock):
        for start in range(0, len(data), 400):
            peer.segment(max(start - 150, 0), data[max(start - 150, 0) : start + 400])
        peer.segment(len(data), flags=FIN | ACK)
        assert received(sock, len(data)) == data
        assert sock.recv(1) == b""


@in_own_process
@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize("size", [1400, 20000])
def test_window_that_closed_opens_when_all_was_read(half_closed: bool, size: int) -> None:
    # The peer does not probe: it sends what there is room for, and waits until there is more.
    with connection() as (peer, sock):
        sock.setsockopt(host.SOL_SOCKET, host.SO_RCVBUF, 65536)
        if half_closed:
            sock.shutdown(host.SHUT_WR)
            peer.await_end()
        sent = 1
        peer.segment(0, b"x")
        first = window = peer.room(sent)
        received(sock, 1)
        for _ in range(3):
            unread = 0
            while window:
                for start in range(0, window, size):
                    part = min(size, window - start)
                    peer.segment(sent, bytes(part))
                    sent, unread = sent + part, unread + part
                window = peer.room(sent)
            received(sock, unread)
            window = peer.room(sent, first // 4)


@in_own_process
def test_end_comes_behind_what_was_unsent_at_the_fallback() -> None:
    # The program has ended when the first acknowledgement, without options, tells that it is TCP.
    data = stream(200_000)
    with connection(MP_CAPABLE) as (peer, sock):
        sock.setsockopt(host.SOL_SOCKET, host.SO_SNDBUF, 1 << 20)
        sock.sendall(data)
        sock.shutdown(host.SHUT_WR)
        assert peer.stream() == data
        assert sock.mptcp is None
