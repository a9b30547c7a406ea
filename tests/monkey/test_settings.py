"""patch(policy=...) and patch(listen=...)."""

import pytest
from own_process import in_own_process


@in_own_process
def test_default_leaves_loopback_to_the_host_and_all_does_not() -> None:
    import socket

    import pytest

    import lklsock
    from lklsock import socket as on_stack

    with socket.create_server(("127.0.0.1", 0)) as of_host:
        name = of_host.getsockname()
        lklsock.patch()
        with socket.create_connection(name) as client:
            assert client.mptcp is None  # type: ignore[attr-defined]
            of_host.accept()[0].close()
        lklsock.patch(policy="all")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(name)
        with on_stack.create_server(name), socket.create_connection(name) as client:
            assert client.mptcp is not None  # type: ignore[attr-defined]
        lklsock.patch(policy="default")
        with socket.create_connection(name):
            of_host.accept()[0].close()


@pytest.mark.parametrize(
    ("settings", "reachable"),
    [
        ({}, ("host", "stack")),
        ({"policy": "all"}, ("stack",)),
        ({"listen": "stack"}, ("stack",)),
        ({"listen": "host"}, ("host",)),
        ({"policy": "all", "listen": "both"}, ("host", "stack")),
    ],
)
@in_own_process
def test_listener_on_all_addresses_is_where_listen_says(
    settings: dict[str, str], reachable: list[str]
) -> None:
    import socket

    import pytest

    import lklsock
    from lklsock import socket as on_stack

    lklsock.patch(**settings)
    with socket.create_server(("", 0)) as server:
        name = "127.0.0.1", server.getsockname()[1]
        for world in ("host", "stack"):
            if world == "stack":
                client: socket.socket = on_stack.socket()
            else:
                client = lklsock.original("socket", "socket")()
            with client:
                client.settimeout(20)
                if world not in reachable:
                    with pytest.raises(ConnectionRefusedError):
                        client.connect(name)
                    continue
                client.connect(name)
                peer, _ = server.accept()
                with peer:
                    client.sendall(b"hello")
                    assert peer.recv(5) == b"hello"


@in_own_process
def test_rules_are_objects_or_mappings() -> None:
    import socket

    import pytest

    import lklsock
    from lklsock.monkey import Rule

    with socket.create_server(("127.0.0.1", 0)) as of_host:
        name = of_host.getsockname()
        for rule in (Rule(to="127.0.0.0/8", world="stack"), {"port": name[1], "world": "stack"}):
            lklsock.patch(policy=[rule])
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(name)
        with lklsock.patched(policy="default"), socket.create_connection(name):
            pass
    for wrong in ([{"to": "10.0.0.0/8"}], [{"to": "ten", "world": "host"}]):
        with pytest.raises(ValueError, match=r"rule needs a world|to must be"):
            lklsock.patch(policy=wrong)
    with pytest.raises(ValueError, match="listen must be one of both, host, stack, not 'here'"):
        lklsock.patch(listen="here")


@in_own_process
def test_ssl_can_be_kept_from_sockets_of_the_stack() -> None:
    import ssl

    import lklsock
    from lklsock import socket as on_stack

    context = ssl.create_default_context()

    def wraps() -> bool:
        """Whether a context takes a socket of the stack; where not, the socket is as before."""
        with on_stack.socket() as sock:
            try:
                wrapped = context.wrap_socket(
                    sock, do_handshake_on_connect=False, server_hostname="host"
                )
            except TypeError as error:
                assert "patch(ssl=False)" in str(error)
                assert sock.getsockname() == ("0.0.0.0", 0)
                return False
        with wrapped:
            assert isinstance(wrapped, ssl.SSLSocket) and isinstance(wrapped, on_stack.socket)
            return True

    assert wraps()
    lklsock.patch()
    assert wraps()
    lklsock.patch(ssl=False)
    assert not wraps()
    lklsock.patch(ssl=True)
    assert wraps()
    with lklsock.patched(ssl=False):
        assert not wraps()
    assert wraps()
    lklsock.patch(ssl=False)
    lklsock.unpatch()
    assert wraps()
