"""The report."""

from own_process import in_own_process


@in_own_process
def test_without_patching_there_is_little_to_tell() -> None:
    import lklsock

    report = lklsock.report()
    assert (report.patched, report.settings, report.rebound, report.too_early) == ([], {}, [], [])
    assert "patched   nothing" in str(report)


@in_own_process
def test_what_came_of_patching_can_be_read() -> None:
    import socket
    import sys
    from types import ModuleType

    import lklsock
    from lklsock import _ledger

    lklsock.patch(policy="all", mptcp="prefer")
    sys.modules["pycurl"] = ModuleType("pycurl")
    _ledger.note_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, "plain TCP")
    _ledger.note_socket("host")
    with socket.create_server(("127.0.0.1", 0)) as server:
        for mode in ("prefer", "off"):
            lklsock.patch(mptcp=mode)
            with socket.create_connection(server.getsockname()):
                server.accept()[0].close()
    report = lklsock.report()
    assert "socket.socket" in report.patched
    assert report.settings["policy"] == "all"
    assert report.options == {"TCP_USER_TIMEOUT: plain TCP": 1}
    assert report.sockets["host"] == 1
    assert report.connections == {"opened": 1, "accepted": 1, "fell back": 0}
    assert "httpx" in report.bypasses["pycurl"]
    text = str(report)
    assert "  MPTCP     1 opened, 1 accepted, 0 fell back" in text
    assert "  refused   TCP_USER_TIMEOUT: plain TCP (1x)" in text
    assert "  bypassed  pycurl: use httpx or requests; or" in text


@in_own_process
def test_a_fallback_is_counted() -> None:
    import socket

    import lklsock

    lklsock.patch(policy="all", mptcp="off")
    with socket.create_server(("127.0.0.1", 0)) as server:
        lklsock.patch(mptcp="prefer")
        with socket.create_connection(server.getsockname()):
            assert lklsock.report().connections["fell back"] == 1


@in_own_process
def test_sockets_are_counted_where_they_came_to_live() -> None:
    import socket

    import lklsock
    from lklsock import socket as on_stack

    def counts() -> tuple[dict[str, int], int]:
        report = lklsock.report()
        return report.sockets, report.upgraded

    lklsock.patch()
    with socket.socket() as undecided, socket.socket(socket.AF_UNIX):
        assert counts() == ({}, 0)
        undecided.bind(("127.0.0.1", 0))
        assert counts() == ({"host": 1}, 0)
        undecided.listen()
        with socket.create_connection(undecided.getsockname()):
            undecided.accept()[0].close()
        assert counts() == ({"host": 3}, 0)
    with socket.create_server(("", 0)) as both:
        assert counts() == ({"host": 3, "both": 1}, 1)
        name = "127.0.0.1", both.getsockname()[1]
        with socket.create_connection(name):
            both.accept()[0].close()
        assert counts() == ({"host": 5, "both": 1}, 1)
        # By name, it is the stack's from the start.
        with on_stack.create_connection(name):
            both.accept()[0].close()
        assert counts() == ({"host": 5, "both": 1, "stack": 2}, 3)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("", 0))
        datagrams.sendto(b"x", ("127.0.0.1", 9))
    assert counts() == ({"host": 5, "both": 2, "stack": 2}, 3)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", ("127.0.0.1", 9))
    assert counts() == ({"host": 5, "both": 3, "stack": 2}, 3)
    lklsock.patch(policy="all")
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()
    assert counts() == ({"host": 5, "both": 3, "stack": 5}, 6)
    assert "  sockets   5 host, 3 both, 5 stack, 6 upgraded" in str(lklsock.report())


@in_own_process
def test_options_that_mptcp_refuses_are_counted() -> None:
    import socket

    import lklsock

    lklsock.patch(policy="all")
    with socket.socket() as sock:
        for _ in range(2):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
    assert lklsock.report().options == {
        "TCP_SYNCNT: remembered": 2,
        "TCP_USER_TIMEOUT: plain TCP": 1,
    }
