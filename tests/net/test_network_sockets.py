"""AF_PACKET, AF_NETLINK and raw sockets, on the loopback interface of one stack."""

import struct

import pytest
from own_process import in_own_process
from worlds import exchange, tcp_pair

from lklsock import default_stack, socket

ETH_P_ALL = 3
RTM_NEWLINK = 16
RTM_GETLINK = 18


def checksum(data: bytes) -> int:
    """The Internet checksum, RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@in_own_process
def test_raw_icmp_echo_is_answered() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(10)
        unsummed = struct.pack("!BBHHH", 8, 0, 0, 0x1234, 1) + b"payload!"
        request = unsummed[:2] + struct.pack("!H", checksum(unsummed)) + unsummed[4:]
        sock.sendto(request, ("127.0.0.1", 0))
        while True:
            packet, address = sock.recvfrom(2000)
            header_bytes = (packet[0] & 0xF) * 4
            if packet[header_bytes] == 0:
                break
        assert address == ("127.0.0.1", 0)
        assert packet[header_bytes + 4 :] == request[4:]


@in_own_process
def test_raw_icmpv6_echo_is_answered() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.settimeout(10)
        sock.sendto(struct.pack("!BBHHH", 128, 0, 0, 7, 1) + b"data", ("::1", 0))
        while True:
            packet, address = sock.recvfrom(2000)
            if packet[0] == 129:
                break
        assert address[0] == "::1"
        assert packet[4:] == struct.pack("!HH", 7, 1) + b"data"


@in_own_process
def test_packet_socket_sees_the_frames() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        tap.settimeout(10)
        tap.bind(("lo", ETH_P_ALL))
        name = tap.getsockname()
        assert name[0] == "lo"
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.sendto(b"seen by others", sock.getsockname())
        frame, address = tap.recvfrom(2000)
        assert frame.endswith(b"seen by others")
        assert address[:2] == ("lo", socket.ETH_P_IP if hasattr(socket, "ETH_P_IP") else 0x800)


@in_own_process
def test_netlink_socket_lists_interfaces() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(10)
        sock.bind((0, 0))
        assert sock.getsockname()[0] != 0
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        sock.sendto(struct.pack("=IHHII", 16 + len(body), RTM_GETLINK, 0x301, 7, 0) + body, (0, 0))
        answer, address = sock.recvfrom(65536)
        assert address[0] == 0
        length, kind, _, sequence, _ = struct.unpack_from("=IHHII", answer)
        assert (kind, sequence) == (RTM_NEWLINK, 7)
        assert b"lo\0" in answer[:length]


@in_own_process
def test_pyroute2_configures_the_stack() -> None:
    netlink = default_stack().netlink()
    netlink.link("add", ifname="test0", kind="dummy")
    index = netlink.link_lookup(ifname="test0")[0]
    netlink.addr("add", index=index, address="192.0.2.1", prefixlen=24)
    netlink.link("set", index=index, state="up")
    with socket.socket() as sock:
        sock.bind(("192.0.2.1", 0))
    assert ("192.0.2.0", 24) in [
        (route.get_attr("RTA_DST"), route["dst_len"]) for route in netlink.get_routes(family=2)
    ]
    assert default_stack().interface("test0").ifindex == index
    with pytest.raises(OSError, match="no link"):
        default_stack().interface("test0").cut()
    # And it does not get in the way of the rest.
    client, server = tcp_pair()
    with client, server:
        exchange(client, server)
