"""MPTCP between two stacks, over wires: no privilege needed."""

import errno

import pytest
from own_process import in_own_process
from worlds import (
    JOIN_S,
    Transfer,
    allow_subflows,
    await_true,
    connected,
    exchange,
    joined,
    wired_stacks,
)

from lklsock import mptcp, socket

MEGABIT = 1_000_000

TIMEOUT_S = 10
"""Of TCP, where it must not be what makes a transfer go on."""


@pytest.mark.parametrize(
    ("host", "local"),
    [("10.0.0.2", ["10.0.0.1", "10.1.0.1"]), ("fd00::2", ["fd00::1", "fd01::1"])],
)
@in_own_process
def test_endpoint_joins_over_the_second_path(host: str, local: list[str]) -> None:
    left, right = wired_stacks(2)
    allow_subflows(left, right)
    mptcp.endpoint_add(local[1], stack=left)
    with connected(left, right, host) as (client, server):
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        flows = mptcp.subflows(client)
        assert len(flows) == 2
        assert [flow.remote[0] for flow in flows] == [host, host]
        assert [flow.local[0] for flow in flows] == local
        before = [left.interface(f"wire{path}").counters()["tx_bytes"] for path in (0, 1)]
        Transfer(client, server, 8_000_000).finish()
        after = [left.interface(f"wire{path}").counters()["tx_bytes"] for path in (0, 1)]
        assert all(new > old for new, old in zip(after, before, strict=True))
        # Data has been acknowledged on both by now, so each has measured its path.
        flows = mptcp.subflows(client)
        assert all(flow.tcp.snd_cwnd > 0 and flow.tcp.rtt_us > 0 for flow in flows)
        assert mptcp.counters(left)["MPJoinSynAckRx"] == 1
        assert mptcp.counters(right)["MPJoinAckRx"] == 1


@in_own_process
def test_both_paths_carry_the_load() -> None:
    with joined(delay_ms=5, rate_bit_per_s=50 * MEGABIT) as (left, _, client, server):
        Transfer(client, server, 4_000_000).finish()
        carried = [left.interface(f"wire{path}").counters()["tx_bytes"] for path in (0, 1)]
        assert min(carried) > 1_000_000


@in_own_process
def test_announced_address_is_joined() -> None:
    with joined() as (left, right, client, server):
        assert client.mptcp.add_addr_accepted == 1
        assert server.mptcp.add_addr_signal == 1
        assert mptcp.subflows(client)[1].remote[0] == "10.1.0.2"
        assert mptcp.counters(left)["AddAddr"] == 1
        assert mptcp.counters(right)["EchoAdd"] == 1


@in_own_process
def test_backup_path_is_used_when_the_first_is_gone() -> None:
    left, right = wired_stacks(2, delay_ms=2, rate_bit_per_s=100 * MEGABIT)
    allow_subflows(left, right)
    mptcp.endpoint_add("10.1.0.2", flags=["signal", "backup"], stack=right)
    with connected(left, right) as (client, server):
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        backup = left.interface("wire1")
        transfer = Transfer(client, server, 12_000_000)
        transfer.await_received(3_000_000)
        assert backup.counters()["tx_bytes"] < 100_000
        left.interface("wire0").cut()
        transfer.finish()
        assert backup.counters()["tx_bytes"] > 3_000_000


@in_own_process
def test_priority_of_an_endpoint_can_be_changed() -> None:
    with joined() as (left, right, client, server):
        (endpoint,) = mptcp.endpoints(right)
        mptcp.endpoint_flags(endpoint, ["signal", "backup"], stack=right)
        assert mptcp.endpoints(right)[0].flags == {"signal", "backup"}
        await_true(lambda: mptcp.counters(left)["MPPrioRx"] >= 1, client, server)


@in_own_process
def test_removed_endpoint_loses_its_subflow() -> None:
    with joined() as (_, right, client, server):
        mptcp.endpoint_remove(mptcp.endpoints(right)[0], stack=right)
        await_true(lambda: client.mptcp.subflows == 0, client, server)
        assert mptcp.endpoints(right) == []
        # Adding it again makes a new one.
        mptcp.endpoint_add("10.1.0.2", flags=["signal"], ifname="wire1", stack=right)
        await_true(lambda: client.mptcp.subflows == 1, client, server)


