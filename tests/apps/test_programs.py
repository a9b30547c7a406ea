"""What breaks under a preload library that hands a program's sockets to a kernel inside.

Here it works, in a program that is patched and whose sockets are all the stack's.
"""

import asyncio
import errno
import fcntl
import multiprocessing
import os
import resource
import select
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_process import in_own_process
from required import library

import lklsock

TIMEOUT_S = 40.0


def pair() -> tuple[Any, Any]:
    """Two ends of an MPTCP connection in the stack."""
    near, far = connected()
    assert near.mptcp is not None
    return near, far


def connected() -> tuple[Any, Any]:
    """Two ends of a connection in the stack."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname(), TIMEOUT_S)
        far, _ = listener.accept()
        far.settimeout(TIMEOUT_S)
    return near, far


def later(function: Callable[..., Any], *args: Any) -> None:
    """Calls it on another thread, when this one has come to wait."""
    timer = threading.Timer(0.2, function, args)
    timer.daemon = True
    timer.start()


@in_own_process
def test_select_and_poll_take_any_mix() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    local, remote = socket.socketpair()
    reading, writing = os.pipe()
    watched = [far, remote, reading]
    fds = [item if isinstance(item, int) else item.fileno() for item in watched]
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    assert select.select(watched, [], [], 0) == ([], [], [])
    assert poll.poll(0) == []
    near.sendall(b"1")
    local.sendall(b"2")
    os.write(writing, b"3")
    assert select.select([far], [], [], TIMEOUT_S)[0] == [far]
    assert select.select(watched, [near, local, writing], [], TIMEOUT_S) == (
        watched,
        [near, local, writing],
        [],
    )
    assert {fd for fd, _ in poll.poll(TIMEOUT_S * 1000)} == set(fds)
    for sock in (near, far, local, remote):
        sock.close()


@in_own_process
def test_select_on_a_closed_descriptor_fails_at_once() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    fd = near.fileno()
    near.close()
    with pytest.raises(OSError) as caught:
        select.select([fd], [], [], TIMEOUT_S)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(ValueError):
        select.select([near], [], [], 0)
    far.close()


@pytest.mark.parametrize("call", ["recv", "accept", "asyncio"])
@in_own_process
def test_ctrl_c_interrupts(call: str) -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    listener = socket.create_server(("127.0.0.1", 0))
    near.settimeout(None)
    later(os.kill, os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        if call == "recv":
            near.recv(1)
        elif call == "accept":
            listener.accept()
        else:
            asyncio.run(wait_in_loop(near))
    for sock in (near, far, listener):
        sock.close()


async def wait_in_loop(sock: Any) -> None:
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_recv(sock, 1)


@in_own_process
def test_alarm_interrupts_a_receiver() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    near.settimeout(None)

    class Alarm(Exception):
        pass

    def ring(*_: Any) -> None:
        raise Alarm

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(Alarm):
        near.recv(1)
    # A handler that returns does not end it: the data does.
    signal.signal(signal.SIGALRM, lambda *_: far.sendall(b"x"))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    assert near.recv(1) == b"x"
    near.close()
    far.close()


@in_own_process
def test_subprocess_and_popen_work() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    near.fileno()
    script = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    done = subprocess.run(
        [sys.executable, "-c", script], input="text", capture_output=True, text=True, check=True
    )
    assert done.stdout == "TEXT"
    with os.popen("echo hello") as output:
        assert output.read() == "hello\n"
    near.sendall(b"still")
    assert far.recv(5) == b"still"
    near.close()
    far.close()


@in_own_process
def test_pipe_to_a_forked_child_carries_data() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"from the child")
        os._exit(0)
    assert os.read(reading, 100) == b"from the child"
    assert os.waitpid(child, 0)[1] == 0
    near.sendall(b"still")
    assert far.recv(5) == b"still"
    near.close()
    far.close()


def work(number: int) -> tuple[int, bytes]:
    lklsock.patch(policy="all")
    near, far = pair()
    with near, far:
        near.sendall(b"%d" % number)
        return number, far.recv(10)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@in_own_process
def test_multiprocessing_workers_have_stacks_of_their_own(method: str) -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(work, range(4)).get(TIMEOUT_S)
    assert found == [(number, b"%d" % number) for number in range(4)]
    near.close()
    far.close()


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(self.request.recv(100))


@in_own_process
def test_unix_servers_are_the_hosts() -> None:
    lklsock.patch(policy="all")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "socket"))
        with socketserver.ThreadingUnixStreamServer(path, Echo) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(TIMEOUT_S)
                sock.connect(path)
                sock.sendall(b"hello")
                assert sock.recv(100) == b"hello"
            server.shutdown()
            thread.join()


@in_own_process
def test_program_that_is_started_has_the_network() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    script = """
import lklsock, socket
lklsock.patch(policy="all")
with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        near.sendall(b"hello")
        print(far.recv(5).decode(), near.mptcp is not None)
        far.close()
