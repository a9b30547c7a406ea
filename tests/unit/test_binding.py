"""The binding's sockets: results, buffers and errors are those of the stdlib's `_socket`."""

import array
import errno
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake import Knob

from lklsock import _lkl
from lklsock.errors import KernelNotRunningError, KernelPanicError

DEADLINE_S = 20

# From ip(7) and tty_ioctl(4): the stdlib lacks some of them before 3.12 or 3.14.
IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, FIONREAD = 8, 12, 13, 0x541B

Pair = tuple[_lkl.Socket, socket.socket]


@pytest.fixture
def pair(kernel: _lkl.Kernel) -> Iterator[Pair]:
    """A stream: our end, and the stdlib's."""
    ours = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
    assert ours.wait(_lkl.OUT, None) == _lkl.OUT
    theirs.settimeout(DEADLINE_S)
    yield ours, theirs
    theirs.close()


@pytest.fixture
def datagrams(kernel: _lkl.Kernel) -> Iterator[Pair]:
    """Two sockets that are connected to each other."""
    ours = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.bind(("127.0.0.1", 0))
    theirs.bind(("127.0.0.1", 0))
    ours.connect(theirs.getsockname())
    address: Any = ours.getsockname()
    theirs.connect(address)
    theirs.settimeout(DEADLINE_S)
    yield ours, theirs
    theirs.close()


def after(seconds: float) -> int:
    return time.monotonic_ns() + round(seconds * 1e9)


def arrived(sock: _lkl.Socket) -> _lkl.Socket:
    assert sock.wait(_lkl.IN, after(DEADLINE_S)) & _lkl.IN
    return sock


# ---- data


