"""One stack against the host's kernel, over two TAP devices in a network namespace."""

import errno
import socket as host
from collections.abc import Callable
from typing import Any

import pytest
from host_network import command, requires_host_mptcp, requires_root, requires_tun
from host_paths import MEGABIT, connect_taps
from own_process import in_own_process
from worlds import JOIN_S, Thread, Transfer, await_true, exchange

from lklsock import default_stack, mptcp, socket

pytestmark = [pytest.mark.root, requires_root, requires_tun]


def listener(
    module: Any, address: str = "", family: int = socket.AF_INET, proto: int = host.IPPROTO_MPTCP
) -> Any:
    """A listener of the host (module `socket`), or of the stack."""
    sock = module.socket(family, host.SOCK_STREAM, proto if module is host else 0)
    sock.settimeout(JOIN_S)
    sock.setsockopt(host.SOL_SOCKET, host.SO_REUSEADDR, 1)
    sock.bind((address, 0))
    sock.listen()
    return sock


def dial(module: Any, listening: Any, address: str, proto: int = host.IPPROTO_MPTCP) -> Any:
    """A connection from the other side. Returns both ends."""
    family = host.AF_INET6 if ":" in address else host.AF_INET
    client = module.socket(family, host.SOCK_STREAM, proto if module is host else 0)
    client.settimeout(JOIN_S)
    client.connect((address, listening.getsockname()[1]))
    server, _ = listening.accept()
    server.settimeout(JOIN_S)
    return client, server


def join_host() -> tuple[Any, Any, Any]:
    """A connection to the host, with a subflow on each path. Returns listener, ours, host's."""
    command("ip", "mptcp", "endpoint", "add", "10.1.0.1", "signal")
    listening = listener(host)
    client, server = dial(socket, listening, "10.0.0.1")
    await_true(lambda: client.mptcp.subflows == 1, client, server)
    await_true(lambda: all(f.tcp.state == 1 for f in mptcp.subflows(client)), client, server)
    return listening, client, server


def close(*socks: Any) -> None:
    for sock in socks:
        sock.close()


@pytest.mark.parametrize("address", ["10.0.0.%d", "fd00::%d"])
@in_own_process
def test_tcp_goes_both_ways(namespace: str, address: str) -> None:
    connect_taps()
    family = host.AF_INET6 if ":" in address else host.AF_INET
    for server_side, client_side, number in ((host, socket, 1), (socket, host, 2)):
        listening = listener(server_side, family=family, proto=0)
        client, server = dial(client_side, listening, address % number, proto=0)
        Transfer(client, server, 3_000_000).finish()
        Transfer(server, client, 3_000_000).finish()
        close(client, server, listening)


@pytest.mark.parametrize("address", ["10.0.0.%d", "fd00::%d"])
@pytest.mark.parametrize("size", [1, 100, 1400, 9000])
@in_own_process
def test_udp_goes_both_ways(namespace: str, address: str, size: int) -> None:
    connect_taps()
    family = host.AF_INET6 if ":" in address else host.AF_INET
    with (
        socket.socket(family, host.SOCK_DGRAM) as ours,
        host.socket(family, host.SOCK_DGRAM) as theirs,
    ):
        ours.settimeout(JOIN_S)
        theirs.settimeout(JOIN_S)
        theirs.bind((address % 1, 0))
        ours.sendto(b"q" * size, theirs.getsockname())
        data, sender = theirs.recvfrom(10000)
        assert data == b"q" * size
        theirs.sendto(b"a" * size, sender)
        assert ours.recvfrom(10000) == (b"a" * size, theirs.getsockname())


@requires_host_mptcp
@pytest.mark.parametrize("address", ["10.0.0.%d", "fd00::%d"])
@in_own_process
def test_mptcp_is_spoken_both_ways(namespace: str, address: str) -> None:
    connect_taps()
    family = host.AF_INET6 if ":" in address else host.AF_INET
    for server_side, client_side, number in ((host, socket, 1), (socket, host, 2)):
        listening = listener(server_side, family=family)
        client, server = dial(client_side, listening, address % number)
        exchange(client, server)
        for sock in (client, server):
            assert mptcp.is_mptcp(sock)
            told = mptcp.info(sock)
            assert told is not None
            assert told.bytes_sent == 1
        Transfer(client, server, 3_000_000).finish()
        close(client, server, listening)


@requires_host_mptcp
@in_own_process
def test_endpoint_joins_the_host(namespace: str) -> None:
    connect_taps()
    mptcp.endpoint_add("10.1.0.2", ifname="tap1")
    with listener(host) as listening:
        client, server = dial(socket, listening, "10.0.0.1")
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        await_true(lambda: mptcp.info(server).subflows == 1, client, server)
        close(client, server)


@requires_host_mptcp
@in_own_process
def test_address_that_the_host_announces_is_joined(namespace: str) -> None:
    connect_taps()
    listening, client, server = join_host()
    assert client.mptcp.add_addr_accepted == 1
    assert [flow.remote[0] for flow in mptcp.subflows(client)] == ["10.0.0.1", "10.1.0.1"]
    close(client, server, listening)


