"""The stdlib's clients over TLS, against small servers on the stack."""

import ftplib
import http.client
import http.server
import imaplib
import poplib
import smtplib
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

from own_process import in_own_process
from secure import Peer, client_context, server_context

import lklsock

BODY = bytes(range(256)) * 1000
TIMEOUT_S = 30


class Web(http.server.BaseHTTPRequestHandler):
    """Answers every GET with BODY."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(self.rfile.read(size))

    def log_message(self, *args: object) -> None:
        pass


class Wire:
    """One connection of a server that speaks in lines, and may start TLS."""

    def __init__(self, sock: Any, folder: str) -> None:
        self._folder = folder
        self._sock = sock
        self._file = sock.makefile("rb")

    def say(self, text: str) -> None:
        self._sock.sendall(text.encode() + b"\r\n")

    def hear(self) -> str:
        line: bytes = self._file.readline()
        return line.decode().rstrip("\r\n")

    def start_tls(self) -> None:
        self._file.close()
        self._sock = server_context(self._folder).wrap_socket(self._sock, server_side=True)
        self._file = self._sock.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._sock.close()


def serve(folder: str, talk: Callable[[Wire], None]) -> tuple[int, Peer]:
    """Has a thread take one connection and talk. Returns the port."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]

    def run() -> None:
        with listener:
            listener.settimeout(TIMEOUT_S)
            sock, _ = listener.accept()
        sock.settimeout(TIMEOUT_S)
        assert sock._lkl is not None  # type: ignore[attr-defined]
        wire = Wire(sock, folder)
        try:
            talk(wire)
        finally:
            wire.close()

    return port, Peer(run)


def script(*lines: str) -> Callable[[Wire], None]:
    """A server that hears ">..." and says the others; "TLS" starts it."""

    def talk(wire: Wire) -> None:
        for line in lines:
            if line == "TLS":
                wire.start_tls()
            elif line.startswith(">"):
                heard = wire.hear()
                assert heard.upper().startswith(line[1:]), (heard, line)
            else:
                wire.say(line)

    return talk


@in_own_process
def test_http(certificates: str) -> None:
    with lklsock.patched(policy="all"):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
        server.socket = server_context(certificates).wrap_socket(server.socket, server_side=True)
        port = server.server_port
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        context = client_context(certificates)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=TIMEOUT_S, context=context
        )
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read() == BODY
            connection.request("POST", "/", body=BODY)
            assert connection.getresponse().read() == BODY
        assert connection.sock._lkl is not None
        connection.close()
        with urllib.request.urlopen(
            f"https://127.0.0.1:{port}/", timeout=TIMEOUT_S, context=context
        ) as answer:
            assert answer.read() == BODY
        server.shutdown()
        serving.join(TIMEOUT_S)
        server.server_close()


@in_own_process
def test_smtp(certificates: str) -> None:
    with lklsock.patched(policy="all"):
        port, serving = serve(
            certificates,
            script(
                *("220 hello", ">EHLO", "250-here", "250 STARTTLS"),
                *(">STARTTLS", "220 go", "TLS"),
                *(">EHLO", "250 here", ">MAIL", "250 ok", ">RCPT", "250 ok", ">DATA", "354 go"),
                *(">SUBJECT", ">", ">TEXT", ">.", "250 taken", ">QUIT", "221 bye"),
            ),
        )
        with smtplib.SMTP("127.0.0.1", port, timeout=TIMEOUT_S) as client:
            client.starttls(context=client_context(certificates))
            assert client.sendmail("a@test", ["b@test"], "Subject: s\n\ntext\n") == {}
        serving.result()


@in_own_process
def test_imap(certificates: str) -> None:
    def talk(wire: Wire) -> None:
        wire.say("* OK here")
        for command, answer in (
            ("CAPABILITY", "* CAPABILITY IMAP4REV1 STARTTLS"),
            ("STARTTLS", ""),
            ("CAPABILITY", "* CAPABILITY IMAP4REV1"),
            ("NOOP", ""),
            ("LOGOUT", "* BYE"),
        ):
            tag, heard = wire.hear().split(" ", 1)
            assert heard == command
            if answer:
                wire.say(answer)
            wire.say(f"{tag} OK done")
            if command == "STARTTLS":
                wire.start_tls()

    with lklsock.patched(policy="all"):
        port, serving = serve(certificates, talk)
        client = imaplib.IMAP4("127.0.0.1", port, timeout=TIMEOUT_S)
        assert client.starttls(client_context(certificates))[0] == "OK"
        assert client.noop()[0] == "OK"
        client.logout()
        serving.result()


@in_own_process
def test_pop(certificates: str) -> None:
    with lklsock.patched(policy="all"):
        port, serving = serve(
            certificates,
            script(
                *("+OK here", ">CAPA", "+OK", "STLS", ".", ">STLS", "+OK", "TLS"),
                *(">STAT", "+OK 2 320", ">QUIT", "+OK"),
            ),
        )
        client = poplib.POP3("127.0.0.1", port, timeout=TIMEOUT_S)
        client.stls(client_context(certificates))
        assert client.stat() == (2, 320)
        client.quit()
        serving.result()


@in_own_process
def test_ftp(certificates: str) -> None:
    import socket

    def talk(wire: Wire) -> None:
        script("220 here", ">AUTH TLS", "234 go", "TLS")(wire)
        script(">USER", "230 in", ">PBSZ", "200 ok", ">PROT P", "200 ok")(wire)
        script(">TYPE", "200 ok", ">PASV")(wire)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            wire.say(f"227 (127,0,0,1,{port >> 8},{port & 255})")
            script(">RETR", "150 take it")(wire)
            data, _ = listener.accept()
        with server_context(certificates).wrap_socket(data, server_side=True) as secure:
            secure.sendall(BODY)
            secure.unwrap().close()
        script("226 done", ">QUIT", "221 bye")(wire)

    with lklsock.patched(policy="all"):
        port, serving = serve(certificates, talk)
        client = ftplib.FTP_TLS(context=client_context(certificates), timeout=TIMEOUT_S)
        client.connect("127.0.0.1", port)
        client.login()
        client.prot_p()
        received: list[bytes] = []
        client.retrbinary("RETR file", received.append)
        assert b"".join(received) == BODY
        client.quit()
        serving.result()
