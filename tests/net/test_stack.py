"""Stacks: life, settings, links and their errors, several side by side."""

import ctypes
import errno
import gc
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
from host_network import command, make_tap, requires_root, requires_tcpdump, requires_tun
from own_process import in_own_process
from worlds import Thread, Transfer, connected, exchange, pause, tcp_pair, wired_stacks

import lklsock
from lklsock import KernelNotRunningError, Stack, default_stack, set_default_stack, socket
from lklsock._rtnetlink import IFA_F_TENTATIVE
from lklsock.link import Direction, Impair, Pcap, Tap, Wire


@in_own_process
def test_stack_boots_when_first_needed() -> None:
    stack = default_stack()
    assert stack.state == "new"
    assert stack.console() == ""
    with socket.socket():
        assert stack.state == "running"
    assert re.fullmatch(r"6\.12\.\d+", stack.version)
    assert "Linux version 6.12" in stack.console()
    assert repr(stack) == "<lklsock.Stack running>"


@in_own_process
def test_halted_stack_refuses_everything() -> None:
    stack = Stack()
    sock = stack.socket()
    stack.halt()
    stack.halt()
    assert stack.state == "halted"
    for call in (
        lambda: sock.connect(("127.0.0.1", 1)),
        lambda: sock.getsockname(),
        lambda: stack.socket(),
        lambda: stack.sysctl("net.ipv4.ip_forward"),
        lambda: stack.add_link(Wire.pair()[0]),
    ):
        with pytest.raises(KernelNotRunningError, match="halted") as refused:
            call()
        assert refused.value.state == "halted"
        assert refused.value.pid == os.getpid()
        assert not isinstance(refused.value, OSError)
    sock.close()


@in_own_process
def test_stacks_do_not_see_each_other() -> None:
    left, right = Stack(hostname="left"), Stack(hostname="right")
    with left, socket.create_server(("127.0.0.1", 4000)):
        inner = right.socket()
        assert inner.connect_ex(("127.0.0.1", 4000)) == errno.ECONNREFUSED
        inner.close()
        with right:
            inner = socket.socket()
        assert inner.connect_ex(("127.0.0.1", 4000)) == errno.ECONNREFUSED
        inner.close()
        socket.create_connection(("127.0.0.1", 4000)).close()
    assert default_stack().state == "new"
    assert left.sysctl("kernel.hostname") == "left"
    assert right.sysctl("kernel.hostname") == "right"


@in_own_process
def test_selected_stack_is_that_of_the_thread() -> None:
    stack, other = Stack(), Stack()
    set_default_stack(other)
    with stack:
        assert lklsock.current_stack() is stack
        assert Thread(lklsock.current_stack).result() is other
    assert lklsock.current_stack() is other


@in_own_process
def test_sysctl_reads_and_writes() -> None:
    stack = default_stack()
    assert stack.sysctl("net.ipv4.ip_forward") == "0"
    assert stack.sysctl("net.ipv4.ip_forward", 1) == "1"
    assert stack.sysctl("net/ipv4/conf/lo/forwarding") == "1"
    with pytest.raises(FileNotFoundError):
        stack.sysctl("net.ipv4.no_such_thing")
    with pytest.raises(ValueError, match="no name of a setting"):
        stack.sysctl("net../../x")


