"""The connections of a kernel: each with its subflows, and why it is not MPTCP if it is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .. import _lkl
from .. import _sock_diag as diag
from .._interface import index_to_name
from .._mptcp_info import Info, TcpInfo

_LISTEN = diag.STATES.index("listen")

NOT_ASKED = "the socket was made as TCP: mptcp_mode is off, or an option of it refuses MPTCP"
PEER_DID_NOT_ASK = "the peer did not ask for MPTCP"
NO_ANSWER = "the peer, or a middlebox on the way, does not answer to MPTCP"
GIVEN_UP = "the handshake went unanswered with MPTCP's options, and was repeated without them"
AFTERWARDS = "data came without MPTCP's options, or changed: a middlebox on the way"


@dataclass(frozen=True)
class SubflowStatus:
    """One TCP connection: a subflow of an MPTCP connection, or all of a plain one."""

    local: diag.Address
    remote: diag.Address
    state: str
    """As ss(8) has it: "established", "syn-sent", ..."""
    interface: str | None
    """What it is bound to, or has its address from."""
    backup: bool
    """Used only when nothing else is left: we, or the peer, have said so."""
    local_id: int
    """Of the address in its connection; 0 for that of the first subflow."""
    remote_id: int
    congestion: str
    """The algorithm."""
    tcp: TcpInfo


@dataclass(frozen=True)
class Connection:
    """A TCP or MPTCP connection of the stack, whichever library made it."""

    protocol: str
    """"mptcp" or "tcp"."""
    reason: str | None
    """Why it is TCP; None if it is MPTCP."""
    state: str
    local: diag.Address
    remote: diag.Address
    token: int
    """Of MPTCP; 0 for none."""
    bytes_sent: int
    """Without those sent again, as long as it is MPTCP."""
    bytes_received: int
    bytes_retrans: int
    receive_queue_bytes: int
    """Not yet read by the program."""
    send_queue_bytes: int
    """Not yet acknowledged by the peer."""
    subflows: tuple[SubflowStatus, ...]
    mptcp: Info | None
    """All that MPTCP tells; None if it is TCP."""


@dataclass(frozen=True)
class Listener:
    """A listening socket."""

    protocol: str
    local: diag.Address
    waiting: int
    """Connections that the program has not accepted."""
    backlog: int
    """How many may wait."""


def connections(
    kernel: _lkl.Kernel, owners: dict[str, str]
) -> tuple[tuple[Connection, ...], tuple[Listener, ...]]:
    """All connections of a kernel, by their local ports, and all listeners.

    Args:
        kernel: Whose.
        owners: The interface of each address.
    """
    mptcp = diag.dump(kernel, diag.IPPROTO_MPTCP)
    tcp = diag.dump(kernel, diag.IPPROTO_TCP)
    names = _Names(kernel, owners)
    listening = {sock.local[1] for sock in mptcp if sock.state == _LISTEN}
    listeners = [_listener(sock, "mptcp") for sock in mptcp if sock.state == _LISTEN]
    listeners += [
        _listener(sock, "tcp")
        for sock in tcp
        if sock.state == _LISTEN and sock.local[1] not in listening
    ]
    found: list[Connection] = []
    members: dict[int, list[diag.DiagSocket]] = {}
    known = {sock.token for sock in mptcp if sock.token}
    for sock in tcp:
        # A listener; or no more than a SYN that has come.
        if sock.tcp is None or sock.state == _LISTEN:
            continue
        if sock.subflow is not None and sock.subflow.token in known:
            members.setdefault(sock.subflow.token, []).append(sock)
        elif sock.subflow is None or not sock.subflow.flags & diag.CAPABLE_REMOTE:
            found.append(_plain(sock, sock.local[1] in listening, names))
    for sock in mptcp:
        if sock.state != _LISTEN:
            found.append(_multipath(sock, members.get(sock.token, []), names))
    return tuple(sorted(found, key=lambda each: (each.local[1], each.local[0]))), tuple(listeners)


class _Names:
    """The names of interfaces, each asked for once."""

    def __init__(self, kernel: _lkl.Kernel, owners: dict[str, str]) -> None:
        self._kernel = kernel
        self._owners = owners
        self._known: dict[int, str | None] = {}

    def of(self, sock: diag.DiagSocket) -> str | None:
        index = sock.ifindex
        if not index:
            return self._owners.get(sock.local[0].removeprefix("::ffff:"))
        if index not in self._known:
            try:
                self._known[index] = index_to_name(self._kernel, index)
            except OSError:
                self._known[index] = None
        return self._known[index]


def _listener(sock: diag.DiagSocket, protocol: str) -> Listener:
    return Listener(protocol, sock.local, sock.receive_queue, sock.send_queue)


def _subflow(sock: diag.DiagSocket, names: _Names) -> SubflowStatus:
    member = sock.subflow
    flags = 0 if member is None else member.flags
    assert sock.tcp is not None
    return SubflowStatus(
        local=sock.local,
        remote=sock.remote,
        state=diag.STATES[sock.state],
        interface=names.of(sock),
        backup=bool(flags & (diag.BACKUP_LOCAL | diag.BACKUP_REMOTE)),
        local_id=0 if member is None else member.local_id,
        remote_id=0 if member is None else member.remote_id,
        congestion=sock.congestion,
        tcp=sock.tcp,
    )


def _plain(sock: diag.DiagSocket, is_accepted: bool, names: _Names) -> Connection:
    if sock.subflow is not None:
        reason = _why([sock])
    else:
        reason = PEER_DID_NOT_ASK if is_accepted else NOT_ASKED
    return _connection(sock, reason, [_subflow(sock, names)])


def _multipath(sock: diag.DiagSocket, members: list[diag.DiagSocket], names: _Names) -> Connection:
    subflows = [_subflow(member, names) for member in members]
    subflows.sort(key=lambda subflow: (subflow.local_id, subflow.remote_id))
    return _connection(sock, _why(members) if sock.mptcp is None else None, subflows)


def _connection(
    sock: diag.DiagSocket, reason: str | None, subflows: list[SubflowStatus]
) -> Connection:
    info = sock.mptcp
    counts = [subflow.tcp for subflow in subflows] if info is None else [info]
    return Connection(
        protocol="tcp" if info is None else "mptcp",
        reason=reason,
        state=diag.STATES[sock.state],
        local=sock.local,
        remote=sock.remote,
        token=sock.token,
        bytes_sent=sum(each.bytes_sent for each in counts),
        bytes_received=sum(each.bytes_received for each in counts),
        bytes_retrans=sum(each.bytes_retrans for each in counts),
        receive_queue_bytes=sock.receive_queue,
        send_queue_bytes=sock.send_queue,
        subflows=tuple(subflows),
        mptcp=info,
    )


def _why(members: Iterable[diag.DiagSocket]) -> str:
    """Why a connection that was to be MPTCP has fallen back: what its first subflow knows."""
    for member in members:
        assert member.subflow is not None
        flags = member.subflow.flags
        if flags & diag.CAPABLE_REMOTE:
            return AFTERWARDS
        return NO_ANSWER if flags & diag.CAPABLE_LOCAL else GIVEN_UP
    return NO_ANSWER