@in_own_process
def test_endpoints_and_limits_are_kept_per_stack() -> None:
    left, right = wired_stacks(1)
    endpoint = mptcp.endpoint_add(
        "10.0.0.1", flags="signal", ifname="wire0", port=4000, id=7, stack=left
    )
    assert endpoint == mptcp.Endpoint(7, "10.0.0.1", frozenset({"signal"}), 4000, "wire0")
    assert mptcp.endpoint_add("fd00::1", stack=left).address == "fd00::1"
    assert len(mptcp.endpoints(left)) == 2
    assert mptcp.endpoints(right) == []
    assert mptcp.limits(left) == mptcp.Limits(subflows=2, add_addr_accepted=0)
    assert mptcp.limits(left, subflows=5) == mptcp.Limits(subflows=5, add_addr_accepted=0)
    with pytest.raises(OSError) as refused:
        mptcp.limits(left, subflows=9)
    assert refused.value.errno == errno.EINVAL
    with pytest.raises(ValueError, match="flags are signal"):
        mptcp.endpoint_add("10.0.0.1", flags=["fast"], stack=left)
    with pytest.raises(OSError) as missing:
        mptcp.endpoint_remove(99, stack=left)
    assert missing.value.errno in (errno.EINVAL, errno.ENOENT)


@in_own_process
def test_plain_tcp_peer_gets_plain_tcp() -> None:
    left, right = wired_stacks()
    right.mptcp_mode = "off"
    with connected(left, right) as (client, server):
        Transfer(client, server, 1_000_000).finish()
        assert client.mptcp is None
        assert not mptcp.is_mptcp(client)
        assert mptcp.counters(left)["MPCapableFallbackSYNACK"] == 1
    left.mptcp_mode = "off"
    right.mptcp_mode = "prefer"
    with connected(left, right) as (client, server):
        exchange(client, server)
        assert server.mptcp is None
        # What was accepted is no MPTCP socket: it can do all that TCP can.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        server.send(b"u", socket.MSG_OOB)
        assert client.recv(1) == b"u"


@in_own_process
def test_required_mptcp_raises_where_there_is_none() -> None:
    left, right = wired_stacks()
    left.mptcp_mode = "require"
    with connected(left, right) as (client, server):
        exchange(client, server)
    right.mptcp_mode = "off"
    with right, socket.create_server(("10.0.0.2", 0)) as listener:
        address = listener.getsockname()
        with left.socket() as sock, pytest.raises(OSError, match="fell back to TCP") as refused:
            sock.connect(address)
        assert refused.value.errno == errno.EPROTO
        with left.socket() as sock:
            assert sock.connect_ex(address) == errno.EPROTO
    right.mptcp_mode = "require"
    left.mptcp_mode = "off"
    with right, socket.create_server(("10.0.0.2", 0)) as listener, left.socket() as sock:
        sock.connect(listener.getsockname())
        listener.settimeout(JOIN_S)
        with pytest.raises(ConnectionAbortedError, match="fell back to TCP"):
            listener.accept()


@pytest.mark.parametrize("carrier", [False, True])
@in_own_process
def test_cut_and_mended_path_loses_no_byte(carrier: bool) -> None:
    with joined(delay_ms=5, rate_bit_per_s=100 * MEGABIT) as (left, _, client, server):
        transfer = Transfer(client, server, 16_000_000)
        for path, start in ((1, 1_000_000), (0, 8_000_000)):
            wire = left.interface(f"wire{path}")
            transfer.await_received(start)
            wire.cut(carrier=carrier)
            transfer.await_received(start + 1_000_000)
            wire.mend()
        transfer.finish()


@in_own_process
def test_what_a_silent_path_lost_is_not_left_to_tcps_timeout() -> None:
    left, right = wired_stacks(2, delay_ms=5, rate_bit_per_s=100 * MEGABIT)
    left.sysctl("net.ipv4.tcp_rto_min_us", TIMEOUT_S * 1_000_000)
    allow_subflows(left, right)
    mptcp.endpoint_add("10.1.0.1", stack=left)
    with connected(left, right) as (client, server):
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        transfer = Transfer(client, server, 16_000_000)
        transfer.await_received(4_000_000)
        left.interface("wire1").cut()
        transfer.finish()
        lost = mptcp.subflows(client)[1]
        assert lost.tcp.unacked > 0
        assert lost.tcp.retransmits == 0


@in_own_process
def test_mended_path_carries_again() -> None:
    with joined(delay_ms=2, rate_bit_per_s=50 * MEGABIT) as (left, _, client, server):
        wire = left.interface("wire1")
        wire.cut()
        transfer = Transfer(client, server, 30_000_000)
        transfer.await_received(2_000_000)
        before = wire.counters()
        wire.mend()
        transfer.finish()
        after = wire.counters()
        assert after["tx_bytes"] - before["tx_bytes"] > 1_000_000
        assert after["rx_frames"] > before["rx_frames"]


@in_own_process
def test_loss_and_reordering_lose_no_byte() -> None:
    bad = {"delay_ms": 2, "jitter_ms": 1, "loss": 0.01, "reorder": 0.02}
    with joined(rate_bit_per_s=200 * MEGABIT, **bad) as (_, _, client, server):
        Transfer(client, server, 6_000_000).finish()
        # The half that is still open.
        Transfer(server, client, 6_000_000).finish()
