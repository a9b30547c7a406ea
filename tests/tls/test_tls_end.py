"""Closing: nothing that was sent is lost for TLS messages that no program reads."""

import select
import ssl

import pytest
from own_process import in_own_process
from secure import Peer, client_context, plain_pair, server_context, tls_pair

from lklsock import socket


def await_data(sock: socket.socket) -> None:
    readable, _, _ = select.select([sock], [], [], 30)
    assert readable


@in_own_process
def test_a_close_with_tickets_unread_loses_nothing(certificates: str) -> None:
    for _ in range(5):
        with tls_pair(certificates) as (client, server):
            assert client.version() == "TLSv1.3"
            await_data(client)
            client.write(b"request")
            client.close()
            assert server.recv(100) == b"request"
            assert server.recv(100) == b""
            assert server.recv(100) == b""


@in_own_process
def test_a_close_with_a_goodbye_unread_is_no_reset(certificates: str) -> None:
    with tls_pair(certificates) as (client, server):
        client.settimeout(0)
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
        await_data(server)
        server.write(b"last")
        server.close()
        client.settimeout(30)
        assert client.recv(100) == b"last"
        assert client.recv(100) == b""


@in_own_process
def test_why_a_server_closed_is_told_whatever_the_client_has_sent(certificates: str) -> None:
    to_server = server_context(certificates)
    to_server.verify_mode = ssl.CERT_REQUIRED
    client, server = plain_pair()
    serving = Peer(to_server.wrap_socket, server, server_side=True)
    with client_context(certificates).wrap_socket(client, server_hostname="localhost") as secure:
        assert secure.version() == "TLSv1.3"
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            serving.result()
        secure.write(b"request")
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            secure.read(1)


@in_own_process
def test_data_that_is_left_resets_the_connection(certificates: str) -> None:
    with tls_pair(certificates) as (client, server):
        client.write(b"never read")
        await_data(server)
        server.close()
        with pytest.raises(ConnectionError):
            while True:
                client.write(b"x")


@in_own_process
def test_a_callback_may_close_the_socket(certificates: str) -> None:
    def close(sock: ssl.SSLSocket, name: str, context: ssl.SSLContext) -> None:
        sock.close()

    to_server = server_context(certificates)
    to_server.sni_callback = close
    client, server = plain_pair()
    serving = Peer(to_server.wrap_socket, server, server_side=True)
    with pytest.raises(OSError):
        client_context(certificates).wrap_socket(client, server_hostname="localhost")
    with pytest.raises(OSError):
        serving.result()
