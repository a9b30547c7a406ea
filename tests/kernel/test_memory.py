"""Memory exhausted, four ways, in small stacks: an errno, drops - and life goes on afterwards."""

import errno
import ipaddress
import struct
import threading
from collections.abc import Callable

import pytest
from own_process import in_own_process
from system_calls import PRLIMIT64, is_out_of_memory

from lklsock import Stack, socket
from lklsock.link import Wire

SIZES_MB = (16, 32)
# Bounds a loop that should end by running out of memory.
ATTEMPTS = 60_000

RLIMIT_NOFILE = 7
RTM_NEWADDR, RTM_NEWROUTE = 20, 24
REQUEST_CREATE_ACK = 0x1 | 0x400 | 0x4

each_size = pytest.mark.parametrize("megabytes", SIZES_MB)


def small_stack(megabytes: int) -> Stack:
    stack = Stack(memory_bytes=megabytes << 20, console_level=4)
    stack.boot()
    return stack


def assert_works(stack: Stack) -> None:
    """A connection can be made, and carries a megabyte."""
    data = bytes(range(256)) * 4096
    with stack, socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=20)
        accepted, _ = server.accept()
        accepted.settimeout(20)
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        received = b""
        while len(received) < len(data):
            received += accepted.recv(65536)
        sender.join(20)
        assert received == data
        client.close()
        accepted.close()


@each_size
@in_own_process
def test_sockets_until_none_is_left(megabytes: int) -> None:
    stack = small_stack(megabytes)
    sockets = []
    with pytest.raises(OSError) as refused:
        for _ in range(ATTEMPTS):
            sockets.append(stack.socket())
    assert is_out_of_memory(refused.value) or refused.value.errno == errno.EMFILE
    assert len(sockets) > 500
    for sock in sockets:
        sock.close()
    assert_works(stack)


@each_size
@in_own_process
def test_received_data_that_nobody_reads(megabytes: int) -> None:
    """Datagrams into many sockets: each takes its fill, and the rest is dropped."""
    stack = small_stack(megabytes)
    with stack:
        readers = []
        for _ in range(200):
            reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            reader.bind(("127.0.0.1", 0))
            readers.append(reader)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setblocking(False)
        refused = 0
        for reader in readers:
            for _ in range(40):
                try:
                    sender.sendto(bytes(8192), reader.getsockname())
                except BlockingIOError:
                    refused += 1
                except OSError as error:
                    assert is_out_of_memory(error), error
                    refused += 1
        held = 0
        for reader in readers:
            reader.setblocking(False)
            try:
                while True:
                    held += len(reader.recv(16384))
            except BlockingIOError:
                pass
            reader.close()
        sender.close()
    # Some was kept, and not all of it.
    assert 0 < held < 200 * 40 * 8192
    assert_works(stack)


@each_size
@in_own_process
def test_data_that_is_never_sent(megabytes: int) -> None:
    """Writers whose peers do not read: each is stopped, by its window or by the memory."""
    stack = small_stack(megabytes)
    with stack, socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        ends = []
        written = 0
        for _ in range(100):
            try:
                client = socket.create_connection(server.getsockname(), timeout=5)
                accepted, _ = server.accept()
            except OSError as error:
                assert is_out_of_memory(error) or isinstance(error, TimeoutError), error
                break
            ends += [client, accepted]
            client.setblocking(False)
            try:
                while written < 1 << 30:
                    written += client.send(bytes(65536))
            except BlockingIOError:
                pass
            except OSError as error:
                assert is_out_of_memory(error), error
        assert written < megabytes << 20
        for end in ends:
            end.close()
    assert_works(stack)


def fill_up(stack: Stack) -> list[socket.socket]:
    """Takes what memory sockets get. The last of it is left, for other users."""
    stack.kernel.system_call(PRLIMIT64, 0, RLIMIT_NOFILE, struct.pack("QQ", ATTEMPTS, ATTEMPTS), 0)
    sockets = []
    with pytest.raises(OSError, match="No buffer space"):
        for _ in range(ATTEMPTS):
            sockets.append(stack.socket())
    return sockets


class Rtnetlink:
    """One open routing socket: making another takes memory, too."""

    def __init__(self, stack: Stack) -> None:
        self.socket = stack.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.socket.settimeout(20)

    def refused_after(self, kind: int, body: Callable[[int], bytes]) -> int:
        """How many messages with `body(number)` were accepted before memory was exhausted."""
        for number in range(ATTEMPTS):
            data = body(number)
            header = struct.pack("=IHHII", 16 + len(data), kind, REQUEST_CREATE_ACK, number, 0)
            try:
                self.socket.send(header + data)
                error = -struct.unpack_from("=i", self.socket.recv(8192), 16)[0]
            except OSError as refused:
                error = refused.errno or 0
            if error:
                assert error in (errno.ENOMEM, errno.ENOBUFS), errno.errorcode[error]
                return number
        raise AssertionError("memory was never exhausted")


def address_body(number: int) -> bytes:
    """An IPv6 address, without DAD, on lo: struct ifaddrmsg and IFA_LOCAL."""
    packed = (ipaddress.IPv6Address("fd00::1") + number).packed
    return struct.pack("=BBBBIHH", socket.AF_INET6, 64, 2, 0, 1, 20, 2) + packed


def route_body(number: int) -> bytes:
    """An IPv4 host route over lo: struct rtmsg, RTA_DST and RTA_OIF."""
    packed = (ipaddress.IPv4Address("100.64.0.0") + number).packed
    message = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 254, 4, 253, 1, 0)
    return message + struct.pack("=HH", 8, 1) + packed + struct.pack("=HHI", 8, 4, 1)


@each_size
@pytest.mark.parametrize("what", ["addresses", "routes"])
@in_own_process
def test_netlink_requests_until_memory_is_gone(megabytes: int, what: str) -> None:
    kind, body = (RTM_NEWADDR, address_body) if what == "addresses" else (RTM_NEWROUTE, route_body)
    stack = small_stack(megabytes)
    netlink = Rtnetlink(stack)
    sockets = fill_up(stack)
    assert netlink.refused_after(kind, body) > 100
    for sock in [netlink.socket, *sockets]:
        sock.close()
    assert_works(stack)


@each_size
@in_own_process
def test_flood_from_a_wire_is_dropped_and_the_link_goes_on(megabytes: int) -> None:
    flooded, sender = small_stack(megabytes), Stack()
    near, far = Wire.pair()
    flooded.add_link(near, addresses=["10.9.0.1/24"])
    sender.add_link(far, addresses=["10.9.0.2/24"])
    with flooded:
        readers = []
        for _ in range(50):
            reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            reader.bind(("10.9.0.1", 0))
            readers.append(reader)
    with sender, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        for reader in readers:
            for _ in range(100):
                source.sendto(bytes(1400), reader.getsockname())
    for reader in readers:
        reader.close()
    with flooded:
        server = socket.create_server(("10.9.0.1", 0))
    with sender:
        client = socket.create_connection(server.getsockname(), timeout=20)
    accepted, _ = server.accept()
    client.sendall(b"alive")
    accepted.settimeout(20)
    assert accepted.recv(16) == b"alive"
    for sock in (client, accepted, server):
        sock.close()
