"""Presets: endpoints that follow links and addresses, and subflows that come back."""

import ipaddress
import struct
import time
from typing import Any

import pytest
from own_process import in_own_process
from worlds import (
    JOIN_S,
    Transfer,
    allow_subflows,
    await_that,
    await_true,
    connected,
    exchange,
    pause,
    wired_stacks,
)

from lklsock import Stack, mptcp, socket
from lklsock.link import Wire

MEGABIT = 1_000_000
NETLINK_SOCK_DIAG = 4
SOCK_DESTROY = 21
REQUEST_ACK = 5


def await_endpoints(stack: Stack, *addresses: str) -> list[mptcp.Endpoint]:
    """Waits until the stack has endpoints for these addresses, and no others."""
    deadline = time.monotonic() + JOIN_S
    while {e.address for e in mptcp.endpoints(stack)} != {*addresses}:
        assert time.monotonic() < deadline, mptcp.endpoints(stack)
        pause()
    return mptcp.endpoints(stack)


@in_own_process
def test_endpoints_follow_links_and_addresses() -> None:
    left, _right = wired_stacks(1)
    with mptcp.preset("handover", stack=left) as paths:
        first = await_endpoints(left, "10.0.0.1", "fd00::1")
        assert {e.ifname for e in first} == {"wire0"}
        assert {e.flags for e in first} == {frozenset({"subflow"})}
        assert mptcp.limits(left) == mptcp.Limits(8, 8)
        near, _far = Wire.pair()
        second = left.add_link(near, addresses=["10.1.0.1/24"])
        await_endpoints(left, "10.0.0.1", "fd00::1", "10.1.0.1")
        assert {e.flags for e in paths.endpoints if e.ifname == "wire1"} == {
            frozenset({"subflow", "backup"})
        }
        second.add_address("10.1.0.7/24")
        await_endpoints(left, "10.0.0.1", "fd00::1", "10.1.0.1", "10.1.0.7")
        second.remove_address("10.1.0.1/24")
        await_endpoints(left, "10.0.0.1", "fd00::1", "10.1.0.7")
        second.close()
        await_endpoints(left, "10.0.0.1", "fd00::1")
    assert mptcp.endpoints(left) == []
    assert mptcp.limits(left) == mptcp.Limits(2, 0)
    assert left.sysctl("net.mptcp.stale_loss_cnt") == "4"


@in_own_process
def test_presets_give_flags() -> None:
    left, _right = wired_stacks(2)
    expected = {
        "aggregate": ({"subflow"}, {"subflow"}),
        "interactive": ({"subflow"}, {"subflow"}),
        "fullmesh": ({"subflow", "fullmesh"}, {"subflow", "fullmesh"}),
        "handover": ({"subflow"}, {"subflow", "backup"}),
    }
    for name, flags in expected.items():
        mptcp.preset(name, stack=left)
        made = mptcp.endpoints(left)
        assert len(made) == 4
        for index, wanted in enumerate(flags):
            assert {e.flags for e in made if e.ifname == f"wire{index}"} == {frozenset(wanted)}
    mptcp.preset("handover", primary="wire1", announce=True, stack=left)
    assert {(e.ifname, e.flags) for e in mptcp.endpoints(left)} == {
        ("wire0", frozenset({"signal", "backup"})),
        ("wire1", frozenset({"signal"})),
    }
    before = left.sysctl("net.ipv4.tcp_wmem")
    with mptcp.preset("interactive", queue_bytes=300_000, stack=left):
        assert left.sysctl("net.ipv4.tcp_wmem").split()[2] == "300000"
    assert left.sysctl("net.ipv4.tcp_wmem") == before
    with pytest.raises(ValueError, match="presets are handover, aggregate"):
        mptcp.preset("fast", stack=left)


