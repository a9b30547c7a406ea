"""Tunnels over networks of the host's kernel, to a gateway with a TAP device there."""

import signal
import socket as host
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import required
from far_gateway import FarGateway
from far_network import PATHS, cable, connected_to_far, underlay, underlay_cable
from host_network import (
    command,
    make_namespace,
    remove_namespace,
    requires_host_mptcp,
    requires_root,
    requires_tun,
)
from own_process import in_own_process
from worlds import Transfer, await_carrier, await_true

from lklsock import default_stack, mptcp
from lklsock.link import Key, Tunnel

pytestmark = [pytest.mark.root, requires_root, requires_tun]

KEY = Key(bytes(range(32)))
INNER_MTU = 1426


@pytest.fixture
def far(namespace: str) -> Iterator[str]:
    """A second namespace: the gateway's, with its TAP."""
    name = f"{namespace}-gw"
    make_namespace(name)
    yield name
    remove_namespace(name)


@pytest.fixture
def router(namespace: str) -> Iterator[str]:
    """A third, in between."""
    name = f"{namespace}-nat"
    make_namespace(name)
    yield name
    remove_namespace(name)


def make_far_tap(far: str) -> None:
    command("ip", "-n", far, "tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr")
    for path in PATHS:
        command("ip", "-n", far, "addr", "add", f"10.{path}.0.1/24", "dev", "tap0")
    command("ip", "-n", far, "link", "set", "tap0", "mtu", str(INNER_MTU), "up")


@contextmanager
def gateway(far: str, listen: str = "0.0.0.0") -> Iterator[FarGateway]:
    at = ("--tap=tap0", f"--listen={listen}")
    with FarGateway(*at, keys={"laptop": KEY}, namespace=far) as running:
        yield running


def await_tunnel(path: int, carrier: bool = True) -> None:
    await_carrier(default_stack().interface(f"tunnel{path}"), carrier)


def two_paths(far: str, family: str = "v4", keepalive_s: float = 0.5) -> None:
    """A cable for each path, and a tunnel bound to its end of it."""
    for path in PATHS:
        there, here = underlay_cable(far, family, path)
        # One address of the gateway's serves both paths, or each its own: this is the latter.
        default_stack().add_link(
            Tunnel(remote=there, source=here, key=KEY, keepalive_s=keepalive_s),
            addresses=[f"10.{path}.0.2/24"],
            gateway=f"10.{path}.0.1",
        )


def tcp_both_ways(far: str) -> None:
    with connected_to_far(far) as (client, server):
        Transfer(client, server, 5_000_000).finish()
        Transfer(server, client, 5_000_000).finish()


@pytest.mark.parametrize(("family", "listen"), [("v4", "0.0.0.0"), ("v6", "[::]")])
@in_own_process
def test_tcp_goes_both_ways(namespace: str, far: str, family: str, listen: str) -> None:
    make_far_tap(far)
    with gateway(far, listen) as running:
        two_paths(far, family)
        await_tunnel(0)
        assert "joined" in running.expect("joined")
        tcp_both_ways(far)
        counters = default_stack().interface("tunnel0").counters()
        assert counters["rx_malformed"] == counters["tx_too_long"] == 0
        # The gateway's commands are those that lead somewhere.
        text = "".join(running.lines)
        assert "ip addr add 10.77.0.1/24 dev tap0" in text
        assert f"ip link set tap0 mtu {1500 - (74 if family == 'v4' else 94)} up" in text


