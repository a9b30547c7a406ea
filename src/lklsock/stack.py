"""Stacks: Linux network stacks inside this process, each a kernel of its own.

```python
import lklsock
from lklsock import socket
from lklsock.link import Tap

stack = lklsock.default_stack()             # made and booted when first needed
stack.add_link(Tap("tap0"), addresses=["10.0.0.2/24"], gateway="10.0.0.1")
socket.create_connection(("10.0.0.1", 80))

other = lklsock.Stack(hostname="other")     # a second one, side by side
with other:                                 # new sockets in here are its
    server = socket.create_server(("127.0.0.1", 0))
client = other.socket()                     # the same for one socket
```

After a fork the child has the same stacks, each with a kernel of its own, booted at the first
socket and told what the parent's was told: links (`lklsock.link` says which can be opened twice),
interfaces, sysctls, MPTCP endpoints and limits; not what was done through `netlink()`. Of a preset
it has the endpoints, and nobody who keeps them up: it calls `mptcp.preset` itself. The parent's
sockets stay the parent's: in the child every call raises `KernelNotRunningError`. The connection
that the forking thread accepted last can be left to the child: see `_handover`.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar

from . import _handover, _lkl, _resolver, _socket
from ._life import GIVEN, SHARED, Life, running
from ._sysctl import path_of

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from ._interface import Interface
    from ._names import Names
    from ._netlink import Client
    from ._resolv_conf import Config
    from .link import AnyLink, Link

__all__ = ["Stack", "current_stack", "default_stack", "set_default_stack"]

MPTCP_MODES = ("prefer", "require", "off")


class Stack(Life):
    """A network stack: a kernel, its interfaces, and the sockets made in it.

    It boots when first needed, which takes some milliseconds. `with stack:` makes it the one that
    new sockets of this thread or task live in; it goes on running after that, until `halt`, the
    end of the process, or the end of its last reference and socket.

    Args:
        memory_bytes: What the kernel may use; taken as it is needed. At least 8 MiB.
        hostname: The kernel's own.
        mptcp_mode: What becomes of TCP sockets. "prefer": MPTCP, which falls back to TCP with a
            peer that has none; "require": a connection that falls back is an error; "off": TCP.
        nameservers: Addresses of the servers that names are resolved with, through the stack;
            none for the host's resolver. `lklsock.dns` has more.
        command_line: More for the kernel's command line.
        console_level: The kernel keeps messages more urgent than that, 0-8.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = 128 << 20,
        hostname: str | None = None,
        mptcp_mode: str = "prefer",
        nameservers: Sequence[str] = (),
        command_line: str = "",
        console_level: int = 5,
    ) -> None:
        super().__init__(memory_bytes, command_line, hostname, console_level)
        self.mptcp_mode = mptcp_mode
        self._interfaces: dict[str, Interface] = {}
        self._number: int | None = None
        self._moved: dict[str, str] = {}
        self._dns: Config | None = None
        self._names: Names | None = None
        if nameservers:
            self.nameservers = nameservers

    def __enter__(self) -> Stack:
        self.boot()
        _selected.set((*_selected.get(), self))
        return self

    def __exit__(self, *exc_info: object) -> None:
        _selected.set(_selected.get()[:-1])

    @property
    def mptcp_mode(self) -> str:
        """One of "prefer", "require" and "off"; for sockets made from now on."""
        return self._mptcp_mode

    @mptcp_mode.setter
    def mptcp_mode(self, mode: str) -> None:
        if mode not in MPTCP_MODES:
            raise ValueError(f"mptcp_mode must be one of {', '.join(MPTCP_MODES)}, not {mode!r}")
        self._mptcp_mode = mode

    # ---- what it counts

    def statistics(self) -> dict[str, int]:
        """Counters of the kernel's host side, and its memory in pages."""
        return self.kernel.statistics()

    def counters(self) -> dict[str, dict[str, int]]:
        """The network's counters, by group: "Ip", "Tcp", "TcpExt", "MPTcpExt", "Ip6", "Udp", ...

        Source: /proc/net/snmp, /proc/net/snmp6, /proc/net/netstat; RFC 1213, net/mptcp/mib.c.
        """
        from ._counters import parse

        return parse(self.kernel.read_file)

    # ---- sockets

    def socket(self, family: int = -1, type: int = -1, proto: int = -1) -> _socket.socket:
        """Like `lklsock.socket.socket`, in this stack."""
        with self:
            return _socket.socket(family, type, proto)

    # ---- names

    @property
    def nameservers(self) -> Sequence[str]:
        """The addresses of the servers that names are resolved with, through the stack.

        None: the host's resolver is used. The rest is in `dns`.
        """
        return () if self._dns is None else self._dns.nameservers

    @nameservers.setter
    def nameservers(self, addresses: Sequence[str]) -> None:
        self.dns = self.dns.with_nameservers(addresses)

    @property
    def dns(self) -> Config:
        """How names are looked up: a `lklsock.dns.Config`. The host's, without its nameservers."""
        if self._dns is None:
            from ._resolv_conf import Config

            self._dns = Config.read(nameservers=())
        return self._dns

    @dns.setter
    def dns(self, config: Config) -> None:
        self._dns = config
        self._names = None

    def _resolve_here(self, scoped: bool) -> Names | None:
        """What resolves names in the stack; None if it leaves that to the host."""
        if not self.nameservers and not (scoped and self.state == "running"):
            return None
        names = self._names
        if names is None:
            from ._names import Names

            self._names = names = Names(self.kernel, self.dns, self.socket)
        return names

    # ---- links

    def add_link(
        self,
        link: AnyLink,
        *,
        addresses: str | Sequence[str] = (),
        gateway: str | Sequence[str] | None = None,
        metric: int | None = None,
        name: str | None = None,
        mtu: int | None = None,
    ) -> Interface:
        """Opens a link, and makes an interface of it that is up.

        What is given here goes before what the description says.

        Args:
            link: One of those in `lklsock.link`, or a wrapper around one.
            addresses: With prefix lengths, "10.0.0.2/24" or "fd00::2/64"; "dhcp" and "slaac" for
                those that come by themselves, see `Interface.wait`.
            gateway: The default route's next hop; one of each family at most.
            metric: Of its default routes; None: the links added first go first.
            name: The interface's.
            mtu: Bytes; None for what the link can carry.

        Raises:
            OSError: The link cannot be opened; or EEXIST: there is an interface of this name.
        """
        from .link import innermost, with_attributes

        attributes = with_attributes(
            innermost(link), addresses=addresses, gateway=gateway, metric=metric, name=name, mtu=mtu
        )
        kernel = self.kernel
        with self._lock:
            ifname = attributes.numbered(0).name or self._free_name(attributes.kind)
            return self._open_link(kernel, link, attributes, ifname)

    def _open_link(
        self, kernel: _lkl.Kernel, link: AnyLink, attributes: Link, ifname: str
    ) -> Interface:
        from ._opening import follow, open_interface
        from .link import for_child

        known = self._interfaces.get(ifname)
        before = known.addresses if known else ()
        interface, number = open_interface(
            kernel, link, attributes, ifname, self._number, self.recipe, known
        )
        follow(self, interface, attributes)
        self._moved.update(zip(before, interface.addresses, strict=False))
        self._interfaces[ifname] = interface
        if attributes.numbered(number) != attributes:
            self._number = number
        self.recipe.note(
            ("interface", ifname),
            lambda stack: stack._open_link(stack.kernel, for_child(link), attributes, ifname),
        )
        return interface

    @property
    def interfaces(self) -> list[Interface]:
        """Those that have been added, and have a link."""
        return [interface for interface in list(self._interfaces.values()) if interface.link]

    def _opened_interfaces(self) -> Iterable[Interface]:
        return self._interfaces.values()

    def _forked(self) -> None:
        super()._forked()
        self._number = None
        self._names = None

    def moved(self, address: str) -> str:
        """The address that this process's link has where its parent's had this one."""
        return self._moved.get(address, address)

    def interface(self, name: str) -> Interface:
        """The interface of this name: one that was added, or the kernel's own, such as "lo".

        Raises:
            OSError: ENODEV.
        """
        from ._interface import Interface, name_to_index

        index = name_to_index(self.kernel, name)
        known = self._interfaces.get(name)
        if known is not None and known.ifindex == index:
            return known
        return Interface(self.kernel, name, index, self.recipe)

    def _free_name(self, kind: str) -> str:
        from ._interface import names

        taken = set(names(self.kernel))
        number = 0
        while f"{kind}{number}" in taken:
            number += 1
        return f"{kind}{number}"

    # ---- settings

    def sysctl(self, name: str, value: object = None) -> str:
        """Reads a setting of the kernel, or writes it: `sysctl("net.ipv4.tcp_congestion_control")`.

        As sysctl(8), a name may have slashes for dots, and then dots in its parts.

        Returns:
            The value, after writing if one was given.

        Raises:
            OSError: ENOENT: there is no such setting; EINVAL: it takes no such value.
        """
        path = path_of(name)
        if value is not None:
            self.kernel.write_file(path, str(value).encode())
            self.recipe.note(("sysctl", path), lambda stack: stack.sysctl(name, value))
        return self.kernel.read_file(path).decode().strip()

    def netlink(self) -> Client:
        """A `pyroute2.IPRoute` of this stack, for addresses, routes, rules, qdiscs.

        Every thread may use it, in an event loop, too: it runs on a thread of its own.
        """
        from ._netlink import open_iproute

        return self.netlink_client(open_iproute)

    def netlink_client(self, make: Callable[[Callable[..., Any]], Any]) -> Client:
        """The client of pyroute2 that `make(self.socket)` gives, on the stack's netlink thread."""
        return self.netlink_thread().client(make, self.socket)


