"""A small name server on any sockets: what it knows is a table, and it keeps what it was asked."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

UDP_BYTES = 512

Table = Mapping[tuple[str, str], Sequence[str]]
"""From name, with its final dot, and type to the records' texts."""


class NameServer:
    """Answers by UDP and TCP, until it is closed.

    Args:
        make_socket: `make_socket(family, type)`, as `Stack.socket`.
        address: Where it listens.
        table: What it knows.
        rcode: What it says in place of an answer, such as "SERVFAIL".
        silent: It hears, and never answers.
    """

    def __init__(
        self,
        make_socket: Callable[..., Any],
        address: str,
        table: Table,
        *,
        rcode: str | None = None,
        silent: bool = False,
    ) -> None:
        import socket

        self.asked: list[tuple[str, str, str]] = []
        # A stack's own method: its links last as long as it.
        self._make_socket = make_socket
        self._table = table
        self._rcode = rcode
        self._silent = silent
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._udp = make_socket(family, socket.SOCK_DGRAM)
        self._tcp = make_socket(family, socket.SOCK_STREAM)
        for sock in (self._udp, self._tcp):
            sock.bind((address, 53))
        self._tcp.listen()
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def _serve_udp(self) -> None:
        while True:
            wire, client = self._udp.recvfrom(65535)
            answer = self._answer(wire, "udp")
            if answer is None:
                continue
            wire = answer.to_wire()
            if len(wire) > UDP_BYTES:
                answer.answer = []
                answer.flags |= dns.flags.TC
                wire = answer.to_wire()
            self._udp.sendto(wire, client)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection, connection.makefile("rwb") as file:
                size = int.from_bytes(file.read(2), "big")
                answer = self._answer(file.read(size), "tcp")
                if answer is not None:
                    wire = answer.to_wire()
                    file.write(len(wire).to_bytes(2, "big") + wire)

    def _answer(self, wire: bytes, how: str) -> dns.message.Message | None:
        query = dns.message.from_wire(wire)
        (question,) = query.question
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((question.name.to_text(), kind, how))
        if self._silent:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if self._rcode is not None:
            answer.set_rcode(dns.rcode.from_text(self._rcode))
            return answer
        name = question.name.to_text()
        while alias := self._table.get((name, "CNAME")):
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", *alias))
            name = alias[0]
        if found := self._table.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
        elif not any(known == name for known, _ in self._table):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer
