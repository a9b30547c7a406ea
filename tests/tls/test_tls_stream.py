"""Transfers: blocking, with a timeout and not blocking; threads; how a stream ends."""

import select
import ssl
import struct
import threading

import pytest
from own_process import in_own_process, run
from secure import (
    Peer,
    client_context,
    plain_pair,
    receive_exactly,
    server_context,
    tls_pair,
)

from lklsock import socket

BULK = bytes(range(256)) * 8000


@in_own_process
def test_two_threads_send_and_receive_on_one_socket(certificates: str) -> None:
    with tls_pair(certificates) as (client, server):
        sending = [Peer(sock.sendall, BULK) for sock in (client, server)]
        receiving = [Peer(receive_exactly, sock, len(BULK)) for sock in (client, server)]
        for peer in sending:
            peer.result()
        for peer in receiving:
            assert peer.result() == BULK


@in_own_process
def test_two_threads_send_at_once(certificates: str) -> None:
    def send(sock: ssl.SSLSocket, byte: bytes) -> None:
        for _ in range(300):
            sock.sendall(byte * 3000)

    with tls_pair(certificates) as (client, server):
        sending = [Peer(send, client, byte) for byte in (b"a", b"b")]
        data = receive_exactly(server, 2 * 300 * 3000)
        for peer in sending:
            peer.result()
        for start in range(0, len(data), 3000):
            assert len(set(data[start : start + 3000])) == 1
        assert data.count(b"a") == data.count(b"b")


@in_own_process
def test_a_timeout_set_in_the_kernel_does_not_end_a_read(certificates: str) -> None:
    """As with the standard library, which tries again."""
    with tls_pair(certificates) as (client, server):
        tenth = struct.pack("ll", 0, 100000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, tenth)
        reading = Peer(client.recv, 100)
        reading.join(0.3)
        assert reading.is_alive()
        server.write(b"late")
        assert reading.result() == b"late"


@in_own_process
def test_what_takes_too_long_says_which_operation_it_was(certificates: str) -> None:
    client, silent = plain_pair()
    client.settimeout(0.05)
    with silent, pytest.raises(TimeoutError, match=r"^The handshake operation timed out$"):
        client_context(certificates).wrap_socket(client, server_hostname="localhost")
    with tls_pair(certificates) as (client, _server):
        client.settimeout(0.05)
        with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
            client.recv(1)
        with pytest.raises(TimeoutError, match=r"^The write operation timed out$"):
            while True:
                client.sendall(BULK)


@in_own_process
def test_a_handshake_can_be_made_without_blocking(certificates: str) -> None:
    client, server = plain_pair()
    serving = Peer(server_context(certificates).wrap_socket, server, server_side=True)
    client.setblocking(False)
    secure = client_context(certificates).wrap_socket(
        client, server_hostname="localhost", do_handshake_on_connect=False
    )
    waits = 0
    while True:
        try:
            secure.do_handshake()
            break
        except ssl.SSLWantReadError as error:
            assert error.errno == ssl.SSL_ERROR_WANT_READ
            waits += 1
            assert select.select([secure], [], [], 30)[0]
    assert waits
    with secure, serving.result() as peer:
        assert secure.getpeercert(True)
        peer.write(b"x")


@in_own_process
def test_a_write_that_was_cut_short_goes_on_when_it_is_repeated(certificates: str) -> None:
    with tls_pair(certificates) as (client, server):
        client.setblocking(False)
        sent = 0
        view = memoryview(BULK * 8)

        def send() -> int:
            return client.send(view[sent : sent + 16384])

        with pytest.raises(ssl.SSLWantWriteError):
            while True:
                sent += send()
        with pytest.raises(ssl.SSLError, match="bad write retry"):
            client.send(b"less")
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(1)
        receiving = Peer(receive_exactly, server, len(view))
        while sent < len(view):
            try:
                sent += send()
            except ssl.SSLWantWriteError:
                assert select.select([], [client], [], 30)[1]
        assert receiving.result() == view


