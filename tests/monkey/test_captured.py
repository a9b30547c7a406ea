"""What other modules took out of `socket` before."""

from own_process import in_own_process


@in_own_process
def test_captured_classes_and_functions_are_rebound_and_restored() -> None:
    import socket
    import ssl
    import sys
    from types import ModuleType

    import lklsock

    early = ModuleType("early")
    sys.modules["early"] = early
    exec(
        "import socket\n"
        "from socket import socket as Sock, if_nameindex, create_connection\n"
        "class Client:\n"
        "    factory = Sock\n"
        "    names = staticmethod(if_nameindex)\n",
        early.__dict__,
    )
    original = socket.socket
    lklsock.patch(policy="all")
    assert early.Sock is early.Client.factory is ssl.socket is socket.socket is not original
    assert early.Client.names is early.if_nameindex is socket.if_nameindex
    assert {
        "early.Sock",
        "early.Client.factory",
        "early.Client.names",
        "early.if_nameindex",
        "ssl.socket",
    } <= set(lklsock.report().rebound)
    # A function of the module looks the class up when it is called.
    with socket.create_server(("127.0.0.1", 0)) as server:
        with early.create_connection(server.getsockname()) as client:
            assert type(client) is socket.socket
    lklsock.unpatch()
    assert early.Sock is early.Client.factory is ssl.socket is original
    assert early.Client.names is lklsock.original("socket", "if_nameindex")


@in_own_process
def test_what_a_patched_program_captured_is_restored() -> None:
    import sys
    from types import ModuleType

    import lklsock

    lklsock.patch()
    late = ModuleType("late")
    sys.modules["late"] = late
    exec("from socket import socket, if_nameindex", late.__dict__)
    lklsock.unpatch()
    assert late.socket is lklsock.original("socket", "socket")
    assert late.if_nameindex is lklsock.original("socket", "if_nameindex")


@in_own_process
def test_what_cannot_be_rebound_is_reported() -> None:
    import socket
    import ssl

    import lklsock

    class Early(socket.socket):
        pass

    def connect(factory: type = socket.socket) -> type:
        return factory

    def make_closure() -> object:
        kept = socket.socket
        return lambda: kept

    closure = make_closure()
    lklsock.patch()

    class Late(socket.socket):
        pass

    too_early = lklsock.report().too_early
    assert f"{__name__}.{Early.__qualname__}" in too_early
    assert f"{__name__}.{connect.__qualname__}()" in too_early
    assert f"{__name__}.{make_closure.__qualname__}.<locals>.<lambda>()" in too_early
    assert not [name for name in too_early if "Late" in name or "ssl." in name]
    assert issubclass(ssl.SSLSocket, lklsock.original("socket", "socket"))
    assert closure


@in_own_process
def test_a_lazily_loaded_module_stays_unloaded() -> None:
    import importlib.util
    import sys

    import lklsock

    spec = importlib.util.find_spec("this")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["this"] = module
    spec.loader.exec_module(module)
    lklsock.patch()
    lklsock.report()
    assert type(module).__name__ == "_LazyModule"