@requires_host_mptcp
@in_own_process
def test_mptcp_goes_on_when_one_underlay_is_cut(namespace: str, far: str) -> None:
    make_far_tap(far)
    command("ip", "-n", far, "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
    with gateway(far):
        two_paths(far)
        mptcp.limits(subflows=8, add_addr_accepted=8)
        mptcp.endpoint_add("10.1.0.2", ifname="tunnel1")
        for path in PATHS:
            await_tunnel(path)
        with connected_to_far(far, host.IPPROTO_MPTCP) as (client, server):
            await_true(lambda: client.mptcp.subflows == 1, client, server)
            transfer = Transfer(client, server, 16_000_000)
            transfer.await_received(2_000_000)
            # Silently: only what was sent before it has left there.
            command("ip", "-n", far, "link", "set", "far0", "down")
            await_tunnel(0, carrier=False)
            transfer.finish()
            assert default_stack().interface("tunnel1").carrier
            command("ip", "-n", far, "link", "set", "far0", "up")
            await_tunnel(0)


@in_own_process
def test_bound_tunnel_loses_its_carrier_with_its_address(namespace: str, far: str) -> None:
    make_far_tap(far)
    with gateway(far):
        two_paths(far, keepalive_s=60)
        await_tunnel(0)
        here = f"{underlay('v4', 0, 2)}/28"
        command("ip", "addr", "del", here, "dev", "near0")
        await_tunnel(0, carrier=False)
        command("ip", "addr", "add", here, "dev", "near0")
        await_tunnel(0)
        assert default_stack().interface("tunnel1").carrier


@in_own_process
def test_gateway_learns_of_another_address_when_the_device_is_back(
    namespace: str, far: str
) -> None:
    make_far_tap(far)
    there, here = underlay_cable(far, "v4", 0)
    default_stack().sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with gateway(far) as running:
        link = Tunnel(remote=there, device="near0", key=KEY, keepalive_s=60)
        default_stack().add_link(link, addresses=["10.0.0.2/24"])
        await_tunnel(0)
        running.expect(f"joined from {here}:")
        command("ip", "link", "set", "near0", "down")
        await_tunnel(0, carrier=False)
        other = underlay("v4", 0, 3)
        command("ip", "addr", "del", f"{here}/28", "dev", "near0")
        command("ip", "addr", "add", f"{other}/28", "dev", "near0")
        command("ip", "link", "set", "near0", "up")
        # The stack has nothing to send, and the keep-alive's time is far.
        running.expect(f"is now at {other}:")


NAT_RULES = (
    "add table ip lkls",
    "add chain ip lkls nat { type nat hook postrouting priority srcnat; }",
    "add rule ip lkls nat oifname outside masquerade",
)


def behind_nat(router: str, far: str) -> None:
    """This namespace, a router that translates, and the gateway's beyond it."""
    nft = required.program("nft", "nftables")
    cable(None, "near", "192.168.7.1/24", router, "inside", "192.168.7.2/24")
    cable(router, "outside", "192.0.2.1/24", far, "far", "192.0.2.7/24")
    command("ip", "route", "add", "default", "via", "192.168.7.1")
    command("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for rule in NAT_RULES:
        command("ip", "netns", "exec", router, nft, rule)


def tunnel_through_nat() -> Any:
    link = Tunnel(remote="192.0.2.1", key=KEY, keepalive_s=0.2)
    return default_stack().add_link(link, addresses=["10.0.0.2/24"], gateway="10.0.0.1")


@in_own_process
def test_nat_may_forget_and_change_its_address(namespace: str, router: str, far: str) -> None:
    make_far_tap(far)
    behind_nat(router, far)
    with gateway(far) as running:
        tunnel_through_nat()
        running.expect("joined from 192.0.2.7:")
        with connected_to_far(far) as (client, server):
            transfer = Transfer(client, server, 8_000_000)
            transfer.await_received(500_000)
            # With the address go its translations.
            outside = ("ip", "-n", router, "addr")
            command(*outside, "del", "192.0.2.7/24", "dev", "outside")
            command(*outside, "add", "192.0.2.8/24", "dev", "outside")
            running.expect("is now at 192.0.2.8:")
            transfer.finish()
            # And in the other direction, which only keep-alives have kept open.
            Transfer(server, client, 2_000_000).finish()


@in_own_process
def test_unbound_tunnel_follows_the_routes_of_the_host(namespace: str, far: str) -> None:
    """As a phone does that leaves a Wi-Fi: another device, another address."""
    make_far_tap(far)
    command("ip", "-n", far, "addr", "add", "198.51.100.1/32", "dev", "lo")
    for path in PATHS:
        underlay_cable(far, "v4", path)
    command("ip", "route", "add", "198.51.100.1/32", "via", underlay("v4", 0, 1))
    with gateway(far) as running:
        link = Tunnel(remote="198.51.100.1", key=KEY, keepalive_s=0.2)
        default_stack().add_link(link, addresses=["10.0.0.2/24"], gateway="10.0.0.1")
        running.expect(f"joined from {underlay('v4', 0, 2)}:")
        with connected_to_far(far) as (client, server):
            transfer = Transfer(client, server, 8_000_000)
            transfer.await_received(500_000)
            command("ip", "route", "replace", "198.51.100.1/32", "via", underlay("v4", 1, 1))
            command("ip", "link", "set", "near0", "down")
            running.expect(f"is now at {underlay('v4', 1, 2)}:")
            transfer.finish()


@in_own_process
def test_narrower_path_lowers_the_mtu(namespace: str, far: str) -> None:
    make_far_tap(far)
    with gateway(far):
        two_paths(far)
        await_tunnel(0)
        with connected_to_far(far) as (client, server):
            command("ip", "link", "set", "near0", "mtu", "1280")
            Transfer(client, server, 1_000_000).finish()
        assert default_stack().interface("tunnel0").counters()["tx_too_long"] > 0


@in_own_process
def test_ctrl_c_ends_the_gateway_and_its_peers_know(namespace: str, far: str) -> None:
    make_far_tap(far)
    with gateway(far) as running:
        two_paths(far, keepalive_s=60)
        await_tunnel(0)
        await_tunnel(1)
        assert running.end(signal.SIGINT) == 130
        await_tunnel(0, carrier=False)
        assert "Traceback" not in "".join(running.lines)
