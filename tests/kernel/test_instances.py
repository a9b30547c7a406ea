"""Many copies of the real kernel in one process: apart from each other, freed, interruptible."""

import errno
import gc
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from own_process import in_own_process

import lklsock
from lklsock import Stack, _lkl, default_stack, set_default_stack

LIBRARY = str(Path(lklsock.__file__).with_name("_kernel") / "liblkl.so")
MEMORY_BYTES = 16 << 20
DEADLINE_S = 30
TCP, MPTCP = socket.IPPROTO_TCP, 262


def booted(hostname: str | None = None) -> _lkl.Kernel:
    kernel = _lkl.Kernel(LIBRARY)
    kernel.boot(MEMORY_BYTES, "", hostname)
    return kernel


def deadline() -> int:
    return time.monotonic_ns() + DEADLINE_S * 10**9


def connection(kernel: _lkl.Kernel, proto: int = TCP) -> tuple[_lkl.Socket, _lkl.Socket]:
    listener = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, proto)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    client = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, proto)
    assert client.connect(listener.getsockname()) in (0, errno.EINPROGRESS)
    assert listener.wait(_lkl.IN, deadline()) == _lkl.IN
    accepted = listener.accept()
    assert accepted is not None
    assert client.wait(_lkl.OUT, deadline()) == _lkl.OUT
    return client, accepted[0]


def carry(sender: _lkl.Socket, receiver: _lkl.Socket, data: bytes) -> None:
    assert sender.send(data) == len(data)
    assert receiver.wait(_lkl.IN, deadline()) & _lkl.IN
    assert receiver.recv(len(data)) == data


def resident_kb() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


@in_own_process
def test_twenty_kernels_live_side_by_side() -> None:
    kernels = [booted(f"host{number}") for number in range(20)]
    pairs = [connection(kernel, MPTCP) for kernel in kernels]
    for number, (client, server) in enumerate(pairs):
        carry(client, server, b"to %d" % number)
    names = [kernel.read_file("/proc/sys/kernel/hostname") for kernel in kernels]
    assert names == [b"host%d\n" % number for number in range(20)]
    for kernel in kernels[::2]:
        kernel.halt()
    for number, (client, server) in enumerate(pairs):
        if number % 2:
            carry(client, server, b"still %d" % number)
    assert [kernel.state for kernel in kernels] == ["halted", "running"] * 10


@pytest.mark.parametrize("copies", [False, True])
@in_own_process(timeout_s=120)
def test_hundred_kernels_come_and_go_without_a_trace(copies: bool) -> None:
    other = booted() if copies else None
    after: dict[int, tuple[int, int, int]] = {}
    for number in range(100):
        kernel = booted()
        client, server = connection(kernel)
        carry(client, server, b"x" * 1000)
        kernel.halt()
        del kernel, client, server
        places = [len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task")]
        after[number] = (resident_kb(), *places)  # type: ignore[assignment]
    assert after[99][1:] == after[20][1:]
    assert after[99][0] - after[20][0] < 400
    assert other is None or other.state == "running"


@in_own_process
def test_forgotten_kernel_halts_and_frees_its_memory() -> None:
    places = ("fd", "task")
    before = [len(os.listdir(f"/proc/self/{name}")) for name in places]
    kernel = booted()
    client, server = connection(kernel)
    del kernel
    carry(client, server, b"kept alive by its sockets")
    del client, server
    assert [len(os.listdir(f"/proc/self/{name}")) for name in places] == before
    assert "liblkl" not in Path("/proc/self/maps").read_text()


@in_own_process
def test_copy_in_a_temporary_file_works_alike() -> None:
    os.environ["LKLSOCK_NO_MEMFD"] = "1"
    kernels = [booted(), booted()]
    assert "/.liblkl-" in Path("/proc/self/maps").read_text()
    for kernel in kernels:
        carry(*connection(kernel), b"alike")


@in_own_process(timeout_s=120)
def test_threads_use_one_kernel_at_the_same_time() -> None:
    kernel = booted()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                client, server = connection(kernel, (TCP, MPTCP)[turn % 2])
                for _ in range(50):
                    carry(client, server, b"%d" % number)
                    carry(server, client, b"%d" % turn)
                client.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def is_asleep(thread: threading.Thread) -> bool:
    """Whether the thread sleeps, and did nothing else for a while."""
    status = Path(f"/proc/self/task/{thread.native_id}/status")
    before = status.read_text()
    threading.Event().wait(0.02)
    return "State:\tS" in before and status.read_text() == before


@in_own_process
def test_ctrl_c_ends_a_wait_at_once() -> None:
    kernel = booted()
    client, _server = connection(kernel)
    times: list[float] = []

    def interrupt() -> None:
        for _ in range(5):
            waiting.wait(DEADLINE_S)
            waiting.clear()
            while not is_asleep(threading.main_thread()):
                pass
            times.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    delays = []
    for _ in range(5):
        waiting.set()
        with pytest.raises(KeyboardInterrupt):
            client.wait(_lkl.IN, deadline())
        delays.append(time.monotonic() - times[-1])
    thread.join(DEADLINE_S)
    assert max(delays) < 0.5


@in_own_process
def test_close_in_another_thread_ends_a_wait() -> None:
    kernel = booted()
    client, _server = connection(kernel)
    raised: list[OSError] = []

    def wait() -> None:
        try:
            client.wait(_lkl.IN, deadline())
        except OSError as error:
            raised.append(error)

    for _ in range(20):
        client, _server = connection(kernel)
        thread = threading.Thread(target=wait)
        thread.start()
        client.close()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert [error.errno for error in raised] == [errno.EBADF] * 20


SUBINTERPRETER = f"""
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from lklsock import _lkl
kernel = _lkl.Kernel({LIBRARY!r})
kernel.boot(1 << 24)
inner = '''
import socket
from lklsock import _lkl
kernel = _lkl.Kernel({LIBRARY!r})
kernel.boot(1 << 24)
sock = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
sock.bind(("127.0.0.1", 0))
sock.sendto(b"x", 0, sock.getsockname())
assert sock.recvfrom(10) == (b"x", sock.getsockname())
kernel.halt()
print(kernel.state, flush=True)
'''
for _ in range(3):
    other = interpreters.create()
    result = interpreters.run_string(other, inner)
    assert result is None, result.formatted
    interpreters.destroy(other)
print(kernel.state)
"""


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="interpreters share extension modules before Python 3.12"
)
def test_each_interpreter_boots_a_kernel_of_its_own(in_subprocess: object) -> None:
    assert in_subprocess(SUBINTERPRETER) == "halted\n" * 3 + "running\n"  # type: ignore[operator]


