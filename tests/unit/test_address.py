"""Addresses of the binding: the stdlib's tuples, bytes and errors, without resolving names."""

import errno
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fake import Knob

from lklsock import _lkl

DGRAM = socket.SOCK_DGRAM
Open = Callable[..., _lkl.Socket]


@pytest.fixture
def sock(kernel: _lkl.Kernel) -> Open:
    """Opens a socket of a family."""

    def open_socket(family: int) -> _lkl.Socket:
        kind = socket.SOCK_RAW if family == socket.AF_NETLINK else DGRAM
        return kernel.socket(family, kind, 0)

    return open_socket


@pytest.fixture
def packed(kernel: _lkl.Kernel, sock: Open) -> Callable[[int, Any], bytes]:
    """The sockaddr that the kernel gets for a tuple."""

    def pack(family: int, address: Any) -> bytes:
        opened = sock(family)
        kernel.system_call(Knob.FAIL, -errno.EIO)
        assert opened.connect(address) == errno.EIO
        room = bytearray(128)
        return bytes(room[: kernel.system_call(Knob.ADDRESS, room)])

    return pack


@pytest.fixture
def unpacked(kernel: _lkl.Kernel, sock: Open) -> Callable[[int, bytes], Any]:
    """The tuple that comes of a sockaddr."""

    def unpack(family: int, raw: bytes) -> Any:
        opened = sock(family)
        kernel.system_call(Knob.NAME, raw, len(raw))
        return opened.getsockname()

    return unpack


def sockaddr_in(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host))


def sockaddr_in6(host: str, port: int, flowinfo: int = 0, scope: int = 0) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, host)
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", port, flowinfo, packed)
    return head + struct.pack("=I", scope)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        (("127.0.0.1", 80), "127.0.0.1", 80),
        (("255.254.103.10", 65535), "255.254.103.10", 65535),
        (("", 0), "0.0.0.0", 0),
        (("<broadcast>", 1), "255.255.255.255", 1),
        (("255.255.255.255", 1), "255.255.255.255", 1),
        ((b"10.0.0.1", 2), "10.0.0.1", 2),
        ((bytearray(b"10.0.0.1"), 2), "10.0.0.1", 2),
        (("127.1", 3), "127.0.0.1", 3),
        (("0x7f000001", 3), "127.0.0.1", 3),
        (("\uff11\uff12\uff17.0.0.1", 4), "127.0.0.1", 4),
        (("127.0.0.1", True), "127.0.0.1", 1),
    ],
)
def test_inet_tuple_reaches_the_kernel_as_sockaddr_in(
    packed: Callable[[int, Any], bytes], address: Any, host: str, port: int
) -> None:
    assert packed(socket.AF_INET, address) == sockaddr_in(host, port)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("::1", 80), sockaddr_in6("::1", 80)),
        (("", 7), sockaddr_in6("::", 7)),
        (("2001:db8::5", 443, 0xFFFFF), sockaddr_in6("2001:db8::5", 443, 0xFFFFF)),
        (("fe80::1", 443, 5, 9), sockaddr_in6("fe80::1", 443, 5, 9)),
        (("::ffff:10.0.0.1", 1, 0, 0), sockaddr_in6("::ffff:10.0.0.1", 1)),
        (("fe80::1%7", 1), sockaddr_in6("fe80::1", 1, 0, 7)),
        (("fe80::1%7", 1, 0, 3), sockaddr_in6("fe80::1", 1, 0, 3)),
        (("fe80::1", 1, 0, 2**32 + 3), sockaddr_in6("fe80::1", 1, 0, 3)),
    ],
)
def test_inet6_tuple_reaches_the_kernel_as_sockaddr_in6(
    packed: Callable[[int, Any], bytes], address: Any, expected: bytes
) -> None:
    assert packed(socket.AF_INET6, address) == expected


def test_scope_name_is_an_interface_of_the_kernel(packed: Callable[[int, Any], bytes]) -> None:
    expected = sockaddr_in6("fe80::1", 1, 0, socket.if_nametoindex("lo"))
    assert packed(socket.AF_INET6, ("fe80::1%lo", 1)) == expected


def test_unknown_scope_name_is_no_such_device(sock: Open) -> None:
    with pytest.raises(OSError, match="No such device") as caught:
        sock(socket.AF_INET6).bind(("fe80::1%nowhere9", 1))
    assert caught.value.errno == errno.ENODEV


