"""Typed contract of the extension module: the only way from Python into the kernel.

Every call that enters the kernel releases the GIL. Results of the non-blocking calls are `None`
for "would block" (EAGAIN, EINPROGRESS): `_wait` then sleeps in `Socket.wait`. Every other failure
is the `OSError` subclass CPython picks for the errno, or a `lklsock.errors.KernelError`.
Addresses are tuples as the stdlib's `socket` has them for the family, names already resolved.
Deadlines are `time.monotonic_ns()` values; `None` means none.
"""

from collections.abc import Iterable
from typing import final

from typing_extensions import Buffer

IN: int
PRI: int
OUT: int
ERR: int
HUP: int
RDHUP: int

LKLSOCK_ABI: int

def set_errors(
    not_running: type[BaseException],
    boot: type[BaseException],
    panic: type[BaseException],
) -> None:
    """Hands over the exception classes of `lklsock.errors`, once, at import.

    They are called with (message, state, pid, console tail).
    """

@final
class Kernel:
    """One loaded copy of liblkl.so.

    The first in a process is the file itself, each further one a copy of its own.
    """

    def __init__(self, library: str) -> None: ...
    def boot(
        self,
        memory_bytes: int,
        command_line: str = "",
        hostname: str | None = None,
        console_level: int = 5,
    ) -> None: ...
    def halt(self, timeout_s: float = 1.0) -> None: ...
    @property
    def state(self) -> str:
        """One of "loaded", "running", "halted", "panicked", "forked"."""
    @property
    def pid(self) -> int:
        """The process that loaded it."""
    @property
    def version(self) -> str:
        """The kernel's release, such as "6.12.117"."""
    def console(self) -> str: ...
    def statistics(self) -> dict[str, int]: ...
    def system_call(self, number: int, *args: int | Buffer, task: Task | None = None) -> int:
        """Any system call; buffers are passed by address and pinned meanwhile."""
    def task(self) -> Task: ...
    def read_file(self, path: str, size: int = 65536) -> bytes: ...
    def write_file(self, path: str, data: Buffer) -> None: ...
    def socket(self, family: int, type: int, proto: int, task: Task | None = None) -> Socket: ...
    def tap(self, name: str) -> Link: ...
    def fd(self, fd: int, mac: bytes) -> Link:
        """A TAP device, packet socket or unix socket: the link owns it, unless it fails."""
    def packet(self, device: str, mac: bytes) -> Link: ...
    def vxlan(
        self,
        vni: int,
        remote: bytes,
        port: int,
        source: bytes,
        device: str,
        local_port: int,
        source_port: int,
    ) -> Link:
        """remote, source: packed, as `inet_pton` gives it; source and device may be empty."""
    def tunnel(
        self,
        remote: bytes,
        port: int,
        source: bytes,
        device: str,
        key: bytes,
        keepalive_ms: int,
        mac: bytes,
    ) -> Link:
        """remote, source: as for `vxlan`; key: 32 bytes."""
    def gateway(self, address: bytes, port: int, keys: bytes, report_fd: int) -> Link:
        """keys: 32 bytes each; report_fd: lines about peers are written to it, it stays open."""
    def wire(self, fd: int) -> Link: ...
    def wire_path(self, path: str, listen: bool) -> Link: ...
    def interface_up(self, ifindex: int, up: bool = True) -> None: ...
    def interface_mtu(self, ifindex: int, mtu: int) -> None: ...
    def interface_carrier(self, ifindex: int, carrier: bool) -> None:
        """False takes a link's carrier away, whatever the link has; True leaves it to the link."""
    def address_add(self, ifindex: int, family: int, address: bytes, prefix_len: int) -> None:
        """address: packed, as `socket.inet_pton` gives it."""
    def address_del(self, ifindex: int, family: int, address: bytes, prefix_len: int) -> None: ...
    def route_add(
        self,
        ifindex: int,
        family: int,
        destination: bytes | None = None,
        prefix_len: int = 0,
        gateway: bytes | None = None,
        metric: int = 0,
        table: int = 254,
    ) -> None: ...
    def route_del(
        self,
        ifindex: int,
        family: int,
        destination: bytes | None = None,
        prefix_len: int = 0,
        gateway: bytes | None = None,
        metric: int = 0,
        table: int = 254,
    ) -> None: ...
    def rule_add(
        self, family: int, source: bytes, prefix_len: int, table: int, priority: int = 0
    ) -> None:
        """Prefix length 0: for all traffic, but the table's default routes do not count."""
    def rule_del(
        self, family: int, source: bytes, prefix_len: int, table: int, priority: int = 0
    ) -> None: ...

@final
class Task:
    """A kernel task of its own: its namespaces and credentials are nobody else's."""

