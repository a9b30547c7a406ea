import errno
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from lklsock.link import (
    Direction,
    Fd,
    Impair,
    Link,
    Packet,
    Passt,
    Pcap,
    Tap,
    Vxlan,
    Wire,
    innermost,
    with_attributes,
)
from lklsock.link import passt as passt_module
from lklsock.link import tap as tap_module


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tap(), "Tap takes the name of a device; Fd takes an open one"),
        (lambda: Tap(""), "name must be 1-15 bytes"),
        (lambda: Tap("a-name-of-16-byte"), "name must be 1-15 bytes"),
        (lambda: Tap("a/b"), "name must be 1-15 bytes without '/'"),
        (lambda: Fd(), "fd must not be negative"),
        (lambda: Packet(), "name must be 1-15 bytes"),
        (lambda: Vxlan(remote="gw", vni=1), "remote: 'gw' does not appear to be an IPv4"),
        (lambda: Vxlan(remote="192.0.2.1"), "vni must be 0-16777215, not -1"),
        (lambda: Vxlan(remote="192.0.2.1", vni=1, source="::1"), "source must be of the same"),
        (lambda: Vxlan(remote="192.0.2.1", vni=1, port=0), "port must be 1-65535, not 0"),
        (lambda: Vxlan(remote="192.0.2.1", vni=1, device="a/b"), "name must be 1-15 bytes"),
        (lambda: Passt("/run/passt", tcp_ports="80"), "tcp_ports, .* for a passt without path"),
        (lambda: Passt(options="--ipv4-only"), r"options must be a list, such as \['--ipv4"),
        (lambda: Passt(mtu=65521), "mtu must be 65520 at most with passt, not 65521"),
        (lambda: Tap("tap0", mtu=60), "mtu must be 68-65535, not 60"),
        (lambda: Tap("tap0", mac="02:00"), "mac must look like '02:00:00:00:00:01'"),
        (lambda: Tap("tap0", mac="01:00:00:00:00:01"), "mac must be that of one interface"),
        (lambda: Tap("tap0", mac="00:00:00:00:00:00"), "mac must be that of one interface"),
        (lambda: Tap("tap0", addresses="10.0.0.2/24"), r"addresses must be a list, such as \['10"),
        (lambda: Tap("tap0", addresses=["10.0.0.300/24"]), "addresses: .*10.0.0.300/24"),
        (lambda: Tap("tap0", addresses=["10.0.0.2/33"]), "addresses: .*10.0.0.2/33"),
        (lambda: Tap("tap0", gateway="here"), "gateway: 'here'"),
        (lambda: Tap("tap0", gateway="10.0.0.1"), "gateway is an IPv4 address, and addresses has"),
        (
            lambda: Tap("tap0", addresses=["10.0.0.2/24"], gateway=["10.0.0.1", "10.0.0.3"]),
            "gateway must name one IPv4 address at most",
        ),
        (lambda: Wire(), "Wire takes fd or path"),
        (lambda: Wire(fd=3, path="/tmp/x"), "Wire takes fd or path"),
        (lambda: Wire(fd=3, listen=True), "listen goes with path"),
        (lambda: Impair(Tap("tap0"), delay_ms=-1), "delay_ms must not be negative"),
        (lambda: Impair(Tap("tap0"), loss=1.5), "loss must be 0-1, not 1.5"),
        (lambda: Impair(Tap("tap0"), delay_ms=float("nan")), "delay_ms must not be negative"),
        (lambda: Impair(Tap("tap0"), seed=-1), "seed must be 0"),
        (lambda: Direction(reorder=2), "reorder must be 0-1, not 2"),
        (lambda: Direction(queue_bytes=2**32), "queue_bytes must be less than 4 GiB"),
        (lambda: Pcap(Tap("tap0"), "x", snaplen=-1), "snaplen must not be negative"),
    ],
)
def test_bad_description_is_refused_by_the_name_of_its_field(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrapper_takes_a_link_only() -> None:
    with pytest.raises(TypeError, match="link must be a link or a wrapper around one, not str"):
        Impair("tap0")  # type: ignore[arg-type]


def test_description_is_a_value() -> None:
    tap = Tap("tap0", addresses=["10.0.0.2/24", "fd00::2/64"], gateway=["10.0.0.1", "fd00::1"])
    assert tap == Tap("tap0", addresses=("10.0.0.2/24", "fd00::2/64"), gateway=tap.gateway)
    assert hash(tap) == hash(Tap(**vars(tap)))
    assert [str(subnet) for subnet in tap.subnets()] == ["10.0.0.2/24", "fd00::2/64"]
    assert [str(address) for address in tap.gateways()] == ["10.0.0.1", "fd00::1"]
    with pytest.raises(AttributeError):
        tap.mtu = 9000  # type: ignore[misc]


def test_wrappers_lead_to_the_link_inside() -> None:
    tap = Tap("tap0")
    assert innermost(Pcap(Impair(Pcap(tap, "a")), "b")) is tap


def test_given_attributes_replace_the_descriptions() -> None:
    tap = Tap("tap0", mtu=1400, addresses=["10.0.0.2/24"])
    changed = with_attributes(tap, addresses=("10.0.0.9/8",), gateway=None, name="wan", mtu=None)
    assert changed == Tap("wan", mtu=1400, addresses=["10.0.0.9/8"])


def test_directions_differ_where_told() -> None:
    impair = Impair(Tap("tap0"), delay_ms=1.5, loss=0.5, tx=Direction(rate_bit_per_s=8000))
    assert impair.directions() == (
        (0, 0, 8000, 0, 0.0, 0.0, 0.0),
        (1_500_000, 0, 0, 0, 0.5, 0.0, 0.0),
    )


def test_mac_is_local_stable_and_its_own() -> None:
    mac = Tap("tap0").packed_mac("tap0")
    assert mac == Tap("tap0", mtu=9000).packed_mac("tap0")
    assert mac[0] & 3 == 2
    others = {Tap("tap1").packed_mac("tap1"), Wire(path="/a").packed_mac("tap0")}
    others |= {Wire(path="/a", listen=True).packed_mac("tap0")}
    near, far = Wire.pair()
    others |= {near.packed_mac("wire0"), far.packed_mac("wire0")}
    for end in (near, far):
        assert end.fd is not None
        os.close(end.fd)
    others |= {Packet("eth0").packed_mac("packet0"), Packet("eth0").packed_mac("packet0")}
    assert len({mac, *others}) == 8
    assert Tap("tap0", mac="02:00:00:00:00:0a").packed_mac("tap0") == b"\2\0\0\0\0\n"


class Refusing:
    """A kernel that opens no TAP device."""

    def __init__(self, number: int) -> None:
        self.number = number

    def tap(self, *_: object) -> None:
        raise OSError(self.number, os.strerror(self.number))

    fd = packet = vxlan = tap


MAKE = "as root: ip tuntap add dev tap7 mode tap user $USER vnet_hdr && ip link set tap7 up"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENODEV, f"TAP device tap7: No such device: {MAKE}"),
        (errno.EPERM, f"TAP device tap7: Operation not permitted: {MAKE}"),
        (errno.EINVAL, f"TAP device tap7: Invalid argument: {MAKE}"),
        (errno.EBUSY, "TAP device tap7: Device or resource busy: in use by another program"),
        (errno.ENOENT, "there is no /dev/net/tun; as root: modprobe tun"),
    ],
)
def test_tap_that_cannot_be_opened_is_told_with_its_remedy(number: int, message: str) -> None:
    kernel: Any = Refusing(number)
    with pytest.raises(OSError, match=re.escape(message)) as refused:
        Tap("tap7").open(kernel, Tap("tap7").settled("tap7"))
    assert refused.value.errno == number


