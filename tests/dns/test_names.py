"""Names through a stack, from a name server in another one."""

import errno
import socket as host
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_process import in_own_process

pytest.importorskip("dns.resolver", reason="takes dnspython: pip install dnspython")

from name_server import NameServer
from worlds import JOIN_S, Thread, wired_stacks

from lklsock import Stack, dns, patched, socket
from lklsock.link import Wire

SERVER, SERVER6 = "10.0.0.2", "fd00::2"
STREAM = socket.SOCK_STREAM

TABLE = {
    ("www.example.org.", "A"): ["10.0.0.2"],
    ("www.example.org.", "AAAA"): ["fd00::2"],
    ("alias.example.org.", "CNAME"): ["www.example.org."],
    ("four.example.org.", "A"): ["10.0.0.2"],
    ("six.example.org.", "AAAA"): ["fd00::2"],
    ("many.example.org.", "A"): [f"10.9.0.{number}" for number in range(100)],
    ("xn--bcher-kva.example.org.", "A"): ["10.0.0.7"],
    ("www.sub.example.org.", "A"): ["10.0.0.8"],
    ("2.0.0.10.in-addr.arpa.", "PTR"): ["www.example.org."],
    (f"2.{'0.' * 27}0.0.d.f.ip6.arpa.", "PTR"): ["six.example.org."],
}


def stacks(
    table: Any = TABLE, addresses: tuple[str, ...] = (SERVER,), **settings: Any
) -> tuple[Stack, NameServer]:
    """A stack that asks a name server in another one, and the server."""
    left, right = wired_stacks()
    server = NameServer(right.socket, addresses[0], table, **settings)
    left.dns = dns.Config(nameservers=addresses, hosts="/dev/null")
    left.__enter__()
    return left, server


def addresses_of(*args: Any, **kwargs: Any) -> list[str]:
    return [info[4][0] for info in socket.getaddrinfo(*args, **kwargs)]