def test_bytes_go_both_ways(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.send(b"ping") == 4
    assert theirs.recv(10) == b"ping"
    theirs.send(b"pong")
    assert arrived(ours).recv(10) == b"pong"


def test_nothing_there_is_none(pair: Pair) -> None:
    ours, _ = pair
    assert ours.recv(1) is None
    assert ours.recv(1 << 20) is None
    assert ours.recv_into(bytearray(1)) is None
    assert ours.recvfrom(1) is None
    assert ours.recvfrom_into(bytearray(1)) is None
    assert ours.recvmsg(1) is None
    assert ours.recvmsg_into([bytearray(1)]) is None


def test_full_send_buffer_is_none(pair: Pair) -> None:
    ours, _ = pair
    chunk = bytes(1 << 20)
    while (sent := ours.send(chunk)) is not None:
        assert sent > 0
    assert ours.sendmsg([chunk]) is None


def test_no_connection_to_accept_is_none(kernel: _lkl.Kernel) -> None:
    listener = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    listener.bind(("127.0.0.1", 0))
    listener.listen(-5)
    assert listener.accept() is None


def test_receiving_nothing_makes_no_call(kernel: _lkl.Kernel, pair: Pair) -> None:
    ours, _ = pair
    before = kernel.system_call(Knob.CALLS)
    assert ours.recv(0) == b""
    assert ours.recv_into(bytearray()) == 0
    assert kernel.system_call(Knob.CALLS) == before


@pytest.mark.parametrize("size", [1, 4096, 4097, 131071, 131072, 1 << 20])
@pytest.mark.parametrize("arriving", [1, 4096, 50000])
def test_received_object_holds_what_came_and_no_more(
    datagrams: Pair, size: int, arriving: int
) -> None:
    ours, theirs = datagrams
    data = os.urandom(arriving)
    theirs.send(data)
    received = arrived(ours).recv(size)
    assert received == data[:size]
    assert sys.getsizeof(received) == sys.getsizeof(b"") + min(size, arriving)


@pytest.mark.parametrize("size", [3, 5000])
def test_truncated_datagram_tells_its_size(datagrams: Pair, size: int) -> None:
    ours, theirs = datagrams
    theirs.send(b"x" * 9000)
    assert arrived(ours).recv(size, socket.MSG_TRUNC) == b"x" * size + bytes(9000 - size)
    theirs.send(b"x" * 9000)
    assert arrived(ours).recvmsg(size, 0, socket.MSG_TRUNC) == (
        b"x" * size,
        [],
        socket.MSG_TRUNC,
        theirs.getsockname(),
    )


@pytest.mark.parametrize("size", [4, 5000])
def test_bytes_that_tcp_only_counts_are_zero(pair: Pair, size: int) -> None:
    ours, theirs = pair
    theirs.send(b"data")
    assert arrived(ours).recv(size, socket.MSG_TRUNC) == bytes(4)


def test_end_of_stream_is_empty(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert arrived(ours).recv(10) == b""
    assert ours.recv_into(bytearray(10)) == 0


@pytest.mark.parametrize(
    "data",
    [b"abcd", bytearray(b"abcd"), memoryview(b"-abcd-")[1:5], array.array("H", [1, 2])],
)
def test_any_contiguous_buffer_is_sent(pair: Pair, data: Any) -> None:
    ours, theirs = pair
    assert ours.send(data) == 4
    assert theirs.recv(10) == bytes(memoryview(data))


def test_received_into_the_middle_of_a_buffer(pair: Pair) -> None:
    ours, theirs = pair
    room = bytearray(b"........")
    theirs.send(b"abcdef")
    assert arrived(ours).recv_into(memoryview(room)[2:], 3) == 3
    assert room == b"..abc..."
    assert ours.recvfrom_into(room) == (3, None)
    assert room == b"defbc..."


def test_flags_reach_the_kernel(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"abc")
    assert arrived(ours).recv(2, socket.MSG_PEEK) == b"ab"
    assert ours.recv_into(bytearray(2), 0, socket.MSG_PEEK) == 2
    assert ours.recvfrom(2, socket.MSG_PEEK) == (b"ab", None)
    assert ours.recvmsg(2, 0, socket.MSG_PEEK) == (b"ab", [], 0, None)
    assert ours.recv(3) == b"abc"


# ---- messages


def test_buffers_are_gathered_and_scattered(pair: Pair) -> None:
    ours, theirs = pair
    parts = [bytes([65 + i]) * i for i in range(20)]
    assert ours.sendmsg(iter(parts)) == 190
    assert theirs.recv(1000) == b"".join(parts)
    theirs.sendmsg(parts)
    rooms = [bytearray(i) for i in range(20)]
    assert arrived(ours).recvmsg_into(rooms) == (190, [], 0, None)
    assert rooms == parts


def test_too_many_buffers_are_the_kernels_error(pair: Pair) -> None:
    ours, _ = pair
    with pytest.raises(OSError) as caught:
        ours.sendmsg([b"x"] * (os.sysconf("SC_IOV_MAX") + 1))
    assert caught.value.errno == errno.EMSGSIZE


def test_ancillary_data_goes_both_ways(datagrams: Pair) -> None:
    ours, theirs = datagrams
    ttl, tos = struct.pack("i", 7), struct.pack("i", 0x20)
    ours.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    ours.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
    items = [(socket.IPPROTO_IP, socket.IP_TTL, ttl), (socket.IPPROTO_IP, socket.IP_TOS, tos)]
    theirs.sendmsg([b"from them"], items)
    data, ancillary, flags, address = arrived(ours).recvmsg(100, 200) or pytest.fail("no message")
    assert (data, flags, address) == (b"from them", 0, theirs.getsockname())
    assert sorted(ancillary) == [
        (socket.IPPROTO_IP, socket.IP_TOS, b"\x20"),
        (socket.IPPROTO_IP, socket.IP_TTL, ttl),
    ]
    theirs.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    assert ours.sendmsg([b"from us"], iter(items)) == 7
    assert theirs.recvmsg(100, 100)[1] == [(socket.IPPROTO_IP, socket.IP_TTL, ttl)]


def test_ancillary_data_that_does_not_fit_is_flagged(
    datagrams: Pair,
) -> None:
    ours, theirs = datagrams
    ours.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    theirs.send(b"x")
    room = socket.CMSG_LEN(4)
    _, ancillary, flags, _ = arrived(ours).recvmsg(1, room) or pytest.fail("no message")
    assert flags == socket.MSG_CTRUNC
    assert [(level, kind, len(data)) for level, kind, data in ancillary] == [
        (socket.IPPROTO_IP, IP_PKTINFO, 4)
    ]


def test_large_ancillary_data_reaches_the_kernel(datagrams: Pair) -> None:
    ours, _ = datagrams
    with pytest.raises(OSError) as caught:
        ours.sendmsg([b"x"], [(socket.IPPROTO_IP, IP_PKTINFO, bytes(5000))])
    assert caught.value.errno == errno.EINVAL


def test_buffer_is_pinned_while_it_is_lent(pair: Pair) -> None:
    ours, _ = pair
    room = bytearray(8)
    refused: list[BufferError] = []

    class Meddler:
        """Becomes the number of bytes, and tries to resize the buffer meanwhile."""

        def __index__(self) -> int:
            try:
                room.extend(b"x")
            except BufferError as error:
                refused.append(error)
            return 4

    assert ours.recv_into(room, Meddler()) is None  # type: ignore[arg-type]
    assert len(refused) == 1
    room.extend(b"x")


# ---- options


def test_options_are_numbers_buffers_and_nothing(pair: Pair) -> None:
    ours, _ = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    linger = struct.pack("ii", 1, 5)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == linger
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 1024) == linger
    assert ours.getsockopt_buffer(socket.SOL_SOCKET, socket.SO_LINGER, bytes(100)) == linger
    with pytest.raises(OSError) as caught:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, None, 4)
    assert caught.value.errno == errno.EFAULT


