"""Stacks behind passt, which Debian has as a package, in a network namespace with one way out."""

import os
import shutil
import signal
import socket as host
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import required
from forked import in_child
from host_network import (
    command,
    in_namespace,
    make_namespace,
    remove_namespace,
    requires_root,
)
from own_process import in_own_process
from worlds import JOIN_S, Transfer, await_that

from lklsock import Stack, default_stack, socket
from lklsock.link import Impair, Passt

pytestmark = [pytest.mark.root, requires_root]

GATEWAYS = {4: "192.0.2.1", 6: "2001:db8::1"}
WORLD = {4: "198.51.100.1", 6: "2001:db8:1::1"}
"""Behind the gateways: passt takes those of the host for its own loopback, unless it is told."""
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(autouse=True)
def program() -> None:
    required.program("passt", "passt")


@pytest.fixture
def world(namespace: str) -> Iterator[str]:
    """A second namespace, to which the default routes of the first one lead."""
    name = f"{namespace}-w"
    # What `ip netns exec` puts in the place of the host's.
    settings = Path("/etc/netns", namespace)
    make_namespace(name)
    try:
        command("ip", "-n", namespace, "link", "add", "out", "type", "veth", "peer", "in",
                "netns", name)  # fmt: skip
        for where, device, last in ((namespace, "out", 2), (name, "in", 1)):
            command("ip", "-n", where, "addr", "add", f"192.0.2.{last}/24", "dev", device)
            command(
                "ip", "-n", where, "addr", "add", f"2001:db8::{last}/64", "dev", device, "nodad"
            )
            command("ip", "-n", where, "link", "set", device, "up")
        for version, gateway in GATEWAYS.items():
            command("ip", "-n", namespace, "route", "add", "default", "via", gateway)
            command("ip", "-n", name, "addr", "add", WORLD[version], "dev", "lo")
        settings.mkdir(parents=True)
        (settings / "resolv.conf").write_text(f"nameserver {WORLD[4]}\n")
        await_that(lambda: reaches_by_ipv6(namespace, name))
        yield name
    finally:
        shutil.rmtree(settings, ignore_errors=True)
        remove_namespace(name)


def reaches_by_ipv6(namespace: str, world: str) -> bool:
    """Whether the host's own kernel does: its routes follow a carrier with some delay."""
    with listener(world, 6) as listening:
        there = (WORLD[6], listening.getsockname()[1])
        try:
            in_namespace(namespace, lambda: host.create_connection(there, timeout=1)).close()
        except OSError:
            return False
    return True


def family(version: int) -> int:
    return host.AF_INET if version == 4 else host.AF_INET6


def listener(world: str, version: int) -> host.socket:
    made: host.socket = in_namespace(
        world, lambda: host.create_server(("", 0), family=family(version), backlog=512)
    )
    made.settimeout(JOIN_S)
    return made


def running(namespace: str) -> list[int]:
    """The processes of passt in this network namespace, without those that nobody waited for."""
    wanted = os.stat(f"/run/netns/{namespace}").st_ino
    found = []
    for process in Path("/proc").iterdir():
        try:
            is_passt = (process / "comm").read_text().startswith("passt")
            if is_passt and (process / "ns/net").stat().st_ino == wanted:
                found += [int(process.name)] * bool(os.listdir(process / "fd"))
        except OSError:
            continue
    return found


def exchange(client: Any, server: Any) -> None:
    client.sendall(b"question")
    assert server.recv(16) == b"question"
    server.sendall(b"answer")
    assert client.recv(16) == b"answer"


def reach(world: str, version: int) -> None:
    """Connects from the default stack to the world."""
    with listener(world, version) as listening:
        there = (WORLD[version], listening.getsockname()[1])
        with socket.create_connection(there, timeout=JOIN_S) as client:
            server, _ = listening.accept()
            with server:
                exchange(client, server)


@VERSIONS
@in_own_process(timeout_s=120)
def test_64_megabytes_go_each_way(namespace: str, world: str, version: int) -> None:
    interface = default_stack().add_link(Passt())
    with listener(world, version) as listening:
        there = (WORLD[version], listening.getsockname()[1])
        for outwards in (True, False):
            with socket.create_connection(there, timeout=JOIN_S) as client:
                server, _ = listening.accept()
                with server:
                    server.settimeout(JOIN_S)
                    assert client.mptcp is None
                    ends = (client, server) if outwards else (server, client)
                    Transfer(*ends, 64 << 20).finish()
    counters = interface.counters()
    assert counters["rx_malformed"] == counters["tx_dropped"] == 0