def refusal(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with pytest.raises(OSError) as caught:
        call(*args, **kwargs)
    return type(caught.value), *caught.value.args


@in_own_process
def test_both_families_come_in_the_order_of_rfc_6724() -> None:
    _, server = stacks()
    found = socket.getaddrinfo("www.example.org", 80)
    kinds = [(STREAM, 6), (socket.SOCK_DGRAM, 17), (socket.SOCK_RAW, 0)]
    assert found == [
        *((socket.AF_INET, kind, proto, "", ("10.0.0.2", 80)) for kind, proto in kinds),
        *((socket.AF_INET6, kind, proto, "", ("fd00::2", 80, 0, 0)) for kind, proto in kinds),
    ]
    assert isinstance(found[0][0], host.AddressFamily)
    assert server.asked == [("www.example.org.", kind, "udp") for kind in ("A", "AAAA")]


@in_own_process
def test_unreachable_addresses_come_last() -> None:
    table = {("x.example.", "A"): ["198.51.100.1", "10.0.0.5"], ("x.example.", "AAAA"): ["::1"]}
    left, right = Stack(), Stack()
    for stack, end, address in zip((left, right), Wire.pair(), ("10.0.0.1", SERVER), strict=True):
        stack.add_link(end, addresses=[f"{address}/24"])
    NameServer(right.socket, SERVER, table)
    left.dns = dns.Config(nameservers=[SERVER], hosts="/dev/null")
    with left:
        assert addresses_of("x.example", 80, type=STREAM) == ["::1", "10.0.0.5", "198.51.100.1"]


@in_own_process
def test_families_services_and_flags_are_honoured() -> None:
    _, server = stacks()
    assert addresses_of("www.example.org", "http", socket.AF_INET, STREAM) == ["10.0.0.2"]
    assert addresses_of(b"www.example.org", None, socket.AF_INET6, STREAM) == ["fd00::2"]
    assert server.asked == [("www.example.org.", kind, "udp") for kind in ("A", "AAAA")]
    (found,) = socket.getaddrinfo("six.example.org", b"https", type=STREAM)
    assert found[4] == ("fd00::2", 443, 0, 0)
    mapped = socket.AI_V4MAPPED
    arguments: tuple[Any, ...] = (80, socket.AF_INET6, STREAM, 0)
    assert addresses_of("four.example.org", *arguments, mapped) == ["::ffff:10.0.0.2"]
    assert addresses_of("www.example.org", *arguments, mapped) == ["fd00::2"]
    both = addresses_of("www.example.org", *arguments, mapped | socket.AI_ALL)
    assert both == ["::ffff:10.0.0.2", "fd00::2"]
    found, *others = socket.getaddrinfo("alias.example.org", 80, flags=socket.AI_CANONNAME)
    assert found[3] == "www.example.org"
    assert {info[3] for info in others} == {""}


@in_own_process
def test_addrconfig_goes_by_the_addresses_of_the_stack() -> None:
    left, right = wired_stacks()
    NameServer(right.socket, SERVER, TABLE)
    left.dns = dns.Config(nameservers=[SERVER], hosts="/dev/null")
    with left:
        both = addresses_of("www.example.org", 80, 0, STREAM, 0, socket.AI_ADDRCONFIG)
        assert both == ["10.0.0.2", "fd00::2"]
        left.sysctl("net.ipv6.conf.wire0.disable_ipv6", 1)
        assert addresses_of("www.example.org", 80, 0, STREAM, 0, socket.AI_ADDRCONFIG) == [
            "10.0.0.2"
        ]
        arguments = ("www.example.org", 80, socket.AF_INET6, STREAM, 0)
        assert addresses_of(*arguments) == ["fd00::2"]
        assert refusal(socket.getaddrinfo, *arguments, socket.AI_ADDRCONFIG)[1] == host.EAI_NONAME


@in_own_process
def test_numeric_addresses_ask_nobody() -> None:
    _, server = stacks()
    for text in ("10.0.0.9", "fd00::9", "127.1"):
        assert socket.getaddrinfo(text, 80) == host.getaddrinfo(text, 80)
        assert socket.getaddrinfo(text, 80, flags=socket.AI_ADDRCONFIG)
    assert socket.getaddrinfo(None, 80) == host.getaddrinfo(None, 80)
    assert socket.gethostbyname("10.0.0.9") == "10.0.0.9"
    assert socket.gethostbyname("") == "0.0.0.0"
    assert socket.gethostbyname("<broadcast>") == "255.255.255.255"
    assert socket.gethostbyname_ex("10.0.0.9") == ("10.0.0.9", [], ["10.0.0.9"])
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert socket.getnameinfo(("10.0.0.9", 80), numeric) == ("10.0.0.9", "80")
    for args in (
        ("fd00::9", 80, socket.AF_INET),
        ("www.example.org", "no-such-service"),
        ("www.example.org", 80, 0, 0, 0, socket.AI_NUMERICHOST),
        ("www.example.org", 80, 0, 0, 0, 0x80000),
        ("", 80),
        (None, None),
    ):
        assert refusal(socket.getaddrinfo, *args) == refusal(host.getaddrinfo, *args)
    assert server.asked == []


@in_own_process
def test_scopes_are_interfaces_of_the_stack() -> None:
    stack, _ = stacks()
    index = stack.interface("wire0").ifindex
    address = ("fe80::1", 80, 0, index)
    assert socket.getaddrinfo("fe80::1%wire0", 80, type=STREAM)[0][4] == address
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert socket.getnameinfo(address, numeric) == ("fe80::1%wire0", "80")
    stack.nameservers = []
    assert socket.getaddrinfo("fe80::1%wire0", 80, type=STREAM)[0][4] == address
    assert socket.getnameinfo(address, numeric) == ("fe80::1%wire0", "80")


@in_own_process
def test_older_functions_work() -> None:
    stacks()
    assert socket.gethostbyname("alias.example.org") == "10.0.0.2"
    entry = ("www.example.org", ["alias.example.org"], ["10.0.0.2"])
    assert socket.gethostbyname_ex("alias.example.org") == entry
    assert socket.gethostbyaddr("10.0.0.2") == ("www.example.org", [], ["10.0.0.2"])
    assert socket.gethostbyaddr("alias.example.org") == ("www.example.org", [], ["10.0.0.2"])
    assert socket.gethostbyaddr("fd00::2") == ("six.example.org", [], ["fd00::2"])
    assert socket.getfqdn("10.0.0.2") == "www.example.org"
    assert socket.getnameinfo(("10.0.0.2", 80), 0) == ("www.example.org", "http")
    assert socket.getnameinfo(("10.0.0.3", 80), 0) == ("10.0.0.3", "http")
    assert socket.getnameinfo(("fd00::2", 53, 0, 0), socket.NI_DGRAM)[1] == "domain"
    for function in (socket.gethostbyname, socket.gethostbyname_ex, socket.gethostbyaddr):
        with pytest.raises(TypeError):
            function(5)
    with pytest.raises(UnicodeError):
        socket.getaddrinfo("a" * 64 + ".example.org", 80)


@in_own_process
def test_missing_names_fail_as_the_hosts_do() -> None:
    stacks()
    no_name = host.gaierror, host.EAI_NONAME, "Name or service not known"
    no_address = host.gaierror, host.EAI_NODATA, "No address associated with hostname"
    assert refusal(socket.getaddrinfo, "missing.example.org", 80) == no_name
    assert refusal(socket.gethostbyname, "missing.example.org") == no_name
    assert refusal(socket.getaddrinfo, "four.example.org", 80, socket.AF_INET6) == no_address
    assert refusal(socket.gethostbyaddr, "10.0.0.3") == (host.herror, 1, "Unknown host")
    assert refusal(socket.getnameinfo, ("10.0.0.3", 80), socket.NI_NAMEREQD) == no_name
    assert refusal(socket.getnameinfo, ("www.example.org", 80), 0) == no_name
    with socket.socket() as sock:
        assert refusal(sock.connect, ("missing.example.org", 80)) == no_name


@in_own_process
def test_sockets_take_names() -> None:
    stack, _ = stacks()
    stack.dns = dns.Config(nameservers=[SERVER], search=["example.org"], hosts="/dev/null")
    with stack.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(JOIN_S)
        sock.bind(("localhost", 0))
        assert sock.getsockname()[0] == "127.0.0.1"
    # The name server itself is who answers.
    with socket.create_connection(("www.example.org", 53), JOIN_S) as sock:
        assert sock.getpeername() == ("10.0.0.2", 53)
    with stack.socket(socket.AF_INET, STREAM) as sock:
        sock.connect(("www", 53))
        assert sock.connect_ex(("www", 53)) != 0
    for send in ("sendto", "sendmsg"):
        with stack.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            if send == "sendto":
                sock.sendto(b"x", ("six.example.org", 9))
            else:
                sock.sendmsg([b"x"], [], 0, ("six.example.org", 9))


@in_own_process
def test_a_socket_asks_its_own_stack() -> None:
    stacks()
    datagram, stream = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
    other = Stack()
    other.dns = dns.Config(nameservers=["10.99.0.1"], hosts="/dev/null", timeout_s=1, attempts=1)
    with datagram, stream, other:
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("four.example.org", 80)
        assert datagram.sendto(b"x", ("four.example.org", 9)) == 1
        assert datagram.sendmsg([b"x"], (), 0, ("four.example.org", 9)) == 1
        # Nobody listens there: it was found.
        assert stream.connect_ex(("four.example.org", 9)) == errno.ECONNREFUSED
    with patched(), host.socket(type=host.SOCK_DGRAM) as undecided, other:
        undecided.connect(("four.example.org", 9))
        assert undecided.getpeername() == ("10.0.0.2", 9)


@in_own_process
def test_long_answers_come_by_tcp() -> None:
    _, server = stacks()
    assert len(addresses_of("many.example.org", 80, socket.AF_INET, STREAM)) == 100
    assert server.asked == [("many.example.org.", "A", how) for how in ("udp", "tcp")]


@pytest.mark.parametrize(
    ("name", "settings", "asked"),
    [
        ("www", {}, ["www.example.org."]),
        ("www.sub", {}, ["www.sub.", "www.sub.example.org."]),
        ("www.sub", {"ndots": 2}, ["www.sub.example.org."]),
        ("www.", {}, ["www."]),
        ("none", {}, ["none.example.org.", "none.sub.example.org.", "none."]),
        ("bücher", {}, ["xn--bcher-kva.example.org."]),
    ],
)
@in_own_process
def test_names_are_searched_as_resolv_conf_says(
    name: Any, settings: dict[str, Any], asked: list[str]
) -> None:
    stack, server = stacks()
    stack.dns = dns.Config(
        nameservers=[SERVER], search=["example.org", "sub.example.org"], **settings
    )
    try:
        socket.getaddrinfo(name, 80, socket.AF_INET)
    except host.gaierror as error:
        assert error.errno == host.EAI_NONAME
        assert name in ("none", "www.")
    assert [name for name, *_ in server.asked] == asked


@in_own_process
def test_hosts_file_goes_first(tmp_path: Path) -> None:
    stack, server = stacks()
    path = Path(tmp_path, "hosts")
    path.write_text("10.0.0.7 www.example.org www\nfd00::7 www.example.org\n")
    stack.dns = dns.Config(nameservers=[SERVER], hosts=path)
    assert addresses_of("www.example.org", 80, type=STREAM) == ["10.0.0.7", "fd00::7"]
    assert addresses_of("WWW", 80, type=STREAM) == ["10.0.0.7"]
    assert socket.gethostbyaddr("10.0.0.7") == ("www.example.org", ["www"], ["10.0.0.7"])
    assert socket.gethostbyaddr("127.0.0.1") == ("localhost", [], ["127.0.0.1"])
    assert addresses_of("localhost", 80, type=STREAM) == ["::1", "127.0.0.1"]
    assert addresses_of("a.localhost", 80, socket.AF_INET, STREAM) == ["127.0.0.1"]
    assert server.asked == []


@in_own_process
def test_next_server_is_asked_when_one_is_silent_absent_or_unable() -> None:
    left, right = wired_stacks(3)
    silent = NameServer(right.socket, "10.1.0.2", {}, silent=True)
    unable = NameServer(right.socket, "10.2.0.2", {}, rcode="SERVFAIL")
    good = NameServer(right.socket, "fd00::2", TABLE)
    servers = ["10.1.0.2", "10.2.0.2", "10.0.0.2", "fd00::2"]
    left.dns = dns.Config(nameservers=servers, timeout_s=2, attempts=1, hosts="/dev/null")
    with left:
        assert addresses_of("www.example.org", 80, socket.AF_INET, STREAM) == ["10.0.0.2"]
    for server in (silent, unable, good):
        assert server.asked == [("www.example.org.", "A", "udp")]


@in_own_process
def test_silence_is_a_temporary_failure_after_all_attempts() -> None:
    stack, server = stacks(silent=True)
    settings = {"timeout_s": 0.2, "attempts": 3, "search": ["example.org"]}
    stack.dns = dns.Config(nameservers=[SERVER], hosts="/dev/null", **settings)
    temporary = host.gaierror, host.EAI_AGAIN, "Temporary failure in name resolution"
    before = time.monotonic()
    assert refusal(socket.getaddrinfo, "www", 80) == temporary
    assert time.monotonic() - before < JOIN_S
    assert server.asked == [("www.example.org.", "A", "udp")] * 3
    failure = host.herror, 2, "Host name lookup failure"
    assert refusal(socket.gethostbyaddr, "10.0.0.2") == failure


@in_own_process
def test_many_threads_ask_at_once() -> None:
    stacks()
    threads = [
        Thread(lambda: socket.getaddrinfo("four.example.org", 80, type=STREAM)) for _ in range(20)
    ]
    # They are outside of the block that chose the stack.
    for thread in threads:
        with pytest.raises(host.gaierror):
            thread.result()
    import contextvars

    for context in [contextvars.copy_context() for _ in range(20)]:
        threads.append(Thread(context.run, socket.gethostbyname, "four.example.org"))
    assert {thread.result() for thread in threads[20:]} == {"10.0.0.2"}


@in_own_process
def test_dnspythons_resolver_goes_through_the_stack() -> None:
    stack, server = stacks(addresses=(SERVER6,))
    for resolver in (dns.resolver(), dns.resolver(stack)):
        (record,) = resolver.resolve("www.example.org", "AAAA")
        assert record.address == "fd00::2"
    assert server.asked == [("www.example.org.", "AAAA", "udp")] * 2


@in_own_process
def test_without_nameservers_the_host_resolves() -> None:
    calls = []
    from lklsock import _resolver

    real = _resolver.host_getaddrinfo
    _resolver.host_getaddrinfo = lambda *args: calls.append(args) or real(*args)
    assert socket.getaddrinfo("localhost", 80, type=STREAM)
    assert calls == [("localhost", 80, 0, STREAM, 0, 0)]
