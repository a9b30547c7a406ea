"""A DHCP client for an interface of a stack: asks, renews, rebinds, and gives back.

pyroute2 has the messages. Its client is not used: it opens packet sockets and netlink of the host
by itself, brings an event loop along, and ends by a message that lacks an option. This one runs on
the stack's netlink thread, which waits for its sockets and its times, and is there after a fork.

Its packet socket is open only while an answer is due: it would see every packet of the interface.
Source: RFC 2131, 4.4.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import random
import socket as _stdlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyroute2.dhcp.dhcp4socket import listen_udp_port
from pyroute2.dhcp.enums.dhcp import MessageType
from pyroute2.ext import bpf

from . import _dhcp_message as message
from . import _rtnetlink
from ._dhcp_message import Answer, Lease, MalformedMessageError
from ._dhcp_use import LeaseUse

if TYPE_CHECKING:
    from ._interface import Interface
    from ._netlink import NetlinkThread, Timer
    from ._socket import socket
    from .stack import Stack

_SO_ATTACH_FILTER = 26
_SO_RCVBUF_LEAST = 1
_ETH_P_IP = 0x0800
_RECEIVE_BYTES = 1 << 16

# The first one, and the last one. RFC 2131 would have 4 s for a slow Ethernet of 1997.
_RETRY_FROM_S, _RETRY_TO_S = 2.0, 64.0
_REBOOT_TRIES = 2
_REQUEST_TRIES = 4
# Between requests for what we still have; RFC 2131, 4.4.5.
_RENEW_RETRY_S = 60.0
_NO_HOSTNAME = "(none)"
_DECLINED_S = 10.0
_REFUSED_S = 1.0

log = logging.getLogger("lklsock")


class DhcpClient:
    """Keeps a lease for an interface, from the moment that it has carrier until `stop`.

    Attributes:
        state: "no carrier", "selecting", "requesting", "bound", "renewing", "rebinding",
            "rebooting": asks whether an old lease still holds; or "stopped".
        ignored: Messages that were malformed.
        trouble: What went wrong last; empty while there is a lease.
    """

    what = "DHCP lease"

    def __init__(self, stack: Stack, interface: Interface, *, has_gateway: bool) -> None:
        self.state = "no carrier"
        self.ignored = 0
        self.trouble = ""
        self._stack = stack
        self._interface = interface
        self._use = LeaseUse(stack, interface, has_gateway=has_gateway)
        self._thread: NetlinkThread = stack.netlink_thread()
        self._arrived = threading.Event()
        self._news: socket | None = None
        self._packets: socket | None = None
        self._sink: socket | None = None
        self._mac = self._hostname = ""
        self._xid = 0
        self._began_s = self._asked_s = 0.0
        self._offer: Lease | None = None
        self._step: Timer | None = None
        self._expiry: Timer | None = None
        self._thread.call(self._start)

    def __repr__(self) -> str:
        address = self.lease.address if self.lease else "no lease"
        return f"<DhcpClient {self._interface.name} {self.state} {address}>"

    @property
    def lease(self) -> Lease | None:
        """What is granted; None if nothing is."""
        return self._use.lease

    def wait(self, timeout_s: float | None) -> bool:
        """Waits for a lease. Returns whether there is one."""
        return self._arrived.wait(timeout_s)

    def obstacle(self) -> str:
        """Why there is no lease."""
        if self.state == "selecting":
            return self.trouble or "no server answers"
        return f"{self.state}{': ' if self.trouble else ''}{self.trouble}"

    def renew(self) -> None:
        """Asks the server for more time now, as it does by itself at half time."""
        self._thread.call(self._renew_early)

    def _renew_early(self) -> None:
        if self.state == "bound":
            self._renew()

    def stop(self) -> None:
        """Gives the lease back (RELEASE), and takes the address away."""
        self._thread.call(self._stop)

    # ---- on the netlink thread: the link

    def _start(self) -> None:
        self._mac = self._interface.mac
        hostname = self._stack.kernel.read_file("/proc/sys/kernel/hostname").decode().strip()
        self._hostname = "" if hostname == _NO_HOSTNAME else hostname
        news = self._stack.socket(_stdlib.AF_NETLINK, _stdlib.SOCK_RAW, _rtnetlink.NETLINK_ROUTE)
        news.setblocking(False)
        news.bind((0, _rtnetlink.LINK_GROUP))
        self._news = news
        self._thread.watch(news.fileno(), self._read_news)
        self._thread.at_close(self._stop)
        self._look()

    def _look(self) -> None:
        self._heed(self._interface.is_usable)

    def _read_news(self) -> None:
        assert self._news is not None
        found = _rtnetlink.news(self._news)
        if found is None:
            self._look()
            return
        for state in _rtnetlink.states(found):
            is_ours = state.ifindex == self._interface.ifindex
            if is_ours and isinstance(state, _rtnetlink.LinkState):
                self._heed(state.usable)

    def _heed(self, is_usable: bool) -> None:
        """Carrier came or went. A lease is kept as long as it lasts, and confirmed afterwards."""
        if self.state == "stopped" or is_usable == (self.state != "no carrier"):
            return
        if not is_usable:
            self._become("no carrier")
            self._stop_asking()
        elif self.lease is not None:
            self._reboot()
        else:
            self._select()

    # ---- on the netlink thread: the states of RFC 2131

    def _select(self) -> None:
        self._begin("selecting")
        self._retry(self._discover, _doubling())

    def _discover(self) -> None:
        self._send(MessageType.DISCOVER)

    def _hear_offer(self, found: Answer) -> None:
        offer = message.lease(found, self._asked_s)
        self._offer = offer
        self._become("requesting")
        # A lease counts from the first request for it.
        self._asked_s = time.monotonic()
        self._retry(self._request, _doubling(_REQUEST_TRIES), self._select)

    def _request(self) -> None:
        assert self._offer is not None
        requested = str(self._offer.subnet.ip)
        self._send(MessageType.REQUEST, requested=requested, server=self._offer.server)

    def _reboot(self) -> None:
        self._begin("rebooting")
        self._retry(self._confirm, _doubling(_REBOOT_TRIES), self._select)

    def _confirm(self) -> None:
        if self.lease is not None:
            self._send(MessageType.REQUEST, requested=str(self.lease.subnet.ip))

    def _renew(self) -> None:
        if self.lease is None:
            return
        self._begin("renewing")
        self._swallow()
        self._retry(self._extend, self._halving(self.lease.rebinding_s), self._rebind)

    def _rebind(self) -> None:
        if self.lease is None:
            return
        self._begin("rebinding")
        # Nothing is left to be done then: the lease expires.
        self._retry(self._extend, self._halving(self.lease.lifetime_s))

    def _extend(self) -> None:
        if self.lease is None:
            return
        client = str(self.lease.subnet.ip)
        if self.state == "renewing":
            self._send(
                MessageType.REQUEST,
                client=client,
                server=self.lease.server,
                server_mac=self.lease.server_mac,
                is_unicast=True,
            )
        else:
            self._send(MessageType.REQUEST, client=client)

    def _hear_ack(self, found: Answer) -> None:
        granted = message.lease(found, self._asked_s)
        try:
            self._use.apply(granted)
        except OSError as error:
            self._decline(granted, error)
            return
        self._stop_asking()
        self._become("bound")
        self.trouble = ""
        self._arrived.set()
        now = time.monotonic()
        if not math.isinf(granted.renewal_s):
            self._later(granted.asked_s + granted.renewal_s - now, self._renew)
        if self._expiry is not None:
            self._expiry.cancel()
        if not math.isinf(granted.lifetime_s):
            left_s = granted.asked_s + granted.lifetime_s - now
            self._expiry = self._thread.call_later(left_s, self._expire)

    def _hear_nak(self) -> None:
        self.trouble = "the server refused the address"
        self._stop_asking()
        self._drop()
        self._become("selecting")
        self._later(_REFUSED_S, self._select)

    def _decline(self, granted: Lease, error: OSError) -> None:
        self.trouble = error.strerror or str(error)
        log.warning("dhcp: %s: %s is declined: %s", self._interface.name, granted.address, error)
        self._send(MessageType.DECLINE, requested=str(granted.subnet.ip), server=granted.server)
        self._stop_asking()
        self._drop()
        self._become("selecting")
        self._later(_DECLINED_S, self._select)

    def _drop(self) -> None:
        """Takes away what the lease gave."""
        self._arrived.clear()
        if self._expiry is not None:
            self._expiry.cancel()
        self._use.drop()

    def _expire(self) -> None:
        log.warning("dhcp: %s: the lease has expired", self._interface.name)
        self._drop()
        self.trouble = "the lease has expired"
        if self.state not in ("no carrier", "stopped"):
            self._select()

    def _stop(self) -> None:
        """Does nothing the second time."""
        if self.state == "stopped":
            return
        if self.lease is not None and self.state != "no carrier":
            self._send(
                MessageType.RELEASE,
                client=str(self.lease.subnet.ip),
                server=self.lease.server,
                server_mac=self.lease.server_mac,
                is_unicast=True,
            )
        self._become("stopped")
        self._stop_asking()
        self._drop()
        self._thread.not_at_close(self._stop)
        if self._news is not None:
            self._thread.unwatch(self._news.fileno())
            self._news.close()

    # ---- on the netlink thread: asking

    def _become(self, state: str) -> None:
        self.state = state
        log.debug("dhcp: %s: %s", self._interface.name, state)

    def _begin(self, state: str) -> None:
        """A new transaction."""
        self._become(state)
        self._xid = random.SystemRandom().randrange(1, 1 << 32)
        self._began_s = self._asked_s = time.monotonic()

    def _later(self, delay_s: float, callback: Callable[[], object]) -> None:
        """The next step, in place of the one that was to come."""
        if self._step is not None:
            self._step.cancel()
        self._step = self._thread.call_later(max(delay_s, 0.0), callback)

    def _retry(
        self,
        ask: Callable[[], None],
        delays_s: Iterator[float],
        give_up: Callable[[], None] | None = None,
    ) -> None:
        """Asks now, and after each of the delays; then gives up."""
        ask()
        delay_s = next(delays_s, None)
        if delay_s is not None:
            self._later(delay_s, lambda: self._retry(ask, delays_s, give_up))
        elif give_up is not None:
            give_up()

    def _halving(self, until_s: float) -> Iterator[float]:
        """Half of what is left each time; RFC 2131, 4.4.5. Ends when it is time."""
        assert self.lease is not None
        end_s = self.lease.asked_s + until_s
        while (left_s := end_s - time.monotonic()) > 0:
            yield left_s if left_s <= _RENEW_RETRY_S else max(left_s / 2, _RENEW_RETRY_S)

    def _send(self, kind: MessageType, **more: Any) -> None:
        try:
            packets = self._packets or self._open()
            secs = int(time.monotonic() - self._began_s)
            packets.send(
                message.request(
                    kind,
                    mac=self._mac,
                    xid=self._xid,
                    secs=secs,
                    hostname=self._hostname,
                    **more,
                )
            )
        except OSError as error:
            # The link went just now; its news are on their way. Or there is no memory.
            self.trouble = os.strerror(error.errno or errno.EIO)

    def _open(self) -> socket:
        sock = self._stack.socket(_stdlib.AF_PACKET, _stdlib.SOCK_RAW, 0)
        sock.setblocking(False)
        program, _instructions = bpf.compile(listen_udp_port(message.CLIENT_PORT))
        sock.setsockopt(_stdlib.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        sock.bind((self._interface.name, _ETH_P_IP))
        self._thread.watch(sock.fileno(), self._read_packets)
        self._packets = sock
        return sock

    def _swallow(self) -> None:
        """Keeps the kernel from answering a server's unicast with "port unreachable"."""
        with suppress(OSError):
            sink = self._stack.socket(_stdlib.AF_INET, _stdlib.SOCK_DGRAM)
            self._sink = sink
            sink.setsockopt(_stdlib.SOL_SOCKET, _stdlib.SO_RCVBUF, _SO_RCVBUF_LEAST)
            device = self._interface.name.encode()
            sink.setsockopt(_stdlib.SOL_SOCKET, _stdlib.SO_BINDTODEVICE, device)
            sink.bind(("", message.CLIENT_PORT))

    def _stop_asking(self) -> None:
        if self._step is not None:
            self._step.cancel()
        if self._packets is not None:
            self._thread.unwatch(self._packets.fileno())
            self._packets.close()
            self._packets = None
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _read_packets(self) -> None:
        while self._packets is not None:
            try:
                data = self._packets.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                # ENETDOWN is told once; the news of the link have it, too.
                self.trouble = os.strerror(error.errno or errno.EIO)
                return
            try:
                self._hear(message.answer(data))
            except MalformedMessageError as error:
                self.ignored += 1
                log.debug("dhcp: %s: ignored: %s", self._interface.name, error)

    def _hear(self, found: Answer) -> None:
        if found.xid != self._xid or found.client_mac != self._mac:
            return
        if found.kind == MessageType.OFFER and self.state == "selecting":
            self._hear_offer(found)
        elif self.state in ("requesting", "rebooting", "renewing", "rebinding"):
            if found.kind == MessageType.ACK:
                self._hear_ack(found)
            elif found.kind == MessageType.NAK:
                self._hear_nak()


def _doubling(tries: int | None = None) -> Iterator[float]:
    """Delays, a tenth more or less, so that not all clients ask at once after an outage."""
    delay_s, count = _RETRY_FROM_S, 0
    while tries is None or count < tries:
        yield delay_s * random.uniform(0.9, 1.1)
        delay_s = min(delay_s * 2, _RETRY_TO_S)
        count += 1
