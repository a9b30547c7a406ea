"""Routes by source: made with an address, and taken back with it."""

import errno
from typing import Any

import pytest
from own_process import in_own_process
from worlds import Transfer, allow_subflows, await_true, connected, wired_stacks

from lklsock import Stack, mptcp
from lklsock.link import Wire


def sources(stack: Stack) -> set[str]:
    """The addresses that have a rule."""
    rules: Any = [*stack.netlink().get_rules(), *stack.netlink().get_rules(family=10)]
    return {rule.get_attr("FRA_SRC") for rule in rules} - {None}


@in_own_process
def test_rules_come_and_go_with_addresses() -> None:
    stack = Stack()
    near, _far = Wire.pair()
    wire = stack.add_link(near, addresses=["10.0.0.1/24", "fd00::1/64"], gateway=["10.0.0.2"])
    assert sources(stack) == {"10.0.0.1", "fd00::1"}
    wire.add_address("10.0.0.7/24")
    assert sources(stack) == {"10.0.0.1", "10.0.0.7", "fd00::1"}
    wire.remove_address("10.0.0.1/24")
    wire.remove_address("fd00::1/64")
    assert sources(stack) == {"10.0.0.7"}
    with pytest.raises(OSError) as missing:
        wire.remove_address("10.0.0.1/24")
    assert missing.value.errno == errno.EADDRNOTAVAIL
    wire.close()
    assert sources(stack) == set()


@in_own_process
def test_gateway_can_be_replaced() -> None:
    stack = Stack()
    near, _far = Wire.pair()
    wire = stack.add_link(near, addresses=["10.0.0.1/24"], gateway="10.0.0.2")
    wire.set_gateway("10.0.0.3")
    routes: Any = [r for table in (254, 1000 + wire.ifindex) for r in defaults(stack, table)]
    assert routes == ["10.0.0.3", "10.0.0.3"]
    wire.set_up(False)
    assert not defaults(stack, 254)
    wire.set_up()
    assert defaults(stack, 254) == defaults(stack, 1000 + wire.ifindex) == ["10.0.0.3"]
    # The old one stays, and what is refused is not taken for done.
    for _ in range(2):
        with pytest.raises(OSError) as unreachable:
            wire.set_gateway("192.0.2.1")
        assert unreachable.value.errno == errno.ENETUNREACH
    assert defaults(stack, 254) == defaults(stack, 1000 + wire.ifindex) == ["10.0.0.3"]


def defaults(stack: Stack, table: int) -> list[str]:
    routes: Any = stack.netlink().get_routes(family=2, table=table)
    return [r.get_attr("RTA_GATEWAY") for r in routes if r["dst_len"] == 0]


@in_own_process
def test_link_that_cannot_be_configured_leaves_no_rule() -> None:
    stack = Stack()
    near, _far = Wire.pair()
    with pytest.raises(OSError):
        stack.add_link(near, addresses=["10.0.0.1/24"], gateway=["192.0.2.1"])
    assert sources(stack) == set()


@in_own_process
def test_address_of_another_interface_is_refused() -> None:
    stack = Stack()
    ends = [*Wire.pair(), *Wire.pair()]
    stack.add_link(ends[0], addresses=["10.0.0.1/24", "fd00::1/64"])
    for address in ("10.0.0.1/16", "fd00::1/64"):
        with pytest.raises(FileExistsError, match=r"is an address of wire0 already"):
            stack.add_link(ends[1], addresses=[address], name="other")
        break
    other = stack.add_link(ends[2], addresses=["10.0.0.5/24"])
    with pytest.raises(FileExistsError, match=r"fd00::1 is an address of wire0 already"):
        other.add_address("fd00::1/64")


@pytest.mark.parametrize("rp_filter", [0, 2])
@in_own_process
def test_second_path_is_taken_there_and_back(rp_filter: int) -> None:
    left, right = wired_stacks(2)
    for stack in (left, right):
        stack.sysctl("net.ipv4.conf.all.rp_filter", rp_filter)
    allow_subflows(left, right)
    mptcp.endpoint_add("10.1.0.1", ifname="wire1", stack=left)
    with connected(left, right) as (client, server):
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        wires = [left.interface(f"wire{n}") for n in (0, 1)]
        before = [w.counters() for w in wires]
        Transfer(client, server, 8_000_000).finish()
        after = [w.counters() for w in wires]
        for old, new in zip(before, after, strict=True):
            assert new["tx_bytes"] > old["tx_bytes"]
            assert new["rx_frames"] > old["rx_frames"]


@in_own_process
def test_carrier_is_held_down_until_it_is_let_go() -> None:
    left, _right = wired_stacks()
    wire = left.interface("wire0")
    for _ in range(3):
        wire.hold_down()
        assert not wire.carrier
        wire.hold_down(False)
        assert wire.carrier


@in_own_process
def test_counters_have_all_groups() -> None:
    left, right = wired_stacks()
    with connected(left, right) as (client, server):
        Transfer(client, server, 100_000).finish()
    counters = left.counters()
    assert {"Ip", "Icmp", "Tcp", "Udp", "TcpExt", "IpExt", "MPTcpExt", "Ip6", "Udp6"} <= {*counters}
    assert counters["Tcp"]["ActiveOpens"] == 1
    assert counters["MPTcpExt"]["MPCapableSYNTX"] == 1
    assert counters["Ip"]["OutRequests"] > 10
