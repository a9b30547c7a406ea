"""Blocking, timeouts, signals and threads."""

import errno
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from own_process import in_own_process
from worlds import Thread, tcp_pair

from lklsock import KernelNotRunningError, Stack, default_stack, socket

BULK = bytes(range(256)) * 40000


@in_own_process
def test_recv_waits_for_the_other_thread() -> None:
    client, server = tcp_pair()
    with client, server:
        receiving = Thread(server.recv, 10)
        client.send(b"x")
        assert receiving.result() == b"x"


@in_own_process
def test_two_threads_play_ping_pong() -> None:
    client, server = tcp_pair()

    def echo() -> None:
        while data := server.recv(100):
            server.sendall(data)

    with client, server:
        echoing = Thread(echo)
        for number in range(2000):
            message = b"%d" % number
            client.sendall(message)
            assert client.recv(100) == message
        client.shutdown(socket.SHUT_WR)
        echoing.result()


@in_own_process
def test_timeout_raises_timed_out_after_its_time() -> None:
    client, server = tcp_pair()
    with client, server:
        client.settimeout(0.05)
        calls = (
            lambda: client.recv(1),
            lambda: client.recv_into(bytearray(1)),
            lambda: client.recvfrom(1),
            lambda: client.recvmsg(1),
            lambda: client.sendall(BULK),
        )
        for call in calls:
            begin = time.monotonic()
            with pytest.raises(TimeoutError) as late:
                call()
            assert str(late.value) == "timed out"
            assert 0.04 < time.monotonic() - begin < 5


@in_own_process
def test_non_blocking_calls_raise_blocking_io_error() -> None:
    client, server = tcp_pair()
    with client, server:
        client.setblocking(False)
        assert client.gettimeout() == 0.0
        assert not client.getblocking()
        with pytest.raises(BlockingIOError, match="Resource temporarily unavailable"):
            client.recv(1)
        with pytest.raises(BlockingIOError):
            while True:
                client.send(BULK)
        # A socket with a timeout, or without one, does not block when told so for one call.
        server.setblocking(True)
        with pytest.raises(BlockingIOError):
            while server.recv(1 << 20, socket.MSG_DONTWAIT):
                pass
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@in_own_process
def test_connect_ex_returns_errno() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.socket() as sock:
            assert sock.connect_ex(address) == 0
            assert sock.connect_ex(address) == errno.EISCONN
    with socket.socket() as sock:
        assert sock.connect_ex(address) == errno.ECONNREFUSED
        with pytest.raises(ConnectionRefusedError):
            sock.connect(address)


def unanswered() -> tuple[str, int]:
    """An address that never answers: a link whose other end is not there."""
    default_stack().netlink().link("add", ifname="nowhere", kind="dummy", state="up")
    default_stack().interface("nowhere").add_address("192.0.2.1/24")
    return "192.0.2.9", 9


@in_own_process
def test_connect_without_an_answer_times_out() -> None:
    address = unanswered()
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError) as pending:
            sock.connect(address)
        assert pending.value.errno == errno.EINPROGRESS
        assert sock.connect_ex(address) == errno.EALREADY
    with socket.socket() as sock:
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError, match="timed out"):
            sock.connect(address)
    with socket.socket() as sock:
        sock.settimeout(0.05)
        assert sock.connect_ex(address) == errno.EAGAIN
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 50000))
        with pytest.raises(BlockingIOError) as late:
            sock.connect(address)
        assert late.value.errno == errno.EINPROGRESS


@in_own_process
def test_kernel_timeouts_end_blocking_calls() -> None:
    client, server = tcp_pair()
    with client, server:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            client.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 50000))
        with pytest.raises(BlockingIOError):
            client.recv(1)
        # What a blocking send() could queue in its time, it says.
        sent = client.send(BULK)
        assert 0 < sent < len(BULK)
        assert server.recv(sent, socket.MSG_WAITALL) == BULK[:sent]


@in_own_process
def test_default_timeout_is_that_of_new_sockets() -> None:
    socket.setdefaulttimeout(12.5)
    client, server = tcp_pair()
    with client, server, socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as datagram:
        assert client.gettimeout() == server.gettimeout() == client.timeout == 12.5
        assert datagram.gettimeout() == 0.0
        assert datagram.type == socket.SOCK_DGRAM


@in_own_process
def test_blocking_send_queues_everything() -> None:
    client, server = tcp_pair()
    with client, server:
        for send in (
            lambda: client.send(BULK),
            lambda: client.send(memoryview(BULK).cast("I")),
            lambda: client.sendmsg([BULK[:1000], BULK[1000:]]),
        ):
            sending = Thread(send)
            assert server.recv(len(BULK), socket.MSG_WAITALL) == BULK
            assert sending.result() == len(BULK)


@in_own_process
def test_waitall_waits_for_all_or_the_end() -> None:
    client, server = tcp_pair()
    with client, server:
        receiving = Thread(server.recv, 6, socket.MSG_WAITALL)
        for part in (b"ab", b"cd", b"ef"):
            client.send(part)
        assert receiving.result() == b"abcdef"
        receiving = Thread(server.recvmsg, 100, 0, socket.MSG_WAITALL)
        client.send(b"gh")
        client.shutdown(socket.SHUT_WR)
        assert receiving.result()[0] == b"gh"


