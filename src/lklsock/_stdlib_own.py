"""What the standard library's module `socket` had before another library changed it.

gevent, blockers of sockets for tests, SOCKS wrappers and others assign to `socket.socket`, and may
have done so before this package is imported.
"""

from __future__ import annotations

import socket as _stdlib
import sys
from _socket import socket as _Base

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any


def own(name: str) -> Any:
    """The stdlib's own class or function of this name; another's, if nobody knows it any more."""
    found = getattr(_stdlib, name)
    if found.__module__ == "socket":
        return found
    if name == "socket":
        return next(cls for cls in _Base.__subclasses__() if cls.__module__ == "socket")
    gevent = sys.modules.get("gevent.monkey")
    return found if gevent is None else gevent.get_original("socket", name)


if TYPE_CHECKING:
    StdlibSocket = _stdlib.socket
else:
    StdlibSocket = own("socket")
