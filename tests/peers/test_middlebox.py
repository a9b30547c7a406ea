"""Paths that do not let MPTCP through, or not unchanged."""

import contextlib
import random
from collections.abc import Callable, Iterator

import pytest
from far_end import (
    Swap,
    add_host_endpoint,
    await_flows,
    await_true,
    connected,
    host_counters,
)
from host_network import requires_host_mptcp, requires_root, requires_tun
from host_paths import PATHS, allow_subflows
from middlebox import ACK, SYN, Middlebox, Segment
from own_process import in_own_process

from lklsock import default_stack, mptcp

pytestmark = [pytest.mark.root, requires_root, requires_tun, requires_host_mptcp]

SIZE = 1_000_000

either = pytest.mark.parametrize("stack_is", ["client", "server"])


@contextlib.contextmanager
def middleboxes() -> Iterator[list[Middlebox]]:
    """The default stack (10.N.0.2) and the host (10.N.0.1), joined by two of them."""
    stack = default_stack()
    boxes = []
    try:
        for path in PATHS:
            boxes.append(Middlebox(f"tap{path}", f"10.{path}.0.1/24"))
            stack.add_link(
                boxes[path].link, addresses=[f"10.{path}.0.2/24"], gateway=[f"10.{path}.0.1"]
            )
        allow_subflows()
        yield boxes
    finally:
        for box in boxes:
            box.close()


STRIPPED: dict[str, Callable[[Segment], bool]] = {
    "SYN": lambda segment: segment.flags == SYN,
    "SYN and ACK": lambda segment: segment.flags == SYN | ACK,
    "all but SYN": lambda segment: not segment.flags & SYN,
}
each_kind = pytest.mark.parametrize("stripped", STRIPPED)


def announce(stack_is: str) -> None:
    """The second address of who listens."""
    if stack_is == "server":
        mptcp.endpoint_add("10.1.0.2", flags=["signal"])
    else:
        add_host_endpoint("10.1.0.1", "signal")


@each_kind
@either
@in_own_process
def test_path_that_strips_options_carries_tcp(
    namespace: str, mptcp_connect: str, stack_is: str, stripped: str
) -> None:
    with middleboxes() as (box, _):

        def strip(segment: Segment) -> None:
            if STRIPPED[stripped](segment):
                segment.strip()

        box.on_segment = strip
        with connected(mptcp_connect, stack_is, "10.0.0.%d", size=SIZE) as (near, far):
            Swap(near, far, SIZE).finish()
            assert near.mptcp is None
            assert not mptcp.is_mptcp(near)


def strip_later(box: Middlebox) -> None:
    """Has the path let no option through any more, when 300 kB have passed."""
    passed = 0

    def strip(segment: Segment) -> None:
        nonlocal passed
        passed += len(segment.frame)
        if passed > 300_000:
            segment.strip()

    box.on_segment = strip


@either
@in_own_process
def test_options_stripped_in_flight_end_what_comes_behind_the_last_right_byte(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    with middleboxes() as (box, _):
        strip_later(box)
        with connected(mptcp_connect, stack_is, "10.0.0.%d", size=SIZE) as (near, far):
            came = bytearray()
            with pytest.raises(ConnectionResetError):
                while chunk := near.recv(1 << 18):
                    came += chunk
            assert bytes(came) == far.content[: len(came)]
            assert 100_000 < len(came) < SIZE


@either
@in_own_process
def test_options_stripped_in_flight_end_what_is_sent_behind_the_last_right_byte(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    # The host's kernel goes on as TCP, and would take what is sent again for new.
    with middleboxes() as (box, _):
        strip_later(box)
        with connected(mptcp_connect, stack_is, "10.0.0.%d", size=0) as (near, far):
            content = random.Random(1).randbytes(8 * SIZE)
            with pytest.raises(ConnectionError):
                near.sendall(content)
            kept = far.kept()
            assert kept == content[: len(kept)]
            assert len(kept) > 100_000


@each_kind
@either
@in_own_process
def test_path_that_strips_the_options_of_joins_is_left_alone(
    namespace: str, mptcp_connect: str, stack_is: str, stripped: str
) -> None:
    with middleboxes() as (_, box):
        seen = 0

        def strip(segment: Segment) -> None:
            nonlocal seen
            seen += 1
            if STRIPPED[stripped](segment):
                segment.strip()

        box.on_segment = strip
        announce(stack_is)
        with connected(mptcp_connect, stack_is, "10.0.0.%d", size=SIZE) as (near, far):
            await_true(lambda: seen > 2)
            await_flows(near, 1)
            Swap(near, far, SIZE).finish()


@either
@in_own_process
def test_checksum_shows_that_a_path_alters_data(
    namespace: str, mptcp_connect: str, stack_is: str
) -> None:
    with middleboxes() as (_, box):
        default_stack().sysctl("net.mptcp.checksum_enabled", 1)
        altered = False

        def alter_one(segment: Segment) -> None:
            # Two that belong to one checksum could cancel each other out.
            nonlocal altered
            if not altered and segment.payload.stop - segment.payload.start > 1000:
                altered = True
                segment.alter()

        box.on_segment = alter_one
        announce(stack_is)
        with connected(mptcp_connect, stack_is, "10.0.0.%d", size=SIZE) as (near, far):
            await_flows(near, 2)
            Swap(near, far, SIZE).finish()
        assert altered
        assert mptcp.counters()["DataCsumErr"] + host_counters()["DataCsumErr"] == 1
        assert mptcp.counters()["MPFailTx"] + host_counters()["MPFailTx"] == 1


@in_own_process
def test_path_that_swallows_options_costs_one_connection_a_wait_and_no_other(
    namespace: str, mptcp_connect: str
) -> None:
    with middleboxes() as (box, _):
        lost = 0

        def swallow(segment: Segment) -> bool:
            nonlocal lost
            swallowed = segment.flags == SYN and segment.has_mptcp
            lost += swallowed
            return not swallowed

        box.on_segment = swallow
        with connected(mptcp_connect, "client", "10.0.0.%d", size=SIZE) as (near, far):
            Swap(near, far, SIZE).finish()
            assert near.mptcp is None
        assert lost >= 2
        box.on_segment = lambda _: None
        with connected(mptcp_connect, "client", "10.0.0.%d", size=SIZE) as (near, far):
            Swap(near, far, SIZE).finish()
            assert near.mptcp is not None
        assert mptcp.counters()["Blackhole"] == 0
