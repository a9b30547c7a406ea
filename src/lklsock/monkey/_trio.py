"""trio, which keeps methods of `socket.socket` from the time of its import.

Its socket type calls `socket.socket.recv` and others as it found them, whatever class its sockets
are of afterwards. What it keeps is replaced by functions that ask the socket at hand.
"""

from __future__ import annotations

import sys
from types import FunctionType

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_METHODS = frozenset(
    ["_accept", "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "send"]
)


def repair(classes: tuple[type, ...]) -> str | None:
    """Repairs trio, if it has been imported.

    Args:
        classes: Whose methods it may have kept.

    Returns:
        What is wrong with a trio that is not made as expected.
    """
    module = sys.modules.get("trio._socket")
    if module is None:
        return None
    socket_type = getattr(module, "_SocketType", None)
    methods = vars(socket_type) if isinstance(socket_type, type) else {}
    repaired = {name for name, method in methods.items() if _repair_method(method, classes)}
    if repaired >= _METHODS:
        return None
    version = getattr(sys.modules.get("trio"), "__version__", "of unknown version")
    return (
        f"trio {version} is not made as expected, and may fail on sockets of the stack:"
        " patch before it is imported, or use trio 0.27 to 0.35"
    )


def _repair_method(method: object, classes: tuple[type, ...]) -> bool:
    if not isinstance(method, FunctionType):
        return False
    for cell in method.__closure__ or ():
        held = cell.cell_contents
        if getattr(held, "asks_the_socket", False):
            return True
        name = getattr(held, "__name__", "")
        if any(held is getattr(cls, name, None) for cls in classes):
            cell.cell_contents = _asking_the_socket(name)
            return True
    return False


def _asking_the_socket(name: str) -> Callable[..., Any]:
    def call(sock: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(sock, name)(*args, **kwargs)

    call.asks_the_socket = True  # type: ignore[attr-defined]
    call.__name__ = name
    return call
