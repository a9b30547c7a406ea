"""What else of the kernel a program, or a tool of ours, stands on: epoll, inet_diag, namespaces."""

import platform
import struct

from own_process import in_own_process
from system_calls import CLONE_NEWNET, EPOLL_CREATE1, EPOLL_CTL, EPOLL_PWAIT, UNSHARE

from lklsock import Stack, socket

EPOLLIN = 1
EPOLL_CTL_ADD = 1
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_DONE = 3
TCP_LISTEN = 10
INET_DIAG_REQ_PROTOCOL = 3


@in_own_process
def test_epoll_inside_the_kernel_tells_readiness() -> None:
    stack = Stack()
    kernel = stack.kernel
    sock = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    sock.bind(("127.0.0.1", 0))
    epoll = kernel.system_call(EPOLL_CREATE1, 0)
    # struct epoll_event is packed on x86-64 only.
    layout = "<IQ" if host_is_x86() else "<IxxxxQ"
    event = struct.pack(layout, EPOLLIN, 77)
    assert kernel.system_call(EPOLL_CTL, epoll, EPOLL_CTL_ADD, sock.lkl_fd, event) == 0
    answer = bytearray(struct.calcsize(layout))
    assert kernel.system_call(EPOLL_PWAIT, epoll, answer, 1, 0, 0, 8) == 0
    sock.sendto(b"x", 0, sock.getsockname())
    assert kernel.system_call(EPOLL_PWAIT, epoll, answer, 1, 1000, 0, 8) == 1
    assert struct.unpack(layout, answer) == (EPOLLIN, 77)
    sock.close()


def host_is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def listening_ports(stack: Stack, protocol: int) -> set[int]:
    """The ports of listeners, as inet_diag dumps them."""
    # An attribute carries the protocol that has no room in a byte.
    body = struct.pack("=BBBBI48x", socket.AF_INET, min(protocol, 255), 0, 0, 1 << TCP_LISTEN)
    body += struct.pack("=HHI", 8, INET_DIAG_REQ_PROTOCOL, protocol)
    header = struct.pack(
        "=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0
    )
    ports = set()
    with stack.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as diag:
        diag.settimeout(10)
        diag.send(header + body)
        while True:
            data = diag.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind != SOCK_DIAG_BY_FAMILY:
                    assert kind == NLMSG_DONE
                    return ports
                ports.add(struct.unpack_from("!H", data, 16 + 4)[0])
                data = data[(length + 3) & ~3 :]


@in_own_process
def test_inet_diag_dumps_listeners_of_tcp_and_mptcp() -> None:
    stack = Stack()
    with stack:
        mptcp = socket.create_server(("127.0.0.1", 0))
        stack.mptcp_mode = "off"
        tcp = socket.create_server(("127.0.0.1", 0))
    assert mptcp.getsockname()[1] in listening_ports(stack, 262)
    assert tcp.getsockname()[1] in listening_ports(stack, 6)
    tcp.close()
    mptcp.close()


@in_own_process
def test_task_has_namespaces_of_its_own() -> None:
    stack = Stack()
    kernel = stack.kernel
    task = kernel.task()
    kernel.system_call(UNSHARE, CLONE_NEWNET, task=task)
    inner = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0, task)
    # Its loopback is down, everybody else's is up.
    assert inner.connect(("127.0.0.1", 9)) != 0
    outer = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    assert outer.connect(("127.0.0.1", 9)) == 0
    inner.close()
    outer.close()
