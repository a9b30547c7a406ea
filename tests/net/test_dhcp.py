"""DHCP: addresses that servers give for a time, with routes for each path."""

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import required
from automatic import MAIN_TABLE, routes, sources, wired
from dhcp_server import DhcpServer
from host_network import make_tap, requires_root, requires_tun
from own_process import in_own_process
from worlds import JOIN_S, await_that, await_true, connected

from lklsock import Stack, mptcp, socket
from lklsock._interface import Interface
from lklsock.link import Tap, Wire


def addresses(stack: Stack, interface: Interface) -> set[str]:
    """Its IPv4 addresses."""
    found: Any = stack.netlink().get_addr(family=2, index=interface.ifindex)
    return {f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}" for each in found}


@in_own_process
def test_all_of_a_lease_is_used() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        server.options |= {
            "router": ["10.9.0.1", "10.9.0.2"],
            "interface_mtu": 1400,
            "name_server": ["10.9.0.53"],
            "domain_name": "example.org",
            # "a.example.com", and "b" and the rest of the first one: RFC 3397.
            "domain_search": list(b"\x01a\x07example\x03com\0\x01b\xc0\x02"),
        }
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        assert wire.lease is not None
        assert wire.dhcp is not None
        assert (wire.lease.address, wire.lease.server) == ("10.9.0.7/24", "10.9.0.1")
        assert (wire.lease.renewal_s, wire.lease.rebinding_s) == (1800, 3150)
        assert wire.dhcp.state == "bound"
        assert addresses(left, wire) == {"10.9.0.7/24"}
        assert wire.addresses == ["10.9.0.7"]
        own = {("10.9.0.0/24", None), ("default/0", "10.9.0.1")}
        assert routes(left, 1000 + wire.ifindex) == routes(left, MAIN_TABLE) == own
        assert sources(left) == {"10.9.0.7"}
        assert wire.mtu == 1400
        assert left.nameservers == ("10.9.0.53",)
        assert left.dns.search[:2] == ("a.example.com", "b.example.com")
        with connected(left, right, "10.9.0.1") as (client, _):
            assert client.getsockname()[0] == "10.9.0.7"


@in_own_process
def test_classless_routes_go_before_the_router() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        text = bytes([0, 10, 9, 0, 3, 16, 172, 16, 10, 9, 0, 4, 32, 192, 0, 2, 1, 0, 0, 0, 0])
        server.options["classless_static_route"] = list(text)
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        expected = {
            ("10.9.0.0/24", None),
            ("default/0", "10.9.0.3"),
            ("172.16.0.0/16", "10.9.0.4"),
            ("192.0.2.1/32", None),
        }
        assert routes(left, 1000 + wire.ifindex) == routes(left, MAIN_TABLE) == expected
        wire.set_up(False)
        wire.set_up()
        assert routes(left, 1000 + wire.ifindex) == expected
        assert routes(left, MAIN_TABLE) == expected
        # What the next lease lacks goes.
        server.options["classless_static_route"] = list(text[:5])
        assert wire.dhcp is not None
        await_that(lambda: wire.dhcp and wire.dhcp.state == "bound")
        wire.dhcp.renew()
        await_that(lambda: wire.lease and len(wire.lease.routes) == 1)
        assert routes(left, MAIN_TABLE) == {("10.9.0.0/24", None), ("default/0", "10.9.0.3")}


@in_own_process
def test_what_the_program_says_goes_before_the_lease() -> None:
    left, right, near = wired()
    left.nameservers = ["10.0.0.99"]
    with DhcpServer(right, "wire0") as server:
        server.options |= {"interface_mtu": 1300, "name_server": ["10.9.0.53"]}
        wire = left.add_link(near, addresses=["dhcp"], gateway="10.9.0.9", mtu=1450, metric=7)
        assert wire.lease is None or wire.lease.gateway == "10.9.0.1"
        wire.wait(JOIN_S)
        assert left.nameservers == ("10.0.0.99",)
        assert wire.mtu == 1450
        assert ("default/0", "10.9.0.9") in routes(left, MAIN_TABLE)
        (default,) = [
            r for r in left.netlink().get_routes(family=2, table=MAIN_TABLE) if not r["dst_len"]
        ]
        assert default.get_attr("RTA_PRIORITY") == 7


