"""Every kind of socket that a program uses, on the loopback interface of one stack."""

import array
import errno
import io
import struct

import pytest
from own_process import in_own_process
from worlds import Thread, exchange, tcp_pair

from lklsock import default_stack, mptcp, socket

FAMILIES = pytest.mark.parametrize("family", [int(socket.AF_INET), int(socket.AF_INET6)])


def host_of(family: int) -> str:
    return "127.0.0.1" if family == socket.AF_INET else "::1"


@FAMILIES
@in_own_process
def test_tcp_carries_bytes_both_ways(family: int) -> None:
    client, server = tcp_pair(family)
    with client, server:
        exchange(client, server)
        assert client.family == family
        assert client.getpeername() == server.getsockname()
        assert server.getpeername() == client.getsockname()


@FAMILIES
@in_own_process
def test_tcp_is_upgraded_to_mptcp_and_says_tcp(family: int) -> None:
    client, server = tcp_pair(family)
    with client, server:
        exchange(client, server)
        for sock in (client, server):
            assert sock.type == socket.SOCK_STREAM
            assert sock.getsockopt(socket.SOL_SOCKET, 38) == socket.IPPROTO_TCP
            assert mptcp.is_mptcp(sock)
            assert sock.mptcp.bytes_sent == 1


@in_own_process
def test_mode_off_gives_plain_tcp() -> None:
    default_stack().mptcp_mode = "off"
    client, server = tcp_pair()
    with client, server:
        exchange(client, server)
        assert client.mptcp is None
        assert not mptcp.is_mptcp(client)
        # TCP's urgent data works again.
        client.send(b"u", socket.MSG_OOB)
        assert server.recv(1, socket.MSG_OOB) == b"u"


@in_own_process
def test_mptcp_refused_by_the_kernel_gives_tcp() -> None:
    default_stack().sysctl("net.mptcp.enabled", 0)
    client, server = tcp_pair()
    with client, server:
        exchange(client, server)
        assert client.mptcp is None
    default_stack().mptcp_mode = "require"
    with pytest.raises(OSError, match="Protocol not available"):
        socket.socket()


@in_own_process
def test_urgent_data_on_mptcp_is_refused() -> None:
    client, server = tcp_pair()
    with client, server:
        for send in (client.send, client.sendall):
            with pytest.raises(OSError) as refused:
                send(b"u", socket.MSG_OOB)
            assert refused.value.errno == errno.EOPNOTSUPP


@FAMILIES
@in_own_process
def test_udp_sends_receives_and_connects(family: int) -> None:
    host = host_of(family)
    with (
        socket.socket(family, socket.SOCK_DGRAM) as server,
        socket.socket(family, socket.SOCK_DGRAM) as client,
    ):
        server.bind((host, 0))
        client.bind((host, 0))
        assert client.sendto(b"one", server.getsockname()) == 3
        data, address = server.recvfrom(100)
        assert (data, address) == (b"one", client.getsockname())
        client.connect(server.getsockname())
        client.send(b"two")
        buffer = bytearray(10)
        assert server.recvfrom_into(buffer) == (3, client.getsockname())
        assert buffer[:3] == b"two"
        server.connect(client.getsockname())
        assert server.sendmsg([b"th", b"ree"]) == 5
        assert client.recvmsg(100)[0] == b"three"


@in_own_process
def test_udp_to_a_closed_port_is_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(closed)
        sock.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(10)


@in_own_process
def test_udp_shut_down_for_reading_gives_nothing_at_once() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        sock.shutdown(socket.SHUT_RD)
        assert sock.recv(10) == b""
        assert sock.recvfrom(10)[0] == b""
        assert sock.recv_into(bytearray(10)) == 0


@in_own_process
def test_half_closed_connection_still_answers() -> None:
    client, server = tcp_pair()
    with client, server:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(100) == b"question"
        assert server.recv(100) == b""
        server.sendall(b"answer")
        server.close()
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""
        with pytest.raises(BrokenPipeError):
            client.send(b"x")


@in_own_process
def test_makefile_reads_lines_and_keeps_the_socket_open() -> None:
    client, server = tcp_pair()
    with client.makefile("rwb") as file:
        client.close()
        file.write(b"one\ntwo\n")
        file.flush()
        assert server.makefile("r", encoding="ascii").readline() == "one\n"
        server.sendall(b"three\n")
        assert file.readline() == b"three\n"
        assert client.fileno() != -1
    assert client.fileno() == -1
    server.close()