def test_closed_tun_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_module.os, "access", lambda *_: False)
    kernel: Any = Refusing(errno.EACCES)
    with pytest.raises(PermissionError, match="as root: chmod 0666 /dev/net/tun"):
        Tap("tap7").open(kernel, Tap("tap7").settled("tap7"))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EINVAL, "file descriptor 0: Invalid argument: a TAP device takes IFF_TAP |"),
        (errno.EPROTOTYPE, "a packet socket must be SOCK_RAW"),
        (errno.EBADF, "file descriptor 0: Bad file descriptor"),
    ],
)
def test_descriptor_of_no_kind_is_told_with_what_would_do(number: int, message: str) -> None:
    kernel: Any = Refusing(number)
    with pytest.raises(OSError, match=re.escape(message)):
        Fd(0).open(kernel, Fd(0).settled("fd0"))


def test_host_interface_that_cannot_be_opened_is_told_with_its_remedy() -> None:
    packet = Packet("eth7", addresses=["192.0.2.1/24", "fe80::1/64"])
    kernel: Any = Refusing(errno.EPERM)
    with pytest.raises(PermissionError, match=re.escape("host interface eth7: Operation not")):
        packet.open(kernel, packet.settled("packet0"))


def test_vxlan_that_cannot_be_opened_is_told_with_its_remedy() -> None:
    vxlan = Vxlan(remote="192.0.2.1", vni=1)
    kernel: Any = Refusing(errno.EADDRINUSE)
    with pytest.raises(OSError, match="Address already in use: UDP port 4789"):
        vxlan.open(kernel, vxlan.settled("vxlan0"))


@pytest.mark.parametrize("address", ["127.0.0.1/8", "::1/128"])
def test_address_of_the_host_is_refused_on_its_interface(address: str) -> None:
    packet = Packet("lo", addresses=[address])
    kernel: Any = Refusing(errno.EPERM)
    with pytest.raises(OSError, match="is the host's own address") as refused:
        packet.open(kernel, packet.settled("packet0"))
    assert refused.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("link", "obstacle"),
    [
        (Vxlan(remote="192.0.2.1", vni=1), "the gateway knows one stack"),
        (Packet("lo", addresses=["10.0.0.1/8"]), "cannot have one IP address, 10.0.0.1/8"),
        (Packet("lo", mac="02:00:00:00:00:01"), "cannot have one MAC address"),
        (Packet("lo"), None),
        (Passt(), None),
        (Passt("/run/passt"), "whoever is at /run/passt serves one stack"),
        (Passt(tcp_ports="80"), "ports of the host lead into one stack"),
        (Tap("tap{child}"), None),
    ],
)
def test_what_a_forked_child_cannot_open_is_known(link: Link, obstacle: str | None) -> None:
    found = link.fork_obstacle
    assert found is None if obstacle is None else obstacle in (found or "")


def test_link_of_no_kind_cannot_be_opened() -> None:
    kernel: Any = None
    with pytest.raises(NotImplementedError):
        Link(name="x").open(kernel, Link(name="x"))


def test_passt_that_serves_somebody_else_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "passt")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as other:
        busy.bind(path)
        busy.listen(0)
        other.connect(path)

        def too_long(*_: object) -> None:
            raise AssertionError("connect(2) waits")

        before = signal.signal(signal.SIGALRM, too_long)
        signal.alarm(5)
        try:
            with pytest.raises(BlockingIOError, match="it serves somebody else"):
                passt_module._connect(path)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
