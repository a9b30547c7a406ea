"""The option --config, for every command that makes a stack."""

from __future__ import annotations

import argparse
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --config and --no-config; see `load`."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration; default: LKLSOCK_CONFIG, ./lklsock.toml, or"
        " ~/.config/lklsock/lklsock.toml, the first that there is",
    )
    choice.add_argument("--no-config", action="store_true", help="use none of these")


def load(options: argparse.Namespace) -> Config | None:
    """The configuration that the options name, or the one that is found; None if there is none.

    Raises:
        ConfigError: It is not there, or not right.
    """
    from .. import config

    path = None if options.no_config else config.find(options.config)
    return None if path is None else config.load(path)


def say_waiting(command: str, text: str) -> None:
    """Says what a command waits for: the `say` of `Config.make_stack`."""
    print(f"{command}: {text}", file=sys.stderr, flush=True)


def say_overruled(option: str, what: str, config: Config) -> None:
    """Says that an option goes before what the file has."""
    print(f"{option} goes before {what} of {config.path}", file=sys.stderr)
