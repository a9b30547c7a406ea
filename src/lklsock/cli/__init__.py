"""The command line: `python -m lklsock COMMAND`.

A command is a module of this package that is named in `COMMANDS`. It has HELP, one line;
`add_arguments(parser)`; and `run(options)`, which returns the exit code. It imports what is slow
to import when it runs. One with IS_PROGRAM ends by Ctrl-C as a program of its own does.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Sequence

COMMANDS = (
    "config",
    "demo",
    "doctor",
    "gateway",
    "proxy",
    "run",
    "setup",
    "status",
)

EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name; None for those of the process.

    Returns:
        The exit code: 0 for success, 1 for failure, 2 for what cannot be done as asked, 130 after
        Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        if options.is_program:
            raise
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lklsock",
        description="A Linux network stack inside your process, with Multipath TCP.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the versions, and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f".{name}", __name__)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
        command.set_defaults(is_program=getattr(module, "IS_PROGRAM", False))
    return parser


class _Version(argparse.Action):
    """Prints what is installed: the package, the kernel in it, and what made it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        from ..errors import KernelError
        from ..stack import Stack

        try:
            package = metadata.version("lklsock")
        except metadata.PackageNotFoundError:
            package = "(not installed)"
        try:
            kernel = Stack().version
        except KernelError as error:
            parser.exit(1, f"lklsock {package}, without a kernel: {error}\n")
        python = ".".join(map(str, sys.version_info[:3]))
        sys.stdout.write(
            f"lklsock {package}, Linux {kernel}, Python {python}\n" + "".join(_provenance())
        )
        parser.exit()


def _provenance() -> Iterator[str]:
    """What the kernel was made of, by the build-info.json that lies beside it."""
    from importlib import resources

    facts = json.loads(resources.files("lklsock").joinpath("_kernel/build-info.json").read_text())
    yield f"kernel    {facts.get('source', 'of unknown source')}\n"
    yield f"port      {facts.get('port_sha256', 'unknown')[:12]}"
    yield f", {len(facts.get('patches', ()))} patches\n"
    yield f"compiler  {facts.get('compiler', 'unknown')}, {facts.get('libc', 'unknown libc')}\n"
    yield f"library   sha256 {facts.get('library_sha256', 'unknown')}\n"
