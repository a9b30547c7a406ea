"""The options of the command `proxy`, and what they say."""

from __future__ import annotations

import argparse
import ipaddress
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .._mptcp_presets import PRESETS
from . import _config_option, _tap_option

if TYPE_CHECKING:
    from ..proxy import Settings, Users
    from ..proxy.reverse import Backend

_T = TypeVar("_T")
_Number = TypeVar("_Number", int, float)

LISTEN_DEFAULT = ("127.0.0.1", 3128)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them all."""
    add = parser.add_argument
    add(
        "--listen",
        metavar="ADDRESS:PORT",
        action="append",
        type=_address,
        help="where clients find it, also several times; default: 127.0.0.1:3128",
    )
    add(
        "--options-file",
        metavar="FILE",
        type=Path,
        help="more options, written as here; users, what may be asked for and limits are read again"
        " on SIGHUP; what is given here goes before it",
    )
    add(
        "--dashboard",
        metavar="ADDRESS:PORT",
        type=_address,
        help="a page that shows what goes on, and /metrics for Prometheus",
    )
    add("--access-log", metavar="FILE", help="a line of JSON for each request; - for stdout")
    _config_option.add_arguments(parser)
    links = parser.add_argument_group("the stack")
    add = links.add_argument
    _tap_option.add_argument(links)
    add(
        "--preset",
        choices=tuple(PRESETS),
        help="what several links are used for; default: aggregate",
    )
    add(
        "--world",
        choices=("stack", "host"),
        default="stack",
        help="whose connections out are, or with --reverse, whose listeners; default: %(default)s",
    )
    _add_users(parser.add_argument_group("who may use it"))
    _add_guard(parser.add_argument_group("what may be asked for"))
    limits = parser.add_argument_group("limits")
    for option, kind, what in LIMITS:
        limits.add_argument(option, type=kind, metavar="N", help=what)
    _add_reverse(parser.add_argument_group("the far half"))
    parser.set_defaults(error=parser.error)


def _add_users(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
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


def _add_guard(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
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


def _add_reverse(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--reverse",
        metavar="LISTEN=TARGET",
        action="append",
        default=[],
        type=_backend,
        help="take MPTCP on an address and port, and pass it on to a server of the host's network"
        " that has plain TCP; in place of the proxy",
    )
    add(
        "--proxy-protocol",
        action="store_true",
        help="tell that server who has come, by the PROXY protocol, version 2",
    )


# ---- what they say


class _FileParser(argparse.ArgumentParser):
    """Parses a file of options: a mistake is an error to be told of, not the end."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def with_file(options: argparse.Namespace) -> argparse.Namespace:
    """The options with those of the file, as it is now.

    Raises:
        OSError: It cannot be read.
        ValueError: It has a line that is none.
    """
    path: Path | None = options.options_file
    if path is None:
        return options
    parser = _FileParser(prog=str(path), add_help=False)
    add_arguments(parser)
    try:
        said = parser.parse_args(shlex.split(path.read_text(encoding="utf-8"), comments=True))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    merged = vars(options).copy()
    for name, value in vars(said).items():
        if merged.get(name) == parser.get_default(name):
            merged[name] = value
    return argparse.Namespace(**merged)


def settings(options: argparse.Namespace) -> Settings:
    """What the options, and the files that they name, say now.

    Raises:
        OSError: A file cannot be read.
        ValueError: What it says is wrong.
    """
    from ..proxy import Guard, Limits, Settings
    from ..proxy.guard import parse_ports

    options = with_file(options)
    names = [option.lstrip("-").replace("-", "_") for option, _, _ in LIMITS]
    given = {name: getattr(options, name) for name in names}
    return Settings(
        listen=tuple(options.listen or [LISTEN_DEFAULT]),
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


# ---- types of options


def _address(text: str) -> tuple[str, int]:
    from ..proxy.settings import parse_address

    return _checked(parse_address, text)


def _backend(text: str) -> Backend:
    from ..proxy.reverse import parse_backend

    return _checked(parse_backend, text)


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


LIMITS: tuple[tuple[str, Any, str], ...] = (
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
