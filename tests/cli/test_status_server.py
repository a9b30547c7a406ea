"""The thread that serves the status of a process: `lklsock.status.serve`."""

import contextlib
import json
import os
from typing import Any

import pytest
from own_process import in_own_process

pytestmark = pytest.mark.usefixtures("directory")


@in_own_process
def test_fork_while_somebody_asks_neither_hangs_nor_warns() -> None:
    from lklsock import Stack, status
    from lklsock.status import _client, _directory

    stack = Stack()
    stack.boot()
    status.serve()
    (directory,) = _directory.find(os.geteuid())
    asker = os.fork()
    if not asker:
        parent, answers = os.getppid(), []
        for _ in range(200):
            try:
                with _client._connected(directory, parent) as sock:
                    sock.sendall(b'{"request": "status"}\n')
                    answers.append(_client._line(sock))
            except OSError:
                break
        os._exit(0 if answers and b'"version"' in answers[-1] else 1)
    for _ in range(40):
        child = os.fork()
        if not child:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert os.waitpid(asker, 0)[1] == 0


@in_own_process
def test_client_that_says_nothing_keeps_nobody_waiting() -> None:
    from lklsock import status
    from lklsock.status import _client, _conversation, _directory

    _conversation.PATIENCE_S = 0.2
    status.serve()
    (directory,) = _directory.find(os.geteuid())

    def answer(request: bytes) -> Any:
        with _client._connected(directory, os.getpid()) as sock:
            sock.sendall(request)
            return json.loads(_client._line(sock))

    with _client._connected(directory, os.getpid()) as silent:
        assert answer(b'{"request": "status"}\n')["pid"] == os.getpid()
        # It is hung up on.
        assert silent.recv(1) == b""
    assert answer(b'{"request": "nonsense"}\n') == {"error": "no request: 'nonsense'"}
    assert "error" in answer(b"\xff" * 5000)
    assert "error" in answer(b"[]\n")
    assert "error" in answer(b'{"request": "capture"}\n')


@in_own_process
def test_daemon_that_closes_all_descriptors_is_not_kept_busy() -> None:
    from lklsock import status
    from lklsock.status import _client, _directory

    status.serve()
    thread = status.serve()._thread
    assert thread is not None
    (directory,) = _directory.find(os.geteuid())
    client = os.dup2(_client._connected(directory, os.getpid()).detach(), 100)
    # It is seen once the thread watches it, which is when the next one has had its answer.
    with _client._connected(directory, os.getpid()) as sock:
        sock.sendall(b"{}\n")
        _client._line(sock)
    os.closerange(3, 64)
    # It has seen it by itself already; or this shows it.
    with contextlib.suppress(BrokenPipeError):
        os.write(client, b"?")
    assert thread.join(30)


@in_own_process
def test_snapshot_of_a_thousand_connections_takes_little_time() -> None:
    import time

    import worlds

    from lklsock import socket, status

    left, right = worlds.wired_stacks()
    with right:
        listener = socket.create_server(("", 0), backlog=64)
    ends = []
    for _ in range(1000):
        with left:
            ends.append(socket.create_connection(("10.0.0.2", listener.getsockname()[1])))
        ends.append(listener.accept()[0])
    shown = status.snapshot(left)
    assert len(shown.connections) == 1000
    assert {each.protocol for each in shown.connections} == {"mptcp"}
    assert all(len(each.subflows) == 1 for each in shown.connections)
    begin = time.process_time()
    for _ in range(4):
        status.snapshot(left)
    # Two a second are to cost a quarter of a core at most; on a quiet machine it is a tenth.
    assert (time.process_time() - begin) / 4 < 0.125
    for end in [*ends, listener]:
        end.close()
