"""Options that MPTCP refuses: remembered, or reason enough to be plain TCP."""

import errno
import select
from typing import Any

import pytest
from both import DEADLINE_S, SEEN, lives, use
from own_process import in_own_process

from lklsock import _ledger, default_stack, socket

SO_PROTOCOL, IPPROTO_MPTCP = 38, 262


def kernel_protocol(sock: Any) -> Any:
    return sock._lkl.getsockopt(socket.SOL_SOCKET, SO_PROTOCOL)


def refused_option() -> tuple[int, int, int]:
    """One with a meaning that MPTCP refuses and TCP takes."""
    kernel = default_stack().kernel
    mptcp = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    tcp = kernel.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    for setting in (
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),
        (socket.SOL_SOCKET, socket.SO_OOBINLINE, 1),
        (socket.SOL_IP, socket.IP_RECVTOS, 1),
        (socket.SOL_IP, socket.IP_MINTTL if hasattr(socket, "IP_MINTTL") else 21, 5),
    ):
        tcp.setsockopt(*setting)
        try:
            mptcp.setsockopt(*setting)
        except OSError:
            return setting
    raise AssertionError("MPTCP takes them all")


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("patched", [False, True])
@in_own_process
def test_option_with_a_meaning_makes_it_plain_tcp(patched: bool, seen: bool) -> None:
    cls = use() if patched else socket.socket
    option = refused_option()
    with cls() as sock:
        sock.settimeout(DEADLINE_S)
        number = sock.fileno() if seen else None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        sock.bind(("", 0))
        name = sock.getsockname()
        assert kernel_protocol(sock) == IPPROTO_MPTCP
        sock.setsockopt(*option)
        assert kernel_protocol(sock) == socket.IPPROTO_TCP
        assert sock.getsockopt(*option[:2])
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockname() == name
        if seen:
            assert sock.fileno() == number
        sock.listen()
        with socket.create_connection(("127.0.0.1", name[1])) as client:
            assert select.select([sock], [], [], DEADLINE_S)[0]
            accepted, _ = sock.accept()
            with accepted:
                client.sendall(b"x")
                assert accepted.recv(1) == b"x"
    assert _ledger.snapshot().options[(*option[:2], "plain TCP")] == 1
    assert _ledger.snapshot().options[socket.IPPROTO_TCP, socket.TCP_QUICKACK, "remembered"] >= 1


@in_own_process
def test_in_line_urgent_data_is_what_mptcp_does_anyway() -> None:
    option = socket.SOL_SOCKET, socket.SO_OOBINLINE
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        client.setsockopt(*option, 1)
        assert client.getsockopt(*option) == 1
        assert kernel_protocol(client) == IPPROTO_MPTCP
    assert _ledger.snapshot().options[(*option, "remembered")] == 1


@in_own_process
def test_too_late_or_required_is_the_kernels_error() -> None:
    option = refused_option()
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(OSError) as caught:
            server.setsockopt(*option)
        assert caught.value.errno in (errno.EOPNOTSUPP, errno.ENOPROTOOPT)
        with socket.create_connection(server.getsockname()) as client:
            with pytest.raises(OSError):
                client.setsockopt(*option)
            assert kernel_protocol(client) == IPPROTO_MPTCP
    default_stack().mptcp_mode = "require"
    with socket.socket() as sock, pytest.raises(OSError):
        sock.setsockopt(*option)


@in_own_process
def test_option_that_tcp_refuses_as_well_changes_nothing() -> None:
    with socket.socket() as sock:
        with pytest.raises(OSError):
            sock.setsockopt(socket.SOL_IP, 9999, 1)
        assert kernel_protocol(sock) == IPPROTO_MPTCP


@in_own_process
def test_what_is_set_again_and_again_is_noted_once() -> None:
    cls = use()
    with cls(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for ttl in (1, 2, 3) * 100:
            sock.setsockopt(socket.SOL_IP, socket.IP_TTL, ttl)
        assert [setting[2] for setting in sock._kind.settings] == [1, 2, 3]
        sock.setsockopt(socket.SOL_IP, socket.IP_TTL, 1)
        sock.connect(("127.0.0.1", 9))
        assert lives(sock) == "plain host"
        assert sock.getsockopt(socket.SOL_IP, socket.IP_TTL) == 1
    # Nothing will ever be made anew here.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as by_name:
        assert by_name._kind.settings is None
