"""The class `socket` of patched programs: in which world a socket lives is found out as it is used.

AF_INET and AF_INET6 streams and datagrams are the policy's to decide: by where they connect to, or
what they are bound to. Raw sockets of these families are the stack's, every other family is the
host's, unless the policy is that every address is the stack's. By name, `lklsock.socket` has the
class whose network sockets are all the stack's.
"""

from __future__ import annotations

import socket as _stdlib
from _socket import socket as _HostSocket
from abc import ABCMeta

from . import _ledger, _shadow, _socket
from ._policy import Policy
from ._stdlib_own import StdlibSocket as _base
from ._undecided import Undecided
from ._worlds import is_wildcard_address, world_of

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from ._lkl import Socket
    from ._shadow import Kind

_FAMILIES = frozenset((int(_stdlib.AF_INET), int(_stdlib.AF_INET6)))
_STREAM = int(_stdlib.SOCK_STREAM)
_DATAGRAM = int(_stdlib.SOCK_DGRAM)
# What is asked for by another number is not on every host.
_PROTOCOLS = {_STREAM: (0, 6), _DATAGRAM: (0, 17)}

_policy = Policy()


def set_policy(policy: Policy) -> None:
    """Hands over what decides, for sockets made from now on."""
    global _policy
    _policy = policy


def get_policy() -> Policy:
    """What decides."""
    return _policy


class socket(_socket.socket, metaclass=ABCMeta):
    """Like `lklsock.socket.socket`, except that the policy may give a socket to the host.

    One that nobody has asked for its `fileno()` by then is an ordinary host socket from there on.
    One that was asked keeps its descriptor, which mirrors the readiness of a hidden host socket.

    For isinstance() and issubclass() the stdlib's class counts as this one: a program may have
    sockets from before it was patched, and `ssl.SSLSocket` derives from that class.
    """

    __slots__ = ()

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        # Not for what derives from this class.
        return (cls is socket and issubclass(other, _base)) or NotImplemented

    def __init__(
        self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
    ) -> None:
        is_open = fileno is not None or family in _FAMILIES or family == -1
        if not (is_open or _policy.has_every_family):
            self._set(None, None, None)
            _base.__init__(self, family, type, proto)
            return
        super().__init__(family, type, proto, fileno)

    def _find_world(self) -> None:
        lkl, kind = self._lkl, self._kind
        assert lkl is not None
        assert kind is not None
        if _policy.is_the_stacks or kind.proto not in _PROTOCOLS.get(kind.type, ()):
            super()._find_world()
            return
        kind.settings = kind.settings or {}
        undecided: Any = Undecided(lkl, kind, _policy)
        self._lkl = undecided

    # ---- deciding

    def bind(self, address: Any, /) -> None:
        """Like `socket.socket.bind`."""
        fate: Any = self._lkl
        if type(fate) is not Undecided:
            return super().bind(address)
        address = self._numeric(address)
        if not is_wildcard_address(address):
            self._settle(fate, world_of(fate.policy, address))
        elif self._takes_datagrams_of_host(fate):
            self._settle(fate, "host")
        else:
            return fate.bind_wildcard(address)
        return super().bind(address)

    def connect(self, address: Any, /) -> None:
        """Like `lklsock.socket.socket.connect`."""
        super().connect(self._towards(address))

    def connect_ex(self, address: Any, /) -> int:
        """Like `socket.socket.connect_ex`."""
        return super().connect_ex(self._towards(address))

    def listen(self, backlog: int = min(_stdlib.SOMAXCONN, 128), /) -> None:
        """Like `socket.socket.listen`."""
        fate: Any = self._lkl
        if type(fate) is not Undecided:
            return super().listen(backlog)
        if fate.policy.listen != "both":
            self._settle(fate, fate.policy.listen)
            return super().listen(backlog)
        fate.listen_both(max(backlog, 0))
        return None

    def _towards(self, address: Any) -> Any:
        fate: Any = self._lkl
        if type(fate) is not Undecided:
            return address
        address = self._numeric(address)
        self._settle(fate, world_of(fate.policy, address))
        return address

    def _numeric(self, address: Any) -> Any:
        """With its host name resolved. What is no address stays what it is, and will be refused."""
        try:
            host, port = address[:2]
        except (TypeError, ValueError):
            return address
        if not isinstance(host, str) or not isinstance(port, int) or host == "<broadcast>":
            return address
        if host and world_of(_policy, address) is None:
            return self._resolved(address)
        return address

    def _takes_datagrams_of_host(self, fate: Undecided) -> bool:
        return self.type == _DATAGRAM and fate.policy.listen == "host"

    def _settle(self, fate: Undecided, world: str | None) -> None:
        """Decides. What is no address is left to the kernel, which says so."""
        if world is None:
            return
        kind = self._kind
        assert kind is not None
        if world == "stack":
            self._replace(fate, fate.to_stack())
            fate.note("stack")
            return
        with _shadow.lock:
            if self._lkl is not fate:  # type: ignore[comparison-overlap]
                return
            if self._shadow is None:
                self._become_host(fate, kind)
        if self._lkl is not None:
            self._replace(fate, fate.to_host())
        fate.note("host")

    def _replace(self, fate: Undecided, backend: Any) -> None:
        if self._shadow is not None:
            self._shadow[0].sock = backend
        self._lkl = backend

    def _become_host(self, fate: Undecided, kind: Kind) -> None:
        """Nobody has seen a descriptor: an ordinary host socket takes the place of all there is."""
        host = fate.leave()
        fate.core.close()
        timeout, io_refs = self._timeout, self._io_refs
        self._set(None, None, None)
        _base.__init__(self, kind.family, kind.type, kind.proto, host.detach())
        _base.settimeout(self, timeout)
        self._io_refs = io_refs

    # ---- connections

    def _adopt(self, sock: Socket | _HostSocket, kind: Kind) -> _socket.socket:
        if not isinstance(sock, _HostSocket):
            return super()._adopt(sock, kind)
        _ledger.note_socket("host")
        accepted = self._plain(kind.family, kind.type, kind.proto, sock.detach())
        # As the stdlib does.
        if _stdlib.getdefaulttimeout() is None and self.gettimeout():
            accepted.setblocking(True)
        return accepted


socket._plain = socket
socket.__module__ = "lklsock.socket"