@VERSIONS
@in_own_process
def test_datagrams_of_every_size_go_both_ways(namespace: str, world: str, version: int) -> None:
    default_stack().add_link(Passt())
    server = in_namespace(world, lambda: host.socket(family(version), host.SOCK_DGRAM))
    with server, socket.socket(family(version), host.SOCK_DGRAM) as client:
        server.settimeout(JOIN_S)
        client.settimeout(JOIN_S)
        server.bind((WORLD[version], 0))
        client.connect((WORLD[version], server.getsockname()[1]))
        for size in (1, 1400, 9000, 60000):
            data = os.urandom(size)
            client.send(data)
            got, source = server.recvfrom(65536)
            assert got == data
            server.sendto(data[::-1], source)
            assert client.recv(65536) == data[::-1]


@in_own_process
def test_hundreds_of_connections_at_once(namespace: str, world: str) -> None:
    default_stack().add_link(Passt())
    with listener(world, 4) as listening:
        there = (WORLD[4], listening.getsockname()[1])
        clients, servers = [], {}
        for _ in range(300):
            client = socket.create_connection(there, timeout=JOIN_S)
            server, _ = listening.accept()
            clients.append(client)
            servers[client] = server
            server.settimeout(JOIN_S)
        for number, client in enumerate(clients):
            client.sendall(str(number).encode().rjust(1000))
        for number, client in enumerate(clients):
            server = servers[client]
            assert int(server.recv(1000, host.MSG_WAITALL)) == number
            server.sendall(str(number).encode().rjust(1000))
        for number, client in enumerate(clients):
            assert int(client.recv(1000, host.MSG_WAITALL)) == number
            client.close()
            assert servers[client].recv(1) == b""
            servers[client].close()


@VERSIONS
@in_own_process
def test_refused_connection_is_refused(namespace: str, world: str, version: int) -> None:
    default_stack().add_link(Passt())
    with listener(world, version) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((WORLD[version], port), timeout=JOIN_S)


@in_own_process
def test_gateway_is_the_hosts_own_loopback(namespace: str, world: str) -> None:
    default_stack().add_link(Passt())
    for version, gateway in ((4, "10.0.2.2"), (6, "fd00:10:0:2::2")):
        loopback = "127.0.0.1" if version == 4 else "::1"
        with host.create_server((loopback, 0), family=family(version)) as listening:
            listening.settimeout(JOIN_S)
            there = (gateway, listening.getsockname()[1])
            with socket.create_connection(there, timeout=JOIN_S) as client:
                server, _ = listening.accept()
                with server:
                    exchange(client, server)


@VERSIONS
@in_own_process
def test_port_of_the_host_leads_into_the_stack(namespace: str, world: str, version: int) -> None:
    default_stack().add_link(Passt(tcp_ports="8080:80", udp_ports="8080:80"))
    here = ("192.0.2.2" if version == 4 else "2001:db8::2", 8080)
    with socket.create_server(("", 80), family=family(version)) as listening:
        client = in_namespace(world, lambda: host.create_connection(here, JOIN_S))
        listening.settimeout(JOIN_S)
        # passt of 2023 finishes the handshake when the client has said something.
        client.sendall(b"hello")
        server, _ = listening.accept()
        with client, server:
            assert server.recv(5) == b"hello"
            exchange(client, server)
            exchange(server, client)
    outside = in_namespace(world, lambda: host.socket(family(version), host.SOCK_DGRAM))
    with outside, socket.socket(family(version), host.SOCK_DGRAM) as inside:
        for sock in (outside, inside):
            sock.settimeout(JOIN_S)
        inside.bind(("", 80))
        outside.sendto(b"question", here)
        data, source = inside.recvfrom(16)
        inside.sendto(data[::-1], source)
        assert outside.recv(16) == b"noitseuq"


@in_own_process
def test_names_are_answered_by_the_hosts_resolver(namespace: str, world: str) -> None:
    required.library("dns", "dnspython")
    sys.path.insert(0, str(Path(__file__).parents[1] / "dns"))
    from name_server import NameServer

    in_namespace(
        world,
        lambda: NameServer(host.socket, WORLD[4], {("there.example.", "A"): ["198.51.100.7"]}),
    )
    stack = default_stack()
    stack.add_link(Passt())
    stack.nameservers = Passt.NAMESERVERS[:1]
    found = socket.getaddrinfo("there.example", 80, type=host.SOCK_STREAM)
    assert [item[4] for item in found] == [("198.51.100.7", 80)]


@in_own_process
def test_interface_has_the_families_that_the_host_reaches_the_world_by(
    namespace: str, world: str
) -> None:
    command("ip", "route", "del", "default", "via", GATEWAYS[6])
    interface = default_stack().add_link(Passt())
    assert interface.addresses == ["10.0.2.15"]
    reach(world, 4)


