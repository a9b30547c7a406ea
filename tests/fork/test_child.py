"""A forked child: a stack of its own, told what its parent's was told, or a reason why not."""

import os
import warnings

import pytest
from forked import in_child
from host_network import command
from own_process import in_own_process

from lklsock import KernelNotRunningError, Stack, current_stack, default_stack, mptcp, socket
from lklsock.link import Impair, Packet, Pcap, Tap, Wire


def exchange() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"here")
                assert accepted.recv(16) == b"here"


@in_own_process
def test_child_is_told_what_its_parent_was_told() -> None:
    stack = default_stack()
    stack.sysctl("net.ipv4.tcp_fin_timeout", 33)
    stack.interface("lo").add_address("10.9.0.1/32")
    mptcp.limits(subflows=3)
    endpoint = mptcp.endpoint_add("10.9.0.1", flags="signal")

    def check() -> None:
        exchange()
        assert stack.sysctl("net.ipv4.tcp_fin_timeout") == "33"
        assert mptcp.limits().subflows == 3
        assert mptcp.endpoints() == [endpoint]
        with socket.create_server(("10.9.0.1", 0)):
            pass
        in_child(lambda: pytest.fail("changed") if mptcp.limits().subflows != 3 else None)

    in_child(check)
    exchange()


@in_own_process
def test_child_of_a_with_block_has_that_stack() -> None:
    with Stack(hostname="inner") as stack:

        def check() -> None:
            assert current_stack() is stack
            exchange()
            assert stack.sysctl("kernel.hostname") == "inner"

        in_child(check)


@in_own_process
def test_child_is_told_which_link_it_cannot_have() -> None:
    left, right = Wire.pair()
    stack, other = Stack(), Stack()
    stack.add_link(Impair(left, delay_ms=1), addresses=["10.0.0.1/24"], name="side")
    other.add_link(right, addresses=["10.0.0.2/24"])

    def check() -> None:
        for _ in range(2):
            with pytest.raises(KernelNotRunningError, match=r"link side .* a wire has two ends"):
                stack.socket()
        exchange()

    in_child(check)


@in_own_process
def test_halted_stack_stays_halted_in_a_child() -> None:
    stack = Stack()
    stack.socket().close()
    stack.halt()

    def check() -> None:
        with pytest.raises(KernelNotRunningError):
            stack.socket()

    in_child(check)


@in_own_process
def test_child_disturbs_no_socket_of_its_parent_and_keeps_no_descriptor_of_its_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    shown = {client.fileno(), accepted.fileno()}
    # Nor is it what was accepted last, which the child would have.
    exchange()

    def check() -> None:
        kinds = {
            os.readlink(f"/proc/self/fd/{fd}"): fd
            for fd in map(int, os.listdir("/proc/self/fd"))
            if os.path.exists(f"/proc/self/fd/{fd}")
        }
        assert not [kind for kind in kinds if "epoll" in kind or "timer" in kind]
        for sock in (client, accepted):
            with pytest.raises(KernelNotRunningError):
                sock.send(b"x")
            sock.close()

    in_child(check)
    assert shown == {client.fileno(), accepted.fileno()}
    client.sendall(b"still")
    assert accepted.recv(10) == b"still"
    client.close()
    assert accepted.recv(10) == b""
    accepted.close()


@in_own_process
def test_fork_warns_of_no_thread_of_ours() -> None:
    mptcp.limits(subflows=3)
    with warnings.catch_warnings(record=True) as warned:
        # fork() itself would swallow an error.
        warnings.simplefilter("always")
        for _ in range(5):
            in_child(lambda: None)
            exchange()
            assert mptcp.limits().subflows == 3
    assert not warned


@in_own_process
def test_each_process_has_a_tap_of_its_own(namespace: str, tmp_path: str) -> None:
    stack = default_stack()
    capture = f"{tmp_path}/out.pcap"
    stack.add_link(
        Pcap(Tap("lklt{child}"), capture), addresses=["10.0.{child}.2/24"], gateway="10.0.{child}.1"
    )
    mptcp.endpoint_add("10.0.0.2", ifname="lklt0")

    def check() -> None:
        with socket.create_server(("10.0.1.2", 0)):
            pass
        assert [endpoint.address for endpoint in mptcp.endpoints()] == ["10.0.1.2"]
        assert os.path.exists("/sys/class/net/lklt1")
        assert os.path.exists(f"{tmp_path}/out.{os.getpid()}.pcap")

    in_child(check)
    with socket.create_server(("10.0.0.2", 0)):
        pass


@in_own_process
def test_one_tap_is_refused_with_its_name(namespace: str) -> None:
    default_stack().add_link(Tap("lklt0"), addresses=["10.0.0.2/24"])

    def check() -> None:
        with pytest.raises(KernelNotRunningError, match=r"link lklt0 .* serves one stack"):
            socket.socket()

    in_child(check)


@in_own_process
def test_shared_address_on_a_host_interface_is_refused(namespace: str) -> None:
    command("ip", "link", "add", "lklv0", "type", "veth", "peer", "name", "lklv1")
    default_stack().add_link(Packet("lklv0"), addresses=["10.0.0.2/24"], name="packet0")

    def check() -> None:
        with pytest.raises(KernelNotRunningError, match=r"link packet0 .* IP address, 10.0.0.2/24"):
            socket.socket()

    in_child(check)