@requires_host_mptcp
@in_own_process
def test_host_joins_the_address_that_we_announce(namespace: str) -> None:
    connect_taps()
    mptcp.endpoint_add("10.1.0.2", flags=["signal"])
    listening = listener(socket)
    client, server = dial(host, listening, "10.0.0.2")
    await_true(lambda: server.mptcp.subflows == 1, client, server)
    assert mptcp.subflows(server)[1].local[0] == "10.1.0.2"
    close(client, server, listening)


@requires_host_mptcp
@in_own_process
def test_backup_path_to_the_host_is_used_last(namespace: str) -> None:
    connect_taps(delay_ms=2, rate_bit_per_s=100 * MEGABIT)
    mptcp.endpoint_add("10.1.0.2", flags=["subflow", "backup"])
    with listener(host) as listening:
        client, server = dial(socket, listening, "10.0.0.1")
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        backup = default_stack().interface("tap1")
        transfer = Transfer(client, server, 8_000_000)
        transfer.await_received(2_000_000)
        assert backup.counters()["tx_bytes"] < 100_000
        default_stack().interface("tap0").cut()
        transfer.finish()
        assert backup.counters()["tx_bytes"] > 2_000_000
        close(client, server)


@in_own_process
def test_plain_tcp_of_the_host_is_fallen_back_to(namespace: str) -> None:
    connect_taps()
    with listener(host, proto=0) as listening:
        client, server = dial(socket, listening, "10.0.0.1")
        Transfer(client, server, 1_000_000).finish()
        assert client.mptcp is None
        close(client, server)
        default_stack().mptcp_mode = "require"
        with (
            socket.socket() as sock,
            pytest.raises(OSError, match="fell back to TCP") as refused,
        ):
            sock.connect(("10.0.0.1", listening.getsockname()[1]))
        assert refused.value.errno == errno.EPROTO
    default_stack().mptcp_mode = "prefer"
    with listener(socket) as listening:
        client, server = dial(host, listening, "10.0.0.2", proto=0)
        exchange(client, server)
        assert server.mptcp is None
        close(client, server)


def silently(path: int) -> tuple[Callable[[], None], Callable[[], None]]:
    interface = default_stack().interface(f"tap{path}")
    return interface.cut, interface.mend


def by_the_host(path: int) -> tuple[Callable[[], None], Callable[[], None]]:
    link = ("ip", "link", "set", f"tap{path}")
    return lambda: (command(*link, "down"), None)[1], lambda: (command(*link, "up"), None)[1]


@requires_host_mptcp
@pytest.mark.parametrize("how", ["silently", "by_the_host"])
@pytest.mark.parametrize("direction", ["out", "in"])
@in_own_process
def test_cut_and_mended_path_to_the_host_loses_no_byte(
    namespace: str, how: str, direction: str
) -> None:
    connect_taps(delay_ms=5, rate_bit_per_s=100 * MEGABIT)
    listening, client, server = join_host()
    sender, receiver = (client, server) if direction == "out" else (server, client)
    transfer = Transfer(sender, receiver, 16_000_000)
    cut, mend = globals()[how](1)
    transfer.await_received(2_000_000)
    cut()
    transfer.await_received(5_000_000)
    mend()
    transfer.finish()
    close(client, server, listening)


@in_own_process
def test_host_sees_the_carrier_and_we_see_the_hosts(namespace: str) -> None:
    connect_taps()
    tap = default_stack().interface("tap0")
    assert tap.carrier
    command("ip", "link", "set", "tap0", "down")
    watcher = Thread(lambda: [None for _ in iter(lambda: tap.carrier, False)])
    watcher.result()
    command("ip", "link", "set", "tap0", "up")
    watcher = Thread(lambda: [None for _ in iter(lambda: tap.carrier, True)])
    watcher.result()


@requires_host_mptcp
@pytest.mark.parametrize("preset", ["handover", "aggregate"])
@in_own_process
def test_path_that_the_host_takes_down_comes_back(namespace: str, preset: str) -> None:
    connect_taps(delay_ms=2, rate_bit_per_s=100 * MEGABIT)
    mptcp.preset(preset)
    with listener(host) as listening:
        client, server = dial(socket, listening, "10.0.0.1")
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        transfer = Transfer(client, server, 40_000_000)
        cut, mend = by_the_host(0)
        transfer.await_received(2_000_000)
        cut()
        transfer.await_received(transfer.received + 3_000_000)
        assert all(flow.local[0] == "10.1.0.2" for flow in established(client))
        mend()
        transfer.await_received(transfer.received + 12_000_000)
        assert {flow.local[0] for flow in established(client)} == {"10.0.0.2", "10.1.0.2"}
        before = default_stack().interface("tap0").counters()["tx_bytes"]
        transfer.finish()
        assert default_stack().interface("tap0").counters()["tx_bytes"] > before + 1_000_000
        close(client, server)


def established(sock: Any) -> list[mptcp.Subflow]:
    return [flow for flow in mptcp.subflows(sock) if flow.tcp.state == 1]