def test_option_buffer_may_be_longer_than_the_stdlibs(pair: Pair) -> None:
    ours, _ = pair
    answer = ours.getsockopt_buffer(socket.IPPROTO_TCP, socket.TCP_INFO, bytearray(4096))
    assert 100 < len(answer) < 1024


def test_ioctl_answers_in_the_buffer(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"12345")
    arrived(ours)
    unread = bytearray(4)
    assert ours.ioctl(FIONREAD, unread) == 0
    assert struct.unpack("i", unread) == (5,)
    with pytest.raises(TypeError, match="must be read-write bytes-like object, not bytes"):
        ours.ioctl(FIONREAD, b"1234")


# ---- readiness


def test_wait_tells_what_is_up(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.wait(_lkl.IN, 0) == 0
    assert ours.wait(_lkl.IN | _lkl.OUT, None) == _lkl.OUT
    assert ours.poll() == _lkl.OUT
    theirs.close()
    assert ours.wait(_lkl.IN | _lkl.RDHUP, None) == _lkl.IN | _lkl.RDHUP


def test_wait_ends_at_its_deadline(pair: Pair) -> None:
    ours, _ = pair
    deadline_ns = after(0.05)
    assert ours.wait(_lkl.IN, deadline_ns) == 0
    assert time.monotonic_ns() >= deadline_ns
    assert ours.wait(_lkl.IN, -5) == 0


@pytest.mark.parametrize("deadline", ["now", 1.5, 2**64])
def test_deadline_is_a_number_of_nanoseconds(pair: Pair, deadline: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        pair[0].wait(_lkl.IN, deadline)


def test_signal_handler_runs_and_the_wait_goes_on(pair: Pair) -> None:
    ours, theirs = pair
    runs: list[float] = []

    def handler(signum: int, frame: object) -> None:
        runs.append(time.monotonic())
        if len(runs) == 3:
            theirs.send(b"x")
            signal.setitimer(signal.ITIMER_REAL, 0)

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        assert ours.wait(_lkl.IN, after(DEADLINE_S)) == _lkl.IN
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(runs) == 3


def test_exception_of_a_signal_handler_ends_the_wait(pair: Pair) -> None:
    ours, _ = pair

    def handler(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ours.wait(_lkl.IN, None)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - started < 1


def asleep(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Starts call in a thread and returns when it has let go of the GIL for long."""
    outcome: list[object] = []

    def run() -> None:
        started.set()
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    started = threading.Event()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(DEADLINE_S)
    return thread, outcome


def test_close_wakes_a_sleeper_with_ebadf(pair: Pair) -> None:
    ours, _ = pair
    thread, outcome = asleep(lambda: ours.wait(_lkl.IN, None))
    ours.close()
    thread.join(DEADLINE_S)
    (error,) = outcome
    assert isinstance(error, OSError)
    assert error.errno == errno.EBADF


def test_halt_wakes_a_sleeper(kernel: _lkl.Kernel, pair: Pair) -> None:
    ours, _ = pair
    thread, outcome = asleep(lambda: ours.wait(_lkl.IN, None))
    kernel.halt(0)
    thread.join(DEADLINE_S)
    assert isinstance(outcome[0], KernelNotRunningError)


def test_shadow_is_a_descriptor_of_the_host(pair: Pair) -> None:
    ours, _ = pair
    shadow = ours.shadow()
    assert shadow == ours.shadow()
    os.close(shadow)


# ---- errors and life


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EPIPE, BrokenPipeError),
        (errno.ECONNRESET, ConnectionResetError),
        (errno.ECONNABORTED, ConnectionAbortedError),
        (errno.ETIMEDOUT, TimeoutError),
        (errno.EACCES, PermissionError),
        (errno.ENOBUFS, OSError),
        (errno.EHOSTUNREACH, OSError),
    ],
)
def test_errno_becomes_the_oserror_of_cpython(
    kernel: _lkl.Kernel, pair: Pair, number: int, kind: type[OSError]
) -> None:
    kernel.system_call(Knob.FAIL, -number)
    with pytest.raises(OSError) as caught:
        pair[0].send(b"x")
    assert type(caught.value) is kind
    assert caught.value.args == (number, os.strerror(number))


def test_connect_returns_its_errno(kernel: _lkl.Kernel) -> None:
    sock = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    for number in (0, errno.EINPROGRESS, errno.ECONNREFUSED):
        kernel.system_call(Knob.FAIL, -number if number else 0)
        if number:
            assert sock.connect(("127.0.0.1", 9)) == number


def test_closed_socket_is_ebadf(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.lkl_fd >= 0
    ours.close()
    ours.close()
    assert ours.lkl_fd == -1
    assert theirs.recv(1) == b""
    for call in (lambda: ours.send(b"x"), lambda: ours.recv(1), ours.poll, ours.getsockname):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_last_reference_closes_the_socket(kernel: _lkl.Kernel, pair: Pair) -> None:
    before = kernel.system_call(Knob.OPEN_SOCKETS)
    other = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    assert kernel.system_call(Knob.OPEN_SOCKETS) == before + 1
    del other
    assert kernel.system_call(Knob.OPEN_SOCKETS) == before


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        (0, KernelNotRunningError, "not booted"),
        (2, KernelNotRunningError, "halted"),
        (3, KernelPanicError, "panicked"),
    ],
)
def test_dead_kernel_raises_with_state_pid_and_console(
    kernel: _lkl.Kernel, pair: Pair, state: int, kind: Any, text: str
) -> None:
    names = ["loaded", "running", "halted", "panicked"]
    calls: list[Callable[[], object]] = [
        lambda: pair[0].send(b"x"),
        lambda: pair[0].connect(("127.0.0.1", 1)),
        lambda: pair[0].wait(_lkl.IN, None),
        lambda: kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0),
        kernel.statistics,
        kernel.task,
    ]
    kernel.system_call(Knob.STATE, state)
    for call in calls:
        with pytest.raises(kind, match=text) as caught:
            call()
        assert caught.value.state == names[state] == kernel.state
        assert caught.value.pid == os.getpid()
        assert caught.value.console.startswith("Linux version 6.12")
    pair[0].close()
    kernel.system_call(Knob.STATE, 1)


def test_call_from_inside_the_kernel_is_refused(kernel: _lkl.Kernel, pair: Pair) -> None:
    kernel.system_call(Knob.FAIL, -4097)
    with pytest.raises(KernelNotRunningError, match="signal handler"):
        pair[0].send(b"x")


def test_socket_type_is_sealed(pair: Pair) -> None:
    with pytest.raises(TypeError):
        type("Mine", (_lkl.Socket,), {})
    with pytest.raises(TypeError):
        _lkl.Socket()
    with pytest.raises(AttributeError):
        pair[0].note = 1  # type: ignore[attr-defined]
