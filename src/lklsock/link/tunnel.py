"""Tunnels: a sealed Ethernet in UDP, to a gateway of ours."""

from __future__ import annotations

# Never a patched class: it is the host that is asked.
import _socket as _host
import dataclasses
import errno
import hashlib
import ipaddress
import os
from dataclasses import dataclass
from typing import Any

from .. import _lkl
from ._tunnel_key import Key, read_keys
from .description import (
    CHILD,
    Address,
    Link,
    check_name,
    numeric_address,
    parse_address,
    settled_mac,
)

TUNNEL_PORT = 47890
_CHILDREN_MAX = 4096
_KEEPALIVE_S_MAX = 900
NO_LIBCRYPTO = "takes OpenSSL's libcrypto.so.3 (or .so.1.1); as root: apt install libssl3"


@dataclass(frozen=True)
class Tunnel(Link):
    """Ethernet in UDP to `python -m lklsock gateway`, each packet sealed with a pre-shared key.

    It works from behind NAT and while addresses change: the gateway learns from the client's
    packets where it is. Give each path its own `Tunnel`, bound to a source address or a device, so
    that each leaves by its own way; one key serves them all. Unbound, a tunnel goes wherever the
    host's routes lead at the time.

    The interface has carrier while the gateway answers: it is asked every `keepalive_s` seconds if
    nothing else passes, and three questions without an answer take the carrier away, after which
    path managers turn to other paths. A bound one loses it at once with its address or device. A
    wrong key, a firewall and a gateway that is down all look like that: no carrier.

    Who: anybody. OpenSSL's libcrypto (`libssl3` of Debian) does the cryptography: AES-256-GCM, with
    keys that are agreed on anew every two minutes, and cannot be found out later from the
    pre-shared one. `docs/tunnel-protocol.md` has the protocol.

    Cost: with segmentation offload, a system call for a whole 64 kB of TCP; the cipher. 74 bytes of
    the path's MTU (94 with IPv6), which the interface has as its own; it is lowered when the path
    becomes narrower (`tx_too_long` counts what was lost by that), and never raised again by itself.
    The socket's buffers are what net.core.rmem_max and wmem_max allow: the usual 212 kB last for
    2 ms of 1 Gbit/s, so raise them on fast paths.

    Forked children open tunnels of their own, if "{child}" is in the addresses.

    Attributes:
        remote: The gateway: an address, or a name, which the host resolves when the link is opened.
        port: The gateway's.
        key_file: The file with the key, which nobody but its owner may read; `python -m lklsock
            gateway --new-key` makes one.
        key: The key itself, in the file's place: a `Key`, or its text.
        source: The address of the host to send from; None for the one that the route gives.
        device: The interface of the host to send by (SO_BINDTODEVICE); None for the routes' choice.
        keepalive_s: How long nothing may pass before the gateway is asked. NAT forgets after 30 s.
    """

    remote: str = ""
    port: int = TUNNEL_PORT
    key_file: str | None = None
    key: Key | str | None = dataclasses.field(default=None, repr=False)
    source: str | None = None
    device: str | None = None
    keepalive_s: float = 5.0

    kind = "tunnel"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.remote:
            raise ValueError("remote must be the address or the name of a gateway")
        if not 1 <= self.port < 65536:
            raise ValueError(f"port must be 1-65535, not {self.port}")
        if (self.key is None) == (self.key_file is None):
            raise ValueError(
                "one of key_file and key must be given; "
                "python -m lklsock gateway --new-key makes one"
            )
        if isinstance(self.key, str):
            object.__setattr__(self, "key", Key.parse(self.key))
        if self.source is not None:
            source, remote = parse_address(self.source, "source"), numeric_address(self.remote)
            if remote is not None and source.version != remote.version:
                raise ValueError(
                    f"source must be of the same family as remote, and {source} is not"
                )
        if self.device is not None:
            check_name(self.device)
        if not 0.1 <= self.keepalive_s <= _KEEPALIVE_S_MAX:
            raise ValueError(
                f"keepalive_s must be 0.1-{_KEEPALIVE_S_MAX} s, not {self.keepalive_s}"
            )

    def _fork_obstacle(self) -> str | None:
        if any(CHILD in address for address in self.addresses):
            return None
        return f'two stacks cannot have one IP address: give it addresses with "{CHILD}"'

    def _end(self) -> str:
        return " ".join(map(str, (self.remote, self.source, self.device, *self.addresses)))

    def claim(
        self, kernel: _lkl.Kernel, attributes: Link, ifname: str, number: int | None
    ) -> tuple[_lkl.Link, Link, int]:
        """Opens it for the process of this number; None: the lowest that no other one has."""
        here = dataclasses.replace(self, addresses=attributes.addresses)
        if number is None and here._fork_obstacle() is None:
            number = _number_take(self._end())
        return super(Tunnel, here).claim(kernel, attributes, ifname, number)

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel.

        Raises:
            OSError: EADDRNOTAVAIL, ENODEV, EACCES: says of what; a name that is not resolved; a key
                file that others may read.
            ValueError: The key file has no key, or several.
        """
        key = self.key if isinstance(self.key, Key) else _key_of(self.key_file or "")
        remote = self._resolved()
        try:
            return kernel.tunnel(
                remote.packed,
                self.port,
                b"" if self.source is None else ipaddress.ip_address(self.source).packed,
                self.device or "",
                key.secret,
                round(self.keepalive_s * 1000),
                settled_mac(settled),
            )
        except OSError as error:
            number = error.errno or errno.EIO
            hint = {
                errno.EADDRNOTAVAIL: f": {self.source} is no address of the host",
                errno.ENODEV: f": there is no {self.device}",
                errno.ELIBACC: f": {NO_LIBCRYPTO}",
            }.get(number, "")
            raise OSError(number, f"tunnel to {self.remote}: {os.strerror(number)}{hint}") from None

    def _resolved(self) -> Address:
        numeric = numeric_address(self.remote)
        if numeric is not None:
            return numeric
        family = _host.AF_UNSPEC
        if self.source is not None:
            is_v6 = ipaddress.ip_address(self.source).version == 6
            family = _host.AF_INET6 if is_v6 else _host.AF_INET
        try:
            found: Any = _host.getaddrinfo(self.remote, self.port, family, _host.SOCK_DGRAM)
        except OSError as error:
            raise type(error)(error.errno, f"tunnel to {self.remote}: {error.strerror}") from None
        return ipaddress.ip_address(found[0][4][0])


def _key_of(path: str) -> Key:
    keys = read_keys(path)
    if len(keys) != 1:
        raise ValueError(f"{path}: a tunnel has one key, and here are {len(keys)}")
    return next(iter(keys.values()))


# ---- numbers of processes: who has one holds a name of the host's network namespace

_numbers: list[tuple[int, _host.socket]] = []


def _number_take(end: str) -> int:
    """The lowest number that no process of this user has for such a tunnel."""
    me = os.getpid()
    for pid, sock in _numbers[:]:
        if pid != me:
            # The parent's: its number is its own as long as it lives, and no longer.
            sock.close()
            _numbers.remove((pid, sock))
    # A name has 107 bytes at most, and addresses and names of hosts may have more.
    which = hashlib.sha256(end.encode()).hexdigest()[:32]
    for number in range(_CHILDREN_MAX):
        sock = _host.socket(_host.AF_UNIX, _host.SOCK_DGRAM | _host.SOCK_CLOEXEC)
        try:
            sock.bind(f"\0lklsock tunnel {os.getuid()} {which} {number}".encode())
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        _numbers.append((me, sock))
        return number
    raise OSError(errno.EBUSY, f"tunnels of {end}: all numbers of processes are in use")