@in_own_process
def test_select_tells_of_every_record(certificates: str) -> None:
    sizes = [1, 5, 100, 4000, 16384, 2, 16384, 16384, 7] * 20
    with tls_pair(certificates) as (client, server):
        server.setblocking(False)

        def send() -> None:
            for number, size in enumerate(sizes):
                client.write(bytes([number]) * size)

        sending = Peer(send)
        received = bytearray()
        while len(received) < sum(sizes):
            # As a program does it: all that is there by pending(), then select().
            assert select.select([server], [], [], 30)[0], f"{len(received)} bytes came"
            try:
                received += server.recv(3000)
                while server.pending():
                    received += server.recv(server.pending())
            except ssl.SSLWantReadError:
                continue
        sending.result()
        assert received == b"".join(bytes([n]) * size for n, size in enumerate(sizes))


@in_own_process
def test_a_second_record_leaves_the_socket_readable(certificates: str) -> None:
    with tls_pair(certificates) as (client, server):
        server.write(b"one")
        server.write(b"two")
        assert client.recv(100) == b"one"
        assert client.pending() == 0
        assert select.select([client], [], [], 30)[0]
        assert client.recv(100) == b"two"
        client.setblocking(False)
        assert not select.select([client], [], [], 0)[0]


@in_own_process
def test_the_end_without_goodbye_is_an_error_only_if_asked_for(certificates: str) -> None:
    for suppress in (True, False):
        with tls_pair(certificates, suppress_ragged_eofs=suppress) as (client, server):
            server.write(b"last")
            server.shutdown(socket.SHUT_RDWR)
            assert client.read() == b"last"
            if suppress:
                assert client.read() == b""
                assert client.recv_into(bytearray(5)) == 0
            else:
                with pytest.raises(ssl.SSLEOFError):
                    client.read()


@in_own_process
def test_what_is_not_tls_is_refused_at_its_first_bytes(certificates: str) -> None:
    for garbage in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\xff" * 5, b"\0" * 5):
        client, server = plain_pair()
        client.send(garbage)
        with client, pytest.raises(ssl.SSLError) as caught:
            server.settimeout(30)
            server_context(certificates).wrap_socket(server, server_side=True)
        assert not isinstance(caught.value, (TimeoutError, ssl.SSLEOFError)), garbage


@in_own_process
def test_bytes_that_come_one_by_one_make_records(certificates: str) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = client_context(certificates).wrap_bio(incoming, outgoing, server_hostname="localhost")
    client, server = plain_pair()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    serving = Peer(server_context(certificates).wrap_socket, server, server_side=True)
    while True:
        try:
            peer.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        for byte in outgoing.read():
            client.send(bytes([byte]))
        if done:
            break
        incoming.write(client.recv(4096))
    with client, serving.result() as secure:
        receiving = Peer(receive_exactly, secure, 300)
        peer.write(b"abc" * 100)
        for byte in outgoing.read():
            client.send(bytes([byte]))
        assert receiving.result() == b"abc" * 100


@in_own_process
def test_a_reader_ends_when_another_thread_shuts_down_or_closes(certificates: str) -> None:
    for end in ("shutdown", "close"):
        with tls_pair(certificates) as (client, _server):
            about = threading.Event()

            def read(sock: ssl.SSLSocket = client, about: threading.Event = about) -> object:
                about.set()
                try:
                    return sock.recv(1)
                except (OSError, ValueError) as error:
                    return error

            reading = Peer(read)
            assert about.wait(30)
            client.shutdown(socket.SHUT_RDWR) if end == "shutdown" else client.close()
            outcome = reading.result()
            assert outcome == b"" or isinstance(outcome, (OSError, ValueError))


@pytest.mark.parametrize("first", ["ssl", "lklsock.socket"])
def test_ssl_is_changed_whichever_is_imported_first(first: str) -> None:
    second = "ssl" if first != "ssl" else "lklsock.socket"
    run(
        f"""
import importlib, sys
importlib.import_module("{first}")
assert "{first}" == "ssl" or "ssl" not in sys.modules
importlib.import_module("{second}")
import ssl
from lklsock import _tls
ours = vars(ssl.SSLSocket)["_create"]
assert isinstance(ours, _tls._Create)
assert ssl.__loader__ is ssl.__spec__.loader and ssl.__file__
importlib.reload(ssl)
assert isinstance(vars(ssl.SSLSocket)["_create"], _tls._Create)
changed = vars(ssl.SSLSocket)["_create"]
_tls.install()
assert vars(ssl.SSLSocket)["_create"] is changed
assert isinstance(vars(ssl.SSLSocket)["_create"], _tls._Create)
"""
    )