@in_own_process
def test_a_link_is_made_a_backup_whatever_the_preset_says() -> None:
    left, _right = wired_stacks(2)

    def backups() -> set[str | None]:
        return {e.ifname for e in mptcp.endpoints(left) if "backup" in e.flags}

    with mptcp.preset("aggregate", backups=["wire1"], stack=left) as paths:
        assert backups() == {"wire1"}
        assert paths.backups == {"wire1": True}
        left.interface("wire1").hold_down(True)
        await_that(lambda: all(e.ifname == "wire0" for e in mptcp.endpoints(left)))
        left.interface("wire1").hold_down(False)
        await_that(lambda: backups() == {"wire1"})
        # One that is still to come, too.
        paths.set_backup("wire2", True)
        near, _far = Wire.pair()
        left.add_link(near, addresses=["10.2.0.1/24"])
        await_that(lambda: backups() == {"wire1", "wire2"})
        paths.set_backup("wire1", None)
        paths.set_backup("wire2", False)
        assert backups() == set()
    with mptcp.preset("handover", stack=left) as paths:
        assert backups() == {"wire1", "wire2"}
        paths.set_backup("wire1", False)
        assert backups() == {"wire2"}


@in_own_process
def test_backups_are_minded_when_the_only_link_returns() -> None:
    left, _right = wired_stacks(1)
    with mptcp.preset("aggregate", stack=left) as paths:
        left.interface("wire0").hold_down(True)
        paths.set_backup("wire0", True)
        left.interface("wire0").hold_down(False)
        await_that(lambda: all("backup" in e.flags for e in mptcp.endpoints(left)))
        assert len(mptcp.endpoints(left)) == 2


@in_own_process
def test_endpoint_that_somebody_removed_is_made_again_when_it_changes() -> None:
    left, _right = wired_stacks(2)
    with mptcp.preset("aggregate", stack=left) as paths:
        for endpoint in mptcp.endpoints(left):
            if endpoint.ifname == "wire0":
                mptcp.endpoint_remove(endpoint, left)
        paths.set_backup("wire0", True)
        made = [e for e in mptcp.endpoints(left) if e.ifname == "wire0"]
        assert [e.flags for e in made] == [{"subflow", "backup"}] * 2


@in_own_process
def test_closed_preset_is_of_no_effect() -> None:
    left, _right = wired_stacks(1)
    paths = mptcp.preset("aggregate", stack=left)
    assert mptcp.paths(left) is paths
    paths.close()
    assert mptcp.paths(left) is None
    with pytest.raises(ValueError, match="the preset aggregate was closed"):
        paths.set_backup("wire0", True)
    assert mptcp.endpoints(left) == []
    with pytest.raises(TypeError, match=r"several names: \['wire0'\]"):
        mptcp.preset("aggregate", backups="wire0", stack=left)


@pytest.mark.parametrize("host", ["10.0.0.2", "fd00::2"])
@pytest.mark.parametrize("first", [0, 1])
@in_own_process
def test_lost_carrier_hands_over_and_comes_back(host: str, first: int) -> None:
    left, right = wired_stacks(2, delay_ms=5, rate_bit_per_s=100 * MEGABIT)
    allow_subflows(right)
    mptcp.preset("aggregate", stack=left)
    with connected(left, right, host) as (client, server):
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        transfer = Transfer(client, server, 60_000_000)
        for path in (first, 1 - first):
            wire = left.interface(f"wire{path}")
            transfer.await_received(transfer.received + 1_000_000)
            wire.cut(carrier=True)
            await_flows(client, 1)
            transfer.await_received(transfer.received + 1_000_000)
            wire.mend()
            await_flows(client, 2)
            carried = wire.counters()["tx_bytes"] + 500_000
            while wire.counters()["tx_bytes"] < carried:
                transfer.await_received(transfer.received + 500_000)
        transfer.finish()


