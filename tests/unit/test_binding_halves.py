"""The binding's sockets with a half of the host: arguments, results and errors."""

import errno
import socket

import pytest
from fake import Knob

from lklsock import _lkl


@pytest.fixture
def sock(kernel: _lkl.Kernel) -> _lkl.Socket:
    return kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)


def test_host_half_is_polled_while_it_is_joined(sock: _lkl.Socket) -> None:
    left, right = socket.socketpair()
    with left, right:
        right.send(b"x")
        sock.join_host(left.fileno())
        assert sock.poll() == _lkl.IN | _lkl.OUT
        with pytest.raises(OSError) as caught:
            sock.join_host(right.fileno())
        assert caught.value.errno == errno.EBUSY
        sock.refresh(_lkl.IN)
        sock.leave_host()
        assert sock.poll() == _lkl.OUT


def test_kernel_half_is_replaced_or_left(kernel: _lkl.Kernel, sock: _lkl.Socket) -> None:
    stream = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    sock.replace_kernel(stream)
    stream.close()
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    sock.leave_kernel()
    with pytest.raises(OSError):
        sock.getsockname()


def test_wrong_arguments_are_refused(kernel: _lkl.Kernel, sock: _lkl.Socket) -> None:
    with pytest.raises(TypeError, match=r"replace_kernel\(\) takes a Socket, not int"):
        sock.replace_kernel(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        sock.join_host("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        sock.refresh("1")  # type: ignore[arg-type]
    kernel.system_call(Knob.FAIL, -errno.ENOMEM)
    with pytest.raises(OSError) as caught:
        sock.leave_kernel()
    assert caught.value.errno == errno.ENOMEM
