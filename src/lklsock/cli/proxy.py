"""A proxy for browsers and everything else: connections out are MPTCP, over all links.

It speaks HTTP and SOCKS5 on one port of this host. What it is asked for it fetches through a
network stack of its own, which wants links: each --tap is one, and with several of them every
connection uses all. Without links it runs, and reaches nothing.

Ctrl-C and SIGTERM let what is under way end; the second one ends it at once. SIGHUP has the file of
users read again.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .run import _tap

if TYPE_CHECKING:
    from ..proxy import Settings, Users
    from ..stack import Stack

_T = TypeVar("_T")
_Number = TypeVar("_Number", int, float)

HELP = "an HTTP and SOCKS5 proxy whose connections out are MPTCP"

_MEMORY_BYTES = 512 << 20
_EXIT_FAILED = 1
_EXIT_IMPOSSIBLE = 2
_NO_H11 = "the proxy takes h11: pip install 'lklsock[proxy]'"
_PRESETS = ("aggregate", "handover", "interactive", "fullmesh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add(
        "--listen",
        metavar="ADDRESS:PORT",
        action="append",
        type=_address,
        help="where clients find it, also several times; default: 127.0.0.1:3128",
    )
    add(
        "--tap",
        metavar="NAME,ADDRESS/LENGTH[,GATEWAY]",
        action="append",
        default=[],
        type=_tap,
        help="a TAP device of the host as a link of the stack; several of them are several paths",
    )
    add(
        "--preset",
        choices=_PRESETS,
        default="aggregate",
        help="what several links are used for; default: %(default)s",
    )
    users = parser.add_argument_group("who may use it")
    add = users.add_argument
    add(
        "--auth",
        metavar="USER:PASSWORD",
        action="append",
        default=[],
        type=_credentials,
        help="a user, also several times; others on this host can see it: a file is better",
    )
    add("--auth-file", metavar="FILE", type=Path, help="users, as --hash-password makes them")
    add(
        "--hash-password",
        metavar="USER",
        help="ask for a password, print the line for --auth-file, and exit",
    )
    add(
        "--open",
        action="store_true",
        help="listen where others can reach it, and let everybody use it",
    )
    guard = parser.add_argument_group("what may be asked for")
    add = guard.add_argument
    add(
        "--allow-ports",
        metavar="PORTS",
        action="append",
        help="only these, such as 80,443,8000-8999; default: all",
    )
    add(
        "--allow-destination",
        metavar="NETWORK",
        action="append",
        default=[],
        type=_network,
        help="a network that may be asked for although it is loopback, link-local or the like",
    )
    limits = parser.add_argument_group("limits")
    for option, kind, what in _LIMITS:
        limits.add_argument(option, type=kind, metavar="N", help=what)
    parser.set_defaults(error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Runs the proxy until it is told to end.

    Returns:
        0 if it was told to.
    """
    if options.hash_password is not None:
        return _print_hash(options.hash_password)
    from ..errors import KernelError

    try:
        import h11  # noqa: F401
    except ModuleNotFoundError:
        return _complain(_NO_H11, _EXIT_IMPOSSIBLE)
    try:
        settings = _settings(options)
    except (OSError, ValueError) as error:
        return _complain(str(error), _EXIT_IMPOSSIBLE)
    exposed = settings.open_to_others()
    if exposed and settings.users is None and not options.open:
        from ..proxy.settings import format_address

        return _complain(
            f"{format_address(exposed[0])} can be reached by others: name users with --auth-file"
            " or --auth, or use --open to let everybody use it",
            _EXIT_IMPOSSIBLE,
        )
    try:
        return _serve(options, settings, _stack(options))
    except OSError as error:
        return _complain(error.strerror or str(error), _EXIT_FAILED)
    except KernelError as error:
        return _complain(str(error), _EXIT_FAILED)


