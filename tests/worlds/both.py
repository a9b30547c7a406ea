"""Peers in both worlds, for sockets of patched programs."""

import select
import socket as host_socket
import threading
from collections.abc import Callable
from typing import Any

from lklsock import _patched, default_stack
from lklsock import socket as stack_socket
from lklsock._policy import as_policy

DEADLINE_S = 20
# An address of the stack that is not for loopback: there is no other interface.
STACK_HOST = "10.9.8.7"
SEEN = [False, True]


def use(policy: Any = "default") -> Any:
    """The class of a patched program, under this policy; the stack gets an address."""
    _patched.set_policy(as_policy(policy))
    kernel = default_stack().kernel
    kernel.address_add(1, host_socket.AF_INET, host_socket.inet_aton(STACK_HOST), 32)
    return _patched.socket


def peer(world: str) -> Any:
    """The module of the peer."""
    return host_socket if world == "host" else stack_socket


def address(world: str) -> str:
    """Whose default policy is this world's."""
    return "127.0.0.1" if world == "host" else STACK_HOST


def listener(world: str) -> Any:
    """A listening socket in a world."""
    return peer(world).create_server((address(world), 0))


def made(cls: Any, kind: int, seen: bool, family: int = host_socket.AF_INET) -> Any:
    """A socket; its descriptor was asked for, or not."""
    sock = cls(family, kind)
    sock.settimeout(DEADLINE_S)
    if seen:
        sock.fileno()
    return sock


def lives(sock: Any) -> str:
    """Which backend it has."""
    backend = sock._lkl
    return "plain host" if backend is None else type(backend).__name__


def readable(sock: Any) -> bool:
    return bool(select.select([sock], [], [], DEADLINE_S)[0])


def run(function: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread
