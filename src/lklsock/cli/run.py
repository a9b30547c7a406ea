"""Run a Python program whose sockets live in a network stack of its own.

The program is started as by python, and nothing in it has to be changed. What follows it belongs
to it. By default its connections to 127.0.0.1 and ::1 stay on the host, and all others go through
the stack, which has no way out until it is given links.

Processes that it forks are like it. Programs that it starts anew are not: set LKLSOCK_PATCH=1 in
their environment.

A configuration (`python -m lklsock config example`) gives the stack links, a preset and the rest.
Options go before what it says; with --tap its links are left out.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from . import _config_option, _tap_option

if TYPE_CHECKING:
    from ..config import Config
    from ..link import Tap

HELP = "run a Python program on the stack, unchanged"
IS_PROGRAM = True

_EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.usage = "%(prog)s [option] ... [-c COMMAND | -m MODULE | FILE | -] [argument] ..."
    _config_option.add_arguments(parser)
    add = parser.add_argument
    add(
        "--policy",
        choices=("default", "all"),
        help="which sockets live in the stack: those that are not for loopback, or all;"
        " default: default",
    )
    add(
        "--listen",
        choices=("both", "host", "stack"),
        help="where sockets are that listen, or take datagrams, on all addresses; default: both,"
        " with the policy all: stack",
    )
    add(
        "--mptcp",
        choices=("prefer", "require", "off"),
        help="MPTCP that may fall back to TCP, MPTCP or an error, TCP; default: prefer",
    )
    _tap_option.add_argument(parser)
    add(
        "--passt",
        action="store_true",
        help="the host's network as a way out, through the program passt: TCP and UDP, but no"
        " MPTCP; takes no privilege",
    )
    add("--report", action="store_true", help="say at the end, on stderr, what came of it")
    add("-c", dest="code", metavar="COMMAND", nargs=argparse.REMAINDER, help="as python -c")
    add("-m", dest="module", metavar="MODULE", nargs=argparse.REMAINDER, help="as python -m")
    add(
        "program",
        metavar="FILE",
        nargs=argparse.REMAINDER,
        help="a script, a directory or archive with __main__.py, or - for stdin; its arguments",
    )
    parser.set_defaults(error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Runs the program, and leaves as it leaves."""
    from . import EXIT_INTERRUPTED, _program

    file = options.program[options.program[:1] == ["--"] :]
    words = [*(options.code or options.module or []), *file]
    if not words:
        options.error("no program: name a file, or - for stdin, or use -c or -m")
    try:
        if not _prepare(options):
            return _EXIT_FAILED
    except KeyboardInterrupt:
        # The program has not begun.
        return EXIT_INTERRUPTED
    if options.code is not None:
        _program.run_command(words[0], words[1:])
    elif options.module is not None:
        _program.run_module(words[0], words[1:])
    else:
        _program.run_file(words[0], words[1:])
    return 0


def _prepare(options: argparse.Namespace) -> bool:
    """Patches this process, and gives the stack its links."""
    from .. import monkey, status
    from ..errors import ConfigError, KernelError

    status.serve_by_default()
    if options.report:
        _report_at_exit()
    named = {name: getattr(options, name) for name in ("policy", "listen", "mptcp")}
    try:
        config = _config_option.load(options)
        if config is not None:
            named = _configure(config, options, named)
        monkey.patch(**named)
        if options.tap:
            _add_taps(options.tap)
        if options.passt:
            _add_passt()
    except (ConfigError, KernelError, OSError) as error:
        print(f"run: {error}", file=sys.stderr)
        return False
    return True


def _configure(
    config: Config, options: argparse.Namespace, named: dict[str, Any]
) -> dict[str, Any]:
    """Makes the default stack. Returns the arguments for `patch`."""
    from ..stack import set_default_stack

    settings = config.patch_settings()
    given = {name: value for name, value in named.items() if value is not None}
    for name in given.keys() & settings.keys():
        _config_option.say_overruled(f"run: --{name}", name, config)
    named_link = "--tap" if options.tap else "--passt" if options.passt else None
    if named_link and config.has_links:
        _config_option.say_overruled(f"run: {named_link}", "the links", config)
    say = partial(_config_option.say_waiting, "run")
    set_default_stack(config.make_stack(links=not named_link, say=say))
    return {**settings, **given}


def _add_taps(taps: list[Tap]) -> None:
    from .. import mptcp
    from ..stack import default_stack

    stack = default_stack()
    _tap_option.add_links("run", taps, stack)
    # A configuration may have a preset; it knows of these links already.
    if len(taps) > 1 and mptcp.paths(stack) is None:
        mptcp.preset("aggregate", stack=stack)


def _add_passt() -> None:
    from ..link import Passt
    from ..stack import default_stack

    default_stack().add_link(Passt())


def _report_at_exit() -> None:
    import atexit
    import os

    from .. import monkey

    pid = os.getpid()

    def show() -> None:
        if os.getpid() == pid:
            print(monkey.report(), file=sys.stderr)

    atexit.register(show)
