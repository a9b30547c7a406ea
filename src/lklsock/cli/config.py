"""Look after the configuration, lklsock.toml.

    check [FILE]    tells all that is wrong with it
    show [FILE]     what is in force, and where each value comes from; keys are not shown
    import FILE     carries over a configuration of LKL's hijack library, lkl-hijack.json
    example         prints a file with every key and its description

Without FILE it is the one that the other commands would take: LKLSOCK_CONFIG, ./lklsock.toml,
~/.config/lklsock/lklsock.toml.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HELP = "check, show or write the configuration file"

_EXIT_FAILED = 1
_ACTIONS = ("check", "show", "import", "example")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument("action", choices=_ACTIONS)
    parser.add_argument("file", metavar="FILE", nargs="?")
    parser.set_defaults(error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Does what was asked for."""
    if options.action == "import" and options.file is None:
        options.error("import takes the file: lkl-hijack.json, say")
    if options.action == "example" and options.file is not None:
        options.error("example writes to stdout, and takes no file")
    actions = {"check": _check, "show": _show, "import": _import, "example": _example}
    return actions[options.action](options.file)


def _check(file: str | None) -> int:
    from .. import config
    from ..errors import ConfigError

    try:
        path = config.find(file)
        if path is None:
            print("config: there is no configuration file; see --help", file=sys.stderr)
            return _EXIT_FAILED
        config.load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return _EXIT_FAILED
    print(f"{path}: right")
    return 0


def _show(file: str | None) -> int:
    from .. import config
    from ..errors import ConfigError
    from ..monkey import _environment
    from ._config_show import show

    text = os.environ.get(_environment.VARIABLE, "0")
    try:
        path = config.find(file)
        found = None if path is None else config.load(path)
        named = _environment.parsed(text) if text not in ("", "0") else {}
    except ConfigError as error:
        print(error, file=sys.stderr)
        return _EXIT_FAILED
    except ValueError as error:
        print(f"{_environment.VARIABLE}: {error}", file=sys.stderr)
        return _EXIT_FAILED
    print(f"# {path}" if path is not None else "# there is no configuration file: the defaults")
    print(show(found, named))
    return 0


def _import(file: str) -> int:
    from .. import config
    from ..errors import ConfigError
    from ._hijack_json import HijackError, imported

    try:
        text, lost = imported(Path(file).read_text(encoding="utf-8"))
    except (OSError, HijackError, UnicodeDecodeError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return _EXIT_FAILED
    print(text)
    for each in lost:
        print(f"{file}: not carried over: {each}", file=sys.stderr)
    try:
        config.parse(text)
    except ConfigError as error:
        print(f"{file}: makes a configuration that is not right:\n{error}", file=sys.stderr)
        return _EXIT_FAILED
    return 0


def _example(_: str | None) -> int:
    from ._config_example import example

    print(example())
    return 0
