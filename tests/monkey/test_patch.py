"""patch() and unpatch()."""

from own_process import in_own_process


@in_own_process
def test_patched_programs_make_our_sockets_and_unpatched_ones_do_not() -> None:
    import socket

    import lklsock

    stdlib_class = lklsock.original("socket", "socket")
    assert stdlib_class is socket.socket
    lklsock.patch(policy="all")
    assert lklsock.is_patched()
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            peer, _ = server.accept()
            with peer:
                client.sendall(b"hello")
                assert peer.recv(5) == b"hello"
                assert type(client) is type(peer) is type(server) is socket.socket
                assert client.mptcp is not None  # type: ignore[attr-defined]
    lklsock.unpatch()
    assert not lklsock.is_patched()
    assert socket.socket is stdlib_class
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert type(server) is stdlib_class


@in_own_process
def test_interfaces_of_patched_programs_are_the_stacks() -> None:
    import socket

    import lklsock

    lklsock.patch()
    assert socket.if_nameindex() == [(1, "lo")]
    assert socket.if_indextoname(socket.if_nametoindex("lo")) == "lo"


@in_own_process
def test_unpatch_leaves_what_somebody_else_put_in_place() -> None:
    import socket

    import lklsock

    lklsock.patch()
    other = type("socket", (socket.socket,), {})
    socket.socket = other  # type: ignore[misc]
    lklsock.unpatch()
    assert socket.socket is other
    assert socket.if_nameindex is lklsock.original("socket", "if_nameindex")


@in_own_process
def test_unpatch_gives_back_what_somebody_else_had_put_in_place() -> None:
    import socket

    import lklsock

    other = type("socket", (socket.socket,), {})
    lklsock.original("socket", "socket")
    socket.socket = other  # type: ignore[misc]
    lklsock.patch()
    assert lklsock.is_patched()
    lklsock.unpatch()
    assert socket.socket is other


@in_own_process
def test_a_second_call_changes_what_it_names() -> None:
    import lklsock

    lklsock.patch(policy="all", mptcp="off")
    lklsock.patch()
    lklsock.patch(mptcp="require")
    settings = lklsock.report().settings
    assert (settings["policy"], settings["mptcp"]) == ("all", "require")
    assert lklsock.default_stack().mptcp_mode == "require"
    lklsock.patch(socket=False)
    assert not lklsock.is_patched()
    lklsock.unpatch()
    assert lklsock.default_stack().mptcp_mode == "prefer"


@in_own_process
def test_a_mode_that_the_program_has_set_stays() -> None:
    import lklsock

    lklsock.default_stack().mptcp_mode = "off"
    lklsock.patch()
    lklsock.unpatch()
    assert lklsock.default_stack().mptcp_mode == "off"


@in_own_process
def test_a_wrong_argument_changes_nothing() -> None:
    import socket

    import pytest

    import lklsock

    with pytest.raises(ValueError, match="policy must be"):
        lklsock.patch(policy="some")
    with pytest.raises(ValueError, match="mptcp must be one of prefer, require, off"):
        lklsock.patch(mptcp="on")
    with pytest.raises(ValueError, match="mptcp must be"):
        lklsock.patched(mptcp="on")
    assert socket.socket is lklsock.original("socket", "socket")
    assert lklsock.report().settings == {}


@in_own_process
def test_families_that_no_stack_has_go_on_as_ever() -> None:
    import os
    import socket
    import tempfile

    import lklsock

    lklsock.patch(policy="all")
    a, b = socket.socketpair()
    with a, b:
        os.write(a.fileno(), b"x")
        assert b.recv(1) == b"x"
        assert type(a) is socket.socket
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{directory}/s")
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{directory}/s")
            peer, _ = server.accept()
            with peer:
                assert type(peer) is socket.socket


@in_own_process
def test_the_standard_library_works_on_patched_sockets() -> None:
    import asyncio
    import http.client
    import http.server
    import selectors
    import socketserver
    import threading
    import urllib.request

    import lklsock

    lklsock.patch(policy="all")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"over the stack")

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        port = server.server_address[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.read() == b"over the stack"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"over the stack"
        connection.close()
        server.shutdown()
        thread.join(30)

    async def echo() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line

    assert asyncio.run(echo()) == b"line\n"
    assert lklsock.report().connections["opened"] == 3
    selectors.DefaultSelector().close()


@in_own_process
def test_names_are_asked_through_the_stack_unless_dns_is_off() -> None:
    import socket

    import lklsock
    from lklsock.socket import getaddrinfo as ours_by_name

    here = globals()
    here["taken_by_name"] = ours_by_name
    here["taken_early"] = socket.getaddrinfo
    original = socket.getaddrinfo
    lklsock.patch()
    assert socket.getaddrinfo is here["taken_early"] is not original
    asked = []

    class Resolver:
        def getaddrinfo(self, host: str, *_: object) -> list[object]:
            asked.append(host)
            return []

    from lklsock import _resolver

    _resolver.set_current_resolver(lambda scoped=False: Resolver())  # type: ignore[arg-type]
    assert socket.getaddrinfo("name.invalid", 80) == []
    assert asked == ["name.invalid"]
    lklsock.patch(dns=False)
    assert socket.getaddrinfo is here["taken_early"] is original
    assert here["taken_by_name"] is ours_by_name
    assert lklsock.is_patched()