@in_own_process
def test_a_lease_is_renewed_with_its_server_at_half_time() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        server.options |= {"lease_time": 60, "renewal_time": 1, "rebinding_time": 50}
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        first = wire.lease
        server.await_heard("REQUEST", 2, unicast=True)
        await_that(lambda: wire.lease is not first)
        assert first is not None
        assert wire.lease is not None
        assert wire.lease.asked_s >= first.asked_s + 1
        assert addresses(left, wire) == {"10.9.0.7/24"}
        assert server.heard[:2] == [("DISCOVER", False), ("REQUEST", False)]
        assert {kind for kind, _ in server.heard[2:]} == {"REQUEST"}
        # Nobody was told that there is no such port.
        assert right.counters()["Icmp"]["InDestUnreachs"] == 0


@pytest.mark.parametrize("lease_time", [-1, 0x7FFFFFFF])
@in_own_process
def test_a_lease_may_last_for_ever_or_for_decades(lease_time: int) -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        server.options["lease_time"] = lease_time
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        # Its thread goes on, and can be asked.
        assert addresses(left, wire) == {"10.9.0.7/24"}
        assert wire.dhcp is not None
        wire.dhcp.renew()
        server.await_heard("REQUEST", unicast=True)
        await_that(lambda: wire.dhcp and wire.dhcp.state == "bound")


@in_own_process
def test_another_server_is_asked_when_the_first_one_is_silent() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        server.options |= {"lease_time": 60, "renewal_time": 1, "rebinding_time": 2}
        server.answers = lambda kind, is_unicast: not is_unicast
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        first = wire.lease
        server.await_heard("REQUEST", 1, unicast=True)
        await_that(lambda: wire.lease is not first)
        broadcast = [entry for entry in server.heard if entry == ("REQUEST", False)]
        assert len(broadcast) >= 2
        assert addresses(left, wire) == {"10.9.0.7/24"}


@in_own_process
def test_an_address_goes_when_its_lease_ends() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        server.options |= {"lease_time": 2, "name_server": ["10.9.0.53"], "interface_mtu": 1400}
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        server.answers = lambda kind, is_unicast: False
        await_that(lambda: wire.lease is None)
        await_that(lambda: not addresses(left, wire))
        assert sources(left) == set()
        assert routes(left, MAIN_TABLE) == routes(left, 1000 + wire.ifindex) == set()
        assert left.nameservers == ()
        assert wire.mtu == 1500
        assert wire.addresses == []
        with pytest.raises(TimeoutError, match="the lease has expired"):
            wire.wait(0)
        server.address = "10.9.0.8"
        server.answers = lambda kind, is_unicast: True
        wire.wait(JOIN_S)
        assert addresses(left, wire) == {"10.9.0.8/24"}


@in_own_process
def test_a_refusal_takes_the_address_away_and_a_new_one_is_asked_for() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        assert wire.dhcp is not None
        server.address = "10.9.0.8"
        wire.dhcp.renew()
        await_that(lambda: wire.lease is None)
        await_that(lambda: wire.lease is not None)
        assert addresses(left, wire) == {"10.9.0.8/24"}
        assert sources(left) == {"10.9.0.8"}


@in_own_process
def test_a_lease_that_does_not_come_is_a_timeout_that_says_why(tmp_path: str) -> None:
    left, right, near = wired()
    wire = left.add_link(near, addresses="dhcp")
    told = r"^wire0: no DHCP lease: no server answers \(waited 0.2 s\)$"
    with pytest.raises(TimeoutError, match=told):
        wire.wait(0.2)
    lonely = left.add_link(Wire(path=f"{tmp_path}/wire", listen=True), addresses=["dhcp", "slaac"])
    with pytest.raises(TimeoutError, match=r"^wire1: no DHCP lease: no carrier \(waited 0 s\)$"):
        lonely.wait(0)
    assert repr(lonely.dhcp) == "<DhcpClient wire1 no carrier no lease>"
    assert right.state == "running"


@in_own_process
def test_a_lease_is_confirmed_when_the_carrier_is_back() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        first = wire.lease
        wire.hold_down()
        await_that(lambda: wire.dhcp and wire.dhcp.state == "no carrier")
        assert addresses(left, wire) == {"10.9.0.7/24"}
        wire.hold_down(False)
        await_that(lambda: wire.lease is not first)
        assert wire.lease is not None
        assert wire.lease.address == "10.9.0.7/24"
        assert [kind for kind, _ in server.heard] == ["DISCOVER", "REQUEST", "REQUEST"]
        # Another network, by now.
        wire.hold_down()
        await_that(lambda: wire.dhcp and wire.dhcp.state == "no carrier")
        server.address = "10.9.0.9"
        wire.hold_down(False)
        await_that(lambda: wire.lease and wire.lease.address == "10.9.0.9/24")
        assert addresses(left, wire) == {"10.9.0.9/24"}


