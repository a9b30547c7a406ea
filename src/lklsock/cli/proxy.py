"""A proxy for browsers and everything else: connections out are MPTCP, over all links.

It speaks HTTP and SOCKS5 on one port of this host. What it is asked for it fetches through a
network stack of its own, which wants links: each --tap is one, or a configuration has them
(`python -m lklsock config example`), and with several of them every connection uses all. Without
links it runs, and reaches nothing.

With --reverse it is the far half: it takes MPTCP for servers that have none.

Ctrl-C and SIGTERM let what is under way end; the second one ends it at once. SIGHUP has the files
of options and users read again, and the access log opened anew.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from ._proxy_options import add_arguments

if TYPE_CHECKING:
    from ..proxy import Proxy, Settings
    from ..proxy.server import Front
    from ..stack import Stack

__all__ = ["HELP", "add_arguments", "run"]

HELP = "an HTTP and SOCKS5 proxy whose connections out are MPTCP"

_MEMORY_BYTES = 512 << 20
_EXIT_FAILED = 1
_EXIT_IMPOSSIBLE = 2
_MISSING = "the proxy takes {}: pip install 'lklsock[proxy]'"


def run(options: argparse.Namespace) -> int:
    """Runs the proxy until it is told to end.

    Returns:
        0 if it was told to.
    """
    if options.hash_password is not None:
        return _print_hash(options.hash_password)
    from ..errors import ConfigError, KernelError
    from ._proxy_options import settings, with_file

    try:
        import h11  # noqa: F401

        if options.dashboard is not None:
            import prometheus_client  # noqa: F401
    except ModuleNotFoundError as error:
        return _complain(_MISSING.format(error.name or error), _EXIT_IMPOSSIBLE)
    try:
        found = settings(options)
        given = with_file(options)
    except (OSError, ValueError) as error:
        return _complain(str(error), _EXIT_IMPOSSIBLE)
    obstacle = _exposure(given, found)
    if obstacle is not None:
        return _complain(obstacle, _EXIT_IMPOSSIBLE)
    try:
        return _serve(options, given, found)
    except ConfigError as error:
        return _complain(str(error), _EXIT_IMPOSSIBLE)
    except OSError as error:
        return _complain(error.strerror or str(error), _EXIT_FAILED)
    except KernelError as error:
        return _complain(str(error), _EXIT_FAILED)


def _reread(options: argparse.Namespace, before: Settings) -> Settings:
    """The settings as the files say now; what listens stays as it was.

    Raises:
        OSError: A file cannot be read.
        ValueError: What it says is wrong.
    """
    from dataclasses import replace

    from ._proxy_options import settings, with_file

    found = replace(settings(options), listen=before.listen)
    obstacle = _exposure(with_file(options), found)
    if obstacle is not None:
        raise ValueError(obstacle)
    return found


def _exposure(options: argparse.Namespace, settings: Settings) -> str | None:
    """What others could use although nobody has said that they may."""
    from ..proxy.settings import format_address, is_loopback

    if settings.users is not None or options.open:
        return None
    exposed = [] if options.reverse else settings.open_to_others()
    if options.dashboard is not None and not is_loopback(options.dashboard[0]):
        exposed.append(options.dashboard)
    if not exposed:
        return None
    return (
        f"{format_address(exposed[0])} can be reached by others: name users with --auth-file"
        " or --auth, or use --open to let everybody use it"
    )


def _serve(options: argparse.Namespace, given: argparse.Namespace, settings: Settings) -> int:
    import asyncio
    import logging

    from .. import status
    from ..proxy import Proxy, Upstream
    from ..proxy.service import Service

    logging.basicConfig(format="proxy: %(message)s", level=logging.WARNING)
    _allow_descriptors()
    stack = None if given.world == "host" else _stack(given)

    async def main() -> None:
        is_stack = stack is not None and not given.reverse
        upstream = Upstream.of_stack(stack) if stack and is_stack else Upstream.of_host()
        proxy = Proxy(settings, upstream)
        service = Service(proxy, lambda: _reread(options, settings), _say)
        if given.access_log is not None:
            service.write_log(given.access_log)
        if given.dashboard is not None:
            service.serve_page(given.dashboard, stack)
        fronts = _fronts(given, stack, proxy) if given.reverse else None
        await service.run(
            fronts, lambda addresses: _introduce(addresses, stack, given, service.page)
        )

    status.serve_by_default()
    asyncio.run(main())
    return 0


def _allow_descriptors() -> None:
    """A connection takes some of them; what a shell allows is for programs that use select()."""
    from resource import RLIMIT_NOFILE, getrlimit, setrlimit

    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))


def _fronts(options: argparse.Namespace, stack: Stack | None, proxy: Proxy) -> list[Front]:
    from dataclasses import replace

    from ..proxy.reverse import listen, speaker
    from ..proxy.server import Front

    backends = [replace(each, sends_header=options.proxy_protocol) for each in options.reverse]
    return [
        Front(listen(backend.listen, stack), speaker(backend, proxy.upstream))
        for backend in backends
    ]


def _stack(options: argparse.Namespace) -> Stack:
    from .. import mptcp
    from ..stack import Stack, set_default_stack
    from . import _config_option, _tap_option

    config = _config_option.load(options)
    if config is None:
        stack = Stack(memory_bytes=_MEMORY_BYTES)
    else:
        if options.tap and config.has_links:
            _config_option.say_overruled("proxy: --tap", "the links", config)
        say = partial(_config_option.say_waiting, "proxy")
        stack = config.make_stack(links=not options.tap, say=say)
    set_default_stack(stack)
    stack.boot()
    _tap_option.add_links("proxy", options.tap, stack)
    if options.preset or (options.tap and mptcp.paths(stack) is None):
        # Who takes connections tells of the addresses; who makes them connects from them.
        preset = options.preset or "aggregate"
        mptcp.preset(preset, announce=bool(options.reverse), stack=stack)
    return stack


def _introduce(
    addresses: list[tuple[str, int]],
    stack: Stack | None,
    options: argparse.Namespace,
    page: tuple[str, int] | None,
) -> None:
    """Says what somebody who has just started it has to know."""
    from ..proxy.settings import format_address

    names = [format_address(address) for address in addresses]
    if options.reverse:
        for name, backend in zip(names, options.reverse, strict=True):
            _say(f"{name} of the {options.world} goes to {format_address(backend.target)}")
    else:
        _say(f"HTTP and SOCKS5 on {', '.join(names)}")
    _say(_ways(stack, options))
    if page is not None:
        _say(f"dashboard on http://{format_address(page)}/, figures on /metrics")
    if not options.reverse:
        if options.auth_file is None and not options.auth:
            _say("everybody who can reach it may use it")
        _say(f"a browser:  chromium --proxy-server=http://{names[0]}")
        _say(f"programs:   export http_proxy=http://{names[0]} https_proxy=http://{names[0]}")
    _say("Ctrl-C ends it")


def _ways(stack: Stack | None, options: argparse.Namespace) -> str:
    from .. import mptcp

    if stack is None:
        return "through the host, and not through a stack"
    ways = [f"{each.name} ({', '.join(each.addresses)})" for each in stack.interfaces]
    if not ways:
        return (
            "NO WAY OUT: the stack has its loopback only, so nothing can be reached. Give it links:"
            " --tap tap0,10.0.0.2/24,10.0.0.1, or a configuration that has them"
        )
    paths = mptcp.paths(stack)
    text = f"ways out: {', '.join(ways)}"
    return text if paths is None else f"{text}; together as of preset {paths.preset}"


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


def _say(message: str) -> None:
    print(f"proxy: {message}", file=sys.stderr, flush=True)


def _complain(message: str, status: int) -> int:
    _say(message)
    return status