"""
    command = ["sh", "-c", 'exec "$0" -c "$1"', sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stdout == "hello True\n"
    near.close()
    far.close()


@in_own_process
def test_duplicates_and_flags_of_descriptors() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    again = near.dup()
    near.close()
    again.sendall(b"by the duplicate")
    assert far.recv(100) == b"by the duplicate"
    third = socket.socket(fileno=os.dup(far.fileno()))
    far.close()
    third.sendall(b"and back")
    assert again.recv(100) == b"and back"
    flags = fcntl.fcntl(again.fileno(), fcntl.F_GETFD)
    assert flags & fcntl.FD_CLOEXEC
    assert not again.get_inheritable()
    again.set_inheritable(True)
    assert not fcntl.fcntl(again.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    again.close()
    third.close()


@in_own_process
def test_sendfile_sends_a_file() -> None:
    lklsock.patch(policy="all")
    near, far = pair()
    content = os.urandom(500_000)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        received = bytearray()

        def receive() -> None:
            while data := far.recv(65536):
                received.extend(data)

        thread = threading.Thread(target=receive)
        thread.start()
        file.seek(0)
        assert near.sendfile(file) == len(content)
        near.close()
        thread.join(TIMEOUT_S)
    assert bytes(received) == content
    far.close()


@in_own_process
def test_more_sockets_than_select_can_take() -> None:
    lklsock.patch(policy="all")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 6000:
        pytest.skip(f"takes 6000 open files, and the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6000), hard))
    pairs = [connected() for _ in range(600)]
    poll = select.poll()
    by_fd = {}
    for near, far in pairs:
        for sock in (near, far):
            by_fd[sock.fileno()] = sock
            poll.register(sock, select.POLLIN)
    assert max(by_fd) > 1024
    with pytest.raises(ValueError):
        select.select([max(by_fd)], [], [], 0)
    for near, _ in pairs:
        near.sendall(b"x")
    ready: set[int] = set()
    while len(ready) < len(pairs):
        found = poll.poll(TIMEOUT_S * 1000)
        assert found
        for fd, _ in found:
            assert by_fd[fd].recv(1) == b"x"
            ready.add(fd)
    assert ready == {far.fileno() for _, far in pairs}
    for both in pairs:
        for sock in both:
            sock.close()


@in_own_process
def test_600_connections_are_all_mptcp() -> None:
    lklsock.patch(policy="all")
    pairs = [connected() for _ in range(600)]
    plain = [near for near, _ in pairs if near.mptcp is None]
    for pair in pairs:
        for sock in pair:
            sock.close()
    assert not plain


@in_own_process
def test_names_come_through_the_stack() -> None:
    library("dns.resolver", "dnspython")
    lklsock.patch(policy="all")
    stack = lklsock.default_stack()
    stack.dns = lklsock.dns.Config(
        nameservers=["127.0.0.1"], hosts="/dev/null", timeout_s=TIMEOUT_S / 2
    )
    import dns.message
    import dns.rrset

    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def answer() -> None:
        wire, client = server.recvfrom(512)
        message = dns.message.make_response(dns.message.from_wire(wire))
        message.answer.append(dns.rrset.from_text("www.example.", 60, "IN", "A", "192.0.2.7"))
        server.sendto(message.to_wire(), client)

    thread = threading.Thread(target=answer)
    thread.start()
    assert socket.gethostbyname("www.example") == "192.0.2.7"
    thread.join()
    server.close()
    lklsock.unpatch()
    assert socket.gethostbyname is lklsock.original("socket", "gethostbyname")


@in_own_process
def test_interfaces_are_the_stacks() -> None:
    lklsock.patch(policy="all")
    listed = socket.if_nameindex()
    assert (1, "lo") in listed
    assert socket.if_nametoindex("lo") == 1
    assert socket.if_indextoname(1) == "lo"
    assert {name for _, name in listed}.isdisjoint({"eth0"})