@in_own_process
def test_a_lease_is_given_back() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        wire.close()
        server.await_heard("RELEASE", unicast=True)
        assert sources(left) == set()
        again, far = Wire.pair()
        right.add_link(far, addresses=["10.8.0.1/24"])
        with DhcpServer(right, "wire1", "10.8.0.1") as other:
            other.address = "10.8.0.7"
            left.add_link(again, addresses="dhcp").wait(JOIN_S)
            left.halt()
            other.await_heard("RELEASE", unicast=True)


@in_own_process
def test_an_address_that_another_interface_has_is_declined() -> None:
    left, right, near = wired()
    other, _far = Wire.pair()
    left.add_link(other, addresses=["10.9.0.7/32"], name="other")
    with DhcpServer(right, "wire0") as server:
        wire = left.add_link(near, addresses="dhcp", name="wire0")
        server.await_heard("DECLINE")
        with pytest.raises(TimeoutError, match=r"10\.9\.0\.7 is an address of other already"):
            wire.wait(0)
        assert sources(left) == {"10.9.0.7"}


@in_own_process
def test_malformed_answers_are_ignored_and_counted() -> None:
    left, right, near = wired()
    with DhcpServer(right, "wire0") as server:
        head = bytes([2, 1, 6, 0]) + b"XXXX" + bytes(8)
        server.garbage = [
            b"",
            b"\x02",
            os.urandom(64),
            head + bytes(220),
            head + bytes(220) + b"c\x82Sc\x35",
            head + bytes(220) + b"c\x82Sc\x35\x01\x63\xff",
        ]
        wire = left.add_link(near, addresses="dhcp")
        wire.wait(JOIN_S)
        assert wire.dhcp is not None
        assert wire.dhcp.ignored >= len(server.garbage)
        assert addresses(left, wire) == {"10.9.0.7/24"}


@in_own_process
def test_two_links_with_dhcp_are_two_paths() -> None:
    left, right = Stack(), Stack()
    servers = contextlib.ExitStack()
    for path in (0, 1):
        near, far = Wire.pair()
        right.add_link(far, addresses=[f"10.{path}.0.1/24"], gateway=f"10.{path}.0.7")
        server = DhcpServer(right, f"wire{path}", f"10.{path}.0.1")
        server.address = f"10.{path}.0.7"
        servers.enter_context(server)
        left.add_link(near, addresses="dhcp")
    mptcp.limits(right, subflows=8, add_addr_accepted=8)
    with mptcp.preset("aggregate", stack=left):
        for path in (0, 1):
            left.interface(f"wire{path}").wait(JOIN_S)
            expected = {(f"10.{path}.0.0/24", None), ("default/0", f"10.{path}.0.1")}
            assert routes(left, 1000 + left.interface(f"wire{path}").ifindex) == expected
        assert sources(left) == {"10.0.0.7", "10.1.0.7"}
        await_that(lambda: len(mptcp.endpoints(left)) == 2)
        with connected(left, right, "10.0.0.1") as (client, peer):
            await_true(lambda: client.mptcp.subflows == 1, client, peer)
    servers.close()


# ---- a real server: dnsmasq

DNSMASQ = """
no-resolv
no-hosts
port=0
user=root
interface=lklsa
interface=lklsb
interface=lklsc0
interface=lklsc1
bind-interfaces
log-dhcp
log-facility={folder}/log
pid-file={folder}/pid
dhcp-leasefile={folder}/leases
dhcp-range=10.20.0.50,10.20.0.60,255.255.255.0,120
dhcp-range=10.21.0.50,10.21.0.60,255.255.255.0,120
dhcp-option=option:T1,3
dhcp-option=option:mtu,1400
dhcp-option=option:dns-server,10.20.0.1
dhcp-option=121,192.0.2.0/24,10.20.0.1,0.0.0.0/0,10.20.0.1
dhcp-option=tag:lklsb,121,0.0.0.0/0,10.21.0.1
dhcp-range=10.22.0.50,10.22.0.60,255.255.255.0,120
dhcp-range=10.23.0.50,10.23.0.60,255.255.255.0,120
enable-ra
dhcp-range=fd20::,ra-only,64,3600
dhcp-range=fd21::,ra-only,64,3600
"""


@contextlib.contextmanager
def dnsmasq(folder: str) -> Iterator[Path]:
    """Runs it. Gives its log."""
    program = required.program("dnsmasq", "dnsmasq-base")
    make_tap("lklsa", "10.20.0.1/24", "fd20::1/64")
    make_tap("lklsb", "10.21.0.1/24", "fd21::1/64")
    make_tap("lklsc0", "10.22.0.1/24")
    make_tap("lklsc1", "10.23.0.1/24")
    path, log = Path(folder, "dnsmasq.conf"), Path(folder, "log")
    path.write_text(DNSMASQ.format(folder=folder))
    server = subprocess.Popen([program, "--keep-in-foreground", f"--conf-file={path}"])
    try:
        await_that(lambda: log.exists() and "started" in log.read_text(), "dnsmasq")
        yield log
    finally:
        server.terminate()
        server.wait(JOIN_S)


