"""What a forked child has of a connection that its parent leaves to it; see `_handover`."""

from __future__ import annotations

from _socket import socket as HostSocket

from ._host_alone import HostAlone
from ._worlds import HostHalf

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any


class Inherited(HostHalf):
    """What a child has of a connection: a host socket that a bridge of the parent's carries on.

    Options stay what the parent has set.

    Args:
        host: Non-blocking; owned from now on.
        names: Of the connection: the answers of getsockname() and getpeername().
    """

    __slots__ = ("_names",)

    def __init__(self, host: HostSocket, names: tuple[Any, Any]) -> None:
        core: Any = HostAlone(host)
        super().__init__(core, host)
        self._names = names

    def getsockname(self) -> Any:
        return self._names[0]

    def getpeername(self) -> Any:
        self._host.getpeername()
        return self._names[1]

    def setsockopt(self, *args: Any) -> None:
        """Is out of reach: of no effect."""
