"""A far network of the host's kernel, reached by cables, for the tests of links that end there."""

import socket as host
from collections.abc import Iterator
from contextlib import contextmanager

from host_network import command, in_namespace
from worlds import JOIN_S

from lklsock import socket

PATHS = (0, 1)


def underlay(family: str, path: int, number: int) -> str:
    return f"192.0.2.{16 * path + number}" if family == "v4" else f"2001:db8:{path}::{number}"


def cable(near: str | None, near_end: str, there: str, far: str, far_end: str, here: str) -> None:
    """A veth pair from one namespace (None: this one) to another."""
    inside = ["-n", near] if near else []
    command(
        *("ip", *inside, "link", "add", near_end, "type", "veth"), "peer", far_end, "netns", far
    )
    more = ["nodad"] if ":" in here else []
    command("ip", *inside, "addr", "add", here, "dev", near_end, *more)
    command("ip", "-n", far, "addr", "add", there, "dev", far_end, *more)
    command("ip", *inside, "link", "set", near_end, "up")
    command("ip", "-n", far, "link", "set", far_end, "up")


def underlay_cable(far: str, family: str, path: int) -> tuple[str, str]:
    """near0 to far0, or near1 to far1. Returns the addresses, there and here."""
    there, here = underlay(family, path, 1), underlay(family, path, 2)
    length = 28 if family == "v4" else 64
    cable(None, f"near{path}", f"{there}/{length}", far, f"far{path}", f"{here}/{length}")
    return there, here


def listener(far: str, proto: int = 0) -> host.socket:
    def make() -> host.socket:
        sock = host.socket(host.AF_INET, host.SOCK_STREAM, proto)
        sock.settimeout(JOIN_S)
        sock.bind(("", 0))
        sock.listen(64)
        return sock

    made: host.socket = in_namespace(far, make)
    return made


@contextmanager
def connected_to_far(far: str, proto: int = 0) -> Iterator[tuple[socket.socket, host.socket]]:
    """A connection of the default stack's to 10.0.0.1, which is the far kernel's.

    Args:
        far: Its namespace.
        proto: Of the far end: 0 or IPPROTO_MPTCP.
    """
    with listener(far, proto) as listening:
        there = ("10.0.0.1", listening.getsockname()[1])
        with socket.create_connection(there, timeout=JOIN_S) as client:
            server, _ = listening.accept()
            server.settimeout(JOIN_S)
            with server:
                yield client, server