_selected: ContextVar[tuple[Stack, ...]] = ContextVar("lklsock stacks", default=())
_default: Stack | None = None
_default_lock = allocate_lock()


def default_stack() -> Stack:
    """The stack of every socket that is not made for another; made now if there is none yet.

    The interpreters of a process share it: one that has none of its own yet uses the kernel that
    another one booted for it, with the links and addresses that are there.
    """
    global _default
    with _default_lock:
        if _default is None:
            _default = Stack()
            _default.share(SHARED)
        return _default


def set_default_stack(stack: Stack) -> None:
    """Makes `stack` the default one. Sockets that exist stay where they are."""
    global _default
    with _default_lock:
        _default = stack
        stack.share(GIVEN)


def current_stack() -> Stack:
    """The stack that a new socket would live in: that of the innermost `with`, or the default."""
    selected = _selected.get()
    return selected[-1] if selected else default_stack()


def running_stacks() -> list[Stack]:
    """Those of this process that have booted and not been halted, in no order."""
    return [stack for stack in running() if isinstance(stack, Stack)]


def _current_resolver(scoped: bool = False, kernel: Any = None) -> Names | None:
    selected = _selected.get()
    stack = selected[-1] if selected else _default
    if kernel is not None and (stack is None or stack._kernel is not kernel):
        stack = next((one for one in running_stacks() if one._kernel is kernel), stack)
    return None if stack is None else stack._resolve_here(scoped)


def _read_mptcp(sock: _socket.socket) -> Any:
    from ._mptcp_info import info

    return info(sock)


def _after_fork_in_child() -> None:
    global _default_lock
    _default_lock = allocate_lock()


_socket.set_current_world(current_stack)
_socket.set_mptcp_reader(_read_mptcp)
_resolver.set_current_resolver(_current_resolver)
_handover.install()
os.register_at_fork(after_in_child=_after_fork_in_child)
