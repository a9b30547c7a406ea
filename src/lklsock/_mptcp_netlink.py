"""The path manager's generic netlink family, by pyroute2.

pyroute2 knows endpoints and limits, but cannot tie an endpoint to an interface, nor change its
flags; it knows no connection's token, none of the commands for one connection, and no events. All
of that is here, by subclasses that could become part of it.

Imported on first use, for pyroute2 takes its time. Source: linux/mptcp_pm.h, linux/mptcp.h;
Documentation/netlink/specs/mptcp_pm.yaml.
"""

from __future__ import annotations

import socket as _stdlib
from collections.abc import Callable, Iterator
from typing import Any

from pyroute2.netlink import NETLINK_GENERIC, NLM_F_ACK, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.generic import AsyncGenericNetlinkSocket, GenericNetlinkSocket
from pyroute2.netlink.generic.mptcp import MPTCP_GENL_NAME, mptcp_msg

ADD_ADDR = 1
DEL_ADDR = 2
FLUSH_ADDRS = 4
SET_LIMITS = 5
SET_FLAGS = 7
ANNOUNCE = 8
REMOVE = 9
SUBFLOW_CREATE = 10
SUBFLOW_DESTROY = 11

EVENT_CREATED = 1
EVENT_ESTABLISHED = 2
EVENT_CLOSED = 3
EVENT_ANNOUNCED = 6
EVENT_REMOVED = 7
EVENT_SUB_ESTABLISHED = 10
EVENT_SUB_CLOSED = 11
EVENT_SUB_PRIORITY = 13
EVENT_LISTENER_CREATED = 15
EVENT_LISTENER_CLOSED = 16

EVENTS_GROUP = "mptcp_pm_events"

_VERSION = 1
_NLA_F_NESTED = 0x8000
_NLMSG_HEADER_BYTES = 16


class Message(mptcp_msg):  # type: ignore[misc]
    """mptcp_msg with what belongs to one connection, and an interface index that is a number."""

    nla_map = (
        *mptcp_msg.nla_map[:4],
        ("MPTCP_PM_ATTR_TOKEN", "uint32"),
        ("MPTCP_PM_ATTR_LOC_ID", "uint8"),
        ("MPTCP_PM_ATTR_ADDR_REMOTE", "pm_addr"),
    )

    class pm_addr(mptcp_msg.pm_addr):  # type: ignore[misc]
        """An endpoint."""

        nla_map = (
            *mptcp_msg.pm_addr.nla_map[:7],
            ("MPTCP_PM_ADDR_ATTR_IF_IDX", "int32"),
        )


class EventMessage(genlmsg):  # type: ignore[misc]
    """News of a connection; its command is one of EVENT_*."""

    prefix = "MPTCP_ATTR_"
    nla_map = (
        ("MPTCP_ATTR_UNSPEC", "none"),
        ("MPTCP_ATTR_TOKEN", "uint32"),
        ("MPTCP_ATTR_FAMILY", "uint16"),
        ("MPTCP_ATTR_LOC_ID", "uint8"),
        ("MPTCP_ATTR_REM_ID", "uint8"),
        ("MPTCP_ATTR_SADDR4", "ip4addr"),
        ("MPTCP_ATTR_SADDR6", "ip6addr"),
        ("MPTCP_ATTR_DADDR4", "ip4addr"),
        ("MPTCP_ATTR_DADDR6", "ip6addr"),
        ("MPTCP_ATTR_SPORT", "be16"),
        ("MPTCP_ATTR_DPORT", "be16"),
        ("MPTCP_ATTR_BACKUP", "uint8"),
        ("MPTCP_ATTR_ERROR", "uint8"),
        ("MPTCP_ATTR_FLAGS", "uint16"),
        ("MPTCP_ATTR_TIMEOUT", "uint32"),
        ("MPTCP_ATTR_IF_IDX", "int32"),
        ("MPTCP_ATTR_RESET_REASON", "uint32"),
        ("MPTCP_ATTR_RESET_FLAGS", "uint32"),
        ("MPTCP_ATTR_SERVER_SIDE", "uint8"),
    )


def event_messages(data: bytes) -> Iterator[EventMessage]:
    """The news in what a member of `EVENTS_GROUP` has received."""
    offset = 0
    while offset + _NLMSG_HEADER_BYTES <= len(data):
        message = EventMessage(data, offset=offset)
        message.decode()
        yield message
        offset += max(message["header"]["length"] + 3 & ~3, _NLMSG_HEADER_BYTES)


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

    def events_group(self) -> int:
        """What NETLINK_ADD_MEMBERSHIP takes."""
        number: int = self.mcast_groups[EVENTS_GROUP]
        return number

    def request(
        self,
        command: int,
        local: dict[str, Any] | None = None,
        remote: dict[str, Any] | None = None,
        **attributes: int,
    ) -> None:
        """Sends one request, and waits until it is done.

        Args:
            command: ADD_ADDR and the like.
            local: Attributes of an address: family, id, addr4, addr6, port, flags, if_idx.
            remote: The same of the peer's, for the commands that take a token.
            attributes: rcv_add_addrs, subflows, token, loc_id.
        """
        message = Message()
        message["cmd"] = command
        message["version"] = _VERSION
        chosen: list[tuple[Any, ...]] = []
        for name, address in (("ADDR", local), ("ADDR_REMOTE", remote)):
            if address is not None:
                pairs = [(Message.pm_addr.name2nla(key), value) for key, value in address.items()]
                chosen.append((f"MPTCP_PM_ATTR_{name}", {"attrs": pairs}, _NLA_F_NESTED))
        chosen += [(Message.name2nla(key), value) for key, value in attributes.items()]
        message["attrs"] = chosen
        flags = NLM_F_REQUEST | NLM_F_ACK
        list(self.nlm_request(message, msg_type=self.prid, msg_flags=flags))
