"""Names to addresses, through the host's resolver."""

from __future__ import annotations

import socket as _stdlib

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any


def resolve(family: int, address: Any) -> Any:
    """The socket address with its host name replaced by the first address that it stands for.

    Raises:
        socket.gaierror: The name has no address of this family.
    """
    name, *rest = address
    found = _stdlib.getaddrinfo(name, None, family, _stdlib.SOCK_STREAM)
    return (found[0][4][0], *rest)
