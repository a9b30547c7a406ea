"""os.sendfile in a patched program, which asyncio and others call with the number of a socket."""

import os
import socket
import tempfile

import pytest
from own_process import in_own_process

import lklsock


@in_own_process
def test_os_sendfile_sends_to_sockets_of_the_stack_and_of_the_host() -> None:
    original = os.sendfile
    with lklsock.patched(policy="all"), tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        for left, right in ((client, server), socket.socketpair()):
            with left, right:
                number = file.fileno()
                file.truncate(10)
                assert os.sendfile(left.fileno(), number, 2, 3) == 3
                assert right.recv(100) == b"234"
                assert os.sendfile(left.fileno(), number, 10, 3) == 0, "the end of the file"
                os.lseek(number, 7, os.SEEK_SET)
                assert os.sendfile(left.fileno(), number, None, 100) == 3
                assert os.lseek(number, 0, os.SEEK_CUR) == 10
                assert right.recv(100) == b"789"
                left.setblocking(False)
                file.truncate(10_000_000)
                with pytest.raises(BlockingIOError):
                    while os.sendfile(left.fileno(), number, 0, 1_000_000):
                        pass
    assert os.sendfile is original
    assert lklsock.original("os", "sendfile") is original