@in_own_process
def test_every_buffer_type_goes_through() -> None:
    client, server = tcp_pair()
    with client, server:
        numbers = array.array("I", range(1000))
        assert client.send(numbers) == 4000
        assert server.recv(4000, socket.MSG_WAITALL) == numbers.tobytes()
        client.sendall(memoryview(numbers)[::1])
        into = array.array("I", bytes(4000))
        assert server.recv_into(into, 0, socket.MSG_WAITALL) == 4000
        assert into == numbers
        assert client.sendmsg([b"a", bytearray(b"b"), memoryview(b"c")]) == 3
        parts = [bytearray(1), bytearray(5)]
        assert server.recvmsg_into(parts)[0] == 3
        assert parts == [b"a", b"bc\0\0\0"]
        assert client.send(b"") == 0


@in_own_process
def test_ancillary_data_comes_along() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        sock.sendto(b"x", sock.getsockname())
        data, ancdata, flags, address = sock.recvmsg(10, 100)
        assert (data, flags, address) == (b"x", 0, sock.getsockname())
        (level, kind, info) = ancdata[0]
        assert (level, kind) == (socket.IPPROTO_IP, 8)
        assert struct.unpack_from("=I", info)[0] == socket.if_nametoindex("lo")


@in_own_process
def test_descriptor_passing_is_refused() -> None:
    client, server = tcp_pair()
    with client, server, pytest.raises(OSError) as refused:
        socket.send_fds(client, [b"x"], [0])
    assert refused.value.errno == errno.EOPNOTSUPP


@in_own_process
def test_sendfile_sends_the_file() -> None:
    client, server = tcp_pair()
    content = bytes(range(256)) * 1000
    with client, server:
        sending = Thread(client.sendfile, io.BytesIO(content))
        assert server.recv(len(content), socket.MSG_WAITALL) == content
        assert sending.result() == len(content)


@in_own_process
def test_host_names_are_resolved() -> None:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        server.listen()
        with socket.create_connection(("localhost", server.getsockname()[1])) as client:
            assert client.getpeername()[0] == "127.0.0.1"
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        assert sock.getsockname()[0] == "0.0.0.0"
        assert sock.sendto(b"x", ("localhost", sock.getsockname()[1])) == 1
        with pytest.raises(socket.gaierror):
            sock.sendto(b"x", ("no-such-name.invalid", 1))


@in_own_process
def test_bad_arguments_raise_what_the_stdlib_raises() -> None:
    with socket.socket() as sock:
        with pytest.raises(OverflowError, match="port must be 0-65535"):
            sock.bind(("127.0.0.1", 70000))
        with pytest.raises(TypeError, match="AF_INET address must be tuple, not str"):
            sock.connect("127.0.0.1")
        with pytest.raises(OSError, match="Cannot assign requested address") as refused:
            sock.bind(("192.0.2.1", 0))
        assert refused.value.errno == errno.EADDRNOTAVAIL
        with pytest.raises(OSError, match="Transport endpoint is not connected"):
            sock.recv(1)
        with pytest.raises(OSError, match="Protocol not available"):
            sock.setsockopt(socket.IPPROTO_TCP, 9999, 1)
        with pytest.raises(ValueError, match="Timeout value out of range"):
            sock.settimeout(-1)
        with pytest.raises(ValueError, match="NaN"):
            sock.settimeout(float("nan"))
        with pytest.raises(TypeError):
            sock.settimeout("1")
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.send(b"x")
    with pytest.raises(OSError, match="Protocol not supported"):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 77)


@in_own_process
def test_options_that_mptcp_refuses() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) == 1000
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert len(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == 8
        sock.listen()
        with pytest.raises(OSError, match=r"not supported|not available"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)


@in_own_process
def test_families_of_the_host_stay_the_hosts() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert type(left) is socket.socket
        assert left.family == socket.AF_UNIX
        left.sendall(b"x")
        assert right.recv(1) == b"x"
        assert left.mptcp is None
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("")
        server.listen()
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            assert type(accepted) is socket.socket


@in_own_process
def test_module_functions_make_our_sockets() -> None:
    assert socket.has_dualstack_ipv6()
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert type(server) is socket.socket
        with socket.create_connection(("127.0.0.1", server.getsockname()[1])) as client:
            assert type(client) is socket.socket
            accepted, address = server.accept()
            accepted.close()
            assert address[0] == "::ffff:127.0.0.1"
    assert (1, "lo") in socket.if_nameindex()
    assert socket.if_indextoname(1) == "lo"
    with pytest.raises(OSError, match="No such device"):
        socket.if_nametoindex("eth77")


@in_own_process
def test_unclosed_socket_is_told_of() -> None:
    client, server = tcp_pair()
    with pytest.warns(ResourceWarning, match=r"unclosed <lklsock.socket.socket lkl_fd="):
        del client
    # It is closed all the same.
    assert server.recv(1) == b""
    server.close()
    assert "[closed]" in repr(server)