SHARED_DEFAULT = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from lklsock import default_stack, socket
server = socket.create_server(("127.0.0.1", 0))
inner = f'''
from lklsock import socket
client = socket.create_connection(("127.0.0.1", {server.getsockname()[1]}))
client.sendall(b"from the other interpreter")
client.close()
'''
other = interpreters.create()
result = interpreters.run_string(other, inner)
assert result is None, result.formatted
interpreters.destroy(other)
with server.accept()[0] as peer:
    print(peer.recv(100).decode())
server.close()
print(default_stack().state)
"""


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="interpreters share extension modules before Python 3.12"
)
def test_interpreters_share_the_default_stack(in_subprocess: object) -> None:
    assert in_subprocess(SHARED_DEFAULT) == "from the other interpreter\nrunning\n"  # type: ignore[operator]


@in_own_process
def test_default_stack_is_the_kernel_of_the_process_until_another_is_set() -> None:
    assert _lkl.shared_kernel() is None
    first = default_stack()
    assert first.kernel.version
    assert _lkl.shared_kernel() is not None
    other = Stack(hostname="other")
    set_default_stack(other)
    other.boot()
    first.halt()
    shared = _lkl.shared_kernel()
    assert shared is not None and shared.read_file("/proc/sys/kernel/hostname") == b"other\n"
    del shared
    other.halt()
    assert _lkl.shared_kernel() is None


IN_SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from lklsock import Stack, mptcp, socket
inner = '''
from lklsock import Stack, mptcp, socket
stack = Stack()
with stack, socket.create_server(("127.0.0.1", 0)) as server:
    with socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"hello")
            print(accepted.recv(5), client.mptcp is not None, flush=True)
print(mptcp.endpoints(stack), flush=True)
'''
outer = Stack()
mptcp.endpoint_add("10.0.0.1", stack=outer)
for _ in range(3):
    other = interpreters.create()
    result = interpreters.run_string(other, inner)
    assert result is None, result.formatted
    interpreters.destroy(other)
print(len(mptcp.endpoints(outer)), flush=True)
"""


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="_ctypes, for pyroute2, is the main interpreter's in 3.12"
)
def test_interpreter_imports_uses_and_ends_the_whole_package(in_subprocess: object) -> None:
    out = in_subprocess(IN_SUBINTERPRETER)  # type: ignore[operator]
    assert out == "b'hello' True\n[]\n" * 3 + "1\n"
