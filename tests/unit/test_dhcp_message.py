"""DHCP messages: what is sent, and what a lease is made of."""

import math
from typing import Any

import pytest
from pyroute2.dhcp.enums.dhcp import MessageType
from pyroute2.protocols import ethmsg, ip4msg, udpmsg

from lklsock import _dhcp_message as message
from lklsock._dhcp_message import Answer, MalformedMessageError, Message

MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


def decoded(frame: bytes) -> tuple[Any, Any, Any, Any]:
    ethernet = ethmsg(buf=frame).decode()
    ip = ip4msg(buf=frame, offset=ethernet.offset).decode()
    udp = udpmsg(buf=frame, offset=ip.offset).decode()
    return ethernet, ip, udp, Message(buf=frame, offset=udp.offset).decode()


def checksum(data: bytes) -> int:
    total = sum(
        int.from_bytes(data[i : i + 2].ljust(2, b"\0"), "big") for i in range(0, len(data), 2)
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def granted(**options: Any) -> Answer:
    """An ACK as it comes."""
    said = {
        "message_type": MessageType.ACK,
        "server_id": "10.0.0.1",
        "subnet_mask": "255.255.255.0",
        "lease_time": 100,
        **options,
    }
    said = {name: value for name, value in said.items() if value is not None}
    fields = {"op": 2, "xid": 7, "yiaddr": "10.0.0.9", "chaddr": MAC, "options": said}
    payload = bytes(Message(fields).encode().buf)
    macs, addresses = (SERVER_MAC, MAC), ("10.0.0.1", "10.0.0.9")
    return message.answer(message.frame(payload, macs, addresses, (67, 68)))


def test_a_request_is_what_rfc_2131_has_for_each_state() -> None:
    frame = message.request(MessageType.DISCOVER, mac=MAC, xid=5, secs=70_000, hostname="box")
    ethernet, ip, udp, fields = decoded(frame)
    assert (ethernet["src"], ethernet["dst"]) == (MAC, "ff:ff:ff:ff:ff:ff")
    assert (ip["src"], ip["dst"]) == ("0.0.0.0", "255.255.255.255")
    assert (udp["sport"], udp["dport"]) == (68, 67)
    assert (fields["xid"], fields["secs"], fields["flags"]) == (5, 65535, 0x8000)
    assert fields["options"]["host_name"] == "box"
    assert {1, 3, 6, 26, 51, 121} <= set(fields["options"]["parameter_list"])
    assert len(frame) == 14 + 20 + 8 + max(300, len(frame) - 42)

    frame = message.request(
        MessageType.REQUEST, mac=MAC, xid=5, requested="10.0.0.9", server="10.0.0.1"
    )
    _, ip, _, fields = decoded(frame)
    assert ip["dst"] == "255.255.255.255"
    assert fields["options"]["requested_ip"] == "10.0.0.9"
    assert fields["options"]["server_id"] == "10.0.0.1"

    renewal = {"client": "10.0.0.9", "server": "10.0.0.1", "server_mac": SERVER_MAC}
    frame = message.request(MessageType.REQUEST, mac=MAC, xid=5, **renewal, is_unicast=True)
    ethernet, ip, _, fields = decoded(frame)
    assert (ethernet["dst"], ip["src"], ip["dst"]) == (SERVER_MAC, "10.0.0.9", "10.0.0.1")
    assert (fields["ciaddr"], fields["flags"]) == ("10.0.0.9", 0)
    assert not {"server_id", "requested_ip"} & set(fields["options"])

    frame = message.request(MessageType.RELEASE, mac=MAC, xid=5, **renewal, is_unicast=True)
    _, _, _, fields = decoded(frame)
    assert fields["options"]["server_id"] == "10.0.0.1"
    assert "parameter_list" not in fields["options"]


def test_checksums_are_right() -> None:
    frame = message.request(MessageType.DISCOVER, mac=MAC, xid=0x12345678, hostname="x")
    ip, udp = frame[14:34], frame[34:]
    assert checksum(ip) == 0xFFFF
    assert checksum(ip[12:20] + b"\0\x11" + len(udp).to_bytes(2, "big") + udp) == 0xFFFF


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({}, (50, 87.5, 100)),
        ({"renewal_time": 10, "rebinding_time": 20}, (10, 20, 100)),
        ({"renewal_time": 30, "rebinding_time": 20}, (20, 20, 100)),
        ({"renewal_time": 200, "rebinding_time": 300}, (50, 87.5, 100)),
        ({"lease_time": -1}, (math.inf, math.inf, math.inf)),
        ({"lease_time": -1, "renewal_time": 5}, (math.inf, math.inf, math.inf)),
        ({"renewal_time": -1, "rebinding_time": -1}, (50, 87.5, 100)),
    ],
)
def test_times_that_make_no_sense_are_replaced(
    options: dict[str, int], times: tuple[float, float, float]
) -> None:
    found = message.lease(granted(**options), 1.0)
    assert (found.renewal_s, found.rebinding_s, found.lifetime_s) == times
    assert (found.address, found.server_mac, found.asked_s) == ("10.0.0.9/24", SERVER_MAC, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"server_id": None},
        {"subnet_mask": None},
        {"lease_time": None},
        {"lease_time": 0},
        {"classless_static_route": [33, 1, 2, 3, 4, 5, 6, 7, 8]},
        {"classless_static_route": [24, 10, 0, 0, 1]},
        {"domain_search": [0xC0, 0]},
        {"domain_search": [5, 97]},
    ],
)
def test_a_lease_that_lacks_something_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError):
        message.lease(granted(**options), 0.0)


def test_what_is_no_answer_is_refused() -> None:
    frame = message.request(MessageType.DISCOVER, mac=MAC, xid=5)
    with pytest.raises(MalformedMessageError):
        message.answer(frame)
    for length in range(0, len(frame), 7):
        with pytest.raises(MalformedMessageError):
            message.answer(frame[:length])
