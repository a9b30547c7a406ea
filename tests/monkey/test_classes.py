"""The class that patched programs get, and what counts as one of its sockets."""

import pytest
from own_process import in_own_process


@in_own_process
def test_sockets_from_before_count_as_sockets() -> None:
    import socket
    import ssl

    import lklsock
    from lklsock import socket as by_name

    early = socket.socket()
    lklsock.patch()
    assert type(early) is lklsock.original("socket", "socket")
    assert isinstance(early, socket.socket)
    assert issubclass(ssl.SSLSocket, socket.socket)
    with by_name.socket() as ours, socket.socket() as patched:
        assert isinstance(ours, socket.socket)
        assert isinstance(patched, by_name.socket)
        assert type(patched) is socket.socket

        class Late(socket.socket):
            pass

        assert issubclass(Late, socket.socket)
        assert not isinstance(early, Late)
        assert not isinstance(patched, Late)
        assert not isinstance(object(), socket.socket)
    early.close()


@in_own_process
def test_classes_derive_from_it_as_from_the_stdlibs() -> None:
    import abc
    import socket

    import lklsock

    lklsock.patch()

    class Counted(socket.socket, abc.ABC):
        def __init__(self, *args: int) -> None:
            super().__init__(*args)
            self.count = 0

    with Counted(socket.AF_INET) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with socket.create_connection(sock.getsockname()):
            peer, _ = sock.accept()
            with peer:
                assert type(peer) is socket.socket


@in_own_process
def test_what_was_imported_by_name_from_lklsock_stays() -> None:
    import sys
    from types import ModuleType

    import lklsock

    module = ModuleType("program")
    sys.modules["program"] = module
    exec("from lklsock.socket import socket, create_connection", module.__dict__)
    ours = module.socket
    lklsock.patch()
    assert module.socket is ours
    lklsock.unpatch()
    assert module.socket is ours is lklsock.socket.socket


@pytest.mark.parametrize("replaced_by", ["gevent", "a subclass", "something else"])
@in_own_process
def test_class_is_the_stdlibs_where_another_had_replaced_it(replaced_by: str) -> None:
    import socket

    import pytest

    genuine = socket.socket
    if replaced_by == "gevent":
        monkey = pytest.importorskip("gevent.monkey", reason="takes gevent: pip install gevent")
        monkey.patch_all()
    elif replaced_by == "a subclass":
        socket.socket = type("Guarded", (genuine,), {})  # type: ignore[misc]
    else:
        socket.socket = type("Fake", (), {})  # type: ignore[misc,assignment]

    from lklsock import socket as by_name

    assert [cls.__module__ for cls in by_name.socket.__mro__[3:]] == [
        "socket",
        "_socket",
        "builtins",
    ]
    assert by_name.socket.__mro__[3] is genuine
    with by_name.create_server(("127.0.0.1", 0)) as server:
        with by_name.create_connection(server.getsockname()) as client:
            peer, _ = server.accept()
            with peer:
                client.sendall(b"hello")
                assert peer.recv(5) == b"hello"
    for end in by_name.socketpair():
        end.close()


@pytest.mark.parametrize("policy", ["default", "all"])
@in_own_process
def test_sockets_that_are_left_open_end_quietly_with_python(policy: str) -> None:
    import subprocess
    import sys

    program = f"""
import sys, warnings
warnings.simplefilter("ignore")
import lklsock
lklsock.patch(policy={policy!r})
import socket
kept = [socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(type=socket.SOCK_DGRAM)]
kept[0].fileno()
server = socket.create_server(("127.0.0.1", 0))
kept[0].connect(server.getsockname())
modules = [vars(module) for name, module in sys.modules.items() if name.startswith("lklsock._")]

class Last:
    # What Python does to modules when it ends, and then to what other things hold.
    def __del__(self, modules=modules, kept=kept, finalizing=sys.is_finalizing, out=sys.stdout):
        for contents in modules:
            for name in contents:
                if name.startswith("_") and not name.startswith("__"):
                    contents[name] = None
        kept.clear()
        out.write(str(finalizing()))

last = Last()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True", "")