def test_netlink_tuple_reaches_the_kernel_as_sockaddr_nl(
    packed: Callable[[int, Any], bytes],
) -> None:
    expected = struct.pack("=HHII", socket.AF_NETLINK, 0, 4711, 0x80000001)
    assert packed(socket.AF_NETLINK, (4711, 0x80000001)) == expected


@pytest.mark.parametrize(
    ("family", "raw", "address"),
    [
        (socket.AF_INET, sockaddr_in("0.0.0.0", 0), ("0.0.0.0", 0)),
        (socket.AF_INET, sockaddr_in("1.20.255.100", 65535), ("1.20.255.100", 65535)),
        (
            socket.AF_INET6,
            sockaddr_in6("fe80::1", 9, 0xABCDE, 3),
            ("fe80::1", 9, 0xABCDE, 3),
        ),
        (
            socket.AF_NETLINK,
            struct.pack("=HHII", socket.AF_NETLINK, 0, 2**31 + 1, 2**32 - 1),
            (2**31 + 1, 2**32 - 1),
        ),
        (
            socket.AF_INET,
            struct.pack("=HH", socket.AF_PACKET, socket.htons(0x88CC))
            + struct.pack("=iHBB8s", socket.if_nametoindex("lo"), 772, 4, 6, b"\1\2\3\4\5\6"),
            ("lo", 0x88CC, 4, 772, b"\1\2\3\4\5\6"),
        ),
        (
            socket.AF_INET,
            struct.pack("=HHiHBB8s", socket.AF_PACKET, 0, 0, 0, 0, 0, b""),
            ("", 0, 0, 0, b""),
        ),
        (
            socket.AF_INET,
            struct.pack("=HHiHBB8s", socket.AF_PACKET, 0, 999999, 1, 0, 255, b"x" * 8),
            ("", 0, 0, 1, b"x" * 8),
        ),
        (
            socket.AF_INET,
            struct.pack("=H14s", socket.AF_APPLETALK, b"fourteen bytes"),
            (int(socket.AF_APPLETALK), b"fourteen bytes"),
        ),
    ],
)
def test_sockaddr_comes_back_as_the_stdlibs_tuple(
    unpacked: Callable[[int, bytes], Any], family: int, raw: bytes, address: Any
) -> None:
    assert unpacked(family, raw) == address


BAD: list[tuple[int, Any]] = [
    *[
        (family, address)
        for family in (socket.AF_INET, socket.AF_INET6)
        for address in [
            "127.0.0.1",
            None,
            ["127.0.0.1", 1],
            (),
            ("::1",),
            ("127.0.0.1", 1, 2, 3, 4),
            (None, 1),
            (5, 1),
            ("a\0b", 1),
            (b"a\0b", 1),
            ("x\udc80", 1),
            ("", "80"),
            ("", 1.5),
            ("", None),
            ("", -1),
            ("", 65536),
            ("", 2**31),
            ("", 2**63),
            ("", -(2**70)),
        ]
    ],
    (socket.AF_INET6, ("<broadcast>", 1)),
    (socket.AF_INET6, ("255.255.255.255", 1)),
    (socket.AF_INET6, ("", 1, -1)),
    (socket.AF_INET6, ("", 1, 0x100000)),
    (socket.AF_INET6, ("", 1, "x")),
    (socket.AF_INET6, ("", 1, 0, "x")),
    (socket.AF_NETLINK, [0, 0]),
    (socket.AF_NETLINK, (0,)),
    (socket.AF_NETLINK, (0, 0, 0)),
    (socket.AF_NETLINK, ("0", 0)),
]


def failure(call: Callable[[Any], object], address: Any) -> tuple[type[BaseException], str]:
    with pytest.raises(Exception) as caught:
        call(address)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize(("family", "address"), BAD)
def test_bad_address_raises_what_the_stdlib_raises(sock: Open, family: int, address: Any) -> None:
    kind = socket.SOCK_RAW if family == socket.AF_NETLINK else DGRAM
    with socket.socket(family, kind) as host:
        assert failure(sock(family).bind, address) == failure(host.bind, address)


@pytest.mark.parametrize(
    ("family", "host", "code"),
    [
        (socket.AF_INET, "example.invalid", socket.EAI_NONAME),
        (socket.AF_INET, "127.0.0.1 ", socket.EAI_NONAME),
        (socket.AF_INET, "::1", socket.EAI_ADDRFAMILY),
        (socket.AF_INET6, "127.0.0.1", socket.EAI_ADDRFAMILY),
        (socket.AF_INET6, "example%lo", socket.EAI_NONAME),
    ],
)
def test_name_is_not_looked_up(sock: Open, family: int, host: str, code: int) -> None:
    with pytest.raises(socket.gaierror) as caught:
        sock(family).connect((host, 1))
    assert caught.value.errno == code


