"""The class: what a kernel socket with TLS is, and that it answers as an ssl.SSLSocket does."""

import gc
import io
import socket as stdlib
import ssl
import tempfile
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from own_process import in_own_process
from secure import (
    Peer,
    client_context,
    plain_pair,
    receive_exactly,
    server_context,
    tls_pair,
    wrap_both,
)

import lklsock
from lklsock import socket


@in_own_process
def test_a_wrapped_kernel_socket_is_of_both_classes(certificates: str) -> None:
    client, server = plain_pair()
    fd = client.fileno()
    secure, peer = wrap_both(
        client, server, client_context(certificates), server_context(certificates)
    )
    with secure, peer:
        assert isinstance(secure, ssl.SSLSocket)
        assert isinstance(secure, socket.socket)
        assert isinstance(secure, stdlib.socket)
        assert secure.mptcp is not None
        assert secure.fileno() == fd
        assert client.fileno() == -1
        assert secure.version() == "TLSv1.3"


def answers(sock: ssl.SSLSocket) -> dict[str, Any]:
    """What each question, and each call that is refused, comes to."""

    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (ValueError, NotImplementedError, OSError) as error:
            return type(error)

    address = ("127.0.0.1", 9)
    calls: dict[str, Callable[[], Any]] = {
        "cipher": sock.cipher,
        "version": sock.version,
        "compression": sock.compression,
        "alpn": sock.selected_alpn_protocol,
        "peercert": sock.getpeercert,
        "peercert der": lambda: sock.getpeercert(True),
        "peercert keyword": lambda: sock.getpeercert(binary_form=True),
        "binding": lambda: sock.get_channel_binding("tls-unique"),
        "no binding": lambda: sock.get_channel_binding("tls-none"),
        "shared": lambda: sorted(sock.shared_ciphers() or []),
        "pending": sock.pending,
        "reused": lambda: sock.session_reused,
        "session": lambda: type(sock.session),
        "side": lambda: sock.server_side,
        "name": lambda: sock.server_hostname,
        "type": lambda: sock.type,
        "on connect": lambda: sock.do_handshake_on_connect,
        "ragged": lambda: sock.suppress_ragged_eofs,
        "connect": lambda: sock.connect(address),
        "connect_ex": lambda: sock.connect_ex(address),
        "send flags": lambda: sock.send(b"x", 1),
        "sendall flags": lambda: sock.sendall(b"x", 1),
        "recv flags": lambda: sock.recv(1, 1),
        "recv_into flags": lambda: sock.recv_into(bytearray(1), 1, 1),
        "sendto": lambda: sock.sendto(b"x", address),
        "sendmsg": lambda: sock.sendmsg([b"x"]),
        "recvfrom": lambda: sock.recvfrom(1),
        "recvfrom_into": lambda: sock.recvfrom_into(bytearray(1)),
        "recvmsg": lambda: sock.recvmsg(1),
        "recvmsg_into": lambda: sock.recvmsg_into([bytearray(1)]),
        "dup": sock.dup,
        "read nothing": lambda: sock.read(0),
        "handshake again": sock.do_handshake,
        "blocking handshake": lambda: sock.do_handshake(block=True),
        "verify": sock.verify_client_post_handshake,
    }
    for name in ("get_verified_chain", "get_unverified_chain"):
        if hasattr(ssl.SSLSocket, name):
            calls[name] = getattr(sock, name)
    return {name: outcome(call) for name, call in calls.items()}


@in_own_process
def test_every_question_has_the_answer_of_a_host_socket(certificates: str) -> None:
    contexts = client_context(certificates), server_context(certificates)
    contexts[1].maximum_version = ssl.TLSVersion.TLSv1_2
    for context in contexts:
        context.set_alpn_protocols(["h2", "http/1.1"])
    ours = wrap_both(*plain_pair(), *contexts)
    with stdlib.create_server(("127.0.0.1", 0)) as listener:
        client = stdlib.create_connection(listener.getsockname())
        theirs = wrap_both(client, listener.accept()[0], *contexts)  # type: ignore[arg-type]
    assert type(theirs[0]) is ssl.SSLSocket
    for our, their in zip(ours, theirs, strict=True):
        expected = answers(their)
        actual = answers(our)
        for binding in (actual.pop("binding"), expected.pop("binding")):
            assert isinstance(binding, bytes)
        assert actual == expected
        assert our.context is their.context
    for sock in (*ours, *theirs):
        sock.close()


@in_own_process
def test_a_socket_that_is_not_wrapped_well_is_left_alone(certificates: str) -> None:
    client, server = plain_pair()
    context = client_context(certificates)
    with client, server:
        with pytest.raises(ValueError, match="check_hostname requires server_hostname"):
            context.wrap_socket(client)
        with pytest.raises(ValueError, match="can only be specified in client mode"):
            context.wrap_socket(client, server_side=True, server_hostname="localhost")
        client.send(b"plain")
        assert server.recv(10) == b"plain"
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(NotImplementedError, match="only stream sockets"):
            context.wrap_socket(datagrams, server_hostname="localhost")
    client, server = plain_pair()
    client.setblocking(False)
    with server, pytest.raises(ValueError, match="do_handshake_on_connect"):
        context.wrap_socket(client, server_hostname="localhost")
    with pytest.raises(OSError, match="Bad file descriptor"):
        context.wrap_socket(client, server_hostname="localhost")