@in_own_process
def test_addresses_are_what_one_likes(namespace: str, world: str) -> None:
    default_stack().add_link(
        Passt(mtu=1400), addresses=["10.9.0.2/16"], gateway="10.9.0.1", name="wan"
    )
    with socket.socket() as sock:
        sock.settimeout(JOIN_S)
        with listener(world, 4) as listening:
            sock.connect((WORLD[4], listening.getsockname()[1]))
            assert sock.getsockname()[0] == "10.9.0.2"
            assert sock.getsockopt(host.IPPROTO_TCP, host.TCP_MAXSEG) <= 1360


@in_own_process
def test_addresses_of_the_host_come_by_dhcp(namespace: str, world: str) -> None:
    interface = default_stack().add_link(Passt(), addresses=["dhcp"])
    interface.wait(JOIN_S)
    with listener(world, 4) as listening:
        there = (WORLD[4], listening.getsockname()[1])
        with socket.create_connection(there, timeout=JOIN_S) as client:
            assert client.getsockname()[0] == "192.0.2.2"
            server, _ = listening.accept()
            with server:
                exchange(client, server)


@in_own_process
def test_passt_ends_with_its_link_and_with_its_stack(namespace: str, world: str) -> None:
    stack = Stack()
    interface = stack.add_link(Passt())
    assert len(running(namespace)) == 1
    interface.close()
    await_that(lambda: not running(namespace))
    stack.add_link(Passt())
    assert len(running(namespace)) == 1
    stack.halt()
    await_that(lambda: not running(namespace))


@in_own_process
def test_end_of_passt_is_loss_of_carrier(namespace: str, world: str) -> None:
    interface = default_stack().add_link(Passt())
    reach(world, 4)
    assert interface.carrier
    (pid,) = running(namespace)
    os.kill(pid, signal.SIGKILL)
    await_that(lambda: not interface.carrier)
    interface.close()
    default_stack().add_link(Passt())
    reach(world, 4)


@in_own_process
def test_forked_child_has_a_passt_of_its_own(namespace: str, world: str) -> None:
    stack = default_stack()
    stack.add_link(Impair(Passt(), delay_ms=1), name="wan")
    reach(world, 4)

    def check() -> None:
        assert len(running(namespace)) == 1
        reach(world, 4)
        reach(world, 6)
        assert len(running(namespace)) == 2

    in_child(check)
    await_that(lambda: len(running(namespace)) == 1)
    reach(world, 4)


@in_own_process
def test_passt_that_runs_already_is_connected_to(namespace: str, world: str, tmp_path: str) -> None:
    path = f"{tmp_path}/passt.socket"
    with pytest.raises(FileNotFoundError, match=r"nobody listens there: passt --socket"):
        default_stack().add_link(Passt(path))
    # The user nobody makes the socket.
    os.chmod(tmp_path, 0o777)
    for parent in list(Path(tmp_path).parents)[:2]:
        os.chmod(parent, 0o755)
    subprocess.run(["passt", "--socket", path, "--one-off"], check=True, capture_output=True)
    default_stack().add_link(Passt(path))
    reach(world, 4)
    reach(world, 6)


@in_own_process
def test_program_is_run_behind_passt(namespace: str, world: str) -> None:
    with listener(world, 4) as listening:
        program = f"""import socket
with socket.create_connection(("{WORLD[4]}", {listening.getsockname()[1]}), timeout=20) as sock:
    sock.sendall(sock.getsockname()[0].encode())"""
        command = [sys.executable, "-m", "lklsock", "run", "--passt", "-c", program]
        with subprocess.Popen(command) as process:
            server, _ = listening.accept()
            with server:
                server.settimeout(JOIN_S)
                assert server.recv(64, host.MSG_WAITALL) == b"10.0.2.15"
            assert process.wait(JOIN_S) == 0


@in_own_process
def test_passt_that_is_not_there_is_told_with_its_package(namespace: str, world: str) -> None:
    os.environ["PATH"] = "/nowhere"
    with pytest.raises(FileNotFoundError, match="no program passt: as root: apt-get install passt"):
        default_stack().add_link(Passt())


@in_own_process
def test_passt_that_does_not_start_is_told_with_its_reason(namespace: str, world: str) -> None:
    stack = default_stack()
    with pytest.raises(OSError, match=r"passt does not start: .*Invalid port specifier 70000"):
        stack.add_link(Passt(tcp_ports="70000"))
    with pytest.raises(OSError, match=r"passt does not start: unrecognized option '--what'$"):
        stack.add_link(Passt(options=["--what"]))
    assert not running(namespace)