@final
class Link:
    """A link, wrapped or not; attach makes it a net device. Wrapping hands the inner one over."""

    def impair(
        self,
        seed: int,
        tx: tuple[int, int, int, int, float, float, float],
        rx: tuple[int, int, int, int, float, float, float],
    ) -> Link:
        """Each direction: delay_ns, jitter_ns, rate_bit_per_s, queue_bytes, loss, reorder, ...

        The last one is duplicate.
        """
    def impair_set(
        self,
        tx: tuple[int, int, int, int, float, float, float],
        rx: tuple[int, int, int, int, float, float, float],
    ) -> None: ...
    def cut(self, cut: bool, carrier: bool) -> None: ...
    def follow(self, uplink: str) -> Link:
        """With the carrier of an interface of the host, or of one that has this address."""
    def pcap(self, fd: int, snaplen: int = 0) -> Link: ...
    def attach(self, ifname: str, mac: bytes, mtu: int) -> int:
        """Returns the interface index."""
    @property
    def mtu(self) -> int:
        """What it can carry, bytes; 0 for anything."""
    def close(self) -> None: ...
    def counters(self) -> dict[str, int]: ...

@final
class Socket:
    """A non-blocking socket inside a kernel; closes when the last reference goes."""

    @property
    def lkl_fd(self) -> int:
        """The descriptor inside the kernel; -1 when closed."""
    def close(self) -> None:
        """Lingers first, where SO_LINGER asks for it; a signal ends that, and its handler runs."""
    def bind(self, address: object, /) -> None: ...
    def listen(self, backlog: int, /) -> None: ...
    def accept(self) -> tuple[Socket, object] | None: ...
    def connect(self, address: object, /) -> int:
        """The errno: 0, EINPROGRESS, ECONNREFUSED, ..."""
    def send(self, data: Buffer, flags: int = 0, /) -> int | None: ...
    def sendto(self, data: Buffer, flags: int, address: object, /) -> int | None: ...
    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = ...,
        flags: int = 0,
        address: object = None,
        /,
    ) -> int | None: ...
    def recv(self, bufsize: int, flags: int = 0, /) -> bytes | None: ...
    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0, /) -> int | None: ...
    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, object] | None: ...
    def recvfrom_into(
        self, buffer: Buffer, nbytes: int = 0, flags: int = 0, /
    ) -> tuple[int, object] | None: ...
    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, object] | None: ...
    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, object] | None: ...
    def shutdown(self, how: int, /) -> None: ...
    def getsockname(self) -> object: ...
    def getpeername(self) -> object: ...
    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> int | bytes: ...
    def setsockopt(
        self, level: int, option: int, value: int | Buffer | None, optlen: int = 0, /
    ) -> None: ...
    def getsockopt_buffer(self, level: int, option: int, value: Buffer, /) -> bytes:
        """The value goes in, the answer comes out: for MPTCP_FULL_INFO and its like."""
    def ioctl(self, request: int, buffer: Buffer, /) -> int: ...
    def wait(self, events: int, deadline_ns: int | None, /) -> int:
        """Sleeps until one of events is up; ERR and HUP always count.

        Signal handlers run meanwhile (PEP 475); what they raise comes out.

        Returns:
            The mask that is up, 0 at the deadline.
        """
    def poll(self) -> int:
        """The readiness mask now."""
    def shadow(self) -> int:
        """The host file descriptor that mirrors the readiness; the caller owns it."""
    def shadow_move(self, fd: int, /) -> None:
        """Says that `fd`, a copy of that descriptor, is left when the first is closed."""
    def join_host(self, fd: int, /) -> None:
        """What is ready of a host descriptor counts as the socket's, too.

        It is non-blocking, and stays the caller's, who closes this socket, or calls `leave_host`,
        before closing it. Beside the kernel's half, it is writable when both are.
        """
    def leave_host(self) -> None: ...
    def leave_kernel(self) -> None:
        """Closes the kernel's half for good: calls on it fail with EBADF. The shadow stays."""
    def replace_kernel(self, other: Socket, /) -> None:
        """Puts the kernel's half of another socket in the place of its own; close that one then."""
    def refresh(self, came_short: int, /) -> None:
        """To be called after each call on the host half.

        Args:
            came_short: IN or OUT if the call found less of it than it wanted, else 0.
        """
    def bridge(self, fd: int = -1, /) -> int:
        """A host descriptor that carries the data; the caller owns it, and it the connection.

        Args:
            fd: A stream socket of the host, at whose peer the data comes out instead; owned from
                now on, and 0 is returned.
        """

def socket_by_shadow(fd: int, family: int) -> Socket | None:
    """The socket whose shadow this host descriptor, or a copy of it, is; of any kernel."""

def share_kernel(kernel: Kernel, replace: bool = False) -> bool:
    """Makes it the one kernel that the interpreters of this process share, while it runs.

    Returns:
        Whether it is that: another one that runs is replaced only if asked for.
    """

def shared_kernel() -> Kernel | None: ...
def in_main_interpreter() -> bool: ...
def fork_hold() -> None:
    """From now on, until fork_release, kernels do not start their threads again after a fork.

    CPython counts threads right after it, and warns of them. A child starts without a hold.
    """

def fork_release() -> None: ...
