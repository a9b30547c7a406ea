"""What patching changes, and how it is put back."""

from __future__ import annotations

import os
import socket as _stdlib
import sys
import warnings
from importlib import import_module
from types import FunctionType, ModuleType

from .. import _patched, _resolver, _sendfile, _tls
from .. import socket as _mirror
from .. import stack as _stack
from .._policy import as_policy
from .._stdlib_own import StdlibSocket
from ..errors import PatchWarning
from . import _captured, _gevent, _pickling, _trio

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    Settings = dict[str, Any]

DEFAULTS: Settings = {
    "socket": True,
    "ssl": True,
    "dns": True,
    "policy": "default",
    "listen": None,
    "mptcp": None,
}


class Part:
    """Some names of a module, replaced together.

    Attributes:
        module: It.
        originals: By name.
        replacements: By name. Programs get them by patching only: so where one is found in a
            module, the original may be put in its place.
        rebound: What was changed in other modules, as "module.attribute".
    """

    def __init__(self, module: ModuleType, *names: str) -> None:
        self.module = module
        self.originals = {name: _original(module, name) for name in names}
        self.replacements = {name: _replacement(name) for name in names}
        self.rebound: list[str] = []
        self._before: dict[str, Any] = {}

    def names(self) -> list[str]:
        """Those that are ours at the moment."""
        return [
            name for name, own in self.replacements.items() if getattr(self.module, name) is own
        ]

    def put_in_place(self) -> None:
        """Replaces them, here and where they were taken to."""
        for name, own in self.replacements.items():
            if getattr(self.module, name) is not own:
                self._before[name] = getattr(self.module, name)
                setattr(self.module, name, own)
        self.rebound = _captured.rebind(
            (self.originals[name], own) for name, own in self.replacements.items()
        )

    def put_back(self) -> None:
        """Undoes it wherever it is still ours."""
        for name in self.names():
            setattr(self.module, name, self._before.pop(name, self.originals[name]))
        _captured.rebind((own, self.originals[name]) for name, own in self.replacements.items())
        self.rebound = []


def _original(module: ModuleType, name: str) -> Any:
    """The stdlib's own class; for functions, another library's may have to do."""
    return StdlibSocket if name == "socket" else getattr(module, name)


def _replacement(name: str) -> Any:
    """The class of patched programs; a function apart from the one that is imported by name."""
    if name == "socket":
        return _patched.socket
    if name == "sendfile":
        return _sendfile.sendfile
    value = getattr(_mirror, name)
    if not isinstance(value, FunctionType):
        return value
    own = FunctionType(
        value.__code__, value.__globals__, value.__name__, value.__defaults__, value.__closure__
    )
    own.__kwdefaults__ = value.__kwdefaults__
    own.__module__ = value.__module__
    return own


# What else makes sockets in that module looks the class up when it is called.
SOCKET = Part(_stdlib, "socket", "close", "if_indextoname", "if_nameindex", "if_nametoindex")
DNS = Part(_stdlib, *_resolver.NAMES)
OS = Part(os, "sendfile")
PARTS = (SOCKET, DNS, OS)

_in_force: Settings | None = None
_mptcp_mode_before: str | None = None
_problems: list[str] = []


def in_force() -> Settings | None:
    """The settings; None while nothing is patched."""
    return _in_force


def is_patched() -> bool:
    """Whether `socket.socket` is ours."""
    return "socket" in SOCKET.names()


def original(module: str, name: str) -> Any:
    """What `module.name` is without patching."""
    for part in PARTS:
        if module == part.module.__name__ and name in part.originals:
            return part.originals[name]
    return getattr(import_module(module), name)


def problems() -> list[str]:
    """What gets in the way at the moment."""
    return list(_problems)


def check(settings: Settings) -> None:
    """Raises ValueError for what cannot be set."""
    as_policy(settings.get("policy", "default"), settings.get("listen"))
    mode = settings.get("mptcp")
    if mode is not None and mode not in _stack.MPTCP_MODES:
        raise ValueError(f"mptcp must be one of {', '.join(_stack.MPTCP_MODES)}, not {mode!r}")


def apply(settings: Settings | None) -> None:
    """Makes it so: the settings over the defaults, or nothing patched."""
    global _in_force
    before, _in_force = _in_force, None if settings is None else {**DEFAULTS, **settings}
    now = _in_force or dict.fromkeys(DEFAULTS)
    if _in_force is None:
        _problems.clear()
    if now["socket"] and _gevent.has_patched():
        now["socket"] = now["dns"] = False
        _warn(_gevent.BEFORE)
    _patched.set_policy(as_policy(now["policy"] or "default", now["listen"]))
    _set_mptcp_mode(now["mptcp"])
    _turn_socket(bool(now["socket"]), bool(before and before["socket"]))
    # It is on for sockets of `lklsock.socket`, patched or not.
    _tls.refuse(now["ssl"] is False)
    if bool(now["dns"]) != bool(before and before["dns"]):
        DNS.put_in_place() if now["dns"] else DNS.put_back()


def _turn_socket(on: bool, was_on: bool) -> None:
    if on == was_on:
        return
    original, own = SOCKET.originals["socket"], SOCKET.replacements["socket"]
    if on:
        SOCKET.put_in_place()
        OS.put_in_place()
        _gevent.watch(lambda: _warn(_gevent.AFTER))
        _pickling.install(original, own)
    else:
        SOCKET.put_back()
        OS.put_back()
        _gevent.unwatch()
        _pickling.uninstall()
    problem = _trio.repair((original, own))
    if problem is not None:
        _warn(problem)


def _set_mptcp_mode(mode: str | None) -> None:
    global _mptcp_mode_before
    if mode is None and _mptcp_mode_before is None:
        return
    stack = _stack.default_stack()
    if _mptcp_mode_before is None:
        _mptcp_mode_before = stack.mptcp_mode
    if mode is None:
        stack.mptcp_mode, _mptcp_mode_before = _mptcp_mode_before, None
    else:
        stack.mptcp_mode = mode


def _warn(problem: str) -> None:
    """Warns, once while patched."""
    if problem not in _problems:
        _problems.append(problem)
        warnings.warn(problem, PatchWarning, stacklevel=_frames_of_ours())


def _frames_of_ours() -> int:
    """How many frames up the caller is who is to be told."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("lklsock"):
        frame, count = frame.f_back, count + 1
    return count
