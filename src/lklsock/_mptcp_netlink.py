"""The path manager's generic netlink family, by pyroute2.

pyroute2 knows most of it, but cannot tie an endpoint to an interface, nor change its flags.
Imported on first use, for pyroute2 takes its time.
"""

from __future__ import annotations

import socket as _stdlib
from collections.abc import Callable
from typing import Any

from pyroute2.netlink import NETLINK_GENERIC, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.generic import AsyncGenericNetlinkSocket, GenericNetlinkSocket
from pyroute2.netlink.generic.mptcp import MPTCP_GENL_NAME, mptcp_msg

ADD_ADDR = 1
DEL_ADDR = 2
GET_ADDR = 3
FLUSH_ADDRS = 4
SET_LIMITS = 5
GET_LIMITS = 6
SET_FLAGS = 7

_VERSION = 1
_NLA_F_NESTED = 0x8000


class Message(mptcp_msg):  # type: ignore[misc]
    """mptcp_msg with an interface index that is a number."""

    class pm_addr(mptcp_msg.pm_addr):  # type: ignore[misc]
        """An endpoint."""

        nla_map = (
            *mptcp_msg.pm_addr.nla_map[:-1],
            ("MPTCP_PM_ADDR_ATTR_IF_IDX", "uint32"),
        )


class _AsyncPathManager(AsyncGenericNetlinkSocket):  # type: ignore[misc]
    async def setup_endpoint(self) -> None:
        if getattr(self.local, "transport", None) is not None:
            return
        await super().setup_endpoint()
        await self.bind(MPTCP_GENL_NAME, Message)


class PathManager(GenericNetlinkSocket):  # type: ignore[misc]
    """Requests to the path manager of one stack."""

    async_class = _AsyncPathManager

    @classmethod
    def over(cls, open_socket: Callable[..., _stdlib.socket]) -> PathManager:
        """A client over a socket that `open_socket` opens."""
        return cls(use_socket=open_socket(_stdlib.AF_NETLINK, _stdlib.SOCK_DGRAM, NETLINK_GENERIC))

    def request(
        self, command: int, endpoint: dict[str, Any] | None = None, **limits: int
    ) -> list[Any]:
        """Sends one request. Returns the answers: their attributes, parsed.

        Args:
            command: ADD_ADDR and the like.
            endpoint: Attributes: family, id, addr4, addr6, port, flags, if_idx.
            limits: rcv_add_addrs, subflows.
        """
        message = Message()
        message["cmd"] = command
        message["version"] = _VERSION
        attributes: list[tuple[Any, ...]] = []
        if endpoint is not None:
            pairs = [(Message.pm_addr.name2nla(key), value) for key, value in endpoint.items()]
            attributes.append(("MPTCP_PM_ATTR_ADDR", {"attrs": pairs}, _NLA_F_NESTED))
        attributes += [(Message.name2nla(key), value) for key, value in limits.items()]
        message["attrs"] = attributes
        flags = NLM_F_REQUEST
        if command == GET_ADDR:
            flags |= NLM_F_DUMP
        elif command != GET_LIMITS:
            flags |= NLM_F_ACK
        return list(self.nlm_request(message, msg_type=self.prid, msg_flags=flags))
