"""CPython's own tests that say whether a program can tell our sockets from the stdlib's."""

from __future__ import annotations

from dataclasses import dataclass

# The stdlib's sockets; ours, all of them; ours without MPTCP; what `lklsock.patch()` does.
STDLIB = "stdlib"
ALL = "all"
ALL_TCP = "all-tcp"
DEFAULT = "default"
PATCHED = (ALL, ALL_TCP, DEFAULT)

# "network" is left out: it means the Internet, but for the suites below.
_RESOURCES = ("cpu", "walltime")


@dataclass(frozen=True)
class Suite:
    """What of CPython's tests makes up one line of the table.

    Attributes:
        names: For unittest's loader: modules, or classes in one.
        resources: The parts of `test.support` that are enabled.
    """

    names: tuple[str, ...]
    resources: tuple[str, ...] = _RESOURCES


def _module(name: str, *resources: str) -> Suite:
    return Suite((f"test.{name}",), (*_RESOURCES, *resources))


SUITES = {
    "test_socket": _module("test_socket"),
    "test_asyncio.test_streams": _module("test_asyncio.test_streams"),
    "test_asyncio.test_sock_lowlevel": _module("test_asyncio.test_sock_lowlevel"),
    "test_asyncio.test_selector_events": _module("test_asyncio.test_selector_events"),
    "test_asyncio.test_events": _module("test_asyncio.test_events"),
    "test_asyncio.test_server": _module("test_asyncio.test_server"),
    "test_asyncio.test_sendfile": _module("test_asyncio.test_sendfile"),
    "test_asyncio.test_ssl": _module("test_asyncio.test_ssl"),
    "test_ssl": _module("test_ssl"),
    "test_select": _module("test_select"),
    "test_poll": _module("test_poll"),
    "test_epoll": _module("test_epoll"),
    "test_selectors": _module("test_selectors"),
    # Says "network", and means loopback.
    "test_socketserver": _module("test_socketserver", "network"),
    "test_httplib": _module("test_httplib"),
    "test_httpservers": _module("test_httpservers"),
    "test_urllib2_localnet": _module("test_urllib2_localnet"),
    "test_ftplib": _module("test_ftplib"),
    "test_smtplib": _module("test_smtplib"),
    "test_poplib": _module("test_poplib"),
    "test_imaplib": _module("test_imaplib"),
    "test_xmlrpc": _module("test_xmlrpc"),
    "test_telnetlib": _module("test_telnetlib"),
    "test_asyncore": _module("test_asyncore"),
    "test_signal": _module("test_signal"),
    "test_eintr": Suite(("test._test_eintr.SocketEINTRTest", "test._test_eintr.SelectEINTRTest")),
}

# What every change must pass.
ALWAYS = ("test_socket", "test_ssl", "test_selectors", "test_asyncio.test_streams")
