"""A stack and the kernel's own test program, which runs on the host's kernel: each scenario."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from far_end import (
    FarEnd,
    Swap,
    add_host_endpoint,
    await_flows,
    await_true,
    connected,
    host_counters,
)
from host_network import command, requires_host_mptcp, requires_root, requires_tun
from host_paths import MEGABIT, connect_taps
from own_process import in_own_process

from lklsock import default_stack, mptcp, socket

pytestmark = [pytest.mark.root, requires_root, requires_tun, requires_host_mptcp]

SIZE = 1_000_000
FIRST = {"v4": "10.0.0.%d", "v6": "fd00::%d", "mixed": "fd00::%d"}
SECOND = {"v4": "10.1.0.%d", "v6": "fd01::%d", "mixed": "10.1.0.%d"}

either = pytest.mark.parametrize("stack_is", ["client", "server"])


def family(*short: str, full: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("family", [*short, pytest.param(full, marks=pytest.mark.full)])


def add_endpoint(address: str, *flags: str, of_stack: bool) -> None:
    if of_stack:
        mptcp.endpoint_add(address % 2, flags=flags)
    else:
        add_host_endpoint(address % 1, *flags)


@contextlib.contextmanager
def joined(
    program: str,
    stack_is: str,
    *arguments: str,
    size: int = SIZE,
    family: str = "v4",
    flags: tuple[str, ...] = ("subflow",),
) -> Iterator[tuple[Any, FarEnd]]:
    """A connection with a second subflow: from the client's second address, or to the server's.

    The latter if "signal" is among the flags.
    """
    whose = "server" if "signal" in flags else "client"
    add_endpoint(SECOND[family], *flags, of_stack=stack_is == whose)
    with connected(program, stack_is, FIRST[family], *arguments, size=size) as (near, far):
        await_flows(near, 2)
        yield near, far


def sent_by(path: int) -> int:
    return default_stack().interface(f"tap{path}").counters()["tx_bytes"]


@family("v4", full="v6")
@either
@in_own_process
def test_address_of_the_client_is_joined_from(
    namespace: str, mptcp_connect: str, stack_is: str, family: str
) -> None:
    connect_taps()
    with joined(mptcp_connect, stack_is, family=family) as (near, far):
        Swap(near, far, SIZE).finish()


@family("v4", "mixed", full="v6")
@either
@in_own_process
def test_address_that_the_server_announces_is_joined(
    namespace: str, mptcp_connect: str, stack_is: str, family: str
) -> None:
    connect_taps()
    with joined(mptcp_connect, stack_is, family=family, flags=("signal",)) as (near, far):
        Swap(near, far, SIZE).finish()


@family("v6", full="v4")
@either
@in_own_process
def test_fullmesh_connects_each_address_with_each(
    namespace: str, mptcp_connect: str, stack_is: str, family: str
) -> None:
    connect_taps()
    for address in (FIRST[family], SECOND[family]):
        add_endpoint(address, "subflow", "fullmesh", of_stack=stack_is == "client")
    add_endpoint(SECOND[family], "signal", of_stack=stack_is == "server")
    with connected(mptcp_connect, stack_is, FIRST[family], size=SIZE) as (near, far):
        await_flows(near, 4)
        Swap(near, far, SIZE).finish()


@either
@in_own_process
def test_backup_carries_when_its_priority_is_raised(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    connect_taps(delay_ms=2, rate_bit_per_s=100 * MEGABIT)
    size = 8_000_000
    with joined(mptcp_connect, stack_is, size=size, flags=("subflow", "backup")) as (near, far):
        swap = Swap(near, far, size)
        await_true(lambda: sent_by(0) > 1_000_000)
        before = sent_by(1)
        assert before < 100_000
        if stack_is == "client":
            mptcp.endpoint_flags(mptcp.endpoints()[0], ["subflow"])
        else:
            command("ip", "mptcp", "endpoint", "change", "10.1.0.1", "nobackup")
            await_true(lambda: mptcp.counters()["MPPrioRx"] == 1)
        swap.finish()
        assert sent_by(1) > before + 1_000_000


@either
@in_own_process
def test_address_is_removed_in_flight(namespace: str, mptcp_connect: str, stack_is: str) -> None:
    connect_taps(delay_ms=2, rate_bit_per_s=100 * MEGABIT)
    size = 6_000_000
    with joined(mptcp_connect, stack_is, size=size, flags=("signal",)) as (near, far):
        swap = Swap(near, far, size)
        swap.await_received(1_000_000)
        if stack_is == "server":
            mptcp.endpoint_remove(mptcp.endpoints()[0])
            await_true(lambda: host_counters()["RmAddr"] == 1)
        else:
            command("ip", "mptcp", "endpoint", "flush")
            await_true(lambda: mptcp.counters()["RmAddr"] == 1)
        await_flows(near, 1)
        swap.finish()


@either
@in_own_process
def test_link_that_fails_and_returns_carries_again(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    connect_taps(delay_ms=2, rate_bit_per_s=50 * MEGABIT)
    mptcp.preset("aggregate", announce=stack_is == "server")
    # Four seconds at least; a path is used again within two of its return.
    size = 40_000_000
    with connected(mptcp_connect, stack_is, FIRST["v4"], size=size) as (near, far):
        await_flows(near, 2)
        swap = Swap(near, far, size)
        await_true(lambda: sent_by(1) > 1_000_000)
        command("ip", "link", "set", "tap1", "down")
        await_flows(near, 1)
        command("ip", "link", "set", "tap1", "up")
        before = sent_by(1)
        swap.finish()
        assert sent_by(1) > before + 500_000


@pytest.mark.parametrize("wanted_by", ["both", "host", "stack"])
@in_own_process
def test_checksum_is_used_if_one_end_wants_it(
    namespace: str, mptcp_connect: str, wanted_by: str
) -> None:
    connect_taps()
    if wanted_by != "stack":
        Path("/proc/sys/net/mptcp/checksum_enabled").write_text("1")
    if wanted_by != "host":
        default_stack().sysctl("net.mptcp.checksum_enabled", 1)
    for stack_is in ("client", "server"):
        with connected(mptcp_connect, stack_is, FIRST["v4"], size=SIZE) as (near, far):
            Swap(near, far, SIZE).finish()
            assert near.mptcp.csum_enabled
    assert mptcp.counters()["DataCsumErr"] == 0
    assert host_counters()["DataCsumErr"] == 0


@either
@in_own_process
def test_fastclose_of_the_peer_resets_the_connection(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    connect_taps()
    # It stops after so many bytes, with more of them unread.
    with joined(mptcp_connect, stack_is, "-f", "50000") as (near, _):
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                near.sendall(bytes(100_000))
        await_true(lambda: mptcp.counters()["MPFastcloseRx"] >= 1)


@either
@in_own_process
def test_fastclose_of_ours_resets_the_peer(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    connect_taps()
    # It takes the end for what it is.
    with joined(mptcp_connect, stack_is, "-f", "-1") as (near, far):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.close()
        far.received()
        assert host_counters()["MPFastcloseRx"] >= 1


@either
@in_own_process
def test_syncookies_carry_mptcp_and_joins(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    connect_taps()
    Path("/proc/sys/net/ipv4/tcp_syncookies").write_text("2")
    default_stack().sysctl("net.ipv4.tcp_syncookies", 2)
    with joined(mptcp_connect, stack_is) as (near, far):
        Swap(near, far, SIZE).finish()
    tcp = default_stack().counters()["TcpExt"]
    assert (tcp["SyncookiesRecv"] >= 2) == (stack_is == "server")


@pytest.mark.parametrize("how", ["program", "kernel"])
@either
@in_own_process
def test_peer_that_refuses_mptcp_gets_tcp(
    namespace: str, mptcp_connect: str, stack_is: str, how: str
) -> None:
    connect_taps()
    if how == "kernel":
        default_stack().sysctl("net.mptcp.enabled", 0)
    arguments = ("-s", "TCP") if how == "program" else ()
    with connected(mptcp_connect, stack_is, FIRST["v4"], *arguments, size=SIZE) as (near, far):
        Swap(near, far, SIZE).finish()
        assert near.mptcp is None


@pytest.mark.full
@pytest.mark.parametrize(
    "options",
    [
        ("-m", "mmap"),
        ("-m", "sendfile"),
        ("-P", "saveWithPeek"),
        ("-P", "saveAfterPeek"),
    ],
)
@either
@in_own_process
def test_peer_may_use_each_way_to_read_and_write(
    namespace: str, mptcp_connect: str, stack_is: str, options: list[str]
) -> None:
    connect_taps()
    with connected(mptcp_connect, stack_is, FIRST["v4"], *options, size=SIZE) as (near, far):
        Swap(near, far, SIZE).finish()
