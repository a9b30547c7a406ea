"""A stack as a station of its own on a network interface of the host, against the host's kernel."""

import errno
import socket as host
from typing import Any

import pytest
from host_network import command, requires_root
from own_process import in_own_process
from worlds import JOIN_S, Transfer

from lklsock import default_stack, socket
from lklsock.link import Fd, Packet

pytestmark = [pytest.mark.root, requires_root]


def make_cable() -> None:
    """near0, without an address, and far0, which has the host's: a cable between them."""
    command("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0")
    for address in ("10.0.0.1/24", "fd00::1/64"):
        command("ip", "addr", "add", address, "dev", "far0", *["nodad"] * (":" in address))
    for device in ("near0", "far0"):
        command("ip", "link", "set", device, "up")


def open_socket() -> Fd:
    """As a privileged helper would hand it in."""
    with host.socket(host.AF_PACKET, host.SOCK_RAW, 0) as sock:
        sock.bind(("near0", 0))
        return Fd(sock.detach())


@pytest.mark.parametrize("address", ["10.0.0.%d", "fd00::%d"])
@pytest.mark.parametrize("kind", ["packet", "fd"])
@in_own_process
def test_tcp_goes_both_ways(namespace: str, kind: str, address: str) -> None:
    make_cable()
    default_stack().add_link(
        Packet("near0") if kind == "packet" else open_socket(),
        addresses=["10.0.0.2/24", "fd00::2/64"],
    )
    family = host.AF_INET6 if ":" in address else host.AF_INET
    sides: list[tuple[Any, Any, int]] = [(host, socket, 1), (socket, host, 2)]
    for server_side, client_side, number in sides:
        with server_side.create_server(("", 0), family=family) as listening:
            listening.settimeout(JOIN_S)
            there = (address % number, listening.getsockname()[1])
            with client_side.create_connection(there, timeout=JOIN_S) as client:
                server, _ = listening.accept()
                with server:
                    server.settimeout(JOIN_S)
                    Transfer(client, server, 3_000_000).finish()
    counters = default_stack().interface(f"{kind}0").counters()
    assert counters["rx_malformed"] == counters["tx_dropped"] == 0


@in_own_process
def test_address_of_the_host_is_refused(namespace: str) -> None:
    make_cable()
    with pytest.raises(OSError, match=r"10\.0\.0\.1 is the host's own address") as refused:
        default_stack().add_link(Packet("near0"), addresses=["10.0.0.1/24"])
    assert refused.value.errno == errno.EADDRINUSE


@in_own_process
def test_interface_has_the_mtu_and_the_carrier_of_the_hosts(namespace: str) -> None:
    make_cable()
    command("ip", "link", "set", "near0", "mtu", "1300")
    interface = default_stack().add_link(Packet("near0"), addresses=["10.0.0.2/24"])
    with host.create_server(("", 0)) as listening:
        client = socket.create_connection(("10.0.0.1", listening.getsockname()[1]), timeout=JOIN_S)
        assert client.getsockopt(host.IPPROTO_TCP, host.TCP_MAXSEG) <= 1260
        client.close()
    command("ip", "link", "set", "far0", "down")
    for _ in iter(lambda: interface.carrier, False):
        pass
    command("ip", "link", "set", "far0", "up")
    for _ in iter(lambda: interface.carrier, True):
        pass
