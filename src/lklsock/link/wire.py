"""Wires between two stacks."""

from __future__ import annotations

import os
import socket as _stdlib
from dataclasses import dataclass

from .. import _lkl
from .description import Link, check_fd


@dataclass(frozen=True)
class Wire(Link):
    """A wire to one other stack, of this process or another of this machine. No privilege needed.

    Attributes:
        fd: One of two connected descriptors, see `pair`; the stack owns it from then on.
        path: A unix socket in the file system.
        listen: Makes the socket at `path`, and has carrier while somebody is connected to it.
    """

    fd: int | None = None
    path: str | os.PathLike[str] | None = None
    listen: bool = False

    kind = "wire"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.path is None) == (self.fd is None):
            raise ValueError("Wire takes fd or path")
        if self.listen and self.path is None:
            raise ValueError("listen goes with path")
        check_fd(self.fd)

    @classmethod
    def pair(cls) -> tuple[Wire, Wire]:
        """Two ends of a new wire.

        Each holds an open descriptor, which the stack takes over that the end is added to. Hand
        one to another process with `Wire(fd=...)` there.
        """
        ends = _stdlib.socketpair(_stdlib.AF_UNIX, _stdlib.SOCK_SEQPACKET)
        return cls(fd=ends[0].detach()), cls(fd=ends[1].detach())

    def _fork_obstacle(self) -> str | None:
        return "a wire has two ends, and both are taken"

    def _end(self) -> str:
        if self.fd is None:
            return f"{os.path.abspath(os.fspath(self.path or ''))} {self.listen}"
        # Nobody but the other end sees it, and the two have inodes of their own.
        return str(os.fstat(self.fd).st_ino)

    def open(self, kernel: _lkl.Kernel, settled: Link) -> _lkl.Link:
        """Opens it for one kernel."""
        if self.fd is not None:
            return kernel.wire(self.fd)
        return kernel.wire_path(os.fspath(self.path or ""), self.listen)