@in_own_process
def test_connect_and_accept_shake_hands(certificates: str) -> None:
    with server_context(certificates).wrap_socket(
        socket.create_server(("127.0.0.1", 0)), server_side=True
    ) as listener:
        address = listener.getsockname()
        for connect in ("connect", "connect_ex"):
            accepting = Peer(listener.accept)
            with client_context(certificates).wrap_socket(
                socket.socket(), server_hostname="localhost"
            ) as client:
                assert client.version() is None
                assert not getattr(client, connect)(address)
                accepted, peer = accepting.result()
                assert peer == client.getsockname()
                assert isinstance(accepted, ssl.SSLSocket)
                with accepted:
                    client.write(b"hello")
                    assert accepted.read() == b"hello"
                with pytest.raises(ValueError, match="already-connected"):
                    client.connect(address)
        with pytest.raises(ValueError, match="server-side"):
            listener.connect(address)


@in_own_process
def test_a_refused_connect_leaves_no_tls(certificates: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with client_context(certificates).wrap_socket(
            socket.socket(), server_hostname="localhost"
        ) as client:
            with pytest.raises(ConnectionRefusedError):
                client.connect(unused.getsockname())
            assert client.version() is None


@in_own_process
def test_bytes_from_before_tls_are_refused(certificates: str) -> None:
    client, server = plain_pair()
    server.send(b"too early")
    client.send(b"never read, so that the end is a reset")
    server.close()
    with pytest.raises(ConnectionError):
        while True:
            client.send(b"x")
    with pytest.raises(ssl.SSLError, match="data in recv buffer") as caught:
        client_context(certificates).wrap_socket(client, server_hostname="localhost")
    assert caught.value.reason == "Closed before TLS handshake with data in recv buffer."
    assert client.fileno() == -1


@in_own_process
def test_a_bad_certificate_is_refused_and_the_peer_is_told(certificates: str) -> None:
    client, server = plain_pair()
    serving = Peer(server_context(certificates).wrap_socket, server, server_side=True)
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(client, server_hostname="localhost")
    assert client.fileno() == -1
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        serving.result()


@in_own_process
def test_a_client_shows_its_certificate(certificates: str) -> None:
    to_client, to_server = client_context(certificates), server_context(certificates)
    to_client.load_cert_chain(f"{certificates}/localhost.pem")
    to_server.load_verify_locations(f"{certificates}/localhost.pem")
    to_server.verify_mode = ssl.CERT_REQUIRED
    client, server = wrap_both(*plain_pair(), to_client, to_server)
    with client, server:
        assert server.getpeercert() == client.getpeercert()
        assert server.getpeercert(True)


@in_own_process
def test_a_certificate_can_be_asked_for_later(certificates: str) -> None:
    to_client, to_server = client_context(certificates), server_context(certificates)
    to_client.load_cert_chain(f"{certificates}/localhost.pem")
    to_client.post_handshake_auth = True
    to_server.load_verify_locations(f"{certificates}/localhost.pem")
    to_server.post_handshake_auth = True
    to_server.verify_mode = ssl.CERT_REQUIRED
    client, server = wrap_both(*plain_pair(), to_client, to_server)
    with client, server:
        assert server.getpeercert() is None
        server.verify_client_post_handshake()
        server.write(b"ask")
        assert client.read() == b"ask"
        client.write(b"answer")
        assert server.read() == b"answer"
        assert server.getpeercert(True) == client.getpeercert(True)


@in_own_process
def test_an_sni_callback_switches_contexts(certificates: str) -> None:
    to_server = server_context(certificates)
    other = server_context(certificates, "other.test")
    seen: list[Any] = []

    def switch(sock: ssl.SSLSocket, name: str, context: ssl.SSLContext) -> None:
        seen.append((isinstance(sock, ssl.SSLSocket), name, context is to_server))
        sock.context = other

    to_server.sni_callback = switch  # type: ignore[assignment]
    client, server = wrap_both(
        *plain_pair(), client_context(certificates, "other.test"), to_server, "other.test"
    )
    with client, server:
        assert seen == [(True, "other.test", True)]
        assert server.context is other
        certificate = client.getpeercert()
        assert certificate is not None
        assert ("DNS", "other.test") in certificate["subjectAltName"]


@in_own_process
def test_a_session_is_used_again(certificates: str) -> None:
    to_client, to_server = client_context(certificates), server_context(certificates)
    to_client.maximum_version = ssl.TLSVersion.TLSv1_2
    client, server = wrap_both(*plain_pair(), to_client, to_server)
    with client, server:
        session = client.session
        assert session is not None
        assert not client.session_reused
    client, server = wrap_both(*plain_pair(), to_client, to_server, session=session)
    with client, server:
        assert client.session_reused
        assert server.session_reused
        assert client.session == session


@in_own_process
def test_a_class_that_the_program_derived_is_honoured(certificates: str) -> None:
    class Counting(ssl.SSLSocket):
        handshakes = 0

        def do_handshake(self, block: bool = False) -> None:
            self.handshakes += 1
            super().do_handshake(block)

    to_client = client_context(certificates)
    to_client.sslsocket_class = Counting
    client, server = wrap_both(*plain_pair(), to_client, server_context(certificates))
    with client, server:
        assert isinstance(client, Counting)
        assert isinstance(client, socket.socket)
        assert client.handshakes == 1
        client.write(b"x")
        assert server.read(1) == b"x"


@in_own_process
def test_host_sockets_go_the_way_of_the_standard_library(certificates: str) -> None:
    contexts = client_context(certificates), server_context(certificates)
    for make in (stdlib.socketpair, socket.socketpair):
        client, server = wrap_both(*make(), *contexts)  # type: ignore[arg-type]
        with client, server:
            assert type(client._sslobj).__module__ == "_ssl"  # type: ignore[attr-defined]
            assert isinstance(client, ssl.SSLSocket)
            assert isinstance(client, socket.socket) == (make is socket.socketpair)
            client.write(b"x")
            assert server.read(1) == b"x"


@in_own_process
def test_files_and_buffers_work(certificates: str) -> None:
    data = bytes(range(256)) * 400
    with tls_pair(certificates) as (client, server):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            sending = Peer(client.sendfile, file)
            with server.makefile("rb") as reader:
                assert reader.read(len(data)) == data
            assert sending.result() == len(data)
        with client.makefile("rw", encoding="utf-8", newline="\n") as writer:
            writer.write("a line\nand another\n")
            writer.flush()
            assert server.recv(7) == b"a line\n"
            assert server.pending() == 12
            buffer = bytearray(20)
            assert server.recv_into(buffer, 4) == 4
            assert server.recv_into(memoryview(buffer)[4:]) == 8
            assert buffer[:12] == b"and another\n"
            server.write(io.BytesIO(b"back\n").getbuffer())
            assert writer.readline() == "back\n"


@in_own_process
def test_a_dropped_socket_is_freed_at_once(certificates: str) -> None:
    gc.disable()
    client, server = wrap_both(
        *plain_pair(), client_context(certificates), server_context(certificates)
    )
    seen = weakref.ref(client)
    client.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        client.read()
    with pytest.warns(ResourceWarning):
        del client
    assert seen() is None
    server.suppress_ragged_eofs = True
    server.close()


@in_own_process
def test_what_tls_leaves_is_a_plain_socket(certificates: str) -> None:
    with tls_pair(certificates) as (client, server):
        with pytest.raises(NotImplementedError, match="carries no TLS"):
            client.bridge()  # type: ignore[attr-defined]

        def end_and_go_on() -> None:
            plain = server.unwrap()
            assert plain is server
            plain.sendall(b"plain" * 1000)

        ending = Peer(end_and_go_on)
        assert client.read() == b""
        plain = client.unwrap()
        assert receive_exactly(plain, 5000) == b"plain" * 1000
        ending.result()
        assert client.version() is None
        with pytest.raises(ValueError, match="No SSL wrapper"):
            client.unwrap()
        with pytest.raises(ValueError, match="unwrapped SSL socket"):
            client.read()


@in_own_process
def test_in_a_patched_program_the_policy_chooses_the_world(certificates: str) -> None:
    contexts = client_context(certificates), server_context(certificates)
    for policy, seen in (("default", False), ("default", True), ("all", False)):
        with lklsock.patched(policy=policy), stdlib.create_server(("127.0.0.1", 0)) as plain:
            assert type(plain) is stdlib.socket
            with contexts[1].wrap_socket(plain, server_side=True) as listener:
                accepting = Peer(listener.accept)
                with contexts[0].wrap_socket(
                    stdlib.socket(), server_hostname="localhost"
                ) as client:
                    assert isinstance(client, stdlib.socket)
                    if seen:
                        client.fileno()
                    client.connect(listener.getsockname())
                    with accepting.result()[0] as server:
                        assert isinstance(server, stdlib.socket)
                        server.sendall(b"hello")
                        assert client.recv(5) == b"hello"
                        assert client.version() == "TLSv1.3"


class StandIn:
    """Not a socket, but with all that one has: what some libraries hand to `ssl`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@in_own_process
def test_an_object_that_stands_for_a_kernel_socket_is_wrapped(certificates: str) -> None:
    client, server = plain_pair()
    client.settimeout(7)
    stand_in: Any = StandIn(client)
    fd = client.fileno()
    with pytest.raises(ValueError, match="check_hostname"):
        client_context(certificates).wrap_socket(stand_in)
    assert client.fileno() == fd, "it stays the program's"
    secure, peer = wrap_both(
        stand_in, server, client_context(certificates), server_context(certificates)
    )
    with secure, peer:
        assert client.fileno() == -1
        assert secure.fileno() == fd
        assert secure.gettimeout() == 7
        secure.sendall(b"through")
        assert receive_exactly(peer, 7) == b"through"