@requires_root
@requires_tun
@in_own_process
def test_a_forked_child_has_a_lease_of_its_own(namespace: str, tmp_path: str) -> None:
    with dnsmasq(tmp_path) as log:
        stack = Stack()
        tap = stack.add_link(Tap("lklsc{child}"), addresses="dhcp")
        tap.wait(JOIN_S)
        assert tap.addresses[0].startswith("10.22.0.")
        pid = os.fork()
        if not pid:
            stack.boot()
            tap.wait(JOIN_S)
            is_own = tap.addresses[0].startswith("10.23.0.") and len(tap.addresses) == 1
            is_own = is_own and sources(stack) == {tap.addresses[0]}
            stack.halt()
            os._exit(0 if is_own else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert tap.lease is not None
        await_that(lambda: log.read_text().count("DHCPRELEASE") == 1, "no release")


def has_router(stack: Stack, link: Interface) -> bool:
    return any(route[0] == "default/0" for route in routes(stack, 1000 + link.ifindex, 10))


@requires_root
@requires_tun
@in_own_process
def test_dnsmasq_gives_two_paths_and_renews(namespace: str, tmp_path: str) -> None:
    with dnsmasq(tmp_path) as log:
        stack = Stack()
        links = [stack.add_link(Tap(n), addresses=["dhcp", "slaac"]) for n in ("lklsa", "lklsb")]
        for link, prefix, number in zip(links, ("fd20", "fd21"), (20, 21), strict=True):
            link.wait(JOIN_S)
            assert link.lease is not None
            assert re.fullmatch(rf"10\.{number}\.0\.(5\d|60)/24", link.lease.address)
            assert link.mtu == 1400
            own = routes(stack, 1000 + link.ifindex)
            assert own >= {("default/0", f"10.{number}.0.1"), (f"10.{number}.0.0/24", None)}
            assert any(source.startswith(f"{prefix}:") for source in sources(stack))
            await_that(partial(has_router, stack, link))
        assert links[0].lease is not None
        assert links[0].lease.renewal_s == 3
        assert stack.nameservers == ("10.20.0.1",)
        assert ("192.0.2.0/24", "10.20.0.1") in routes(stack, 1000 + links[0].ifindex)
        # A packet of each address leaves by its link, and the answer comes back.
        for number in (20, 21):
            with stack.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                sock.settimeout(JOIN_S)
                sock.bind((links[number - 20].addresses[0], 0))
                assert sock.connect_ex((f"10.{number}.0.1", 9)) == errno.ECONNREFUSED
        first = links[0].lease
        await_that(lambda: links[0].lease is not first, "it was not renewed")
        assert links[0].lease.address == first.address
        assert Path(tmp_path, "leases").read_text().count("10.2") == 2
        stack.halt()
        await_that(lambda: log.read_text().count("DHCPRELEASE") == 2, "no release")


RUN = """
import json
from lklsock import mptcp, status
(shown,) = status.process().stacks
addresses = {link.addresses[0].partition("/")[0] for link in shown.links}
assert shown.preset == "handover"
assert addresses <= {endpoint.address for endpoint in mptcp.endpoints()}, mptcp.endpoints()
print(json.dumps([vars(link.dhcp) for link in shown.links]))
"""


@requires_root
@requires_tun
@in_own_process
def test_run_takes_dhcp_for_each_tap_and_status_has_the_leases(
    namespace: str, tmp_path: str
) -> None:
    # The preset has made the endpoints by the time that the links are there.
    config = Path(tmp_path, "lklsock.toml")
    config.write_text("[mptcp]\npreset = 'handover'\n")
    with dnsmasq(tmp_path):
        words = [f"--config={config}", "--tap=lklsa,dhcp", "--tap=lklsb,dhcp", "-c", RUN]
        command = [sys.executable, "-m", "lklsock", "run", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=JOIN_S)
    assert done.returncode == 0, done.stderr
    for number, dhcp in zip((20, 21), json.loads(done.stdout), strict=True):
        assert dhcp["state"] in ("bound", "renewing")
        assert dhcp["server"] == f"10.{number}.0.1"
        assert dhcp["address"].startswith(f"10.{number}.0.")
        assert dhcp["renewal_s"] <= 3 < 100 < dhcp["expiry_s"] <= 120
