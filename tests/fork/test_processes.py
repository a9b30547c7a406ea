"""The ways a program starts processes: each ends in a stack of its own, or needs none."""

import multiprocessing
import os
import subprocess
import sys
import threading

import pytest
from own_process import in_own_process, run

from lklsock import default_stack, socket

JOIN_S = 40.0
TALK = """
from lklsock import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    with socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"here")
            assert accepted.recv(16) == b"here"
"""


def talk(number: int = 0) -> int:
    """A loopback exchange in the process's own stack."""
    exec(TALK, {})
    return number


@in_own_process
def test_fork_workers_have_stacks_of_their_own() -> None:
    talk()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=talk)
    process.start()
    process.join(JOIN_S)
    assert process.exitcode == 0
    with context.Pool(2) as pool:
        assert pool.map_async(talk, range(4)).get(JOIN_S) == [0, 1, 2, 3]
    talk()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_start_anew_have_stacks_of_their_own(method: str) -> None:
    run(_start_anew, method)


def _start_anew(method: str) -> None:
    talk()
    context = multiprocessing.get_context(method)
    process = context.Process(target=exec, args=(TALK, {}))
    process.start()
    process.join(JOIN_S)
    assert process.exitcode == 0
    talk()


@in_own_process
def test_fork_from_a_thread_while_others_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        waiter = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
        waiter.start()
        codes: list[int] = []

        def fork() -> None:
            pid = os.fork()
            if pid == 0:
                try:
                    talk()
                except BaseException:
                    os._exit(1)
                os._exit(0)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        for _ in range(3):
            forker = threading.Thread(target=fork)
            forker.start()
            forker.join(JOIN_S)
        assert codes == [0, 0, 0]
        with socket.create_connection(server.getsockname()):
            waiter.join(JOIN_S)
            assert not waiter.is_alive()
            accepted[0].close()


@in_own_process
def test_preexec_fn_and_posix_spawn_disturb_nothing() -> None:
    talk()
    command = [sys.executable, "-c", TALK]
    assert (
        subprocess.run(command, preexec_fn=lambda: None, timeout=JOIN_S, check=False).returncode
        == 0
    )
    pid = os.posix_spawn(command[0], command, os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    talk()


@in_own_process
def test_daemon_and_what_is_executed_have_the_network() -> None:
    default_stack().boot()
    outcome, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        try:
            talk()
            os.write(told, b"daemon ")
            os.set_inheritable(told, True)
            source = f"{TALK}\nimport os\nos.write({told}, b'executed')"
            os.execv(sys.executable, [sys.executable, "-c", source])
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(told)
    with open(outcome, "rb") as file:
        assert file.read() == b"daemon executed"
