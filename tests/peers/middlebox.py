"""A middlebox between the stack and the host, which sees each frame and may change or lose it."""

import contextlib
import fcntl
import os
import select
import socket as _host
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from host_network import make_tap

from lklsock.link import Wire

FIN, SYN, ACK = 1, 2, 16
_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6 = 1, 2, 4
_VNET_HEADER = 12
_NEEDS_CSUM = 1
_IPV4, _TCP = b"\x08\x00", b"\x06"
_NOP, _MPTCP = 1, 30


@dataclass
class Segment:
    """A TCP segment over IPv4, in the frame that it came in."""

    outward: bool
    """Whether it leaves the stack."""
    frame: bytearray
    """With the header that the device puts before it."""

    @property
    def _tcp(self) -> int:
        return _VNET_HEADER + 14 + (self.frame[_VNET_HEADER + 14] & 15) * 4

    @property
    def flags(self) -> int:
        return self.frame[self._tcp + 13] & (FIN | SYN | ACK)

    @property
    def payload(self) -> slice:
        """Where its data is in the frame."""
        start = self._tcp + (self.frame[self._tcp + 12] >> 4) * 4
        total = int.from_bytes(self.frame[_VNET_HEADER + 16 : _VNET_HEADER + 18], "big")
        return slice(start, _VNET_HEADER + 14 + total)

    @property
    def has_mptcp(self) -> bool:
        return any(self.frame[option.start] == _MPTCP for option in self._options())

    def strip(self) -> None:
        """Puts NOPs in the place of all MPTCP options, as a firewall does."""
        for option in self._options():
            if self.frame[option.start] == _MPTCP:
                self.frame[option] = bytes([_NOP] * (option.stop - option.start))
        self._sum()

    def _options(self) -> Iterator[slice]:
        at, end = self._tcp + 20, self.payload.start
        while at < end and (kind := self.frame[at]):
            size = 1 if kind == _NOP else self.frame[at + 1]
            yield slice(at, at + size)
            at += size

    def alter(self) -> None:
        """Changes a byte of its data."""
        self.frame[self.payload.stop - 1] ^= 1
        self._sum()

    def _sum(self) -> None:
        """Makes the TCP checksum right, if it is not left to who takes the frame."""
        if self.frame[0] & _NEEDS_CSUM:
            return
        tcp, stop = self._tcp, self.payload.stop
        self.frame[tcp + 16 : tcp + 18] = b"\0\0"
        addresses = self.frame[_VNET_HEADER + 26 : _VNET_HEADER + 34]
        summed = addresses + b"\0" + _TCP + struct.pack("!H", stop - tcp) + self.frame[tcp:stop]
        summed += b"\0" * (len(summed) % 2)
        total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        self.frame[tcp + 16 : tcp + 18] = struct.pack("!H", total ^ 0xFFFF)


class Middlebox:
    """Stands between `link`, which is for the stack, and a TAP device of this namespace.

    Args:
        name: Of the TAP device.
        addresses: The device's, which are the host's.

    Attributes:
        link: For the stack.
        on_segment: Is called with each TCP segment; one that it returns False for is lost.
    """

    def __init__(self, name: str, *addresses: str) -> None:
        self.on_segment: Callable[[Segment], bool | None] = lambda _: None
        make_tap(name, *addresses)
        self._tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(self._tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(self._tap, _TUNSETVNETHDRSZ, struct.pack("i", _VNET_HEADER))
        fcntl.ioctl(self._tap, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6)
        near, self._wire = _host.socketpair(_host.AF_UNIX, _host.SOCK_SEQPACKET)
        self._wire.setblocking(False)
        self.link = Wire(fd=near.detach())
        self._end = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.eventfd_write(self._end, 1)
        self._thread.join()
        self._wire.close()
        os.close(self._tap)
        os.close(self._end)

    def _run(self) -> None:
        poll = select.poll()
        for fd in (self._end, self._tap, self._wire.fileno()):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._end:
                    return
                if fd == self._tap:
                    self._relay(os.read(fd, 1 << 17), self._wire.fileno(), False)
                else:
                    self._relay(self._wire.recv(1 << 17), self._tap, True)

    def _relay(self, data: bytes, to: int, outward: bool) -> None:
        frame = bytearray(data)
        at = _VNET_HEADER + 12
        is_tcp = frame[at : at + 2] == _IPV4 and frame[at + 11 : at + 12] == _TCP
        if is_tcp and self.on_segment(Segment(outward, frame)) is False:
            return
        # A full queue loses it, as on any path.
        with contextlib.suppress(BlockingIOError):
            os.write(to, frame)