@pytest.mark.parametrize("caller", ["bind", "connect", "sendto", "sendmsg"])
def test_message_names_the_function(sock: Open, caller: str) -> None:
    opened = sock(socket.AF_INET)
    calls: dict[str, Callable[[Any], object]] = {
        "bind": opened.bind,
        "connect": opened.connect,
        "sendto": lambda address: opened.sendto(b"", 0, address),
        "sendmsg": lambda address: opened.sendmsg([b""], (), 0, address),
    }
    with pytest.raises(TypeError) as wrong_type:
        calls[caller]("host")
    assert str(wrong_type.value) == f"{caller}(): AF_INET address must be tuple, not str"
    with pytest.raises(OverflowError) as wrong_port:
        calls[caller](("", 65536))
    assert str(wrong_port.value) == f"{caller}(): port must be 0-65535."


def test_other_family_has_no_addresses(kernel: _lkl.Kernel) -> None:
    with pytest.raises(OSError, match=r"^bind\(\): bad family$"):
        kernel.socket(socket.AF_UNIX, DGRAM, 0).bind("/tmp/x")


class Packet:
    """AF_PACKET, which only root may open on the host: an address is refused before it matters."""

    family = int(getattr(socket, "AF_PACKET", 17))


@pytest.fixture
def packet(kernel: _lkl.Kernel) -> _lkl.Socket:
    try:
        return kernel.socket(Packet.family, socket.SOCK_RAW, 0)
    except PermissionError:
        pytest.skip("a packet socket of the host needs CAP_NET_RAW")


def test_packet_tuple_reaches_the_kernel_as_sockaddr_ll(
    kernel: _lkl.Kernel, packet: _lkl.Socket
) -> None:
    packet.bind(("lo", 0x0800, 3, 772, b"\1\2\3\4\5\6"))
    room = bytearray(128)
    raw = bytes(room[: kernel.system_call(Knob.ADDRESS, room)])
    index = socket.if_nametoindex("lo")
    assert raw == struct.pack("=H", Packet.family) + struct.pack("!H", 0x0800) + struct.pack(
        "=iHBB8s", index, 772, 3, 6, b"\1\2\3\4\5\6"
    )


@pytest.mark.parametrize(
    "address",
    [
        "lo",
        ("lo",),
        ("lo", "0"),
        ("lo", -1),
        ("lo", 65536),
        ("lo", 2**31),
        ("lo", 0, 2**40),
        ("lo", 0, 0, 0, "mac"),
        ("lo", 0, 0, 0, b"123456789"),
        ("lo", 0, 0, 0, b"", 0),
        ("nowhere9", 0),
        (7, 0),
    ],
)
def test_bad_packet_address_raises_what_the_stdlib_raises(
    packet: _lkl.Socket, address: Any
) -> None:
    with socket.socket(Packet.family, socket.SOCK_RAW) as host:
        expected = failure(host.bind, address)
        assert failure(packet.bind, address) == expected


def test_datagram_comes_with_the_address_of_its_sender(sock: Open) -> None:
    sender, receiver = sock(socket.AF_INET), sock(socket.AF_INET)
    for opened in (sender, receiver):
        opened.bind(("127.0.0.1", 0))
    sender.sendto(b"hello", 0, receiver.getsockname())
    assert receiver.wait(_lkl.IN, None) == _lkl.IN
    assert receiver.recvfrom(100) == (b"hello", sender.getsockname())


def test_connected_stream_has_no_sender(kernel: _lkl.Kernel, sock: Open) -> None:
    listener = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    client = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    assert client.connect(listener.getsockname()) in (0, errno.EINPROGRESS)
    listener.wait(_lkl.IN, None)
    accepted = listener.accept()
    assert accepted is not None
    server, address = accepted
    assert address == client.getsockname() == server.getpeername()
    client.send(b"x")
    server.wait(_lkl.IN, None)
    assert server.recvfrom(10) == (b"x", None)


def test_tuple_is_not_leaked(sock: Open) -> None:
    opened = sock(socket.AF_INET)
    address = ("10.0.0.1", 70000)
    before = sys.getrefcount(address)
    for _ in range(10):
        with pytest.raises(OverflowError):
            opened.connect(address)
    assert sys.getrefcount(address) == before
