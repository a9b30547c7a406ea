"""Connected pairs of sockets, of a module that looks like the stdlib's `socket`."""

from __future__ import annotations

import socket as stdlib
from typing import Any


def connected_pair(module: Any) -> tuple[stdlib.socket, stdlib.socket]:
    """A client and the server's side of its connection, over loopback, without Nagle's delay."""
    with module.create_server(("127.0.0.1", 0)) as listener:
        client = module.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
    return client, server
