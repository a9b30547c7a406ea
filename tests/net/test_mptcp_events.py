"""What MPTCP tells as it happens, and control of single connections."""

import asyncio
import errno
import queue
from typing import Any

import pytest
from own_process import in_own_process
from worlds import JOIN_S, Thread, allow_subflows, await_true, connected, exchange, wired_stacks

from lklsock import Stack, mptcp, mptcplib, socket


def until(events: Any, kind: type) -> Any:
    """The next event of this kind."""
    return next(event for event in events if isinstance(event, kind))


@in_own_process
def test_events_tell_the_life_of_a_connection() -> None:
    left, right = wired_stacks(2)
    allow_subflows(left, right)
    with mptcp.events(left, timeout_s=JOIN_S) as events:
        with connected(left, right) as (client, server):
            exchange(client, server)
            created = until(events, mptcp.ConnectionCreated)
            assert created.token == client.mptcp.token
            assert created.local == client.getsockname()
            assert created.remote == client.getpeername()
            assert not created.server_side
            assert until(events, mptcp.ConnectionEstablished).token == created.token
            endpoint = mptcp.endpoint_add("10.1.0.1", ifname="wire1", stack=left)
            joined = until(events, mptcp.SubflowEstablished)
            assert joined.token == created.token
            assert joined.local[0] == "10.1.0.1"
            assert joined.remote == created.remote
            assert joined.local_id == endpoint.id
            assert joined.ifname == "wire1"
            assert not joined.backup
            mptcp.endpoint_remove(endpoint, stack=left)
            closed = until(events, mptcp.SubflowClosed)
            assert (closed.local, closed.remote) == (joined.local, joined.remote)
        assert until(events, mptcp.ConnectionClosed).token == created.token


@in_own_process
def test_events_tell_of_the_peers_addresses_and_priorities() -> None:
    left, right = wired_stacks(2)
    allow_subflows(left, right)
    with (
        mptcp.events(left, timeout_s=JOIN_S) as events,
        connected(left, right) as (client, server),
    ):
        endpoint = mptcp.endpoint_add("fd01::2", flags="signal", stack=right)
        await_true(lambda: server.mptcp.add_addr_signal == 1, client, server)
        announced = until(events, mptcp.AddressAnnounced)
        assert (announced.address, announced.id) == ("fd01::2", endpoint.id)
        mptcp.endpoint_remove(endpoint, stack=right)
        exchange(client, server)
        assert until(events, mptcp.AddressRemoved).id == endpoint.id
        endpoint = mptcp.endpoint_add("10.1.0.2", flags="signal", stack=right)
        await_true(lambda: server.mptcp.subflows == 1, client, server)
        mptcp.endpoint_flags(endpoint, ["signal", "backup"], stack=right)
        priority = until(events, mptcp.SubflowPriority)
        assert priority.remote[0] == "10.1.0.2"
        assert priority.backup


@in_own_process
def test_events_come_to_coroutines_and_to_callbacks() -> None:
    left, right = wired_stacks()
    seen: queue.Queue[mptcp.Event] = queue.Queue()

    async def listen() -> Any:
        with mptcp.events(left) as events:
            async for event in events:
                if isinstance(event, mptcp.ConnectionClosed):
                    return event
        return None

    async def run() -> Any:
        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0)
        await asyncio.to_thread(connect_once, left, right)
        return await asyncio.wait_for(listening, JOIN_S)

    with mptcp.on_event(seen.put, left):
        closed = asyncio.run(run())
        called = [seen.get(timeout=JOIN_S) for _ in range(3)]
    assert [type(event) for event in called] == [
        mptcp.ConnectionCreated,
        mptcp.ConnectionEstablished,
        mptcp.ConnectionClosed,
    ]
    assert called[2] == closed
    connect_once(left, right)
    assert seen.empty()


def connect_once(left: Stack, right: Stack) -> None:
    with connected(left, right) as (client, server):
        exchange(client, server)


@in_own_process
def test_functions_of_mptcplib_are_there() -> None:
    left, right = wired_stacks(2)
    allow_subflows(left, right)
    mptcp.endpoint_add("10.1.0.1", stack=left)
    with left:
        assert mptcplib.is_mptcp_enabled_and_supported()
        with mptcplib.create_mptcp_socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            assert not mptcplib.is_socket_mptcp(sock)
        with mptcplib.create_mptcp_socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            assert mptcplib.is_socket_mptcp(sock)
    with connected(left, right) as (client, server):
        await_true(lambda: mptcplib.get_nb_used_subflows(client) == 2, client, server)
    right.mptcp_mode = "off"
    with connected(left, right) as (client, server):
        exchange(client, server)
        assert not mptcplib.is_socket_mptcp(client)
        with pytest.raises(OSError) as refused:
            mptcplib.get_nb_used_subflows(client)
        assert refused.value.errno == errno.EOPNOTSUPP
    assert left.sysctl("net.mptcp.blackhole_timeout") == "0"


@in_own_process
def test_lost_events_are_told() -> None:
    left, right = wired_stacks()
    with mptcp.Events(left, timeout_s=JOIN_S, queue_bytes=4096) as events:
        for _ in range(20):
            connect_once(left, right)
        assert isinstance(until(events, mptcp.Overflow), mptcp.Overflow)
        # It goes on after that.
        connect_once(left, right)
        until(events, mptcp.ConnectionCreated)


@in_own_process
def test_closed_events_end_iteration() -> None:
    events = mptcp.events(Stack())
    waiting = Thread(lambda: list(events))
    events.close()
    assert waiting.result() == []


@in_own_process
def test_single_connection_is_controlled() -> None:
    left, right = wired_stacks(2)
    allow_subflows(left, right)
    left.sysctl("net.mptcp.pm_type", 1)
    with (
        mptcp.events(left, timeout_s=JOIN_S) as events,
        connected(left, right) as (client, server),
    ):
        exchange(client, server)
        until(events, mptcp.ConnectionEstablished)
        port = client.getpeername()[1]
        mptcp.subflow_create(
            client, "10.1.0.1", "10.0.0.2", port, id=7, backup=True, ifname="wire1", stack=left
        )
        joined = until(events, mptcp.SubflowEstablished)
        assert (joined.local[0], joined.local_id) == ("10.1.0.1", 7)
        subflow = mptcp.subflows(client)[1]
        before = mptcp.counters(right)["MPPrioRx"]
        mptcp.subflow_priority(client, subflow, backup=False, stack=left)
        await_true(lambda: mptcp.counters(right)["MPPrioRx"] > before, client, server)
        mptcp.address_announce(client, "fd01::1", id=9, stack=left)
        await_true(lambda: mptcp.counters(right)["AddAddr"] == 1, client, server)
        mptcp.address_remove(client, 9, stack=left)
        await_true(lambda: mptcp.counters(right)["RmAddr"] == 1, client, server)
        mptcp.subflow_destroy(client, subflow, stack=left)
        assert until(events, mptcp.SubflowClosed).local == joined.local
        with pytest.raises(OSError) as gone:
            mptcp.subflow_destroy(client, subflow, stack=left)
        assert gone.value.errno == errno.ESRCH
        with pytest.raises(OSError) as unknown:
            mptcp.address_remove(12345, 9, stack=left)
        assert unknown.value.errno == errno.EINVAL
