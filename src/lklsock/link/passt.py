"""The program passt: the host's own sockets as a way out, for plain TCP and UDP."""

from __future__ import annotations

# Never a patched class: it is the host that is asked.
import _socket as _host
import dataclasses
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from .. import _lkl
from .description import AUTOMATIC, Link, Subnet, settled_mac

_ADDRESSES = {4: "10.0.2.15/24", 6: "fd00:10:0:2::15/64"}
_GATEWAYS = {4: "10.0.2.2", 6: "fd00:10:0:2::2"}
_FAMILY_OPTIONS = {4: "--ipv4-only", 6: "--ipv6-only"}

_MTU_MAX = 65520
_SEND_BUFFER_BYTES = 4 << 20
_START_TIMEOUT_S = 20
_RTF_UP = 1


@dataclass(frozen=True)
class Passt(Link):
    """The host's network through passt(1): a program that answers for everybody out there.

    What the stack sends, passt sends again, from a socket of its own on the host. So it takes no
    privilege and nothing has to be set up, and TCP and UDP go wherever the host's own go, ICMP as
    far as echo. **MPTCP ends at passt**: it answers as plain TCP, and each connection falls back.
    For paths that carry MPTCP see the other links.

    Without `path`, passt is started, as a process of its own, and ends with the link. Without
    addresses, the interface has 10.0.2.15/24 and fd00:10:0:2::15/64, of the families of which the
    host has a default route, and the gateways 10.0.2.2 and fd00:10:0:2::2; "dhcp" and "slaac" give
    it the host's. What is sent to the gateway's address goes to 127.0.0.1 or ::1 of the host. Names
    are answered at `NAMESERVERS`, by the resolver that the host's resolv.conf names first.

        stack.add_link(Passt(tcp_ports="8080:80"))      # a server behind the host's port 8080
        stack.nameservers = Passt.NAMESERVERS[:1]

    Who: anybody who may make user namespaces, with passt installed (`apt-get install passt`). As
    root, it runs as the user nobody.

    Cost: a process, and two more copies of all data; frames are 64 kB.

    Limits: passt knows no half-closed connections, in Debian 12 at least: what comes after the
    stack has shut down writing is wrong (it repeats what it sent) and has no end. So read the
    answer first. There, a connection from outside is accepted only when the client has said
    something.

    Attributes:
        path: The unix socket of one that runs already (`passt --socket`), or of QEMU's netdev
            "stream", which is another machine: then give addresses.
        tcp_ports: Ports of the host that lead into the stack, as passt's --tcp-ports takes them:
            "80", "8080:80", "127.0.0.1/8080:80", several with commas.
        udp_ports: The same for UDP.
        options: More for passt's command line.
    """

    path: str | os.PathLike[str] | None = None
    tcp_ports: str | None = None
    udp_ports: str | None = None
    options: Sequence[str] = ()

    kind = "passt"

    NAMESERVERS: ClassVar[Sequence[str]] = ("10.0.2.3", "fd00:10:0:2::3")

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.options, str):
            raise ValueError(f"options must be a list, such as [{self.options!r}]")
        object.__setattr__(self, "options", tuple(self.options))
        if self.path is not None and (self.tcp_ports or self.udp_ports or self.options):
            raise ValueError("tcp_ports, udp_ports and options are for a passt without path")
        if self.mtu is not None and self.mtu > _MTU_MAX:
            raise ValueError(f"mtu must be {_MTU_MAX} at most with passt, not {self.mtu}")

    def _fork_obstacle(self) -> str | None:
        if self.path is not None:
            return f"whoever is at {os.fspath(self.path)} serves one stack"
        if self.tcp_ports or self.udp_ports:
            return "ports of the host lead into one stack"
        return None

    def _end(self) -> str:
        return "" if self.path is None else os.path.abspath(os.fspath(self.path))

    def settled(self, ifname: str) -> Link:
        """This link with what the interface will have: addresses, too."""
        link = super().settled(ifname)
        if link.addresses:
            return link
        versions = _versions_with_a_default_route() or list(_ADDRESSES)
        return dataclasses.replace(
            link,
            addresses=[_ADDRESSES[version] for version in versions],
            gateway=[_GATEWAYS[version] for version in versions],
        )

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: passt is not there, or does not start: says why, and what would help.
        """
        sock = self._start(settled) if self.path is None else _connect(os.fspath(self.path))
        try:
            link = kernel.fd(sock.fileno(), settled_mac(settled))
        except BaseException:
            sock.close()
            raise
        sock.detach()
        return link

    def _start(self, settled: Link) -> _host.socket:
        """A passt of our own. It ends when nobody has the other end of its socket any more."""
        ours, theirs = _stream_pair()
        try:
            _run(["passt", *self._arguments(settled)], theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def _arguments(self, settled: Link) -> Iterable[str]:
        subnets: dict[int, Subnet] = {}
        for subnet in settled.subnets():
            subnets.setdefault(subnet.version, subnet)
        versions = {*subnets, *(AUTOMATIC[word] for word in settled.automatic)}
        if "slaac" not in settled.automatic:
            yield "--no-ra"
        if len(versions) == 1:
            yield _FAMILY_OPTIONS[next(iter(versions))]
        for version, subnet in subnets.items():
            yield from ("--address", str(subnet.ip))
            if version == 4:
                yield from ("--netmask", str(subnet.network.prefixlen))
        for gateway in settled.gateways():
            yield from ("--gateway", str(gateway))
        if settled.mtu is not None:
            yield from ("--mtu", str(settled.mtu))
        for version, nameserver in zip(_ADDRESSES, self.NAMESERVERS, strict=True):
            if version in versions:
                yield from ("--dns-forward", nameserver)
        if self.tcp_ports:
            yield from ("--tcp-ports", self.tcp_ports)
        if self.udp_ports:
            yield from ("--udp-ports", self.udp_ports)
        yield from self.options


def _connect(path: str) -> _host.socket:
    sock = _host.socket(_host.AF_UNIX, _host.SOCK_STREAM)
    # Who serves others may never come to accept this one.
    sock.setblocking(False)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        number = error.errno or errno.EIO
        nobody = f": nobody listens there: passt --socket {path}"
        hint = {
            errno.ENOENT: nobody,
            errno.ECONNREFUSED: nobody,
            errno.EAGAIN: ": it serves somebody else; one passt has one peer",
        }.get(number, "")
        raise OSError(number, f"passt at {path}: {os.strerror(number)}{hint}") from None
    return sock


def _stream_pair() -> tuple[_host.socket, _host.socket]:
    ours, theirs = _host.socketpair(_host.AF_UNIX, _host.SOCK_STREAM)
    # What passt cannot send at once it loses, and sends again much later.
    theirs.setsockopt(_host.SOL_SOCKET, _host.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return ours, theirs


def _run(command: Sequence[str], fd: int) -> None:
    """Starts passt, which leaves this process when it is ready, or ends with an error."""
    import subprocess  # takes a while to import

    try:
        done = subprocess.run(
            [*command, "--quiet", "--fd", str(fd)],
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_START_TIMEOUT_S,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        raise OSError(
            errno.ENOENT, "there is no program passt: as root: apt-get install passt"
        ) from None
    except subprocess.TimeoutExpired:
        raise OSError(
            errno.ETIMEDOUT, f"passt is not ready after {_START_TIMEOUT_S} s: {' '.join(command)}"
        ) from None
    if done.returncode:
        number = errno.EIO if _versions_with_a_default_route() else errno.ENETUNREACH
        raise OSError(number, f"passt does not start: {_reason(done.stdout)}")


def _reason(text: str) -> str:
    """What passt has said, in one line."""
    lines = []
    for line in text.splitlines():
        if line.startswith("Usage:"):
            break
        if line and not line.startswith(("Failed to send ", "Don't run as root.")):
            lines.append(line.removeprefix("passt: ").rstrip("."))
    return "; ".join(lines) or "it does not say why"


def _versions_with_a_default_route() -> list[int]:
    """4 and 6, where the host can reach the world by it; of the namespace of this process."""
    found = []
    # Interface, destination, gateway, flags, three numbers, mask, ...
    for line in _lines("/proc/net/route")[1:]:
        words = line.split()
        if words[1] == words[7] == "00000000" and int(words[3], 16) & _RTF_UP:
            found.append(4)
            break
    # Destination, its length, source, its length, gateway, three numbers, flags, interface.
    for line in _lines("/proc/net/ipv6_route"):
        words = line.split()
        if words[1] == words[3] == "00" and words[9] != "lo":
            found.append(6)
            break
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.readlines()
    except OSError:
        return []