def _serve(options: argparse.Namespace, settings: Settings, stack: Stack) -> int:
    import asyncio

    from .. import status
    from ..proxy import Proxy, Upstream
    from ..proxy.service import Service

    async def main() -> None:
        proxy = Proxy(settings, Upstream.of_stack(stack))
        service = Service(proxy, lambda: _settings(options), _say)
        await service.run(lambda addresses: _introduce(addresses, stack, options))

    status.serve_by_default()
    asyncio.run(main())
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    """What the options, and the files that they name, say now.

    Raises:
        OSError: A file cannot be read.
        ValueError: What it says is wrong.
    """
    from ..proxy import Guard, Limits, Settings
    from ..proxy.guard import parse_ports

    given = {
        option.lstrip("-").replace("-", "_"): getattr(options, option.lstrip("-").replace("-", "_"))
        for option, _, _ in _LIMITS
    }
    return Settings(
        listen=tuple(options.listen or [("127.0.0.1", 3128)]),
        users=_users(options),
        guard=Guard(
            None if options.allow_ports is None else parse_ports(options.allow_ports),
            tuple(options.allow_destination),
        ),
        limits=Limits(**{name: value for name, value in given.items() if value is not None}),
    )


def _users(options: argparse.Namespace) -> Users | None:
    from ..proxy import Users
    from ..proxy.users import hash_password, read_hashes

    if options.auth_file is None and not options.auth:
        return None
    hashes = {} if options.auth_file is None else read_hashes(options.auth_file)
    hashes |= {name: hash_password(password) for name, password in options.auth}
    return Users(hashes)


def _stack(options: argparse.Namespace) -> Stack:
    from .. import mptcp
    from ..stack import Stack

    stack = Stack(memory_bytes=_MEMORY_BYTES)
    stack.boot()
    for tap in options.tap:
        stack.add_link(tap)
    if options.tap:
        mptcp.preset(options.preset, stack=stack)
    return stack


def _introduce(addresses: list[tuple[str, int]], stack: Stack, options: argparse.Namespace) -> None:
    """Says what somebody who has just started it has to know."""
    from ..proxy.settings import format_address

    names = [format_address(address) for address in addresses]
    _say(f"HTTP and SOCKS5 on {', '.join(names)}")
    if options.tap:
        ways = ", ".join(f"{tap.name} ({', '.join(tap.addresses)})" for tap in options.tap)
        _say(f"ways out: {ways}; together as of preset {options.preset}")
    else:
        _say(
            "NO WAY OUT: the stack has its loopback only, so nothing can be reached. Give it links,"
            " such as --tap tap0,10.0.0.2/24,10.0.0.1"
        )
    if options.auth_file is None and not options.auth:
        _say("everybody who can reach it may use it")
    _say(f"a browser:  chromium --proxy-server=http://{names[0]}")
    _say(f"programs:   export http_proxy=http://{names[0]} https_proxy=http://{names[0]}")
    _say("Ctrl-C ends it")


def _print_hash(user: str) -> int:
    import getpass

    from ..proxy.users import hash_password

    if not user or ":" in user:
        return _complain("a user's name is not empty, and has no colon", _EXIT_IMPOSSIBLE)
    if sys.stdin.isatty():
        password = getpass.getpass(f"password of {user}: ")
        if getpass.getpass("again: ") != password:
            return _complain("these are two passwords", _EXIT_FAILED)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        return _complain("the password is empty", _EXIT_FAILED)
    print(f"{user}:{hash_password(password)}")
    return 0


# ---- types of options


def _address(text: str) -> tuple[str, int]:
    from ..proxy.settings import parse_address

    return _checked(parse_address, text)


def _network(text: str) -> Any:
    return _checked(ipaddress.ip_network, text)


def _credentials(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        # What was given is not shown: it may be a password.
        raise argparse.ArgumentTypeError("a user is NAME:PASSWORD")
    return name, password


def _count(text: str) -> int:
    return _positive(_checked(int, text))


def _seconds(text: str) -> float:
    return _positive(_checked(float, text))


def _positive(value: _Number) -> _Number:
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


def _checked(parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_LIMITS: tuple[tuple[str, Any, str], ...] = (
    ("--connections", _count, "of all clients together; default: 4096"),
    ("--connections-per-client", _count, "from one address; default: 1024"),
    ("--header-bytes", _count, "of a request or a response; default: 65536"),
    ("--header-s", _seconds, "for the head of a request; default: 20"),
    ("--keep-alive-s", _seconds, "between two requests; default: 75"),
    ("--connect-s", _seconds, "for a connection to a server; default: 20"),
    ("--response-s", _seconds, "for the head of a response; default: 300"),
    ("--idle-s", _seconds, "without a byte in any direction; default: 900"),
    ("--drain-s", _seconds, "for what is under way when it ends; default: 30"),
)


def _say(message: str) -> None:
    print(f"proxy: {message}", file=sys.stderr, flush=True)


def _complain(message: str, status: int) -> int:
    _say(message)
    return status
