"""Make ready what only an administrator can: TAP devices for the stacks of a user's programs.

    setup tap --user USER [--count N] (--bridge BRIDGE | --nat UPLINK[,UPLINK...])
    setup watch

`tap` prints the commands for the host, and runs them with --apply; --undo takes back all that
--apply did, and nothing else. `watch` follows the uplinks while it runs: the TAP devices behind one
that is lost lose their carrier.
"""

from __future__ import annotations

import argparse
import sys

HELP = "TAP devices for a user, behind a bridge or NAT"

_TAPS_MAX = 250


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    things = parser.add_subparsers(dest="thing", metavar="THING", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    tap = things.add_parser("tap", help="TAP devices", description=__doc__, formatter_class=raw)
    add = tap.add_argument
    add("--user", metavar="USER", help="whose the devices are: a name or a number")
    add(
        "--count",
        metavar="N",
        type=_count,
        default=1,
        help="for how many processes at a time; default: 1",
    )
    way = tap.add_mutually_exclusive_group()
    way.add_argument("--bridge", metavar="BRIDGE", help="ports of a bridge that the host has")
    way.add_argument(
        "--nat",
        metavar="UPLINK[,UPLINK...]",
        help="each process has a device for each of these interfaces, by which alone it leaves",
    )
    add("--network", metavar="NETWORK", default="10.213.0.0/16", help="behind NAT; %(default)s")
    add("--name", metavar="NAME", default="tap", help="of the devices; default: %(default)s")
    do = tap.add_mutually_exclusive_group()
    do.add_argument("--apply", action="store_true", help="run the commands (takes root)")
    do.add_argument("--undo", action="store_true", help="take them back (takes root)")
    tap.set_defaults(error=tap.error)
    watch = things.add_parser(
        "watch", help="follow the uplinks", description=__doc__, formatter_class=raw
    )
    watch.add_argument("--name", metavar="NAME", default="tap", help="of the devices")


def run(options: argparse.Namespace) -> int:
    """Prints, applies, takes back, or watches.

    Returns:
        0; 1 if a command failed, and all is as it was; 2 if it cannot be done as asked.
    """
    from ._setup import SetupError, apply, plan, watch

    try:
        if options.thing == "watch":
            return watch.watch(options.name)
        if options.undo:
            return apply.undo(options.name)
        if options.user is None or not (options.bridge or options.nat):
            options.error("say --user, and --bridge or --nat; or --undo")

        def made() -> plan.Plan:
            return plan.plan(
                user=options.user,
                count=options.count,
                name=options.name,
                bridge=options.bridge,
                uplinks=options.nat.split(",") if options.nat else [],
                network=options.network,
            )

        if options.apply:
            return apply.apply(made)
        print("\n".join(made().text()))
        return 0
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return error.exit_code


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _TAPS_MAX:
        raise argparse.ArgumentTypeError(f"must be 1 to {_TAPS_MAX}, not {text}")
    return int(text)
