"""Boot: what a kernel brings, what it takes, and how it fails."""

import os
import threading

import pytest
from own_process import in_own_process
from system_calls import GETPID, panic

from lklsock import KernelBootError, KernelPanicError, Stack, socket


@in_own_process
def test_boot_adds_one_thread() -> None:
    before = len(os.listdir("/proc/self/task"))
    stack = Stack()
    stack.boot()
    assert len(os.listdir("/proc/self/task")) == before + 1
    assert threading.active_count() == 1


@in_own_process
def test_calls_are_made_by_pid_1() -> None:
    assert Stack().kernel.system_call(GETPID) == 1


@in_own_process
def test_features_are_there() -> None:
    stack = Stack()
    for name in (
        "net.mptcp.enabled",
        "net.ipv4.tcp_syncookies",
        "net.ipv6.conf.all.optimistic_dad",
        "net.core.default_qdisc",
        "kernel.hostname",
    ):
        assert stack.sysctl(name)
    congestion = stack.sysctl("net.ipv4.tcp_available_congestion_control").split()
    assert {"reno", "cubic", "bbr"} <= set(congestion)
    assert stack.sysctl("net.ipv4.tcp_congestion_control") == "cubic"
    for qdisc in ("fq", "fq_codel"):
        assert stack.sysctl("net.core.default_qdisc", qdisc) == qdisc


@in_own_process
def test_too_little_memory_is_refused_and_leaves_nothing() -> None:
    places = ("/proc/self/task", "/proc/self/fd")
    before = [len(os.listdir(place)) for place in places]
    with pytest.raises((ValueError, OSError, KernelBootError)):
        Stack(memory_bytes=1 << 20).boot()
    assert [len(os.listdir(place)) for place in places] == before


@in_own_process
def test_least_memory_carries_a_connection() -> None:
    with Stack(memory_bytes=8 << 20), socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            client.sendall(b"small")
            assert accepted.recv(16) == b"small"
            accepted.close()


@in_own_process
def test_panic_ends_every_call_with_the_console() -> None:
    stack = Stack()
    sock = stack.socket()
    with pytest.raises(KernelPanicError, match="restarted"):
        panic(stack)
    assert stack.state == "panicked"
    assert "Kernel panic - not syncing: restarted" in stack.console()
    for call in (sock.getsockname, stack.socket, lambda: stack.sysctl("kernel.hostname")):
        with pytest.raises(KernelPanicError, match="restarted"):
            call()
    sock.close()
    stack.halt()


@in_own_process
def test_panic_wakes_sleepers_and_spares_other_stacks() -> None:
    stack, other = Stack(), Stack()
    sock = stack.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    raised: list[BaseException] = []
    asleep = threading.Event()

    def sleep() -> None:
        asleep.set()
        try:
            sock.recv(1)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=sleep)
    thread.start()
    asleep.wait(10)
    with pytest.raises(KernelPanicError):
        panic(stack)
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(raised[0], KernelPanicError)
    sock.close()
    assert other.kernel.system_call(GETPID) == 1
