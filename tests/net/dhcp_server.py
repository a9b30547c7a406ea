"""A DHCP server on an interface of a stack, that does what a test tells it to."""

import socket as stdlib
import threading
from collections.abc import Callable
from typing import Any

from pyroute2.dhcp.dhcp4socket import listen_udp_port
from pyroute2.dhcp.enums.bootp import MessageType as Direction
from pyroute2.dhcp.enums.dhcp import MessageType
from pyroute2.ext import bpf
from pyroute2.protocols import ethmsg, ip4msg, udpmsg
from worlds import JOIN_S

from lklsock import Stack
from lklsock._dhcp_message import Message, frame

SO_ATTACH_FILTER = 26
EVERYBODY = "ff:ff:ff:ff:ff:ff", "255.255.255.255"


class DhcpServer:
    """Answers on a thread of its own, until the end of the `with` block.

    Attributes:
        heard: The kinds of the messages that came, with whether they came by unicast.
        options: Of the leases.
        address: What it offers, and grants.
        answers: Whether it answers to a message, by its kind and whether it came by unicast.
        refuses: Answers requests with NAK.
        garbage: Messages that go before each answer; "XXXX" in them becomes the transaction's id.
    """

    def __init__(self, stack: Stack, ifname: str, server: str = "10.9.0.1") -> None:
        self.heard: list[tuple[str, bool]] = []
        self.address = "10.9.0.7"
        self.options: dict[str, Any] = {
            "subnet_mask": "255.255.255.0",
            "router": [server],
            "lease_time": 3600,
        }
        self.answers: Callable[[str, bool], bool] = lambda kind, is_unicast: True
        self.refuses = False
        self.garbage: list[bytes] = []
        self._server = server
        self._mac = stack.interface(ifname).mac
        self._news = threading.Condition()
        self._sock = stack.socket(stdlib.AF_PACKET, stdlib.SOCK_RAW, 0)
        program, _instructions = bpf.compile(listen_udp_port(67))
        self._sock.setsockopt(stdlib.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self._sock.bind((ifname, 0x0800))
        self._sock.settimeout(0.05)
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "DhcpServer":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ends = True
        # It looks every now and then.
        self._thread.join(JOIN_S)
        assert not self._thread.is_alive()
        self._sock.close()

    def await_heard(self, kind: str, count: int = 1, *, unicast: bool | None = None) -> None:
        """Waits until so many messages of a kind have come."""

        def has_come() -> bool:
            fits = [e for e in self.heard if e[0] == kind and unicast in (None, e[1])]
            return len(fits) >= count

        with self._news:
            assert self._news.wait_for(has_come, JOIN_S), self.heard

    def _serve(self) -> None:
        while not self._ends:
            try:
                data = self._sock.recv(4096)
            except OSError:
                # Nobody asks, or there is no carrier.
                continue
            ethernet = ethmsg(buf=data).decode()
            ip = ip4msg(buf=data, offset=ethernet.offset).decode()
            udp = udpmsg(buf=data, offset=ip.offset).decode()
            asked = Message(buf=data, offset=udp.offset).decode()
            kind = asked["options"]["message_type"].name
            is_unicast = ip["dst"] != "255.255.255.255"
            with self._news:
                self.heard.append((kind, is_unicast))
                self._news.notify_all()
            for each in self.garbage:
                payload = each.replace(b"XXXX", asked["xid"].to_bytes(4, "big"))
                self._send(payload, EVERYBODY)
            if kind in ("DISCOVER", "REQUEST") and self.answers(kind, is_unicast):
                self._answer(asked, kind)

    def _answer(self, asked: Any, kind: str) -> None:
        options = {"server_id": self._server, **self.options}
        if kind == "DISCOVER":
            options["message_type"] = MessageType.OFFER
        else:
            wanted = asked["options"].get("requested_ip", asked["ciaddr"])
            refused = self.refuses or wanted != self.address
            options["message_type"] = MessageType.NAK if refused else MessageType.ACK
        message = Message(
            {
                "op": Direction.BOOTREPLY,
                "xid": asked["xid"],
                "chaddr": asked["chaddr"],
                "yiaddr": self.address,
                "options": options,
            }
        )
        # A client that has an address gets its answer there; RFC 2131, 4.1.
        has_address = asked["ciaddr"] != "0.0.0.0"
        to = (asked["chaddr"], asked["ciaddr"]) if has_address else EVERYBODY
        self._send(bytes(message.encode().buf), to)

    def _send(self, payload: bytes, to: tuple[str, str]) -> None:
        macs, addresses = (self._mac, to[0]), (self._server, to[1])
        self._sock.send(frame(payload, macs, addresses, (67, 68)))