@in_own_process
def test_process_ends_cleanly_with_everything_open() -> None:
    script = """
import threading
import time
from lklsock import socket, Stack, default_stack
from lklsock.link import Wire
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
client.fileno()
a, b = Wire.pair()
default_stack().add_link(a)
Stack().add_link(b)
threading.Thread(target=client.recv, args=(1,), daemon=True).start()
default_stack().netlink().get_links()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@in_own_process
def test_wire_connects_two_stacks() -> None:
    left, right = wired_stacks()
    for host in ("10.0.0.2", "fd00::2"):
        with connected(left, right, host) as (client, server):
            exchange(client, server)
            assert client.mptcp is not None
            Transfer(client, server, 3_000_000).finish()
    counters = left.interface("wire0").counters()
    assert counters["tx_bytes"] > 6_000_000
    assert counters["rx_malformed"] == 0
    # The last acknowledgements may be under way; a frame that was lost would never come.
    for _ in range(1000):
        sent = left.interface("wire0").counters()["tx_bytes"]
        if right.interface("wire0").counters()["rx_bytes"] == sent:
            return
        pause()
    raise AssertionError("the far end has not received what was sent")


@in_own_process
def test_short_datagrams_cross_a_wire() -> None:
    left, right = wired_stacks()
    with (
        right.socket(type=socket.SOCK_DGRAM) as server,
        left.socket(type=socket.SOCK_DGRAM) as client,
    ):
        server.settimeout(2)
        server.bind(("10.0.0.2", 0))
        for size in range(20):
            client.sendto(b"x" * size, server.getsockname())
            assert len(server.recv(100)) == size


@in_own_process
def test_wire_by_path_comes_and_goes(tmp_path: str) -> None:
    path = Path(tmp_path, "wire")
    left, right = Stack(), Stack()
    near = left.add_link(Wire(path=path, listen=True), addresses=["10.0.0.1/24"])
    assert not near.carrier
    far = right.add_link(Wire(path=str(path)), addresses=["10.0.0.2/24"])
    assert far.carrier
    with connected(left, right) as (client, server):
        exchange(client, server)
        assert near.carrier
    far.close()
    while near.carrier:
        pause()
    assert path.stat().st_mode & 0o777 == 0o600
    left.halt()
    assert not path.exists()


@in_own_process
def test_dead_peer_is_carrier_loss() -> None:
    near, far = Wire.pair()
    interface = default_stack().add_link(near, addresses=["10.0.0.1/24"])
    assert interface.carrier
    os.close(far.fd)  # type: ignore[arg-type]
    while interface.carrier:
        pause()


@in_own_process
def test_interfaces_get_names_and_addresses_of_their_own() -> None:
    stack, other = Stack(), Stack()
    ends = [Wire.pair() for _ in range(2)]
    assert [stack.add_link(near).name for near, _ in ends] == ["wire0", "wire1"]
    named = other.add_link(ends[0][1], name="uplink", mtu=9000)
    assert named.name == "uplink"
    assert other.interface("uplink") is named
    links = {
        message.get_attr("IFLA_IFNAME"): message
        for message in (*stack.netlink().get_links(), *other.netlink().get_links())
    }
    assert links["uplink"].get_attr("IFLA_MTU") == 9000
    macs = {links[name].get_attr("IFLA_ADDRESS") for name in ("wire0", "wire1", "uplink")}
    assert len(macs) == 3
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)
    with pytest.raises(FileExistsError):
        other.add_link(ends[1][1], name="uplink")


@in_own_process
def test_impaired_link_delays_and_can_be_changed_and_cut() -> None:
    left, right = wired_stacks(delay_ms=20)
    wire = left.interface("wire0")
    with right:
        server = socket.socket(type=socket.SOCK_DGRAM)
    client = left.socket(type=socket.SOCK_DGRAM)
    server.bind(("10.0.0.2", 0))
    client.connect(server.getsockname())
    client.send(b"the first waits for ARP")
    server.recv(100)
    begin = time.monotonic()
    client.send(b"this one is late")
    assert server.recv(100) == b"this one is late"
    assert time.monotonic() - begin >= 0.019
    wire.set_impairment(Direction())
    client.send(b"this one is not")
    assert server.recv(100) == b"this one is not"
    wire.cut()
    assert wire.carrier
    client.send(b"this one is lost")
    server.settimeout(0.1)
    with pytest.raises(TimeoutError):
        server.recv(100)
    wire.mend()
    client.send(b"this one is found")
    assert server.recv(100) == b"this one is found"
    wire.cut(carrier=True)
    while wire.carrier:
        pause()
    wire.mend()
    while not wire.carrier:
        pause()
    client.close()
    server.close()


@requires_tcpdump
@in_own_process
def test_capture_is_what_tcpdump_reads(tmp_path: str) -> None:
    path = Path(tmp_path, "wire.pcap")
    near, far = Wire.pair()
    left, right = Stack(), Stack()
    left.add_link(Pcap(Impair(near, delay_ms=1), path), addresses=["10.0.0.1/24"])
    right.add_link(far, addresses=["10.0.0.2/24"])
    with connected(left, right) as (client, server):
        exchange(client, server)
    left.halt()
    printed = command("tcpdump", "-nr", str(path))
    assert "10.0.0.1" in printed
    assert "mptcp" in printed


def drop_capabilities() -> None:
    """What root may do beyond opening its own files goes. Source: capset(2)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0


