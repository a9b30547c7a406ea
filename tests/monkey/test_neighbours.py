"""Other libraries that have their own ways with sockets."""

import pytest
from own_process import in_own_process


@pytest.mark.parametrize("order", ["trio first", "patch first", "patch twice"])
@in_own_process
def test_trio_works_whenever_it_was_imported(order: str) -> None:
    import pytest

    import lklsock

    def talk() -> str:
        async def main() -> str:
            server = trio.socket.socket()
            await server.bind(("127.0.0.1", 0))
            server.listen()
            client = trio.socket.socket()
            await client.connect(server.getsockname())
            peer, _ = await server.accept()
            await client.send(b"hello")
            buffer = bytearray(5)
            assert await peer.recv_into(buffer) == 5
            assert buffer == b"hello"
            with pytest.raises(trio.TooSlowError):
                with trio.fail_after(0.01):
                    await peer.recv(1)
            await peer.sendmsg([b"back"])
            assert await client.recvmsg(10) == (b"back", [], 0, None)
            kind = type(client._sock).__module__
            for sock in (server, client, peer):
                sock.close()
            a, b = trio.socket.socketpair(), trio.socket.socket(type=trio.socket.SOCK_DGRAM)
            await a[0].send(b"x")
            assert await a[1].recv(1) == b"x"
            await b.bind(("127.0.0.1", 0))
            await b.sendto(b"y", b.getsockname())
            assert (await b.recvfrom(9))[0] == b"y"
            for sock in (*a, b):
                sock.close()
            return str(kind)

        return str(trio.run(main))

    if order == "patch first":
        lklsock.patch(policy="all")
    trio = pytest.importorskip("trio", reason="takes trio: pip install trio")
    if order == "patch twice":
        lklsock.patch(policy="all")
        lklsock.unpatch()
    lklsock.patch(policy="all")
    assert talk() == "lklsock.socket"
    lklsock.unpatch()
    assert talk() == "socket"


@in_own_process
def test_a_trio_that_is_made_in_another_way_is_warned_about() -> None:
    import sys
    from types import ModuleType

    import pytest

    import lklsock

    trio = ModuleType("trio._socket")
    sys.modules["trio._socket"] = trio
    trio._SocketType = type("_SocketType", (), {"recv": lambda self: 0})  # type: ignore[attr-defined]
    with pytest.warns(lklsock.PatchWarning, match="trio of unknown version is not made as"):
        lklsock.patch()
    assert "trio" in lklsock.report().problems[0]
    assert lklsock.is_patched()


@in_own_process
def test_gevent_that_patched_before_keeps_its_sockets_and_is_warned_about() -> None:
    import pytest

    monkey = pytest.importorskip("gevent.monkey", reason="takes gevent: pip install gevent")
    monkey.patch_all()

    import socket

    import lklsock

    gevents = socket.socket
    with pytest.warns(lklsock.PatchWarning, match="before lklsock.patch") as warned:
        lklsock.patch()
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert socket.socket is gevents
    assert not lklsock.is_patched()
    lklsock.unpatch()


@in_own_process
def test_gevent_that_patches_later_is_warned_about() -> None:
    import socket

    import pytest

    import lklsock

    lklsock.patch(policy="all")
    monkey = pytest.importorskip("gevent.monkey", reason="takes gevent: pip install gevent")
    with pytest.warns(lklsock.PatchWarning, match="after lklsock.patch") as warned:
        monkey.patch_socket()
    assert len(warned) == 1
    assert not lklsock.is_patched()
    gevents = socket.socket
    lklsock.unpatch()
    assert socket.socket is gevents


@in_own_process
def test_gevent_without_its_sockets_goes_with_ours_in_its_threadpool() -> None:
    import socket

    import pytest

    import lklsock

    monkey = pytest.importorskip("gevent.monkey", reason="takes gevent: pip install gevent")
    lklsock.patch(policy="all")
    monkey.patch_all(socket=False, ssl=False, dns=False)
    import gevent
    import gevent.socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert lklsock.is_patched()
        pool = gevent.get_hub().threadpool
        accepted = pool.spawn(server.accept)
        ticks = []
        ticker = gevent.spawn(lambda: [ticks.append(gevent.sleep(0.001)) for _ in range(5)])
        with socket.create_connection(server.getsockname()) as client:
            peer, _ = accepted.get(timeout=30)
            # One that does not block is waited for by its descriptor, as any other.
            peer.setblocking(False)
            client.sendall(b"hello")
            gevent.socket.wait_read(peer.fileno(), timeout=30)
            assert peer.recv(5) == b"hello"
            peer.close()
        ticker.join(30)
        assert len(ticks) == 5
    # And its own sockets stand beside ours.
    native = (
        gevent.socket.create_server(("127.0.0.1", 0))
        if hasattr(gevent.socket, "create_server")
        else gevent.socket.socket()
    )
    native.close()


@pytest.mark.parametrize("order", ["import first", "patch first"])
@in_own_process
def test_multiprocessing_passes_host_sockets_and_refuses_those_of_a_stack(order: str) -> None:
    import socket

    import pytest

    import lklsock

    if order == "patch first":
        lklsock.patch(policy="all")
    from multiprocessing.reduction import ForkingPickler

    early = lklsock.original("socket", "socket")(socket.AF_UNIX)
    lklsock.patch(policy="all")
    with socket.socket(socket.AF_UNIX) as host, socket.socket() as ours, early:
        # What it makes of a socket belongs to a running server of descriptors: not asked for here.
        table = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
        assert set(table) >= {type(host), type(early)}
        with pytest.raises(TypeError, match="a socket of a stack cannot be passed"):
            ForkingPickler.dumps(ours)
        with socket.socket() as closed:
            pass
        with pytest.raises(TypeError, match="a socket of a stack cannot be passed"):
            ForkingPickler.dumps(closed)
        rebuild, arguments = table[type(host)](host)
        assert rebuild.__name__ == "_rebuild_socket"
        assert arguments[1] == socket.AF_UNIX
        import pickle

        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(host)


@in_own_process
def test_multiprocessing_passes_what_the_policy_gave_to_the_host() -> None:
    import socket
    from multiprocessing.reduction import ForkingPickler

    import pytest

    import lklsock

    server = socket.create_server(("127.0.0.1", 0))
    lklsock.patch()
    table = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    with server, socket.socket() as undecided, socket.socket() as seen:
        with pytest.raises(TypeError, match="a socket of a stack cannot be passed"):
            ForkingPickler.dumps(undecided)
        with socket.create_connection(server.getsockname()) as plain:
            rebuild, arguments = table[type(plain)](plain)
            assert rebuild.__name__ == "_rebuild_socket"
            assert arguments[1] == socket.AF_INET
        # Its descriptor has been given away, and carries readiness only.
        seen.fileno()
        seen.connect(server.getsockname())
        with pytest.raises(TypeError, match="a socket of a stack cannot be passed"):
            ForkingPickler.dumps(seen)
