"""Has `ssl` serve sockets of ours, from the moment that a program imports it.

Every wrap_socket(), of any SSLContext and whichever class its `sslsocket_class` is, comes to the
class method `SSLSocket._create`. It is the one thing changed in `ssl`: for a kernel socket it makes
an SSLSocket that does TLS on the kernel's socket; everything else goes where it always went.
"""

from __future__ import annotations

import sys

from ._shadow import find
from ._socket import socket

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_refuses = False


def install() -> None:
    """Changes `ssl`, at once or when it is imported: an import on suspicion would take a while."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if "ssl" in sys.modules:
        _change(sys.modules["ssl"])


def refuse(whether: bool) -> None:
    """Kernel sockets are refused, with an error, or served again.

    Taking the change back would have `ssl` shake hands over a descriptor that carries no data.
    """
    global _refuses
    _refuses = whether


def _change(ssl: ModuleType) -> None:
    method = vars(ssl.SSLSocket).get("_create")
    # Without one it is another library's, for sockets of its own.
    if method is not None and not isinstance(method, _Create):
        ssl.SSLSocket._create = _Create(method)


class _Create(classmethod):  # type: ignore[type-arg]
    """What `SSLSocket._create` is for us, with the stdlib's own as `stdlib`."""

    def __init__(self, stdlib: Any) -> None:
        self.stdlib = stdlib

        def _create(cls: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
            ours = sock if isinstance(sock, socket) else _behind(sock)
            if ours is None:
                return stdlib.__get__(None, cls)(sock, *args, **kwargs)
            from ._tls_socket import class_for, wrap

            cls = class_for(cls, ours._plain)  # type: ignore[arg-type]
            if ours._lkl is None:
                return stdlib.__get__(None, cls)(sock, *args, **kwargs)
            try:
                if _refuses:
                    raise TypeError("patch(ssl=False) keeps ssl from sockets of the stack")
                return wrap(cls, ours, *args, **kwargs)
            finally:
                if ours is not sock:
                    # It was taken over, or is still the program's.
                    (ours if ours._lkl is not None else sock).detach()

        super().__init__(_create)


def _behind(sock: Any) -> socket | None:
    """One more object for the kernel socket of an object that is no socket, but stands for one.

    `ssl` takes any that has a socket's methods, and makes its own of the descriptor.
    """
    try:
        fd = sock.fileno()
        shadow = find(fd)
    except (AttributeError, TypeError):
        return None
    if shadow is None:
        return None
    ours = socket(sock.family, sock.type, sock.proto, fd)
    shadow.leave(fd)
    ours.settimeout(sock.gettimeout())
    return ours


class _Finder:
    """Finds `ssl` as the others do, and changes it when it is loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "ssl":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """The loader of `ssl`, and a step more."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _change(module)


_finder = _Finder()
