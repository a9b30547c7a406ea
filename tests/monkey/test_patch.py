"""patch() and unpatch()."""

from own_process import in_own_process


@in_own_process
def test_patched_programs_make_our_sockets_and_unpatched_ones_do_not() -> None:
    import socket

    import lklsock

    stdlib_class = socket.socket
    lklsock.patch()
    lklsock.patch()
    assert lklsock.is_patched()
    assert lklsock.original("socket", "socket") is stdlib_class
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            peer, _ = server.accept()
            with peer:
                client.sendall(b"hello")
                assert peer.recv(5) == b"hello"
                assert type(client) is type(peer) is type(server) is socket.socket
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
    assert (1, "lo") in socket.if_nameindex()
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