@requires_tun
@in_own_process
def test_missing_tap_is_told_with_its_remedy() -> None:
    make = r"ip tuntap add dev lkls-none mode tap user \$USER vnet_hdr"
    drop_capabilities()
    with pytest.raises(OSError, match=rf"TAP device lkls-none: .*: as root: {make}") as missing:
        default_stack().add_link(Tap("lkls-none"))
    assert missing.value.errno in (errno.ENODEV, errno.EPERM)


@pytest.mark.root
@requires_root
@requires_tun
@in_own_process
def test_tap_in_use_is_told_by_whom(namespace: str) -> None:
    make_tap("tap0")
    first = default_stack().add_link(Tap("tap0"))
    with pytest.raises(
        OSError, match=rf"TAP device tap0: .*: in use by .*\(pid {os.getpid()}\)"
    ) as busy:
        Stack().add_link(Tap("tap0"))
    assert busy.value.errno == errno.EBUSY
    first.close()
    Stack().add_link(Tap("tap0")).close()


@in_own_process
def test_missing_library_is_told() -> None:
    from lklsock import _life

    _life._library.__globals__["__file__"] = "/nowhere/lklsock/stack.py"
    with pytest.raises(
        lklsock.KernelBootError, match=r"/nowhere/lklsock/_kernel/liblkl.so is missing"
    ):
        default_stack().boot()


@in_own_process
def test_forked_child_gets_a_stack_of_its_own() -> None:
    client, server = tcp_pair()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(KernelNotRunningError) as refused:
                client.send(b"x")
            assert refused.value.state == "forked"
            pair = tcp_pair()
            exchange(*pair)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    exchange(client, server)
    client.close()
    server.close()


@in_own_process
def test_threads_of_one_process_boot_one_kernel() -> None:
    barrier = threading.Barrier(8)

    def boot() -> object:
        barrier.wait()
        return default_stack().kernel

    assert len({id(thread.result()) for thread in [Thread(boot) for _ in range(8)]}) == 1


@in_own_process
def test_dropped_stack_keeps_its_links_while_it_has_sockets() -> None:
    left, right = wired_stacks(delay_ms=1)
    receiver = left.socket(type=socket.SOCK_DGRAM)
    receiver.bind(("10.0.0.1", 7))
    receiver.settimeout(30)
    kernel = weakref.ref(left)
    del left
    gc.collect()
    assert kernel() is None
    with right.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"here", ("10.0.0.1", 7))
        assert receiver.recv(10) == b"here"
    assert right.interface("wire0").carrier
    receiver.close()
    del receiver
    gc.collect()
    for _ in range(2000):
        if not right.interface("wire0").carrier:
            return
        pause()
    raise AssertionError("the link outlived its kernel")


@in_own_process
def test_new_ipv6_addresses_are_not_on_trial() -> None:
    left, _ = wired_stacks()
    for line in left.kernel.read_file("/proc/net/if_inet6").decode().splitlines():
        flags, name = line.split()[4:]
        assert not int(flags, 16) & IFA_F_TENTATIVE, f"{line} of {name}"
