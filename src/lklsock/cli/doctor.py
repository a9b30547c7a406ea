"""Tell what lklsock can do on this machine, for this user, and what to do for the rest.

Each line says ok, no, or cannot tell; below what is missing are the commands that would help. With
--gateway, that address is asked, and nothing else is: no other packet leaves this machine.
The exit code is 0 if the stack works: Python, the kernel, and a trial transfer by Multipath TCP.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

HELP = "what this machine and user can do, and what is missing"

_EXIT_FAILED = 1
_DEADLINE_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object")
    add(
        "--gateway",
        metavar="ADDRESS[:PORT]",
        help="a gateway for links by VXLAN; or, with --key-file, for tunnels",
    )
    add("--vni", metavar="N", type=int, help="the number of the VXLAN gateway's network")
    add(
        "--inside",
        metavar="ADDRESS/LENGTH,ADDRESS",
        help="in that network, an IPv4 address that is free for a trial, and the one to be asked",
    )
    add("--key-file", metavar="FILE", help="the key of a tunnel gateway")
    parser.set_defaults(error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Checks everything.

    Returns:
        0 if the basics work.
    """
    from ._doctor import gateway, machine, network
    from ._doctor.check import Check
    from .demo import deadline

    if (options.vni is None) != (options.inside is None):
        options.error("--vni and --inside belong together")
    if options.gateway is None and (options.key_file or options.inside):
        options.error("--key-file, --vni and --inside tell of a --gateway, and there is none")
    if options.key_file and options.inside:
        options.error("--key-file is for tunnels, --vni and --inside are for VXLAN")
    checks: list[Check] = []

    def found() -> Iterator[Check]:
        yield from machine.checks()
        yield from network.checks()
        if options.gateway and options.key_file:
            yield gateway.tunnel(options.gateway, options.key_file)
        elif options.gateway:
            yield gateway.vxlan(options.gateway, options.vni, options.inside)
        try:
            from ._doctor import trial
        except ImportError as error:
            yield Check("trial", "no", f"the package is not whole: {error}", essential=True)
        else:
            yield from trial.checks()

    with deadline(_DEADLINE_S):
        for check in found():
            checks.append(check)
            if not options.json:
                print("\n".join(check.lines()), flush=True)
    works = all(check.verdict == "ok" for check in checks if check.essential)
    if options.json:
        print(json.dumps({"version": 1, "works": works, "checks": [vars(c) for c in checks]}))
    else:
        print("lklsock works here" if works else "lklsock does not work here", file=sys.stderr)
    return 0 if works else _EXIT_FAILED
