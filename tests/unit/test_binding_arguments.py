"""Wrong arguments of the binding's sockets raise what the stdlib's raise."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from lklsock import _lkl

STRIDED = memoryview(b"abcdef")[::2]
READ_ONLY = memoryview(b"abc")

WRONG: list[tuple[str, tuple[Any, ...]]] = [
    ("send", ()),
    ("send", ("text",)),
    ("send", (None,)),
    ("send", (5,)),
    ("send", (STRIDED,)),
    ("send", (b"", "0")),
    ("send", (b"", 1.0)),
    ("send", (b"", 2**31)),
    ("send", (b"", 2**64)),
    ("recv", ()),
    ("recv", ("1",)),
    ("recv", (1.0,)),
    ("recv", (-1,)),
    ("recv", (2**64,)),
    ("recv", (1, None)),
    ("recv", (1, -(2**31) - 1)),
    ("recv", (1, 2, 3)),
    ("recvfrom", (-1,)),
    ("recvfrom", ()),
    ("recv_into", (b"read-only",)),
    ("recv_into", (READ_ONLY,)),
    ("recv_into", ("text",)),
    ("recv_into", (None,)),
    ("recv_into", (memoryview(bytearray(6))[::2],)),
    ("recv_into", (bytearray(4), -1)),
    ("recv_into", (bytearray(4), 5)),
    ("recv_into", (bytearray(4), "4")),
    ("recvfrom_into", (bytearray(4), -1)),
    ("recvfrom_into", (bytearray(4), 5)),
    ("recvfrom_into", (b"",)),
    ("sendto", (b"", 0, "address")),
    ("sendto", ("text", 0, ("127.0.0.1", 1))),
    ("sendto", (b"", "0", ("127.0.0.1", 1))),
    ("sendmsg", (5,)),
    ("sendmsg", (None,)),
    ("sendmsg", ("text",)),
    ("sendmsg", (["text"],)),
    ("sendmsg", ([STRIDED],)),
    ("sendmsg", ([b""], 5)),
    ("sendmsg", ([b""], [5])),
    ("sendmsg", ([b""], [(1, 2)])),
    ("sendmsg", ([b""], [(1, 2, "text")])),
    ("sendmsg", ([b""], [("1", 2, b"")])),
    ("sendmsg", ([b""], (), "0")),
    ("sendmsg", ([b""], (), 0, "address")),
    ("recvmsg", ()),
    ("recvmsg", (-1,)),
    ("recvmsg", (1, -1)),
    ("recvmsg", (1, 2**31)),
    ("recvmsg", (1, "1")),
    ("recvmsg_into", (5,)),
    ("recvmsg_into", ([b"read-only"],)),
    ("recvmsg_into", ([bytearray(1)], -1)),
    ("listen", ("1",)),
    ("listen", (2**31,)),
    ("shutdown", ("1",)),
    ("shutdown", (9,)),
    ("bind", (5,)),
    ("getsockopt", (1,)),
    ("getsockopt", ("1", 2)),
    ("getsockopt", (1, 2, -1)),
    ("getsockopt", (1, 2, 1025)),
    ("getsockopt", (9999, 1)),
    ("setsockopt", (1,)),
    ("setsockopt", (1, 2)),
    ("setsockopt", (1, 2, "text")),
    ("setsockopt", (1, 2, None)),
    ("setsockopt", (1, 2, None, "1")),
    ("setsockopt", (1, 2, 2**31)),
    ("setsockopt", (1, 2, b"", 1)),
    ("setsockopt", (1, 2, 3, 4, 5)),
    ("setsockopt", ("1", 2, 3)),
    ("setsockopt", (socket.SOL_SOCKET, socket.SO_REUSEADDR, b"")),
]


def failure(call: Callable[..., object], args: tuple[Any, ...]) -> tuple[type[BaseException], str]:
    with pytest.raises(Exception) as caught:
        call(*args)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize(("method", "args"), WRONG)
def test_wrong_argument_raises_what_the_stdlib_raises(
    kernel: _lkl.Kernel, method: str, args: tuple[Any, ...]
) -> None:
    ours = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
        expected_type, expected = failure(getattr(theirs, method), args)
    got_type, got = failure(getattr(ours, method), args)
    assert got_type is expected_type
    # The wrong number of arguments is worded anew by each CPython.
    if " given)" not in expected + got:
        assert got == expected
