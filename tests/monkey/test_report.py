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