@in_own_process
def test_waitall_waits_for_what_is_peeked_at() -> None:
    # The kernel's MPTCP does not show a peeker more than it showed first.
    default_stack().mptcp_mode = "off"
    client, server = tcp_pair()
    with client, server:
        for flags in (socket.MSG_PEEK, 0):
            receiving = Thread(server.recv, 4, socket.MSG_WAITALL | flags)
            if flags:
                client.send(b"gh")
                client.send(b"ij")
            assert receiving.result() == b"ghij"


@in_own_process
def test_low_water_mark_is_waited_for() -> None:
    client, server = tcp_pair()
    with client, server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 4)
        client.send(b"ab")
        receiving = Thread(server.recv, 100)
        client.send(b"cd")
        assert receiving.result() == b"abcd"
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        client.send(b"e")
        assert server.recv(100) == b"e"


@in_own_process
def test_lingering_close_waits_for_the_acknowledgement() -> None:
    client, server = tcp_pair()
    with server:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 20))
        client.sendall(b"x" * 10000)
        client.close()
        assert len(server.recv(20000, socket.MSG_WAITALL)) == 10000


@in_own_process
def test_error_queue_does_not_disturb_a_blocking_recv() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        sock.sendto(b"refused", closed)
        with pytest.raises(ConnectionRefusedError):
            sock.recv(100)
        receiving = Thread(sock.recv, 100)
        sock.sendto(b"x", sock.getsockname())
        assert receiving.result() == b"x"
        # It is still there, to be asked for.
        data, ancdata, flags, _ = sock.recvmsg(100, 100, socket.MSG_ERRQUEUE)
        assert (data, flags & socket.MSG_ERRQUEUE) == (b"refused", socket.MSG_ERRQUEUE)
        assert ancdata[0][:2] == (socket.IPPROTO_IP, 11)
        with pytest.raises(BlockingIOError):
            sock.recvmsg(100, 100, socket.MSG_ERRQUEUE)


@in_own_process
def test_close_wakes_those_who_wait() -> None:
    client, server = tcp_pair()
    listener = socket.create_server(("127.0.0.1", 0))
    waiting = [Thread(client.recv, 1), Thread(listener.accept)]
    client.close()
    listener.close()
    server.close()
    for thread in waiting:
        with pytest.raises(OSError, match="Bad file descriptor") as closed:
            thread.result()
        assert closed.value.errno == errno.EBADF


@in_own_process
def test_halt_wakes_those_who_wait() -> None:
    stack = Stack()
    with stack:
        client, server = tcp_pair()
    waiting = Thread(client.recv, 1)
    stack.halt()
    # The peer's end, or the kernel's: whatever comes first.
    try:
        assert waiting.result() == b""
    except KernelNotRunningError as error:
        assert error.state == "halted"
    with pytest.raises(KernelNotRunningError):
        client.send(b"x")
    client.close()
    server.close()


@in_own_process
def test_many_threads_share_one_socket() -> None:
    client, server = tcp_pair()
    with client, server:
        senders = [Thread(client.sendall, bytes([n]) * 100_000) for n in range(8)]
        counts = [0] * 8
        lock = threading.Lock()

        def receive() -> None:
            while data := server.recv(4096):
                with lock:
                    for n in range(8):
                        counts[n] += data.count(n)

        receivers = [Thread(receive) for _ in range(4)]
        for thread in senders:
            thread.result()
        client.shutdown(socket.SHUT_WR)
        for thread in receivers:
            thread.result()
        assert counts == [100_000] * 8


BLOCKED = """
import signal
from lklsock import socket

def handler(*_):
    print("handled", flush=True)

signal.signal(signal.SIGUSR1, handler)
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print("about to block", flush=True)
try:
    sock.recv(1)
except KeyboardInterrupt:
    print("interrupted", flush=True)
sock.close()
"""


def await_asleep(pid: int) -> None:
    """Waits until a process' first thread sleeps, and has done so for a while."""
    deadline = time.monotonic() + 30
    before, same = "", 0
    while same < 20:
        assert time.monotonic() < deadline, "it did not go to sleep"
        state = Path(f"/proc/{pid}/task/{pid}/status").read_text()
        switches = "".join(line for line in state.splitlines(True) if "ctxt_switches" in line)
        same = same + 1 if "State:\tS" in state and switches == before else 0
        before = switches
        threading.Event().wait(0.005)


def test_signals_are_heard_in_a_blocking_recv() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "about to block\n"
            await_asleep(process.pid)
            # PEP 475: a handler that returns does not end the call.
            process.send_signal(signal.SIGUSR1)
            assert process.stdout.readline() == "handled\n"
            await_asleep(process.pid)
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            assert time.monotonic() - begin < 5
            assert process.wait(30) == 0
        finally:
            process.kill()
