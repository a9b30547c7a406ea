"""Stacks behind the host kernel's own vxlan devices: unprivileged links to a real gateway."""

import socket as host
from collections.abc import Iterator

import pytest
from far_network import PATHS, connected_to_far, listener, underlay_cable
from host_network import (
    command,
    make_namespace,
    remove_namespace,
    requires_host_mptcp,
    requires_root,
)
from own_process import in_own_process
from worlds import JOIN_S, Transfer, await_carrier, await_true

from lklsock import default_stack, mptcp, socket
from lklsock.link import Vxlan

pytestmark = [pytest.mark.root, requires_root]


@pytest.fixture
def gateway(namespace: str) -> Iterator[str]:
    """A second namespace, the gateway's."""
    name = f"{namespace}-gw"
    make_namespace(name)
    yield name
    remove_namespace(name)


def connect(namespace: str, gateway: str, family: str) -> None:
    """A cable for each path, a vxlan device at its far end, and a link of the stack's."""
    for path in PATHS:
        there, here = underlay_cable(gateway, family, path)
        vxlan = ("type", "vxlan", "id", f"{7 + path}", "local", there, "remote", here)
        device = f"vx{path}"
        command("ip", "-n", gateway, "link", "add", device, *vxlan, "dstport", "4789")
        command("ip", "-n", gateway, "addr", "add", f"10.{path}.0.1/24", "dev", device)
        command("ip", "-n", gateway, "link", "set", device, "up")
        default_stack().add_link(
            Vxlan(remote=there, vni=7 + path, source=here),
            addresses=[f"10.{path}.0.2/24"],
            gateway=f"10.{path}.0.1",
        )


@pytest.mark.parametrize("family", ["v4", "v6"])
@in_own_process
def test_tcp_goes_both_ways(namespace: str, gateway: str, family: str) -> None:
    connect(namespace, gateway, family)
    interface = default_stack().interface("vxlan0")
    with connected_to_far(gateway) as (client, server):
        # The gateway's frames, too, are those of a kernel: long, and with checksums to finish.
        Transfer(client, server, 3_000_000).finish()
        Transfer(server, client, 3_000_000).finish()
    counters = interface.counters()
    assert counters["rx_malformed"] == 0
    assert counters["tx_too_long"] == 0


@requires_host_mptcp
@in_own_process
def test_mptcp_goes_on_when_one_underlay_is_cut(namespace: str, gateway: str) -> None:
    connect(namespace, gateway, "v4")
    command("ip", "-n", gateway, "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
    mptcp.limits(subflows=8, add_addr_accepted=8)
    mptcp.endpoint_add("10.1.0.2", ifname="vxlan1")
    with connected_to_far(gateway, host.IPPROTO_MPTCP) as (client, server):
        await_true(lambda: client.mptcp.subflows == 1, client, server)
        transfer = Transfer(client, server, 16_000_000)
        transfer.await_received(2_000_000)
        command("ip", "link", "set", "near0", "down")
        transfer.finish()
        await_carrier(default_stack().interface("vxlan0"), False)


@in_own_process
def test_narrower_path_lowers_the_mtu(namespace: str, gateway: str) -> None:
    connect(namespace, gateway, "v4")
    interface = default_stack().interface("vxlan0")
    with connected_to_far(gateway) as (client, server):
        command("ip", "link", "set", "near0", "mtu", "1280")
        Transfer(client, server, 1_000_000).finish()
    assert interface.counters()["tx_too_long"] > 0


@in_own_process
def test_what_the_host_has_no_room_for_is_sent_later(namespace: str, gateway: str) -> None:
    connect(namespace, gateway, "v4")
    # Slower than the stack, and it never drops: the socket's buffer fills.
    slow = ("tbf", "rate", "600mbit", "burst", "128kb", "limit", "200000000")
    command("tc", "qdisc", "add", "dev", "near0", "root", *slow)
    with listener(gateway) as listening:
        there = ("10.0.0.1", listening.getsockname()[1])
        clients = [socket.create_connection(there, timeout=JOIN_S) for _ in range(32)]
        servers = [listening.accept()[0] for _ in clients]
        for sock in servers:
            sock.settimeout(JOIN_S)
        transfers = [Transfer(*ends, 2_500_000) for ends in zip(clients, servers, strict=True)]
        for transfer in transfers:
            transfer.finish()
        for sock in (*clients, *servers):
            sock.close()
    assert default_stack().interface("vxlan0").counters()["tx_dropped"] == 0
