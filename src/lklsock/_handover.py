"""A connection that was accepted and is left to a forked child: `socketserver.ForkingMixIn` & co.

The child cannot enter its parent's kernel. But of the connection that the forking thread accepted
last it gets a host socket in place of the kernel's, and what it sends and receives there is carried
by the parent, from when the parent closes its own object: until then the connection is the
parent's. Where both go on with it, the child waits.

It costs a fork a socketpair, if that connection is still open; then the kernel's socket lives until
the child has closed it, too, as on the host, or the parent ends.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_STREAM, socketpair
from _thread import _local
from contextlib import suppress

from . import _lkl, _socket
from ._shadow import Kind, open_numbers

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any


class _Offer:
    """What is prepared before a fork."""

    def __init__(self, sock: _socket.socket, lkl: _lkl.Socket) -> None:
        # Takes a while to import, and nobody else may have.
        from ._inherited import Inherited

        self.sock = sock
        self.inherited = Inherited
        self.names = lkl.getsockname(), lkl.getpeername()
        self.childs, self.parents = socketpair(AF_UNIX, SOCK_STREAM)

    def keep(self) -> None:
        """In the parent: the connection will go to the child when it is closed here."""
        self.childs.close()
        self.sock._disinherit()
        self.sock._heir = self.parents

    def take(self) -> None:
        """In the child."""
        self.parents.close()
        self.childs.setblocking(False)
        sock, kind = self.sock, self.sock._kind
        assert kind is not None
        backend: Any = self.inherited(self.childs, self.names)
        if sock._shadow is not None:
            shadow = sock._shadow[0]
            shadow.sock = backend
            shadow.become(self.childs.fileno(), open_numbers())
        sock._lkl = backend
        sock._kind = Kind(kind.family, kind.type, kind.proto)


def install() -> None:
    """Has forks do it from now on."""
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )


def _before() -> None:
    _fork.offer = None
    sock = _socket.accepted_last()
    lkl = None if sock is None else sock._lkl
    # What is lost here is lost to the child: a fork does not fail for it.
    if sock is not None and isinstance(lkl, _lkl.Socket):
        with suppress(OSError, RuntimeError):
            _fork.offer = _Offer(sock, lkl)


def _after_in_parent() -> None:
    offer, _fork.offer = _fork.offer, None
    if offer is not None:
        offer.keep()


def _after_in_child() -> None:
    offer, _fork.offer = _fork.offer, None
    if offer is not None:
        offer.take()


# Of each thread its own.
_fork = _local()