def await_flows(sock: Any, count: int) -> None:
    """Waits until so many subflows are established."""
    deadline = time.monotonic() + JOIN_S
    while sum(flow.tcp.state == 1 for flow in mptcp.subflows(sock)) != count:
        assert time.monotonic() < deadline, mptcp.subflows(sock)
        pause()


@in_own_process
def test_only_path_is_waited_for_and_used_again_at_once() -> None:
    left, right = wired_stacks(1, delay_ms=2, rate_bit_per_s=100 * MEGABIT)
    allow_subflows(right)
    mptcp.preset("handover", stack=left)
    with connected(left, right) as (client, server):
        exchange(client, server)
        transfer = Transfer(client, server, 8_000_000)
        transfer.await_received(2_000_000)
        wire = left.interface("wire0")
        wire.cut(carrier=True)
        pause(3.0)
        assert transfer.received < 8_000_000
        assert len(mptcp.endpoints(left)) == 2
        wire.mend()
        mended = time.monotonic()
        transfer.finish()
        assert time.monotonic() - mended < 2.5


@in_own_process
def test_new_address_of_the_only_link_takes_over() -> None:
    left, right = wired_stacks(1, delay_ms=2, rate_bit_per_s=100 * MEGABIT)
    allow_subflows(right)
    mptcp.preset("handover", stack=left)
    with connected(left, right) as (client, server):
        exchange(client, server)
        transfer = Transfer(client, server, 8_000_000)
        transfer.await_received(2_000_000)
        wire = left.interface("wire0")
        wire.remove_address("10.0.0.1/24")
        wire.add_address("10.0.0.9/24")
        transfer.finish()
        await_endpoints(left, "10.0.0.9", "fd00::1")


@in_own_process
def test_closed_subflow_is_opened_again() -> None:
    left, right = wired_stacks(2)
    allow_subflows(right)
    mptcp.preset("aggregate", stack=left)
    with connected(left, right) as (client, server):
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        lost = mptcp.subflows(client)[1]
        for _ in range(2):
            reset(right, lost)
            await_true(
                lambda lost=lost: (
                    all(f.local != lost.local for f in established(client)[1:])
                    and len(established(client)) == 2
                ),
                client,
                server,
            )
            lost = established(client)[1]


def established(sock: Any) -> list[mptcp.Subflow]:
    return [flow for flow in mptcp.subflows(sock) if flow.tcp.state == 1]


def reset(stack: Stack, flow: mptcp.Subflow) -> None:
    """Resets a subflow from the peer's end, as `ss -K` does. Source: linux/inet_diag.h."""
    ends = (flow.remote[1], flow.local[1]), (flow.remote[0], flow.local[0])
    packed = [ipaddress.ip_address(address).packed.ljust(16, b"\0") for address in ends[1]]
    body = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
    body += struct.pack("!HH", *ends[0]) + b"".join(packed) + b"\0" * 4 + b"\xff" * 8
    header = struct.pack("=IHHII", 16 + len(body), SOCK_DESTROY, REQUEST_ACK, 1, 0)
    with stack.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as sock:
        sock.sendto(header + body, (0, 0))
        answer = sock.recv(4096)
    assert struct.unpack_from("=i", answer, 16)[0] == 0


@in_own_process
def test_fullmesh_connects_each_with_each() -> None:
    left, right = wired_stacks(2)
    mptcp.preset("fullmesh", stack=left)
    mptcp.preset("fullmesh", announce=True, stack=right)
    with connected(left, right) as (client, server):
        await_true(lambda: client.mptcp.subflows == 3, client, server)
        Transfer(client, server, 4_000_000).finish()


@in_own_process
def test_families_are_mixed() -> None:
    left, right = wired_stacks(2)
    mptcp.preset("aggregate", stack=left)
    mptcp.preset("aggregate", announce=True, stack=right)
    with connected(left, right, "fd00::2") as (client, server):
        await_true(lambda: client.mptcp.subflows >= 2, client, server)
        Transfer(client, server, 4_000_000).finish()
