"""multiprocessing, which passes sockets to other processes by their descriptors.

A descriptor of a stack's socket is worth nothing there, nor is one that has been asked for before
it was known that the socket is the host's. Plain host sockets go as ever.
"""

from __future__ import annotations

from ._import_hook import forget, when_imported

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_MODULE = "multiprocessing.reduction"


def install(original: type, ours: type) -> None:
    """Has multiprocessing pass plain host sockets of either class, and refuse all others."""

    def register(module: ModuleType) -> None:
        table = module.ForkingPickler._extra_reducers
        of_the_stdlib = module._reduce_socket

        def reduce(sock: Any) -> Any:
            # It was made in a stack, wherever it lives now; a closed one was, too.
            if sock._kind is not None:
                raise TypeError(
                    "a socket of a stack cannot be passed to another process; have it make one"
                )
            return of_the_stdlib(sock)

        table[original] = of_the_stdlib
        table[ours] = reduce

    when_imported(_MODULE, register)


def uninstall() -> None:
    """Forgets about it, if multiprocessing has not been imported; else nothing is in the way."""
    forget(_MODULE)
