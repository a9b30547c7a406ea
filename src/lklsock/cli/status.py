"""Show what goes on in a running process: its stacks, links, connections and their subflows.

    status [--watch [SECONDS]] [--json] [PID]
    status pcap LINK FILE [PID] [--duration SECONDS] [--packets N] [--snaplen BYTES]

The process must serve its status: what is started with `python -m lklsock run` does, and whatever
has LKLSOCK_STATUS=1 in its environment or calls lklsock.status.serve(). It must be yours, unless
you are root. Without a PID it is the only one there is; of several, a list is shown.

`pcap` writes the frames that pass one of its links to a file of yours, until Ctrl-C; to - for a
pipe: python -m lklsock status pcap tap0 - | wireshark -k -i -
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

HELP = "what goes on in a running process; captures of its links"

_EXIT_FAILED = 1
_EXIT_IMPOSSIBLE = 2
_RATE_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.usage = "%(prog)s [option] ... [PID | pcap LINK FILE [PID]]"
    add = parser.add_argument
    add(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=1.0,
        type=_positive(float),
        help="show it again and again until Ctrl-C; default: each second",
    )
    add("--json", action="store_true", help="one JSON object, a line; pydoc lklsock.status has it")
    add("--duration", metavar="SECONDS", type=_positive(float), help="pcap: how long; default: all")
    add("--packets", metavar="N", type=_positive(int), help="pcap: how many frames; default: all")
    add("--snaplen", metavar="BYTES", type=_positive(int), help="pcap: of each frame; default: all")
    add("words", metavar="PID", nargs="*", help="the process; or pcap LINK FILE [PID]")
    parser.set_defaults(error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Shows it, or captures.

    Returns:
        0; 1 if the process cannot be asked; 2 if it must be chosen first.
    """
    from ..status._client import StatusError

    words: list[str] = options.words
    is_capture = words[:1] == ["pcap"]
    if is_capture and not 3 <= len(words) <= 4:
        options.error("pcap takes a LINK, a FILE, or - for stdout, and perhaps a PID")
    rest = words[3:] if is_capture else words
    if len(rest) > 1 or not all(word.isascii() and word.isdigit() for word in rest):
        options.error(f"not a PID: {' '.join(rest)}")
    try:
        pid = int(rest[0]) if rest else _only_one(options)
        if pid is None:
            return _EXIT_IMPOSSIBLE
        if is_capture:
            from ._status.capture import capture

            return capture(pid, words[1], words[2], options)
        return _watch(pid, options) if options.watch else _once(pid, options)
    except StatusError as error:
        print(f"status: {error}", file=sys.stderr)
        return _EXIT_FAILED
    except BrokenPipeError:
        # Who reads has had enough; Python would complain of it once more at its end.
        sys.stdout = None
        return 0


def _only_one(options: argparse.Namespace) -> int | None:
    """The one process that serves; None after a list of several."""
    from ..status._client import StatusError, command_of, serving

    pids = serving()
    if not pids:
        raise StatusError(
            "no process serves its status: start one with `python -m lklsock run`, or with "
            "LKLSOCK_STATUS=1 in its environment, or have it call lklsock.status.serve()"
        )
    if len(pids) == 1:
        return pids[0]
    from ._status.tables import printable

    if options.json:
        found = [{"pid": pid, "command": command_of(pid)} for pid in pids]
        print(json.dumps({"processes": found}))
    print("status: which process?", file=sys.stderr)
    for pid in pids:
        print(f"  {pid:>7}  {printable(command_of(pid))}", file=sys.stderr)
    return None


def _once(pid: int, options: argparse.Namespace) -> int:
    from ..status._client import ask
    from ._status.screen import show_once
    from ._status.tables import sections

    first = ask(pid)
    if options.json:
        print(json.dumps(first))
        return 0
    _check(first)
    # Rates take two looks.
    time.sleep(_RATE_S)
    show_once(sections(ask(pid), first))
    return 0


def _watch(pid: int, options: argparse.Namespace) -> int:
    from ..status._client import ask
    from ._status.screen import updated
    from ._status.tables import sections

    before: dict[str, Any] | None = None
    try:
        if options.json:
            while True:
                print(json.dumps(ask(pid)), flush=True)
                time.sleep(options.watch)
        with updated() as show:
            while True:
                now = ask(pid)
                _check(now)
                show(sections(now, before))
                before = now
                time.sleep(options.watch)
    except KeyboardInterrupt:
        return 0


def _check(process: dict[str, Any]) -> None:
    from ..status import VERSION
    from ..status._client import StatusError

    if process.get("version") != VERSION:
        raise StatusError(
            f"the process is of another version of lklsock, {process.get('version')!r} and not "
            f"{VERSION}: use its own `status`, or --json"
        )


def _positive(kind: type[int] | type[float]) -> Any:
    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < 1e9:
            raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
        return value

    return number
